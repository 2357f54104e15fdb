"""The Beam side: shard names -> Reshuffle -> Curate -> reports. Only names and counts cross it, pixels never do."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipelines import store
from pipelines.curate import ShardReport, curate_shard, stop_uri
from pipelines.isolate import Worker
from pipelines.version import code_version
from pipelines.video import remove_camera_motion, track_points
from pipelines.weights import fetch_weights, weights_file
from schemas.config import CameraConfig, PointsConfig, TrackerConfig
from schemas.errors import UserError
from schemas.flow import Clip, Rejected, Tracker
from schemas.jobs import JobConfig
from transforms.trackers import build_tracker

REJECTED = "rejected"


class Curate(beam.PTransform):  # type: ignore[misc]
    """Shard names to `ShardReport`s; the shards themselves go to `out`. A shard that is done is left as it is."""

    def __init__(self, config: JobConfig, out: str) -> None:
        super().__init__()
        self._config, self._out = config, out

    def expand(self, shards: Any) -> Any:
        return (
            shards
            | "SpreadShards" >> beam.Reshuffle()
            | "CurateShard" >> beam.ParDo(_CurateShard(self._config, self._out))
        )


def build_graph(pipeline: Any, config: JobConfig, out: str, shards: Sequence[str]) -> Any:
    """Puts a job's graph into a pipeline."""
    return pipeline | "Shards" >> beam.Create(list(shards)) | "Curate" >> Curate(config, out)


class _CurateShard(beam.DoFn):  # type: ignore[misc]
    """Holds the child process in which this worker's records run."""

    def __init__(self, config: JobConfig, out: str) -> None:
        self._config, self._out, self._code_version = config, out, code_version()

    def setup(self) -> None:
        if code_version() != self._code_version:
            raise UserError(
                f"the worker runs code {code_version()}, the launcher {self._code_version}; install the same version "
                "on the workers, or send it along with --setup_file=./setup.py"
            )
        fetch_weights(self._config)
        self._worker = Worker(self._config)

    def process(self, shard: str) -> Iterator[ShardReport]:
        if store.exists(stop_uri(self._out)):
            return
        report = curate_shard(self._out, shard, self._worker.run)
        _count(report)
        yield report

    def teardown(self) -> None:
        self._worker.close()


def _count(report: ShardReport) -> None:
    for name in ("records", "items", "kept", "filtered", "quarantined"):
        Metrics.counter("somtom", name).inc(getattr(report.counts, name))
    for step, seconds in report.spent.seconds.items():
        Metrics.counter("somtom", f"{step}_ms").inc(round(seconds * 1000))


def beam_step(step: Callable[[Any], Any]) -> Any:
    """Any step as a PTransform, for graphs of your own: its values, and its rejections under the tag "rejected".

    Its label is the step's name; `"label" >> beam_step(step)` where a graph has it twice.
    """

    def run(value: Any) -> Iterator[Any]:
        result = step(value)
        yield beam.pvalue.TaggedOutput(REJECTED, result) if isinstance(result, Rejected) else result

    name = getattr(step, "__name__", type(step).__name__)
    return name >> beam.FlatMap(run).with_outputs(REJECTED, main="passed")


def TrackPoints(config: TrackerConfig, points: PointsConfig) -> Any:
    """PTransform: Clip -> Tracked."""

    def step(clip: Clip) -> Any:
        return track_points([clip], _tracker(config), points)[0]

    return "TrackPoints" >> beam_step(step)


@cache
def _tracker(config: TrackerConfig) -> Tracker:
    """One tracker per process, for a network is slow to load."""
    return build_tracker(config, weights_file(config, "tracker"))


def RemoveCameraMotion(config: CameraConfig) -> Any:
    """PTransform: Tracked -> Steadied, or Rejected where no camera motion explains the tracks."""
    return "RemoveCameraMotion" >> beam_step(lambda tracked: remove_camera_motion(tracked, config))
