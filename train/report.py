"""What a training tells: a line now and then on the screen, all of it in RUN/metrics.jsonl, and in a logger of choice.

A training that goes on from a checkpoint takes back what the steps after it had told.
"""

import importlib.util
import json
import sys
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from schemas.errors import UserError
from schemas.training import TrainConfig
from train.checkpoints import explained
from train.ranks import Ranks
from train.speed import StepCost, peak_flops, peak_memory

Metrics = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepFigures:
    """What a step was on this rank. `rows` as many as the rank with the most has, empty ones of this rank included.

    `losses`: by dataset and task, sum over supervised tokens and their number; `pairs`: see `StepCost`.
    """

    step: int
    losses: Mapping[tuple[str, str], tuple[float, int]]
    sources: Sequence[str]
    rows: int
    positions: int
    pairs: int
    tiles: int
    bad: int
    passed_over: int
    waited_s: float
    seconds: float
    rate: float
    norm: float


@dataclass(kw_only=True)
class Report:
    """Figures since the last line; a context manager that closes the loggers."""

    run: Path
    config: TrainConfig
    ranks: Ranks
    cost: StepCost
    steps: int
    _since: list[StepFigures] = field(default_factory=list)
    _loggers: list[Any] = field(default_factory=list)
    _peak: float = 0.0

    def __enter__(self) -> "Report":
        dtype = getattr(torch, self.config.model.compute)
        self._peak, _ = peak_flops(self.ranks.device, dtype)
        return self

    def __exit__(self, *exception: object) -> None:
        for logger in self._loggers:
            logger.close()

    def begin(self, step: int) -> None:
        """Opens the loggers; forgets what an earlier run told of the steps after the first `step`."""
        if not self.ranks.is_first:
            return
        with explained(self._file):
            lines = self._file.read_text(encoding="utf-8", errors="replace").splitlines() if self._file.exists() else []
            partial = self._file.with_name(f".{self._file.name}")
            partial.write_text("".join(f"{line}\n" for line in lines if 0 < _step_of(line) <= step), encoding="utf-8")
            partial.replace(self._file)
        for name in self.config.run.loggers:
            self._loggers.append(_logger(name, self.run, self.config, step))

    def add(self, figures: StepFigures) -> None:
        """Takes the figures of a step; every few of them (`run.log_every`) tells what they were."""
        self._since.append(figures)
        done = figures.step + 1
        if done % self.config.run.log_every and done != self.steps:
            return
        metrics = self._metrics()
        self._since = []
        if not self.ranks.is_first:
            return
        with explained(self._file), self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": done, **metrics}) + "\n")
        for logger in self._loggers:
            logger.log(done, metrics)
        print(_line(done, self.steps, metrics, self.config.batch), file=sys.stderr, flush=True)

    @property
    def _file(self) -> Path:
        return self.run / "metrics.jsonl"

    def _metrics(self) -> Metrics:
        """Over all ranks; times and memory are those of the rank with the most."""
        since, last, ranks = self._since, self._since[-1], self.ranks
        losses: Counter[tuple[str, str]] = Counter()
        tokens: Counter[tuple[str, str]] = Counter()
        gathered = ranks.gathered((_added(since), list(set(last.sources))))
        for by_kind, _ in gathered:
            for kind, (total, count) in by_kind.items():
                losses[kind] += total
                tokens[kind] += count
        positions, pairs, tiles, samples, bad, passed_over = ranks.sums(
            [
                float(sum(values))
                for values in zip(
                    *(
                        (one.positions, one.pairs, one.tiles, len(one.sources), one.bad, one.passed_over)
                        for one in since
                    ),
                    strict=True,
                )
            ]
        )
        spent_s, idle_s = sum(one.seconds for one in since), sum(one.waited_s for one in since)
        seconds, waited_s, memory = ranks.most([spent_s, idle_s, peak_memory(ranks.device)])
        work = self.cost.of(tiles=tiles, positions=positions, pairs=pairs, supervised=sum(tokens.values()))
        places = ranks.count * sum(one.rows for one in since) * self.config.data.row_length
        metrics = {
            "loss": _mean(losses, tokens),
            "learning_rate": last.rate,
            "gradient_norm": last.norm,
            "tokens_per_s": positions / seconds,
            "samples_per_s": samples / seconds,
            "mfu": work / seconds / (self._peak * ranks.count),
            "memory_gb": memory / 1e9,
            "data_wait": waited_s / seconds,
            "packing": positions / places if places else 0.0,
            "sources": len({source for _, sources in gathered for source in sources}),
            "bad": bad,
            "passed_over": passed_over,
            "seconds": seconds,
        }
        for place, what in enumerate(("dataset", "task")):
            for name in sorted({kind[place] for kind in tokens if tokens[kind]}):
                chosen = [kind for kind in tokens if kind[place] == name]
                metrics[f"loss/{what}/{name}"] = _mean(
                    {kind: losses[kind] for kind in chosen}, {kind: tokens[kind] for kind in chosen}
                )
        return metrics


def _step_of(line: str) -> int:
    """Of a line of metrics; 0 of one that is damaged, by a full disk or a crash."""
    try:
        told = json.loads(line)
    except ValueError:
        return 0
    return int(told.get("step", 0)) if isinstance(told, dict) else 0


def _added(since: Sequence[StepFigures]) -> dict[tuple[str, str], tuple[float, int]]:
    added: dict[tuple[str, str], tuple[float, int]] = {}
    for figures in since:
        for kind, (total, count) in figures.losses.items():
            before = added.get(kind, (0.0, 0))
            added[kind] = (before[0] + total, before[1] + count)
    return added


def _mean(sums: Mapping[Any, float], counts: Mapping[Any, int]) -> float:
    return sum(sums.values()) / max(1, sum(counts.values()))


def _line(step: int, steps: int, metrics: Metrics, batch: int) -> str:
    parts = [
        f"step {step}/{steps}",
        f"loss {metrics['loss']:.4f}",
        *(
            f"{name.removeprefix('loss/task/')} {value:.4f}"
            for name, value in metrics.items()
            if name.startswith("loss/task/")
        ),
        f"lr {metrics['learning_rate']:.1e}",
        f"norm {metrics['gradient_norm']:.2f}",
        f"{metrics['tokens_per_s']:,.0f} tokens/s",
        f"MFU {metrics['mfu']:.2f}",
        f"{metrics['memory_gb']:.1f} GB",
        f"data wait {metrics['data_wait']:.1%}",
        f"packed {metrics['packing']:.2f}",
        f"{metrics['sources']:.0f} sources in {batch}",
    ]
    for name in ("bad", "passed_over"):
        if metrics[name]:
            parts.append(f"{metrics[name]:.0f} {name.replace('_', ' ')}")
    return ", ".join(parts)


class _TensorBoard:
    def __init__(self, run: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        with explained(run / "tensorboard"):
            self._writer = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def log(self, step: int, metrics: Metrics) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _WandB:
    """Named after the run's folder; a resumed training goes on in the same place, by the id in RUN/wandb-id."""

    def __init__(self, run: Path, config: TrainConfig) -> None:
        import wandb

        place = run / "wandb-id"
        with explained(place):
            if not place.exists():
                place.write_text(uuid.uuid4().hex, encoding="utf-8")
        try:
            self._run = wandb.init(
                project="somtom",
                name=run.name,
                id=place.read_text(encoding="utf-8"),
                dir=run,
                resume="allow",
                config=config.model_dump(mode="json"),
            )
        except wandb.Error as error:
            raise UserError(
                f"run.loggers: wandb can't begin ({error}); run `wandb login`, set WANDB_MODE=offline, or leave it out"
            ) from error

    def log(self, step: int, metrics: Metrics) -> None:
        self._run.log(metrics, step=step)

    def close(self) -> None:
        self._run.finish()


def _logger(name: str, run: Path, config: TrainConfig, step: int) -> _TensorBoard | _WandB:
    if importlib.util.find_spec(name) is None:
        raise UserError(f"run.loggers: {name} is not installed; run: pip install {name}, or leave it out")
    return _TensorBoard(run, step) if name == "tensorboard" else _WandB(run, config)
