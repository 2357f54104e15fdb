"""The video recipe's own steps on real files: shots, clips, decoding."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import video
from pipelines.config import load_config
from pipelines.video import VideoOpener, decode_clip, split_video
from schemas.config import JobConfig
from schemas.flow import Clip, Rejected
from tests import media
from tests.scenes import fake_ref, make_scene
from transforms import footage


def clips(path: Path, *overrides: str, **ref: Any) -> tuple[list[Clip], list[Rejected]]:
    config: JobConfig = load_config("video", [f"source.uris={path}", *overrides])
    opened = VideoOpener(config).open(fake_ref(**{"uri": path.name, "end_s": float("inf"), **ref}))
    items = [value for _, value in split_video(opened, config)]
    made = [decode_clip(item, config.decode) for item in items if not isinstance(item, Rejected)]
    opened.close()
    return made, [item for item in items if isinstance(item, Rejected)]


@pytest.fixture(scope="module")
def two_shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a dark scene, then two of a bright one, 24 frames a second."""
    frames = [make_scene(n_frames=1, seed=seed).clip.frames_THW3[0] // part for seed, part in ((1, 4), (2, 1))]
    path = tmp_path_factory.mktemp("shots") / "two.mp4"
    return media.write_video(path, fps=24, size_wh=(320, 240), frames=[frames[0]] * 48 + [frames[1]] * 48)


def test_clips_do_not_reach_into_the_next_shot(two_shots: Path) -> None:
    made, rejected = clips(two_shots)
    assert rejected == []
    assert [(clip.frame_index, len(clip.times_s_T)) for clip in made] == [(0, 16), (48, 16)]
    brightness = [clip.frames_THW3.mean(axis=(1, 2, 3)) for clip in made]
    assert np.ptp(brightness[0]) < 3 and np.ptp(brightness[1]) < 3
    assert brightness[1].mean() - brightness[0].mean() > 30


def test_without_shots_the_cut_is_inside_a_clip(two_shots: Path) -> None:
    made, _ = clips(two_shots, "shots.name=none", "clips.length_s=4")
    assert [np.ptp(clip.frames_THW3.mean(axis=(1, 2, 3))) > 30 for clip in made] == [True]


def test_a_clip_inside_a_shot_ends_with_the_frame_at_its_end(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "a.mp4", n_frames=96, fps=24)
    made, _ = clips(path, "clips.length_s=1", "clips.stride_s=1", "shots.name=none")
    assert [clip.times_s_T[[0, -1]].tolist() for clip in made[:2]] == [[0, 1], [1, 2]]
    assert [media.number_of(frame) for frame in made[1].frames_THW3] == list(range(24, 49, 3))
    assert made[1].fps == 8


def test_a_segment_bounds_its_clips(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "a.mp4", n_frames=96, fps=24)
    made, rejected = clips(path, "clips.length_s=1", "clips.stride_s=1", "shots.name=none", start_s=0.5, end_s=2.0)
    assert [clip.frame_index for clip in made] == [12]
    assert rejected == []
    assert made[0].times_s_T[-1] < 2.0


def test_the_rate_never_exceeds_the_sources(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "slow.mp4", n_frames=12, fps=4)
    made, _ = clips(path)
    assert made[0].fps == pytest.approx(4)
    assert np.diff(made[0].times_s_T) == pytest.approx(0.25)


def test_records_of_one_file_share_its_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = media.write_video(tmp_path / "a.mp4", n_frames=48)
    opener = VideoOpener(load_config("video", [f"source.uris={path}"]))
    first = opener.open(fake_ref(uri="a.mp4"))
    first.close()
    monkeypatch.setattr(footage, "build_index", lambda file: pytest.fail("the index was made again"))
    second = opener.open(fake_ref(uri="a.mp4", start_s=0.5))
    assert [media.number_of(frame) for frame in second.footage.frames(30, 33, (160, 120))] == [30, 31, 32]
    second.close()


def test_a_broken_file_gives_its_good_shots_then_raises(tmp_path: Path) -> None:
    whole = media.write_video(tmp_path / "whole.mp4", n_frames=96, mux_options=media.FASTSTART)
    cut = media.cut_off(whole, tmp_path / "cut.mp4", 0.6)
    for detector in ("content", "none"):
        config = load_config("video", [f"source.uris={cut}", "clips.min_length_s=0.5", f"shots.name={detector}"])
        opened = VideoOpener(config).open(fake_ref(uri="cut.mp4", end_s=float("inf")))
        items = split_video(opened, config)
        assert isinstance(next(items)[1], video.Span)
        with pytest.raises(footage.FootageError):
            list(items)
        opened.close()


def test_a_single_frame_is_too_short_however_long_it_is_shown(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "one.mp4", n_frames=1, fps=0.5)
    made, rejected = clips(path)
    assert made == []
    assert [(item.reason, item.value) for item in rejected] == [("too_short", 0.0)]


def test_opening_a_file_that_must_be_decoded_shows_that_it_goes_on(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "a.avi", codec="mpeg4", n_frames=48)
    beats: list[int] = []
    opener = VideoOpener(load_config("video", [f"source.uris={path}"]))
    opener.open(fake_ref(uri="a.avi"), lambda: beats.append(1)).close()
    assert len(beats) >= 48
