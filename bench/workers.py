"""What a second worker brings, and what is in its way.

The machine's own limit is what two independent processes of the plain loop reach. Short of it a job falls by what its
two workers spend outside of steps: at the end one of them has no shard left (the runner deals them out beforehand).
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from bench.footage import SHOTS, video_config, write_videos
from bench.report import ROOT, Figure, seconds_of, spread
from pipelines import job
from pipelines.plan import make_plan
from schemas.config import VideoJob

_VIDEOS_PER_SHARD = 2


def measure(scratch: Path, quick: bool) -> Iterator[Figure]:
    n, repeats = (8, 1) if quick else (40, 3)
    videos = write_videos(scratch / "videos", n)
    shard = f"output.shard_cost_s={_VIDEOS_PER_SHARD * 10}"
    whole, one = video_config(videos, shard, "val_share=0"), video_config(videos, shard, "val_share=0", "limit=1")
    job.run(one, str(scratch / "warm"), workers=1)
    small = [_job_s(one, scratch / f"one-{repeat}", 1) for repeat in range(repeats)]
    start_s = min(wall_s - steps_s for wall_s, steps_s in small)
    raw, gains, bounds, slower, busy = [], [], [], [], []
    for repeat in range(repeats):
        single_s, single_steps_s = _job_s(whole, scratch / f"{repeat}-1", 1)
        double_s, double_steps_s = _job_s(whole, scratch / f"{repeat}-2", 2)
        raw.append(single_s / double_s)
        gains.append((single_s - start_s) / (double_s - start_s))
        slower.append(double_steps_s / single_steps_s)
        busy.append(double_steps_s / (2 * (double_s - start_s)))
        out = scratch / f"{repeat}-plain"
        shards = make_plan(whole, str(out)).shard_names()
        alone_s = _processes_s(whole, out, [shards])
        bounds.append(alone_s / _processes_s(whole, out, [shards[::2], shards[1::2]]))
    rows = (
        (f"two workers against one, {n * SHOTS} clips, start-up apart", gains, "2 cores: 2.0"),
        ("two workers against one, start-up included", raw, "below the line above it"),
        ("two independent plain loops against one", bounds, "2.0; what this machine can give"),
        ("steps, time with two workers / with one", slower, "1.0; caches and memory bandwidth"),
        ("share of the two workers' time spent in steps", busy, "1.0; shards that are uneven at the end"),
    )
    for what, values, bound in rows:
        yield Figure(topic="workers", what=what, shown=spread(values), value=median(values), bound=bound)


def _job_s(config: VideoJob, out: Path, workers: int) -> tuple[float, float]:
    """Seconds of the whole job, and those of all its steps but the start of workers."""
    wall_s = seconds_of(lambda: job.run(config, str(out), workers=workers))
    steps = json.loads((out / "job.json").read_bytes())["seconds"]
    return wall_s, sum(spent_s for step, spent_s in steps.items() if step != "start")


def _processes_s(config: VideoJob, out: Path, shares: Sequence[Sequence[str]]) -> float:
    """Seconds until the last of some processes of the plain loop, started together, has done its shards."""
    path = out / "config.json"
    path.write_text(config.model_dump_json(), encoding="utf-8")
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.plain", str(path), str(out), *shards],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for shards in shares
    ]
    for process in processes:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise RuntimeError("the plain loop did not start")
    for process in processes:
        if process.stdin:
            process.stdin.write("go\n")
            process.stdin.flush()
    return max(float(process.communicate()[0]) for process in processes)
