"""A training that takes a second: the small network, twelve samples of four kinds, and what a run tells of itself."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from model.checkpoint import save_magma
from schemas.training import TrainConfig
from tests import fixtures
from tests.model.small import small_magma, small_processor
from tests.train import data

ROOT = Path(__file__).parents[2]
SAMPLES = 12


def make_start(folder: Path) -> str:
    """The small network as a folder to start from."""
    save_magma(small_magma(), small_processor(), folder)
    return str(folder)


def make_data(folder: Path) -> str:
    makers = (fixtures.video_som, fixtures.video_tom, fixtures.text_only, fixtures.chat)
    numbers = [number for number in range(2 * SAMPLES) if fixtures.split_of(number) == "train"][:SAMPLES]
    return data.write_dataset(folder, [makers[at % 4](number) for at, number in enumerate(numbers)], per_shard=4)


def make_config(folder: Path, **fields: Any) -> TrainConfig:
    """A training on the CPU in float32; `start` and `data` are made in `folder` where they are not there yet."""
    start, dataset = folder / "start", folder / "data"
    if not dataset.exists():
        make_start(start)
        make_data(dataset)
    model = {"start": str(start), "checkpointing": False, **fields.pop("model", {})}
    run = {"log_every": 1, "save_every": 2, "device": "cpu", **fields.pop("run", {})}
    optimiser = {"lr": 1e-3, "warmup": 0.3, **fields.pop("optimiser", {})}
    given = {"batch": 4, "steps": 4, **fields}
    return data.config(str(dataset), model=model, run=run, optimiser=optimiser, **given)


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def losses(run: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in metrics(run)]


def checkpoints(run: Path) -> list[str]:
    """Everything that lies beside the checkpoints, too."""
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """The next training is asked to stop in its step `steps`."""
    from train import loop

    seen = 0

    @contextmanager
    def stopping(*, tells: bool) -> Iterator[Any]:
        def is_asked() -> bool:
            nonlocal seen
            seen += 1
            return seen == steps

        yield is_asked

    monkeypatch.setattr(loop, "stopping", stopping)


def write_config(folder: Path, config: TrainConfig) -> Path:
    file = folder / "config.yaml"
    file.write_text(config.model_dump_json())
    return file


def launch(
    config: Path, out: Path, *overrides: str, rank: int | None = None, ranks: int = 2, port: int = 0, before: str = ""
) -> subprocess.Popen[str]:
    """`somtom train` in a process of its own, as one of several where it has a rank; `before`: Python to run first."""
    place = {} if rank is None else {"RANK": rank, "WORLD_SIZE": ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    code = f"import sys; {before}\nsys.argv[0] = 'somtom'\nimport beam_runner; beam_runner.entry()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "train", str(config), *overrides, "--out", str(out)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **{name: str(value) for name, value in place.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port() -> int:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def ended(*processes: subprocess.Popen[str], timeout_s: float = 240) -> list[tuple[int, str]]:
    """Exit code and what was said of each; those that hang are killed."""
    try:
        said = [process.communicate(timeout=timeout_s)[1] for process in processes]
        return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]
    finally:
        for process in processes:
            process.kill()
