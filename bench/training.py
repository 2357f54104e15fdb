"""Speed of the training, as it is run: steps on real shards against a text-only LLaMA loop of the same size.

Both loops run in one process, one after the other, with the same optimiser, sharding, checkpointing and compilation,
and with rows of the same lengths. MFU counts the model's own products (`train.speed`), nothing that is computed twice.
Then a few steps are profiled, and the costliest kernels named. On a GPU, with the largest network that fits:

  python -m bench.training pretrain 'data.mixture=[{path: OUT}]' model.start=magma-8b model.weights=bfloat16 \\
      optimiser.state=bfloat16 batch=32
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaForCausalLM

from bench.report import Figure, as_json, machine, spread, table
from model.config import MagmaConfig
from schemas.errors import UserError
from schemas.training import TrainConfig
from train.config import load_config
from train.loader import Loader
from train.loop import Training, begin, take_step
from train.losses import LossLog
from train.optimiser import build_optimiser
from train.packing import pack
from train.ranks import Ranks, joined
from train.report import StepFigures
from train.speed import StepCost, finish, peak_flops, peak_memory, step_cost

_PROFILED = 3
_COSTLIEST = 3


def measure_training(config: TrainConfig, *, steps: int, warm_up: int) -> Iterator[Figure]:
    """Our loop, then the LLaMA's; `warm_up` steps of each do not count."""
    with joined(config.run.device) as ranks, tempfile.TemporaryDirectory(prefix="somtom-bench-") as scratch:
        peak, peak_of = peak_flops(ranks.device, getattr(torch, config.model.compute))
        training = begin(config, Path(scratch), ranks)
        cost = step_cost(training.network.config, config.model)
        network_config = training.network.config
        with Loader(config, training.processor, rank=ranks.rank, ranks=ranks.count) as loader:
            training.steps = warm_up + steps + _PROFILED
            batches = iter(loader)
            log = LossLog(Path(scratch), ranks.rank)
            lengths: list[list[int]] = []
            figures: list[StepFigures] = []
            for number in range(warm_up + steps):
                data = next(batches)
                if number >= warm_up:
                    rows = pack(data.samples, config.data.row_length)
                    lengths.append([row.input_ids.shape[1] for row in rows])
                    figures.append(take_step(training, data, log))
                else:
                    take_step(training, data, log)
            memory = peak_memory(ranks.device)
            costs = _costliest(training, batches, log)
        del training
        _forget(ranks.device)
        text = _text_loop(network_config, config, ranks, lengths, warm_up)
        yield from _figures(config, ranks, cost, figures, text, memory, peak, peak_of)
        yield from costs


def _figures(
    config: TrainConfig,
    ranks: Ranks,
    cost: StepCost,
    figures: Sequence[StepFigures],
    text: Sequence[tuple[int, int, float]],
    memory: float,
    peak: float,
    peak_of: str,
) -> Iterator[Figure]:
    """`text`: positions, pairs and seconds of each of the LLaMA's steps."""
    what = f"{config.model.start}, batch {config.batch}, rows of {config.data.row_length}, {ranks.count} rank(s)"
    tokens = [sum(count for _, count in one.losses.values()) for one in figures]
    ours = [
        cost.of(tiles=one.tiles, positions=one.positions, pairs=one.pairs, supervised=count) / one.seconds / peak
        for one, count in zip(figures, tokens, strict=True)
    ]
    theirs = [
        cost.of(tiles=0, positions=positions, pairs=pairs, supervised=positions) / seconds / peak
        for positions, pairs, seconds in text
    ]
    speed = [one.positions / one.seconds for one in figures]
    text_speed = [positions / seconds for positions, _, seconds in text]
    yield _figure(f"{what}: positions per second", speed, f"{median(text_speed):,.0f}: the LLaMA alone", digits=0)
    yield _figure(f"{what}: MFU", ours, f"1.0: {peak_of}")
    yield _figure(f"{what}: MFU of the LLaMA alone", theirs, f"1.0: {peak_of}")
    yield _figure(f"{what}: MFU / that of the LLaMA alone", [median(ours) / median(theirs)], "at least 0.9")
    waited = sum(one.waited_s for one in figures) / sum(one.seconds for one in figures)
    yield _figure(f"{what}: share of the time that waits for data", [waited], "below 0.02", digits=4)
    packed = sum(one.positions for one in figures) / sum(one.rows * config.data.row_length for one in figures)
    yield _figure(f"{what}: positions / room in the rows", [packed], "above 0.95")
    yield _figure(f"{what}: peak memory, GB", [memory / 1e9], "", digits=1)


def _figure(what: str, values: Sequence[float], bound: str, digits: int = 3) -> Figure:
    return Figure(topic="training", what=what, shown=spread(values, digits), value=median(values), bound=bound)


def _costliest(training: Training, batches: Iterator[Any], log: LossLog) -> list[Figure]:
    """The kernels that take the most time of a few steps, on the device where there is one."""
    device = training.ranks.device
    data = [next(batches) for _ in range(_PROFILED)]
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=kinds) as profiled:
        for one in data:
            take_step(training, one, log)
        finish(device)
    time_of = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    events = sorted(profiled.key_averages(), key=lambda event: -getattr(event, time_of))
    whole = sum(getattr(event, time_of) for event in events)
    return [
        _figure(f"cost {place}: {event.key[:80]}", [getattr(event, time_of) / whole], "share of all kernels' time")
        for place, event in enumerate(events[:_COSTLIEST], start=1)
    ]


class _Text(nn.Module):
    """The LLaMA under the name that it has in Magma, so that the optimiser knows it as that part."""

    def __init__(self, config: MagmaConfig) -> None:
        super().__init__()
        self.language_model = LlamaForCausalLM(config.text_config)

    def forward(self, ids_1L: torch.Tensor) -> torch.Tensor:
        loss: torch.Tensor = self.language_model(input_ids=ids_1L, labels=ids_1L, use_cache=False).loss
        return loss


def _text_loop(
    network_config: MagmaConfig, config: TrainConfig, ranks: Ranks, lengths: list[list[int]], warm_up: int
) -> list[tuple[int, int, float]]:
    """Steps on random text in rows of these lengths: positions, pairs and seconds of each."""
    network = _text_network(network_config, config, ranks)
    optimiser = build_optimiser(network, config)
    measured: list[tuple[int, int, float]] = []
    for number, rows in enumerate([*lengths[:1] * warm_up, *lengths]):
        finish(ranks.device)
        start = time.perf_counter()
        for length in rows:
            ids_1L = torch.randint(0, network_config.text_config.vocab_size, (1, length), device=ranks.device)
            torch.autograd.backward(network(ids_1L) / len(rows))
        nn.utils.clip_grad_norm_(network.parameters(), config.optimiser.clip)
        optimiser.step()
        optimiser.zero_grad()
        finish(ranks.device)
        if number >= warm_up:
            pairs = sum(length * (length + 1) // 2 for length in rows)
            measured.append((sum(rows), pairs, time.perf_counter() - start))
    return measured


def _text_network(network_config: MagmaConfig, config: TrainConfig, ranks: Ranks) -> nn.Module:
    with torch.device("meta"):
        network = _Text(network_config).train()
    llama = network.language_model
    if config.model.checkpointing:
        llama.activation_checkpointing_enable()
    precision = MixedPrecisionPolicy(param_dtype=getattr(torch, config.model.compute), reduce_dtype=torch.float32)
    for layer in llama.model.layers:
        if config.model.compile:
            layer.compile()
        fully_shard(layer, mesh=ranks.mesh, mp_policy=precision)
    fully_shard(network, mesh=ranks.mesh, mp_policy=precision)
    network.to(getattr(torch, config.model.weights)).to_empty(device=ranks.device)
    llama.model.rotary_emb = type(llama.model.rotary_emb)(config=network_config.text_config).to(ranks.device)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.02)
    return network


def _forget(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", metavar="CONFIG", help="as for `somtom train`")
    parser.add_argument("overrides", nargs="*", metavar="a.b=value", help="as for `somtom train`")
    parser.add_argument("--steps", type=int, default=50, metavar="N", help="that count (50)")
    parser.add_argument("--warm-up", type=int, default=5, metavar="N", help="that do not count (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file too")
    asked = parser.parse_args()
    try:
        config = load_config(asked.config, asked.overrides)
        figures = list(measure_training(config, steps=asked.steps, warm_up=asked.warm_up))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    for line in table(figures):
        print(line)
    print("; ".join(f"{name} {value}" for name, value in machine().items()), file=sys.stderr)
    if asked.json:
        asked.json.write_text(json.dumps(as_json(figures, quick=False), indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
