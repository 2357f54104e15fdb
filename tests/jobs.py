"""Whole jobs on small real videos: what tests of a job share."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.media import write_video
from tests.scenes import make_scene

ROOT = Path(__file__).parent.parent
FAST = ["clips.length_s=1", "clips.stride_s=1", "clips.min_length_s=0.5", "output.shard_cost_s=4", "points.grid=10"]
"""Four videos of two seconds make a shard or two each, of two clips."""


def write_scene(path: Path, seed: int = 0, n_frames: int = 17, **scene: Any) -> Path:
    """Two seconds of a textured scene, seen by a panning camera, in which a box moves."""
    path.parent.mkdir(parents=True, exist_ok=True)
    clip = make_scene(n_frames=n_frames, seed=seed, **scene).clip
    return write_video(path, fps=8, size_wh=clip.size_wh, frames=list(clip.frames_THW3), gop=8)


def write_scenes(folder: Path, n: int = 6) -> Path:
    """A folder of videos with names that are no ASCII, hold spaces and dots, and lie in folders."""
    for number in range(n):
        write_scene(folder / ("ä b" if number % 2 else "c.d") / f"scene {number}.v{number}.mp4", seed=number)
    return folder


def somtom(*words: str, cwd: Path = ROOT, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= options.pop("env", {})
    command = [sys.executable, str(ROOT / "beam_runner.py"), *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment, check=False, **options)


def fingerprint(out: Path) -> dict[str, str]:
    """sha256 of every file whose bytes are promised: shards, index, ledger, card."""
    files = [
        *sorted((out / "shards").iterdir()),
        *(out / name for name in ("index.parquet", "ledger.parquet", "README.md")),
    ]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def ledger(out: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(out / "ledger.parquet").to_pylist())


def outcomes(out: Path) -> dict[str, str]:
    """URI -> outcome of the record."""
    return {row["uri"]: row["outcome"] for row in ledger(out) if row["kind"] == "record"}
