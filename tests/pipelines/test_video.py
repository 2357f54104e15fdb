"""The video recipe's own steps: shots, clips and decoding of files; marks and samples of a scene of known truth."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import video
from pipelines.config import load_config
from pipelines.inspect.lint_sample import check_sample
from pipelines.video import VideoOpener, decode_clip, sample_builder, split_video, video_recipe
from pipelines.video_marks import find_objects, mark
from schemas.config import RegionObjects, VideoJob
from schemas.errors import UserError
from schemas.flow import CameraMotion, Clip, Judged, Marked, Motion, Picture, Regions, Rejected
from tests import media
from tests.scenes import Scene, fake_ref, fake_tracks, make_scene
from transforms import footage
from transforms.encoding import encode_sample
from transforms.points import grid_points
from transforms.proposers.windows import make_regions


def clips(path: Path, *overrides: str, **ref: Any) -> tuple[list[Clip], list[Rejected]]:
    config: VideoJob = load_config("video", [f"source.uris={path}", *overrides])
    opened = VideoOpener(config).open(fake_ref(**{"uri": path.name, "end_s": float("inf"), **ref}))
    items = [value for _, value in split_video(opened, config)]
    made = [
        decode_clip(item, config.decode, config.clips.min_length_s) for item in items if not isinstance(item, Rejected)
    ]
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
    assert [(clip.frame_indices_T[0], len(clip.times_s_T)) for clip in made] == [(0, 16), (48, 16)]
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
    assert made[1].frame_indices_T.tolist() == list(range(24, 49, 3))
    assert made[1].fps == 8


def test_a_segment_bounds_its_clips(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "a.mp4", n_frames=96, fps=24)
    made, rejected = clips(path, "clips.length_s=1", "clips.stride_s=1", "shots.name=none", start_s=0.5, end_s=2.0)
    assert [clip.frame_indices_T[0] for clip in made] == [12]
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


def judged(scene: Scene, key: str) -> Judged:
    """What a perfect tracker and a perfect fit would have found."""
    points_N2 = grid_points(scene.clip.size_wh, 15).astype(np.float64)
    raw_xy_TN2 = scene.tracks(points_N2)
    inside_TN = ((raw_xy_TN2 >= 0) & (raw_xy_TN2 < scene.clip.size_wh)).all(axis=-1)
    visible_TN = inside_TN & ~scene.covered(points_N2)
    moving_N = scene.object_at(points_N2) >= 0
    return Judged(
        clip=replace(scene.clip, key=key, frame_indices_T=7 + 3 * np.arange(len(scene.clip.times_s_T))),
        tracks=fake_tracks(raw_xy_TN2, visible_TN),
        camera=CameraMotion(
            moving=True,
            model="homography",
            homographies_T33=scene.homographies_T33,
            inlier_ratio_T=np.ones(len(raw_xy_TN2)),
            residual_px=0.0,
        ),
        motion=Motion(
            steady_xy_TN2=scene.steady_tracks(points_N2),
            usable_N=visible_TN.mean(axis=0) > 0.5,
            moving_N=moving_N & (visible_TN.mean(axis=0) > 0.5),
            speed_N=moving_N * 0.1,
        ),
    )


def job(*overrides: str) -> VideoJob:
    config: VideoJob = load_config("video", ["source.uris=a.mp4", *overrides])
    return config


def test_marks_and_traces_are_those_of_the_reference_frame() -> None:
    """From the truth of a scene under a moving camera to the truth as that frame's camera sees it."""
    scene = make_scene(zoom_per_frame=0.995, roll_deg_per_frame=0.3, objects=2)
    config, references = job(), set()
    for number in range(12):
        found = judged(scene, f"0123456789abcdef-{number:09d}")
        marked = mark(found, config)
        assert isinstance(marked, Marked)
        reference = marked.reference
        references.add(reference)
        sample = sample_builder(config)(marked).sample
        assert {image.time_s for image in sample.images} == {reference / 8}
        assert sample.source.frame_index == 7 + 3 * reference
        assert sample.tasks == ["tom"]
        back_33 = np.linalg.inv(scene.homographies_T33[reference])
        track = {item.id: item.track for item in sample.marks}
        for item in sample.marks:
            np.testing.assert_allclose(item.xy, found.tracks.xy_TN2[reference, item.track], atol=0.006)
        for trace in sample.traces:
            steady_xy1 = np.c_[found.motion.steady_xy_TN2[reference:, track[trace.mark]], np.ones(17 - reference)]
            seen = steady_xy1 @ back_33.T
            truth = seen[:, :2] / seen[:, 2:]
            assert trace.times_s == [(reference + step) / 8 for step in range(len(trace.xy))]
            np.testing.assert_allclose(trace.xy, truth[: len(trace.xy)], atol=0.006)
    assert len(references) > 3
    assert max(references) <= 8


def test_what_is_made_of_a_scene_passes_lint() -> None:
    config = job()
    for number in range(6):
        marked = mark(judged(make_scene(objects=2), f"0123456789abcdef-{number:09d}"), config)
        assert isinstance(marked, Marked)
        made = encode_sample(sample_builder(config)(marked), jpeg_quality=80)
        assert check_sample(made.key, made.members, 256)[1] == []


def test_without_a_start_share_the_first_frame_is_marked() -> None:
    for number in range(6):
        marked = mark(judged(make_scene(), f"0123456789abcdef-{number:09d}"), job("traces.start_share=0"))
        assert isinstance(marked, Marked)
        assert marked.reference == 0


def test_a_clip_without_a_point_to_mark_is_filtered() -> None:
    found = judged(make_scene(), "0123456789abcdef-000000000")
    nothing_N = np.zeros(225, bool)
    unknown = replace(found, motion=replace(found.motion, usable_N=nothing_N, moving_N=nothing_N))
    rejected = mark(unknown, job())
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.value, rejected.threshold) == ("too_few_points", 0, 1)


def seen_boxes(scene: Scene, frame: int) -> list[tuple[float, float, float, float]]:
    """The boxes of the objects as the camera of a frame sees them."""
    boxes = []
    for x1, y1, x2, y2 in scene.object_boxes_TO4[frame]:
        corners_43 = np.array([(x1, y1, 1), (x2, y1, 1), (x2, y2, 1), (x1, y2, 1)])
        seen_43 = corners_43 @ np.linalg.inv(scene.homographies_T33[frame]).T
        xy_42 = seen_43[:, :2] / seen_43[:, 2:]
        boxes.append((*xy_42.min(axis=0).tolist(), *xy_42.max(axis=0).tolist()))
    return boxes


def propose(boxes: list[tuple[float, float, float, float]], pictures: Sequence[Picture]) -> list[Regions]:
    return [make_regions(boxes, [0.9] * 3, ["box", "crate", ""], ["segment"] * 3) for _ in pictures]


def test_each_thing_that_moves_gets_one_mark_with_its_box_and_the_trace_of_its_track() -> None:
    scene, config = make_scene(objects=2), job("objects.name=regions")
    assert isinstance(config.objects, RegionObjects)
    for number in range(6):
        found = judged(scene, f"0123456789abcdef-{number:09d}")
        plain = mark(found, job())
        assert isinstance(plain, Marked)
        things, patch = seen_boxes(scene, plain.reference), (8.0, 200.0, 100.0, 232.0)

        (with_regions,) = find_objects([found], partial(propose, [*things, patch]), config, config.objects)
        marked = mark(with_regions, config)
        assert isinstance(marked, Marked) and marked.reference == plain.reference
        made = encode_sample(sample_builder(config)(marked), jpeg_quality=80)
        assert check_sample(made.key, made.members, 256)[1] == []
        sample = sample_builder(config)(marked).sample
        moving = sorted((one for one in sample.marks if one.kind == "moving"), key=lambda one: one.region)
        assert [one.label for one in moving] == ["box", "crate"]
        assert {one.proposer for one in sample.marks} == {"segments"}, "the boxes are its, not of the grid of points"
        for one, box in zip(moving, things, strict=True):
            np.testing.assert_allclose(one.box_xyxy, np.clip(box, 0, [*scene.clip.size_wh] * 2), atol=0.006)
            assert box[0] <= one.xy[0] <= box[2] and box[1] <= one.xy[1] <= box[3]
        assert {trace.mark for trace in sample.traces} == {one.id for one in moving}


def test_weights_that_are_wrong_are_told_under_the_name_of_their_field(tmp_path: Path) -> None:
    weights = tmp_path / "sam.pth"
    weights.write_bytes(b"no weights")
    config = job("objects.name=regions", "objects.proposer.name=sam", f"objects.proposer.weights={weights}")
    with pytest.raises(UserError, match=r"^objects\.proposer\.weights: "):
        video_recipe(config)
