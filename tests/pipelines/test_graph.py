"""The Beam side: ready steps give what the recipe gives; what Curate reports is what lies on disk."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that, equal_to

from pipelines import graph, store
from pipelines.config import load_config
from pipelines.curate import ShardReport, stop_uri
from pipelines.finish import finish
from pipelines.graph import REJECTED, RemoveCameraMotion, TrackPoints, beam_step, build_graph
from pipelines.plan import make_plan
from pipelines.shards import read_sidecar_counts
from pipelines.video import video_recipe
from schemas.config import VideoJob
from schemas.errors import UserError
from schemas.flow import Clip, Rejected, Steadied
from tests.jobs import FAST, ledger, write_scene, write_scenes
from tests.scenes import make_scene

_COUNTS = ("records", "items", "kept", "filtered", "quarantined")


def pipeline() -> test_pipeline.TestPipeline:
    return test_pipeline.TestPipeline(runner="FnApiRunner")


def config(*overrides: str) -> VideoJob:
    return load_config("video", ["source.uris=nowhere", "points.grid=10", *overrides])


def noise(key: str) -> Clip:
    """Frames that no camera motion explains."""
    clip = make_scene(n_frames=5, size_wh=(160, 120)).clip
    frames_THW3 = np.random.default_rng(0).integers(0, 256, clip.frames_THW3.shape, np.uint8)
    return replace(clip, key=key, frames_THW3=frames_THW3)


def positive(number: int) -> int | Rejected:
    return number if number > 0 else Rejected(reason="not_positive", value=number, threshold=0)


@pytest.mark.parametrize(
    ("numbers", "passed", "rejected"), [([], [], []), ([2, -1, 3], [2, 3], [-1.0]), ([-1, -2], [], [-1.0, -2.0])]
)
def test_a_step_parts_values_from_rejections(numbers: list[int], passed: list[int], rejected: list[float]) -> None:
    with pipeline() as p:
        results = p | beam.Create(numbers, reshuffle=False) | beam_step(positive)
        assert_that(results.passed, equal_to(passed), label="passed")
        values = results[REJECTED] | beam.Map(lambda no: no.value)
        assert_that(values, equal_to(rejected), label="rejected")


def test_ready_steps_give_what_the_recipe_gives() -> None:
    settings = config()
    steps = {step.name: step.run for step in video_recipe(settings).steps}
    clips = [make_scene(n_frames=5, size_wh=(160, 120), seed=seed).clip for seed in range(2)]
    clips = [replace(clips[0], key="pan-0"), replace(clips[1], key="pan-1"), noise("noise-0")]
    expected = {clip.key: steps["camera"](steps["track"](clip)) for clip in clips}
    refused = expected.pop("noise-0")
    assert isinstance(refused, Rejected)

    def same(found: list[Steadied]) -> None:
        assert {steadied.clip.key for steadied in found} == set(expected)
        for steadied in found:
            want = expected[steadied.clip.key]
            for name in ("xy_TN2", "visible_TN", "confidence_TN"):
                np.testing.assert_array_equal(getattr(steadied.tracks, name), getattr(want.tracks, name))
            np.testing.assert_array_equal(steadied.camera.homographies_T33, want.camera.homographies_T33)
            np.testing.assert_array_equal(steadied.camera.inlier_ratio_T, want.camera.inlier_ratio_T)

    with pipeline() as p:
        tracked = p | beam.Create(clips) | TrackPoints(settings.tracker, settings.points)
        steadied = tracked.passed | RemoveCameraMotion(settings.camera)
        assert_that(steadied.passed, same, label="passed")
        assert_that(steadied[REJECTED] | beam.Map(repr), equal_to([repr(refused)]), label="rejected")
        assert_that(tracked[REJECTED], equal_to([]), label="none rejected by the tracker")


@pytest.fixture
def planned(tmp_path: Path) -> tuple[VideoJob, str, list[str]]:
    """A job of which the plan is made: its config, dataset and shards; one video is broken, one too short."""
    videos = write_scenes(tmp_path / "videos", 3)
    (videos / "broken.mp4").write_bytes(b"no video")
    write_scene(videos / "short.mp4", n_frames=3)
    settings = load_config("video", [f"source.uris={videos}", *FAST])
    out = str(tmp_path / "out")
    return settings, out, make_plan(settings, out).shard_names()


def curated(planned: tuple[VideoJob, str, list[str]], check: Callable[[list[ShardReport]], None]) -> dict[str, int]:
    """Runs act two; gives the counters."""
    with pipeline() as p:
        assert_that(build_graph(p, *planned), check)
    counters = p.result.metrics().query()["counters"]
    return {found.key.metric.name: found.result for found in counters if found.key.metric.namespace == "somtom"}


@pytest.mark.slow
def test_reports_metrics_and_ledger_agree(planned: tuple[VideoJob, str, list[str]]) -> None:
    _, out, shards = planned
    assert len(shards) >= 2

    def one_report_each(reports: list[ShardReport]) -> None:
        assert sorted(report.shard for report in reports) == shards
        for report in reports:
            assert report.counts == read_sidecar_counts(out, report.shard)
            assert {"decode", "track", "write"} <= report.spent.seconds.keys() or not report.counts.kept

    counters = curated(planned, one_report_each)
    finish(out, max_quarantined=1)
    rows = ledger(Path(out))
    outcomes = Counter(row["outcome"] for row in rows if row["kind"] == "item")
    n_records = sum(row["kind"] == "record" for row in rows)
    found = {name: counters[name] for name in _COUNTS}
    assert found == {"records": n_records, "items": outcomes.total()} | {name: outcomes[name] for name in _COUNTS[2:]}
    assert min(found.values()) > 0 and counters["track_ms"] > 0


@pytest.mark.slow
def test_done_shards_are_reported_and_not_made_again(planned: tuple[VideoJob, str, list[str]]) -> None:
    _, out, shards = planned
    first = curated(planned, lambda reports: None)
    when = {path: path.stat().st_mtime_ns for path in Path(out, "shards").iterdir()}

    def no_work(reports: list[ShardReport]) -> None:
        assert sorted(report.shard for report in reports) == shards
        assert not any(report.spent.seconds for report in reports)

    again = curated(planned, no_work)
    assert {name: again[name] for name in _COUNTS} == {name: first[name] for name in _COUNTS}
    assert {path: path.stat().st_mtime_ns for path in Path(out, "shards").iterdir()} == when


@pytest.mark.slow
def test_nothing_is_curated_once_the_job_is_to_stop(planned: tuple[VideoJob, str, list[str]]) -> None:
    _, out, _ = planned
    store.write_bytes(stop_uri(out), b"")
    assert not any(curated(planned, equal_to([])).values())
    assert not Path(out, "shards").exists()


def test_a_graph_without_shards_reports_nothing(tmp_path: Path) -> None:
    with pipeline() as p:
        assert_that(build_graph(p, config(), str(tmp_path), []), equal_to([]))


def test_two_steps_go_into_one_graph_without_labels() -> None:
    with pipeline() as p:
        once: Any = p | beam.Create([1, 2]) | beam_step(positive)
        assert_that((once.passed | beam_step(_decremented)).passed, equal_to([0, 1]))


def _decremented(number: int) -> int:
    return number - 1


def test_a_worker_with_other_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = graph._CurateShard(load_config("video", [f"source.uris={write_scene(tmp_path / 'a.mp4')}"]), str(tmp_path))
    worker.setup()
    monkeypatch.setattr(graph, "code_version", lambda: "other")
    with pytest.raises(UserError, match="the worker runs code other, the launcher"):
        worker.setup()
