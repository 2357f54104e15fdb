"""Peak memory of a job, process by process: with a long video, with many records, and of the plan of a long table.

Resident sizes, sampled; pages that processes share count in each of them.
"""

import csv
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.footage import write_long, write_smooth, write_videos
from bench.report import ROOT, Figure

_EVERY_S = 0.05
_TARGET = "within 20 % (1.20)"


@dataclass(kw_only=True)
class _Peak:
    """MiB. `worker`: the largest process that runs `pipelines.isolate`; `tree`: all together."""

    launcher: float = 0.0
    worker: float = 0.0
    tree: float = 0.0
    wall_s: float = 0.0


def measure(scratch: Path, quick: bool) -> Iterator[Figure]:
    yield from _long_video(scratch, 10 if quick else 120)
    yield from _many_records(scratch, *((4, 40) if quick else (40, 400)))
    yield from _long_table(scratch, *((1_000, 10_000) if quick else (10_000, 100_000)))


def _long_video(scratch: Path, minutes: int) -> Iterator[Figure]:
    """The whole video is one part of one shard; all of it is decoded for its shots, few clips are made of it."""
    period = write_smooth(scratch / "period.mp4", 8, (640, 360), noise=0.5)
    peaks = []
    for length in (1, minutes):
        video = write_long(scratch / f"{length}min.mp4", period, length * 60)
        asked = [f"source.uris=['{video}']", "clips.stride_s=300", "output.shard_cost_s=1e6", "run.deadline_s=7200"]
        peaks.append(_run(scratch / f"out-{length}min", asked))
        video.unlink()
    yield from _compared(f"{minutes} min of video against 1 min", *peaks, ("worker", "launcher"))


def _many_records(scratch: Path, few: int, many: int) -> Iterator[Figure]:
    peaks = []
    for n in (few, many):
        folder = write_videos(scratch / f"videos-{n}", n, (320, 180))
        asked = [f"source.uris=['{folder}']", "output.shard_cost_s=100"]
        peaks.append(_run(scratch / f"out-{n}", asked))
    yield from _compared(f"{many} records against {few}", *peaks, ("worker", "launcher", "tree"))


def _long_table(scratch: Path, few: int, many: int) -> Iterator[Figure]:
    peaks = []
    for n in (few, many):
        path = scratch / f"{n}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["uri", "start_s", "end_s", "text"])
            table.writerows((f"{n // 8:06d}.mp4", n % 8 * 10, n % 8 * 10 + 10, f"segment {n}") for n in range(n))
        peaks.append(_watched(["plan", "video", "source.name=manifest", f"source.path={path}"]))
    yield from _compared(f"plan of {many} rows against {few}", *peaks, ("launcher",))
    yield Figure(
        topic="memory",
        what=f"plan, time per row of {many}",
        shown=f"{(peaks[1].wall_s - peaks[0].wall_s) / (many - few) * 1e6:.0f} µs",
        value=(peaks[1].wall_s - peaks[0].wall_s) / (many - few),
        bound="two passes over files",
    )


def _run(out: Path, asked: Sequence[str]) -> _Peak:
    return _watched(["run", "video", *asked, "--out", str(out), "--workers", "1"])


def _compared(what: str, low: _Peak, high: _Peak, names: Sequence[str]) -> Iterator[Figure]:
    shown = {"worker": "the worker", "launcher": "the launcher", "tree": "all processes"}
    times = f"{high.wall_s:.0f} s, {low.wall_s:.0f} s"
    for name in names:
        before, after = getattr(low, name), getattr(high, name)
        yield Figure(
            topic="memory",
            what=f"{what}: peak of {shown[name]}",
            shown=f"{after / before:.2f} ({after:.0f} MiB against {before:.0f}; {times})",
            value=after / before,
            bound=_TARGET,
        )


def _watched(words: Sequence[str]) -> _Peak:
    """Runs the command line and watches what it and its children hold."""
    peak, start = _Peak(), time.perf_counter()
    command = [sys.executable, str(ROOT / "beam_runner.py"), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        launcher = psutil.Process(process.pid)
        while process.poll() is None:
            _sample(launcher, peak)
            time.sleep(_EVERY_S)
        said = process.stdout.read() if process.stdout else ""
    peak.wall_s = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}: {said}")
    return peak


def _sample(launcher: psutil.Process, peak: _Peak) -> None:
    tree = 0.0
    try:
        for process in [launcher, *launcher.children(recursive=True)]:
            mebibytes = process.memory_info().rss / 2**20
            tree += mebibytes
            if process == launcher:
                peak.launcher = max(peak.launcher, mebibytes)
            elif "pipelines.isolate" in process.cmdline():
                peak.worker = max(peak.worker, mebibytes)
    except psutil.NoSuchProcess:
        return  # it has just ended: the next sample tells
    peak.tree = max(peak.tree, tree)
