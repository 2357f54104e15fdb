"""The benchmark of tracking: both rivals do the same work, and every line of the table is there."""

from pathlib import Path

import numpy as np
import pytest

from bench.report import ROOT
from bench.track import make_clip, measure, track_plainly
from bench.truth.frames import find_frames
from pipelines.config import load_config
from tests.jobs import write_scene
from transforms.points import grid_points
from transforms.trackers import build_tracker

pytestmark = pytest.mark.slow


def test_both_rivals_follow_the_same_points() -> None:
    clip = make_clip(find_frames(ROOT / "demo", "tune"), 12)
    tracker = build_tracker(load_config("video", ["source.uris=['x']"]).tracker)
    (tracks,) = tracker([clip], [grid_points(clip.size_wh, 15)])
    away_N = np.linalg.norm(track_plainly(clip) - tracks.xy_TN2[-1], axis=1)
    assert np.median(away_N[tracks.visible_TN[-1]]) < 0.3


def test_a_line_for_tracking_and_for_every_step_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOMTOM_TEST_DATA", raising=False)
    figures = list(measure(tmp_path, quick=True))
    assert [figure.what.split()[0] for figure in figures] == ["tracking", "of", "of", *["step"] * 5, "all"]
    assert all(figure.value > 0 for figure in figures)
    assert figures[2].value < 1  # the share of OpenCV's flow
    assert figures[-1].value == pytest.approx(sum(figure.value for figure in figures[3:-1]), rel=0.5)


def test_a_line_for_real_videos_where_there_are_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    videos = tmp_path / "data" / "videos"
    for seed in range(2):
        write_scene(videos / f"scene{seed}.mp4", seed=seed)
    (videos / "SOURCE.md").write_text("where they are from")
    monkeypatch.setenv("SOMTOM_TEST_DATA", str(tmp_path))
    figure = list(measure(tmp_path, quick=True))[-1]
    assert figure.what.startswith("the same on 2 real videos, their first 2 s at 8 fps, long side 640")
    assert figure.value > 0
    assert "scene0 " in figure.shown and "scene1 " in figure.shown
