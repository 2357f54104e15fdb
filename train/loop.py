"""The training: batches to losses to steps, from where it was if it was stopped before.

RUN/config.json     what is trained on what           RUN/metrics.jsonl   what it told
RUN/processor/      tokenizer and image processor     RUN/losses/         the loss of every sample
RUN/checkpoints/    to go on from                     RUN/export/         the trained model, a Hugging Face folder
"""

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from model.magma import MagmaForCausalLM
from model.merge import IGNORED
from model.processor import MagmaProcessor
from schemas.errors import UserError
from schemas.training import TrainConfig
from train.checkpoints import Checkpoints, explained, latest, read_state, restore
from train.config import CONFIG
from train.export import export
from train.index import read_index
from train.loader import Loader, StepData
from train.losses import LossLog, sums_by_sample
from train.optimiser import build_optimiser, rate_factor, set_learning_rate
from train.packing import Row, empty_row, pack
from train.preparing import Bad, check_bad
from train.ranks import Ranks, joined
from train.report import Report, StepFigures
from train.run_folder import check_config, held, write_config
from train.speed import finish, step_cost
from train.start import Blueprint, blueprint, start
from train.stopping import stopping
from train.texts import sample_texts
from transforms.keys import stable_hash

_EXAMPLES, _TOLD = 20, 3
"""bad samples that are remembered for the message of too many; and those that are told at once"""


@dataclass(kw_only=True)
class Training:
    """A training under way.

    `steps`: how many there will be; `read`, `bad`, `tokens`: samples and supervised tokens so far, over all ranks;
    `examples`: bad ones of this rank.
    """

    config: TrainConfig
    ranks: Ranks
    network: MagmaForCausalLM
    processor: MagmaProcessor
    optimiser: Optimizer
    steps: int = 0
    read: int = 0
    bad: int = 0
    tokens: float = 0
    examples: list[Bad] = field(default_factory=list)


def train(config: TrainConfig, out: str) -> Path:
    """Trains, or goes on with, what `config` describes in the folder `out`; gives the exported model's folder.

    Several processes are one training where the environment says so (torchrun, Slurm). KeyboardInterrupt where it was
    asked to stop, with a checkpoint. UserError: see each part; what was saved before stays as it was.
    """
    if "://" in out:
        raise UserError(f"--out: {out} is no local folder; checkpoints are written to disks (copy RUN/export later)")
    run = Path(out).absolute()
    with joined(config.run.device) as ranks, _named(ranks), held(run, ranks):
        check_config(config, run)
        for dataset in config.data.mixture:
            read_index(dataset)  # a mistake there is told before billions of weights are read
        training = begin(config, run, ranks)
        step = _resumed(training, run)
        with Loader(config, training.processor, rank=ranks.rank, ranks=ranks.count, step=step) as loader:
            training.steps = loader.total_steps
            _check_data(loader, run, step)
            write_config(config, run, ranks)
            _tell(ranks, [*loader.warnings, _begins(training, loader, step)])
            with Checkpoints(run, config.run.keep, ranks) as checkpoints, stopping(tells=ranks.is_first) as is_asked:
                _steps(training, loader, checkpoints, run, step, is_asked)
        return _exported(training, run)


def begin(config: TrainConfig, run: Path, ranks: Ranks) -> Training:
    """A training before its first step."""
    plan = _plan(config, run, ranks)
    network = start(plan, config, ranks)
    optimiser = build_optimiser(network, config)
    return Training(config=config, ranks=ranks, network=network, processor=plan.processor, optimiser=optimiser)


def _steps(training: Training, loader: Loader, checkpoints: Checkpoints, run: Path, step: int, is_asked: Any) -> None:
    """Step after step until all are done; KeyboardInterrupt where it stops before, with a checkpoint."""
    config, ranks = training.config, training.ranks
    log = LossLog(run, ranks.rank)
    with Report(
        run=run,
        config=config,
        ranks=ranks,
        cost=step_cost(training.network.config, config.model),
        steps=training.steps,
    ) as report:
        report.begin(step)
        if ranks.is_first:
            log.begin(step)
        batches = iter(loader)
        stop = False
        while step < training.steps and not stop:
            report.add(take_step(training, next(batches), log))
            step += 1
            (asked,) = ranks.most([float(is_asked())])
            stop = bool(asked)
            if step == training.steps:
                _check_learnt(training)
            checkpoints.poll()
            if stop or step == training.steps or step % config.run.save_every == 0:
                if config.run.sample_losses:
                    log.write(step)
                state = {"read": training.read, "bad": training.bad, "tokens": training.tokens, "data": loader.digest}
                checkpoints.save(step, training.network, training.optimiser, state)
        checkpoints.settle()
        ranks.wait()  # who starts ranks may kill all once one has ended: the checkpoint has its name by now
    if step < training.steps:
        raise KeyboardInterrupt


def take_step(training: Training, data: StepData, log: LossLog) -> StepFigures:
    """One step of the optimiser on the samples of all ranks; UserError where the loss is no number."""
    config, ranks = training.config, training.ranks
    begun_s = time.perf_counter()
    rows = pack(data.samples, config.data.row_length)
    tokens, n_read, n_bad = ranks.sums([_supervised(rows), len(data.samples) + len(data.bad), len(data.bad)])
    (n_rows,) = ranks.most([len(rows)])
    training.tokens += tokens
    _judge_bad(training, data, int(n_read), int(n_bad))
    factor = rate_factor(data.step, training.steps, config.optimiser)
    set_learning_rate(training.optimiser, factor)
    _seed(config.seed, data.step, ranks.rank)
    told: list[tuple[Row, list[float], list[int]]] = []
    for number in range(int(n_rows)):
        row = rows[number] if number < len(rows) else empty_row(training.processor)
        losses_n = _losses(training.network, row, ranks.device)
        # gradients are averaged over the ranks
        torch.autograd.backward(losses_n.sum() * (ranks.count / max(1.0, tokens)))
        sums, counts = sums_by_sample(row, losses_n)
        told.append((row, sums.tolist(), counts.tolist()))
    norm = _clipped(training.network, config.optimiser.clip)
    if not torch.isfinite(torch.tensor(norm)):
        raise UserError(_no_number(training, data.step, told))
    if tokens:
        training.optimiser.step()
    training.optimiser.zero_grad()
    if config.run.sample_losses:
        for row, sums_s, counts_s in told:
            log.add(data.step, row, sums_s, counts_s)
    finish(ranks.device)
    lengths = [len(sample.sample.input_ids) for sample in data.samples]
    return StepFigures(
        step=data.step,
        losses=_by_kind(told),
        sources=[sample.source for sample in data.samples],
        rows=int(n_rows),
        positions=sum(lengths),
        pairs=sum(length * (length + 1) // 2 for length in lengths),
        tiles=sum(len(sample.sample.pixel_values) for sample in data.samples),
        bad=len(data.bad),
        passed_over=data.passed_over,
        waited_s=data.waited_s,
        seconds=data.waited_s + time.perf_counter() - begun_s,
        rate=config.optimiser.lr * factor,
        norm=norm,
    )


def _losses(network: MagmaForCausalLM, row: Row, device: torch.device) -> Tensor:
    """The loss of every supervised token of a row, in reading order."""
    inputs = {name: getattr(row, name).to(device) for name in ("input_ids", "position_ids", "labels", "pixel_values")}
    out = network(**inputs, image_sizes=row.image_sizes, loss_reduction="none", black_image=True, use_cache=False)
    losses_n: Tensor = out.loss
    return losses_n


def _supervised(rows: Sequence[Row]) -> float:
    return float(sum(int((row.labels[:, 1:] != IGNORED).sum()) for row in rows))


def _clipped(network: nn.Module, clip: float) -> float:
    """The norm of all gradients, before they are scaled down to `clip`."""
    learning = [parameter for parameter in network.parameters() if parameter.grad is not None]
    norm = nn.utils.clip_grad_norm_(learning, clip)
    return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)


def _by_kind(told: Sequence[tuple[Row, list[float], list[int]]]) -> dict[tuple[str, str], tuple[float, int]]:
    by_kind: dict[tuple[str, str], tuple[float, int]] = {}
    for row, sums, counts in told:
        for sample, total, count in zip(row.samples, sums, counts, strict=True):
            before = by_kind.get((sample.dataset, sample.task), (0.0, 0))
            by_kind[sample.dataset, sample.task] = (before[0] + total, before[1] + count)
    return by_kind


def _judge_bad(training: Training, data: StepData, n_read: int, n_bad: int) -> None:
    training.read += n_read
    training.bad += n_bad
    for bad in data.bad[: max(0, _TOLD - len(training.examples))]:
        print(f"bad sample {bad.key}, skipped: {bad.error}", file=sys.stderr, flush=True)
    training.examples = (training.examples + data.bad)[:_EXAMPLES]
    limit = training.config.data.max_bad_share
    if training.bad > limit * training.read:
        examples = [bad for some in training.ranks.gathered(training.examples) for bad in some]
        check_bad(training.bad, training.read, examples, limit)


def _check_learnt(training: Training) -> None:
    """UserError where a training that ends here had nothing to learn from."""
    if training.tokens:
        return
    limit = training.config.data.max_bad_share
    examples = [bad for some in training.ranks.gathered(training.examples) for bad in some]
    check_bad(training.bad, training.read, examples, limit, enough=1)
    raise UserError(
        "data.mixture: no sample had anything to learn from: drop_turns or marks=none leave nothing; drop fewer turns"
    )


def _no_number(training: Training, step: int, told: Sequence[tuple[Row, list[float], list[int]]]) -> str:
    mine = [
        sample.key
        for row, sums, _ in told
        for sample, total in zip(row.samples, sums, strict=True)
        if not torch.isfinite(torch.tensor(total))
    ]
    keys = [key for some in training.ranks.gathered(mine) for key in some]
    where = f"; samples {', '.join(keys[:5])}" if keys else "; the losses themselves are numbers"
    return (
        f"step {step + 1}: the gradient is no number any more{where}. Nothing was learnt from it, the last checkpoint "
        "is as it was: lower optimiser.lr or raise warmup, leave these samples out, or set model.compute=float32"
    )


def _seed(seed: int, step: int, rank: int) -> None:
    """Chance (dropout, rounding) is a function of seed, step and rank: nothing of it needs to be saved."""
    torch.manual_seed(int(stable_hash("step", str(seed), str(step), str(rank))[:15], 16))


def _plan(config: TrainConfig, run: Path, ranks: Ranks) -> Blueprint:
    """What is trained; the first rank makes it and writes its processor, the others read that."""
    folder = run / "processor"
    # without a config what is there is of a training which never began, maybe of other data
    is_new = not (run / CONFIG).exists() or not (folder / "tokenizer.json").exists()

    def made(kept: Path | None) -> Blueprint:
        return blueprint(config.model, config.data.max_length, lambda: sample_texts(config), kept)

    if ranks.is_first:
        plan = made(None if is_new else folder)
        if is_new:
            with explained(folder):
                plan.processor.save_pretrained(folder)
    ranks.wait()
    return plan if ranks.is_first else made(folder)


def _resumed(training: Training, run: Path) -> int:
    """Steps that are done already, with the state after them restored."""
    step = latest(run)
    if step is None:
        return 0
    state = read_state(run, step)
    restore(run, step, training.network, training.optimiser)
    training.read, training.bad = int(state.get("read", 0)), int(state.get("bad", 0))
    training.tokens = float(state.get("tokens", 0))
    return step


def _check_data(loader: Loader, run: Path, step: int) -> None:
    """UserError where the samples are others than those of the steps that are done."""
    if step and read_state(run, step).get("data") != loader.digest:
        raise UserError(
            "data.mixture: the datasets hold other samples, or in another order, than when this training began; put "
            "them back as they were, or choose another --out"
        )


def _begins(training: Training, loader: Loader, step: int) -> str:
    parameters = [one for one in training.network.parameters() if one.requires_grad]
    return (
        f"{'goes on after step ' + str(step) if step else 'begins'}: {training.steps} steps of {training.config.batch} "
        f"samples, {loader.n_samples:,} samples in the data, {sum(one.numel() for one in parameters):,} parameters "
        f"learn, {training.ranks.count} x {training.ranks.device.type}"
    )


def _exported(training: Training, run: Path) -> Path:
    """Writes the model beside an older one, then takes that one's place."""
    folder, partial = run / "export", run / ".export"
    if training.ranks.is_first:
        shutil.rmtree(partial, ignore_errors=True)
    export(training.network, training.processor, training.config, partial, training.ranks)
    if training.ranks.is_first:
        with explained(folder):
            if folder.exists():
                shutil.rmtree(folder)
            partial.replace(folder)
    training.ranks.wait()
    _tell(training.ranks, [f"model: {folder}"])
    return folder


def _tell(ranks: Ranks, lines: Sequence[str]) -> None:
    if ranks.is_first:
        for line in lines:
            print(line, file=sys.stderr, flush=True)


@contextmanager
def _named(ranks: Ranks) -> Iterator[None]:
    """Messages of other ranks than the first say which one speaks."""
    try:
        yield
    except UserError as error:
        if ranks.is_first:
            raise
        raise UserError(f"rank {ranks.rank}: {error}") from error
