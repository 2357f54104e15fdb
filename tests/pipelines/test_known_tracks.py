"""From a video file to samples, by a tracker that returns tracks which are known: marks and traces are theirs."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from pipelines.config import load_config
from pipelines.driver import run_records
from pipelines.video import video_recipe
from schemas.config import RunConfig
from schemas.flow import Clip, Float, Tracker, Tracks
from schemas.networks import CoTrackerTracker
from schemas.sample import Sample
from tests import media
from tests.scenes import fake_ref, fake_tracks, make_scene
from transforms.points import grid_points
from transforms.trackers import clip_by_clip
from transforms.tracks import held

SIZE_WH = (320, 240)
GRID_N2 = grid_points(SIZE_WH, 7)
ON_BOX, STILL = [15, 16, 22], [6, 48]
"""numbers of points on the box that moves, the first in the middle of them, and at the right side of the picture"""
ALL = list(range(len(GRID_N2)))
STEP_2 = np.array([5.0, 1.0])
"""of the box, in pixels per frame, as a camera sees it that stands still"""
FAST = ["shots.name=none", "points.place=middle", "points.grid=7", "marks.max_moving=1", "traces.start_share=0"]


def knowing(pan_2: Float, shown: list[int], calls: list[int]) -> Tracker:
    """Tracks of `make_scene`; only the points `shown` are ever visible. `calls`: how many clips each call came with."""
    boxes_T4 = make_scene().object_boxes_TO4[:, 0]

    def track(clip: Clip, points_N2: Float) -> Tracks:
        first = int(clip.frame_indices_T[0])
        steady_N2 = points_N2 + first * pan_2
        on_box_N = ((steady_N2 >= boxes_T4[first, :2]) & (steady_N2 < boxes_T4[first, 2:])).all(axis=1)
        own_N2 = steady_N2 - first * on_box_N[:, None] * STEP_2  # on frame 0 of the video
        away_NN = np.linalg.norm(own_N2[:, None] - GRID_N2, axis=-1)
        shown_N = (away_NN.min(axis=1) < 0.5) & np.isin(away_NN.argmin(axis=1), shown)
        steps_T11 = (clip.frame_indices_T - first)[:, None, None]
        xy_TN2 = points_N2 + steps_T11 * (on_box_N[:, None] * STEP_2 - pan_2)
        steady_TN2, boxes_T14 = (
            xy_TN2 + clip.frame_indices_T[:, None, None] * pan_2,
            boxes_T4[clip.frame_indices_T, None],
        )
        under_TN = ((steady_TN2 >= boxes_T14[..., :2]) & (steady_TN2 < boxes_T14[..., 2:])).all(axis=-1) & ~on_box_N
        visible_TN = ((xy_TN2 >= 0) & (xy_TN2 < SIZE_WH)).all(axis=-1) & shown_N & ~under_TN
        return fake_tracks(held(xy_TN2, visible_TN), visible_TN)

    def counted(clips: Sequence[Clip], points: Sequence[Float]) -> list[Tracks]:
        calls.append(len(clips))
        return clip_by_clip(track)(clips, points)

    return counted


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a scene, by a camera that stands still and by one that pans."""
    folder = tmp_path_factory.mktemp("known")
    for name, pan in (("still.mp4", (0, 0)), ("panned.mp4", (2, 1))):
        frames = list(make_scene(pan_px_per_frame=pan).clip.frames_THW3)
        media.write_video(folder / name, fps=8, size_wh=SIZE_WH, frames=frames)
    return folder


Make = Callable[..., list[Sample]]


@pytest.fixture
def make(videos: Path) -> Make:
    def made(name: str, tracker: Tracker, *overrides: str, n_records: int = 1, batch: int = 0) -> list[Sample]:
        config = load_config("video", [f"source.uris={videos / name}", *FAST, *overrides])
        if batch:  # as for a network
            network = CoTrackerTracker(weights="none")
            config = config.model_copy(update={"tracker": network, "run": RunConfig(batch=batch, device="cpu")})
        refs = [
            fake_ref(uri=name, end_s=float("inf"), record_key=f"{n:016x}", record_id=str(n)) for n in range(n_records)
        ]
        events = list(run_records(video_recipe(config, tracker=tracker), refs, {}))
        assert [done.row.error for done in events if done.row.error] == []
        members = [dict(done.sample.members) for done in events if done.sample]
        return [Sample.model_validate_json(each["json"]) for each in members]

    return made


@pytest.mark.parametrize("stretch_s", [4, 1])
def test_marks_and_traces_are_exactly_the_known_ones(make: Make, stretch_s: float) -> None:
    """The middle one of three that move, and both that stand still: there is no choice but of the numbers."""
    words = ["motion.min_usable_points=4", "marks.k=paper", "camera.name=none"]
    tracker = knowing(np.zeros(2), [*ON_BOX, *STILL], [])
    (sample,) = make("still.mp4", tracker, *words, f"points.stretch_s={stretch_s}")
    assert sample.tasks == ["tom"]
    assert [mark.id for mark in sample.marks] == [1, 2, 3]
    marked = {(mark.kind, mark.track, tuple(mark.xy)) for mark in sample.marks}
    kinds = {ON_BOX[0]: "moving"} | dict.fromkeys(STILL, "static")
    assert marked == {(kind, n, tuple(np.round(GRID_N2[n].astype(float), 2).tolist())) for n, kind in kinds.items()}
    (moving,) = (mark.id for mark in sample.marks if mark.kind == "moving")
    (trace,) = sample.traces
    assert trace.mark == moving
    np.testing.assert_allclose(trace.xy, GRID_N2[ON_BOX[0]] + np.arange(17)[:, None] * STEP_2, atol=0.006)  # 2 decimals
    np.testing.assert_allclose(trace.times_s, np.arange(17) / 8)
    assert all(trace.visible)
    assert f"Mark {moving}" in sample.turns[-1].content


def test_traces_are_the_known_ways_as_a_camera_sees_them_that_stands_still(make: Make) -> None:
    (sample,) = make("panned.mp4", knowing(np.array([2.0, 1.0]), ALL, []))
    assert sample.camera.moving
    (trace,) = sample.traces
    track = {mark.id: mark.track for mark in sample.marks}
    np.testing.assert_allclose(trace.xy, GRID_N2[track[trace.mark]] + np.arange(17)[:, None] * STEP_2, atol=0.02)
    for mark in sample.marks:
        np.testing.assert_allclose(mark.xy, GRID_N2[mark.track], atol=0.006)
        assert (mark.track in [*ON_BOX, 23]) == (mark.kind == "moving")


def test_clips_of_a_batch_give_the_samples_that_each_gives_alone(make: Make) -> None:
    calls: dict[int, list[int]] = {0: [], 3: []}
    alone, together = (
        make("still.mp4", knowing(np.zeros(2), ALL, calls[batch]), "points.stretch_s=1", n_records=3, batch=batch)
        for batch in calls
    )
    assert calls == {0: [1] * 9, 3: [3] * 3}  # three stretches of each
    assert len({sample.key for sample in alone}) == 3
    for one, other in zip(alone, together, strict=True):
        assert one.model_copy(update={"provenance": other.provenance}) == other
