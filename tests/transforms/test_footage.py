import os
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests import media
from transforms.footage import FootageError, fitted_size_wh, open_footage, probe_duration_s

VP9 = {"cpu-used": "8", "deadline": "realtime", "auto-alt-ref": "1", "lag-in-frames": "10"}
SAMPLES = ["apple.mp4", "backpack.mp4", "cat.mp4", "paragliding-launch.mp4", "dancer.avi"]
UNEVEN_S = np.cumsum([0.0, *np.random.default_rng(5).integers(1, 8, 39) / 100]).tolist()

MAKERS: dict[str, Callable[[Path], Path]] = {
    "h264.mp4": lambda path: media.write_video(path),
    "h264_bpyramid.mkv": lambda path: media.write_video(path, bframes=4, options={"x264-params": "b-pyramid=normal"}),
    "h264.ts": lambda path: media.write_video(path),
    "h264.avi": lambda path: media.write_video(path),
    "h264.flv": lambda path: media.write_video(path),
    "raw.h264": lambda path: media.write_video(path),
    "interlaced.ts": lambda path: media.write_video(path, options={"x264-params": "interlaced=1"}),
    "open_gop_h264.mp4": lambda path: media.write_open_gop(path),
    "open_gop_hevc.mp4": lambda path: media.write_open_gop(path, "libx265"),
    "open_gop_hevc.ts": lambda path: media.write_open_gop(path, "libx265"),
    "hevc.mp4": lambda path: media.write_video(path, "libx265", bframes=3),
    "vp9.webm": lambda path: media.write_video(path, "libvpx-vp9", options=VP9),
    "vp8.webm": lambda path: media.write_video(path, "libvpx", options={**VP9, "deadline": "good"}),
    "av1.mp4": lambda path: media.write_video(path, "libsvtav1"),
    "av1.mkv": lambda path: media.write_video(path, "libsvtav1"),
    "mpeg4.avi": lambda path: media.write_video(path, "mpeg4"),
    "mpeg4_plain.avi": lambda path: media.write_video(path, "mpeg4", bframes=0),
    "mpeg4.mp4": lambda path: media.write_video(path, "mpeg4"),
    "mpeg2.mpg": lambda path: media.write_video(path, "mpeg2video"),
    "mpeg2.ts": lambda path: media.write_video(path, "mpeg2video"),
    "trimmed.mp4": lambda path: media.write_trimmed(path, 0.75),
    "trimmed_av1.mp4": lambda path: media.write_trimmed(path, 0.75, codec="libsvtav1"),
    "uneven.mp4": lambda path: media.write_video(path, n_frames=40, times=UNEVEN_S),
    "uneven.mkv": lambda path: media.write_video(path, n_frames=40, times=UNEVEN_S),
    "late_start.mp4": lambda path: media.write_video(path, times=[3 + k / 24 for k in range(48)]),
    "fragmented.mp4": lambda path: media.write_video(
        path, mux_options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    ),
    "one_frame.mp4": lambda path: media.write_video(path, n_frames=1),
    "full_range.mp4": lambda path: media.write_video(path, pix_fmt="yuvj420p"),
    "ten_bit.mkv": lambda path: media.write_video(path, "libx265", pix_fmt="yuv420p10le"),
    "mjpeg.avi": lambda path: media.write_video(path, "mjpeg", pix_fmt="yuvj420p", bframes=0),
    "narrow.mp4": lambda path: media.write_video(path, size_wh=(16, 120)),
    "portrait.mp4": lambda path: media.write_video(path, size_wh=(90, 160)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("footage")


def made(folder: Path, name: str) -> Path:
    path = folder / name
    return path if path.exists() else MAKERS[name](path)


def sample(relative: str) -> Path:
    root = os.environ.get("SOMTOM_TEST_DATA", "")
    if not root:
        pytest.skip("SOMTOM_TEST_DATA is not set")
    return Path(root) / "data" / relative


def decoded_whole(path: Path) -> tuple[np.ndarray, list[np.ndarray]]:
    """(times, grey frames) of a plain decode of the whole file."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        stamps = [frame.pts for frame in frames]
        grey = [frame.to_ndarray(format="gray") for frame in frames]
        times = np.array([float((p - min(stamps)) * frames[0].time_base) for p in stamps]) if None not in stamps else []
    return np.sort(times), grey


@pytest.mark.parametrize("name", MAKERS)
def test_index_is_what_decoding_presents(folder: Path, name: str) -> None:
    path = made(folder, name)
    times, grey = decoded_whole(path)
    with open_footage(str(path)) as footage:
        if name == "trimmed_av1.mp4":
            times, grey = times[-len(footage.times_s) :] - times[-len(footage.times_s)], grey[-len(footage.times_s) :]
        assert footage.times_s.dtype == np.float64
        assert len(footage.times_s) == len(grey)
        assert footage.times_s == pytest.approx(times if len(times) else np.arange(48) / 24)
        assert footage.times_s[0] == 0
        assert footage.defect == ""
        numbers = [media.number_of(frame) for frame in footage.frames(0, len(grey), footage.size_wh)]
        assert numbers == [media.number_of(frame[..., None]) for frame in grey]
        first = 18 if name.startswith("trimmed") else 0
        assert numbers == list(range(first, first + len(grey)))


@pytest.mark.parametrize("name", MAKERS)
def test_any_frame_is_the_same_as_in_sequence(folder: Path, name: str) -> None:
    path = made(folder, name)
    with open_footage(str(path)) as footage:
        count = len(footage.times_s)
        whole = np.stack(list(footage.frames(0, count, footage.size_wh)))
    rng = np.random.default_rng(0)
    with open_footage(str(path)) as footage:
        for _ in range(12):
            indices = np.sort(rng.integers(0, count, 4))
            assert np.array_equal(footage.pick(indices, footage.size_wh), whole[indices])
        for index in rng.permutation(count)[:24].tolist():
            assert np.array_equal(footage.pick([index, index], footage.size_wh), whole[[index, index]])
        assert np.array_equal(np.stack(list(footage.frames(count // 2, count, footage.size_wh))), whole[count // 2 :])


@pytest.mark.parametrize("name", ["h264.mp4", "h264.avi", "raw.h264", "vp9.webm"])
def test_file_objects_read_as_paths(folder: Path, name: str) -> None:
    path = made(folder, name)
    with path.open("rb") as file, open_footage(file) as footage, open_footage(str(path)) as other:
        assert np.array_equal(footage.times_s, other.times_s)
        for indices in ([30, 40], [2, 2, 47]):
            assert np.array_equal(footage.pick(indices, (80, 60)), other.pick(indices, (80, 60)))
        footage.close()
        assert not file.closed


def test_uneven_times(folder: Path) -> None:
    with open_footage(str(made(folder, "uneven.mp4"))) as footage:
        assert footage.times_s == pytest.approx(UNEVEN_S, abs=1e-4)
        assert footage.fps == pytest.approx(39 / UNEVEN_S[-1], rel=1e-3)
        assert footage.duration_s == pytest.approx(UNEVEN_S[-1] * 40 / 39, rel=1e-3)


def test_one_frame(folder: Path) -> None:
    with open_footage(str(made(folder, "one_frame.mp4"))) as footage:
        assert footage.times_s.tolist() == [0.0]
        assert footage.fps == 0.0
        assert footage.duration_s == pytest.approx(1 / 24)


@pytest.mark.parametrize(("degrees", "turns"), [(0, 0), (90, -1), (180, 2), (270, 1)])
def test_rotation(tmp_path: Path, degrees: int, turns: int) -> None:
    plain = open_footage(str(media.write_video(tmp_path / "plain.mp4", n_frames=5)))
    turned = open_footage(str(media.write_rotated(tmp_path / "turned.mp4", degrees, n_frames=5)))
    assert turned.size_wh == ((120, 160) if turns % 2 else (160, 120))
    expected = np.rot90(plain.pick([3], plain.size_wh)[0], turns)
    assert np.array_equal(turned.pick([3], turned.size_wh)[0], expected)


def test_mirrored(tmp_path: Path) -> None:
    plain = open_footage(str(media.write_video(tmp_path / "plain.mp4", n_frames=2)))
    mirrored = open_footage(str(media.write_mirrored(tmp_path / "mirrored.mp4", n_frames=2)))
    assert np.array_equal(mirrored.pick([1], (160, 120))[0], plain.pick([1], (160, 120))[0][:, ::-1])


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "wide.mp4", n_frames=3, sample_aspect_ratio=Fraction(4, 3))
    with open_footage(str(path)) as footage:
        assert footage.size_wh == (213, 120)
        assert footage.pick([2], footage.size_wh).shape == (1, 120, 213, 3)


def test_colours_and_shrinking(tmp_path: Path) -> None:
    stripes = np.zeros((120, 160, 3), np.uint8)
    stripes[:, :80], stripes[:, 80:] = (200, 40, 40), (30, 60, 220)
    for pix_fmt in ("yuv420p", "yuvj420p"):
        path = media.write_video(tmp_path / f"{pix_fmt}.mp4", frames=[stripes] * 3, pix_fmt=pix_fmt)
        with open_footage(str(path)) as footage:
            (frame,) = footage.pick([1], (40, 30))
            assert frame[:, 4:16].mean((0, 1)) == pytest.approx((200, 40, 40), abs=8)
            assert frame[:, 24:36].mean((0, 1)) == pytest.approx((30, 60, 220), abs=8)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
@pytest.mark.parametrize("share", [0.45, 0.6, 0.8])
def test_truncated_file_gives_its_good_frames_and_then_an_error(tmp_path: Path, suffix: str, share: float) -> None:
    whole = media.write_video(tmp_path / f"whole{suffix}", mux_options=media.FASTSTART if suffix == ".mp4" else None)
    with open_footage(str(whole)) as footage:
        expected = list(footage.frames(0, 48, footage.size_wh))
    footage = open_footage(str(media.cut_off(whole, tmp_path / f"cut{suffix}", share)))
    good = []
    with pytest.raises(FootageError, match=r"not decode|are there"):
        for frame in footage.frames(0, len(footage.times_s), footage.size_wh):
            good.append(frame)
    assert 3 <= len(good) < 47
    assert np.array_equal(np.stack(good), np.stack(expected[: len(good)]))


def test_truncated_transport_stream_gives_its_good_frames(tmp_path: Path) -> None:
    """It declares no length, so that its end is where it ends; only its last picture can be incomplete."""
    whole = media.write_video(tmp_path / "whole.ts")
    with open_footage(str(whole)) as footage:
        expected = np.stack(list(footage.frames(0, 48, footage.size_wh)))
    with open_footage(str(media.cut_off(whole, tmp_path / "cut.ts", 0.6))) as footage:
        count = len(footage.times_s)
        assert 10 < count < 47
        assert np.array_equal(footage.pick(range(count - 1), footage.size_wh), expected[: count - 1])


def test_repeated_times(tmp_path: Path) -> None:
    with av.open(str(media.write_video(tmp_path / "plain.mkv", bframes=0))) as source:
        stream = source.streams.video[0]
        with av.open(str(tmp_path / "repeated.mkv"), "w") as target:
            copy = target.add_stream_from_template(stream)
            for number, packet in enumerate(source.demux(stream)):
                if packet.size:
                    packet.pts = packet.dts = number // 2 * 83
                    packet.stream = copy
                    target.mux(packet)
    with open_footage(str(tmp_path / "repeated.mkv")) as footage:
        assert footage.times_s == pytest.approx(np.arange(48) // 2 * 0.083)
        assert [media.number_of(f) for f in footage.frames(0, 48, footage.size_wh)] == list(range(48))
        for indices in ([40, 41], [0, 5], [5, 5, 47], [20]):
            assert [media.number_of(f) for f in footage.pick(indices, footage.size_wh)] == indices


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4"])
def test_damage_is_an_error_with_its_time_and_other_frames_stay_readable(tmp_path: Path, codec: str) -> None:
    whole = media.write_video(tmp_path / "whole.mp4", codec)
    with open_footage(str(whole)) as footage:
        expected = np.stack(list(footage.frames(0, 48, footage.size_wh)))
    footage = open_footage(str(media.damage(whole, tmp_path / "bad.mp4")))
    good = []
    with pytest.raises(FootageError, match=r"does not decode at [01]\.\d+ s"):
        good.extend(footage.frames(0, 48, footage.size_wh))
    assert 8 <= len(good) < 47
    assert np.array_equal(np.stack(good), expected[: len(good)])
    assert np.array_equal(footage.pick([44, 47], footage.size_wh), expected[[44, 47]])
    assert np.array_equal(footage.pick([0, 5], footage.size_wh), expected[[0, 5]])
    with pytest.raises(FootageError):
        footage.pick([len(good)], footage.size_wh)


@pytest.mark.parametrize(
    ("maker", "message"),
    [
        (media.write_empty, "the file is empty"),
        (media.write_text, "not a video"),
        (media.write_noise, "not a video"),
        (media.write_audio_only, "no video stream"),
    ],
)
def test_what_is_not_a_video(tmp_path: Path, maker: Callable[[Path], Path], message: str) -> None:
    path = str(maker(tmp_path / ("a.m4a" if maker is media.write_audio_only else "a.txt")))
    for read in (open_footage, probe_duration_s):
        with pytest.raises(FootageError, match=message):
            read(path)


def test_missing_file_and_unknown_backend(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_footage(str(tmp_path / "none.mp4"))
    with pytest.raises(FileNotFoundError):
        probe_duration_s(str(tmp_path / "none.mp4"))
    with pytest.raises(FootageError):
        open_footage(str(tmp_path))
    with pytest.raises(ValueError, match="'cv2'"):
        open_footage(str(tmp_path / "none.mp4"), backend="cv2")


def test_odd_file_names(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "plain.mp4", n_frames=3).rename(tmp_path / "a:b %03d?#é.mp4")
    with open_footage(str(path)) as footage:
        assert len(footage.times_s) == 3


def test_streams_and_leaves_off_anywhere(folder: Path) -> None:
    with open_footage(str(made(folder, "h264.mp4"))) as footage:
        running = footage.frames(5, 48, (32, 24))
        assert media.number_of(next(running)) == 5
        assert media.number_of(footage.pick([30], (160, 120))[0]) == 30
        assert media.number_of(next(running)) == 6
        assert list(footage.frames(7, 7, (32, 24))) == []
        with pytest.raises(IndexError):
            footage.pick([48], (32, 24))


@pytest.mark.parametrize(("name", "seconds"), [("h264.mp4", 2), ("trimmed.mp4", 1.25), ("vp9.webm", 2), ("h264.ts", 2)])
def test_probe(folder: Path, name: str, seconds: float) -> None:
    path = made(folder, name)
    assert probe_duration_s(str(path)) == pytest.approx(seconds, abs=0.1)
    with path.open("rb") as file:
        assert probe_duration_s(file) == pytest.approx(seconds, abs=0.1)


def test_probe_of_a_header_without_a_duration(folder: Path) -> None:
    with pytest.raises(FootageError, match="no duration"):
        probe_duration_s(str(made(folder, "raw.h264")))


@pytest.mark.parametrize(
    ("size_wh", "long_side_px", "expected"),
    [
        ((640, 480), 512, (512, 384)),
        ((100, 50), 512, (100, 50)),
        ((480, 854), 512, (288, 512)),
        ((2000, 1), 64, (64, 1)),
    ],
)
def test_fitted_size(size_wh: tuple[int, int], long_side_px: int, expected: tuple[int, int]) -> None:
    assert fitted_size_wh(size_wh, long_side_px) == expected


@pytest.mark.parametrize("name", SAMPLES)
def test_real_videos(name: str) -> None:
    _compare_with_decoding(sample(f"videos/{name}"))


def test_real_robot_video() -> None:
    first = sorted(sample("lerobot_v21/videos").rglob("*.mp4"))[0]
    _compare_with_decoding(first)


def _compare_with_decoding(path: Path) -> None:
    small = (64, 48)
    with open_footage(str(path)) as footage, av.open(str(path)) as container:
        stamps = []
        frames = footage.frames(0, len(footage.times_s), small)
        probes = {}
        for index, (ours, theirs) in enumerate(zip(frames, container.decode(video=0), strict=True)):
            stamps.append(theirs.time)
            if index % 97 == 11:
                grey = theirs.reformat(*small, "rgb24", interpolation="AREA").to_ndarray()
                assert np.abs(ours.astype(int) - grey).mean() < 2
                probes[index] = ours
        assert footage.times_s == pytest.approx(np.array(stamps) - stamps[0], abs=1e-9)
        for index in reversed(probes):
            assert np.array_equal(footage.pick([index], small)[0], probes[index])


def test_decord_backend_has_the_same_shape(folder: Path) -> None:
    pytest.importorskip("decord")
    path = str(made(folder, "h264.mp4"))
    with open_footage(path, backend="decord") as footage, open_footage(path) as other:
        assert footage.times_s == pytest.approx(other.times_s, abs=1e-3)
        assert footage.size_wh == other.size_wh
        assert footage.fps == pytest.approx(other.fps, rel=1e-3)
        assert footage.duration_s == pytest.approx(other.duration_s, abs=1e-3)
        assert [media.number_of(f) for f in footage.frames(0, 48, footage.size_wh)] == list(range(48))
        assert [media.number_of(f) for f in footage.pick([3, 3, 40], (80, 60))] == [3, 3, 40]


def test_decord_backend_refuses_what_is_not_a_video(tmp_path: Path) -> None:
    pytest.importorskip("decord")
    with pytest.raises(FootageError):
        open_footage(str(media.write_noise(tmp_path / "a.mp4")), backend="decord")
    with pytest.raises(FileNotFoundError):
        open_footage(str(tmp_path / "none.mp4"), backend="decord")


def test_missing_decord_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    monkeypatch.delitem(sys.modules, "transforms.footage_decord", raising=False)
    with pytest.raises(ImportError, match=r"pip install '\.\[decord\]'"):
        open_footage(str(made(folder, "h264.mp4")), backend="decord")
