"""Speed of the network: a forward and backward pass of all parameters, against the machine and against the LLaMA alone.

Weights and inputs are random; there is no optimizer. MFU is the work of the model (`model.describe`: three times that
of a forward pass, recomputed activations not counted) over time and over what the device can do: on a GPU the maker's
dense bf16 figure, on a CPU the rate of one large matrix product with as many threads. The LLaMA is the model's own,
through transformers' forward pass, with as many positions of text alone. On a GPU:

  python -m bench.network --size magma-8b --device cuda --batch 4 --checkpointing
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

from bench.report import Figure, as_json, machine, spread, table
from model.config import SIZES, MagmaConfig
from model.describe import Description, describe
from model.magma import MagmaForCausalLM
from model.merge import IGNORED
from train.speed import finish, peak_flops, peak_memory

_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is run, how often. `dtype` None: bf16 on a GPU, float32 on a CPU, which every one does well."""

    size: str
    device: str = "cpu"
    dtype: torch.dtype | None = None
    batch: int = 1
    image_wh: tuple[int, int] = (1280, 720)
    text_tokens: int = 256
    checkpointing: bool = False
    warm_up: int = 1
    repeats: int = 5


def measure(scratch: Path, quick: bool) -> Iterator[Figure]:
    yield from measure_work(
        Work(size="magma-tiny", text_tokens=64, repeats=1)
        if quick
        else Work(size="magma-tiny", batch=2, warm_up=2, repeats=7)
    )


def measure_work(work: Work) -> Iterator[Figure]:
    """The two networks in turn, `repeats` times."""
    device = torch.device(work.device)
    dtype = work.dtype or (torch.bfloat16 if _on_gpu(work.device) else torch.float32)
    peak, peak_of = peak_flops(device, dtype)
    config = SIZES[work.size]()
    told = describe(config, name=work.size, images_wh=[work.image_wh], text_tokens=work.text_tokens, batch=work.batch)
    model = random_magma(config, work.device, dtype).train()
    if work.checkpointing:
        model.checkpoint_activations()
    inputs = random_batch(model, told, work)
    # ours keeps no cache unless it is asked to
    text = {name: inputs[name] for name in ("input_ids", "attention_mask", "labels")} | {"use_cache": False}
    networks: dict[str, Callable[[], Any]] = {
        "ours": partial(_step, model, inputs),
        "llama": partial(_step, model.language_model, text),
    }
    times: dict[str, list[float]] = {name: [] for name in networks}
    memory = dict.fromkeys(networks, 0.0)
    for repeat in range(-work.warm_up, work.repeats):
        for name, step in networks.items():
            model.zero_grad(set_to_none=True)
            seconds, taken = _timed(step, device)
            memory[name] = max(memory[name], taken)
            if repeat >= 0:
                times[name].append(seconds)
    yield from _figures(work, dtype, told, times, memory, peak, peak_of)


def _figures(
    work: Work,
    dtype: torch.dtype,
    told: Description,
    times: dict[str, list[float]],
    memory: dict[str, float],
    peak: float,
    peak_of: str,
) -> Iterator[Figure]:
    positions, flops = work.batch * told.sample.length, work.batch * told.sample.flops.train
    rates = [flops / seconds / peak for seconds in times["ours"]]
    ratios = [ours / llama for ours, llama in zip(times["ours"], times["llama"], strict=True)]
    # the LLaMA's own loss applies the head to all positions
    sample = told.sample
    head = sample.flops.head * sample.length // sample.text_tokens
    least = sample.flops.forward / (sample.flops.layers + sample.flops.scores + head)
    how = f"{work.size}, {work.batch} x {sample.length} positions, {str(dtype).removeprefix('torch.')}"
    how += ", checkpointing" if work.checkpointing else ""
    yield Figure(
        topic="network",
        what=f"{how}: forward and backward",
        shown=f"{spread(times['ours'], 3)} s; {positions / median(times['ours']):,.0f} positions/s",
        value=median(times["ours"]),
        bound=f"{flops / peak:.3f} s: {flops / 1e12:.2f} TFLOP at {peak_of}",
    )
    yield Figure(
        topic="network",
        what=f"{how}: MFU",
        shown=spread(rates, 3),
        value=median(rates),
        bound=f"1.0: {peak_of}",
    )
    yield Figure(
        topic="network",
        what=f"{how}: time / that of the LLaMA alone, as many positions",
        shown=f"{spread(ratios)} ({median(times['ours']):.3f} s against {median(times['llama']):.3f})",
        value=median(ratios),
        bound=f"{least:.2f}, by their FLOPs",
    )
    yield _memory_figure(how, work, dtype, told, memory)


def _memory_figure(how: str, work: Work, dtype: torch.dtype, told: Description, memory: dict[str, float]) -> Figure:
    cost = told.memory
    activations = cost.activations_checkpointed if work.checkpointing else cost.activations
    # of a formula for bf16; in float32 nearly all of it doubles
    expected = (cost.weights + cost.gradients + activations) * dtype.itemsize // 2
    shown, whole = f"{memory['ours'] / 1e9:.2f} GB", "; of the whole process, both networks"
    if _on_gpu(work.device):
        shown, whole = f"{shown}; the LLaMA alone {memory['llama'] / 1e9:.2f}", ""
    return Figure(
        topic="network",
        what=f"{how}: peak memory{whole}",
        shown=shown,
        value=memory["ours"],
        bound=f"{expected / 1e9:.2f} GB: weights, gradients and activations by model.describe",
    )


def random_magma(config: MagmaConfig, device: str, dtype: torch.dtype) -> MagmaForCausalLM:
    """A network of small random weights, made where it is used: at no time is any of it elsewhere."""
    with torch.device("meta"):
        model = MagmaForCausalLM(config).to(dtype)
    model.to_empty(device=device)
    torch.manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if name == "weight" and parameter.ndim == 1:
                    parameter.fill_(1.0)  # of a norm
                else:
                    parameter.normal_(0.0, 0.02)
    return model


def random_batch(model: MagmaForCausalLM, told: Description, work: Work) -> dict[str, Any]:
    """A batch as `MagmaProcessor.batch` makes it: one image a row, then text, all of which is supervised."""
    config, (image,) = model.config, told.sample.images
    generator = torch.Generator().manual_seed(0)
    lowest = min(config.image_token_index, config.text_config.vocab_size)
    text_BT = torch.randint(0, lowest, (work.batch, work.text_tokens), generator=generator)
    image_BV = torch.full((work.batch, image.tokens), config.image_token_index)
    input_ids = torch.cat([image_BV, text_BT], dim=1)
    tiles, side = work.batch * image.grid.rows * image.grid.cols, config.vision_config.img_size
    batch = {
        "input_ids": input_ids,
        "attention_mask": torch.ones_like(input_ids),
        "labels": torch.cat([torch.full_like(image_BV, IGNORED), text_BT], dim=1),
        "pixel_values": torch.randn(tiles, 3, side, side, generator=generator),
        "image_sizes": torch.tensor([image.grid] * work.batch),
    }
    return {name: tensor.to(work.device) for name, tensor in batch.items()}


def _step(network: nn.Module, inputs: dict[str, Any]) -> None:
    network(**inputs).loss.backward()


def _timed(step: Callable[[], Any], device: torch.device) -> tuple[float, float]:
    """Seconds, and the most bytes that were taken: on a GPU of this step, on a CPU by the process so far."""
    finish(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start = time.perf_counter()
    step()
    finish(device)
    return time.perf_counter() - start, peak_memory(device)


def _on_gpu(device: str) -> bool:
    return torch.device(device).type == "cuda"


def _work() -> tuple[Work, Path | None]:
    parser = argparse.ArgumentParser(
        prog="python -m bench.network", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--size", choices=SIZES, default="magma-tiny", help="(magma-tiny)")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="(cuda where there is one)")
    add("--dtype", choices=_DTYPES, help="(bfloat16 on a GPU, float32 on a CPU)")
    add("--batch", type=int, default=1, metavar="B", help="samples (1)")
    add("--image", default="1280x720", metavar="WxH", help="of each sample, in pixels (1280x720)")
    add("--text", type=int, default=256, metavar="N", help="tokens after the image (256)")
    add("--checkpointing", action="store_true", help="compute activations again in the backward pass")
    add("--warm-up", type=int, default=2, metavar="N", help="steps that do not count (2)")
    add("--repeats", type=int, default=7, metavar="N", help="steps that count (7)")
    add("--json", type=Path, metavar="FILE", help="write the figures to a file too")
    asked = parser.parse_args()
    width, _, height = asked.image.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        parser.error(f"--image {asked.image} is no size; give width and height, such as 1280x720")
    if min(asked.batch, asked.text, asked.repeats) < 1:
        parser.error("--batch, --text and --repeats must be at least 1")
    work = Work(
        size=asked.size,
        device=asked.device,
        dtype=_DTYPES.get(asked.dtype),
        batch=asked.batch,
        image_wh=(int(width), int(height)),
        text_tokens=asked.text,
        checkpointing=asked.checkpointing,
        warm_up=asked.warm_up,
        repeats=asked.repeats,
    )
    return work, asked.json


def main() -> None:
    work, file = _work()
    figures = list(measure_work(work))
    for line in table(figures):
        print(line)
    print(f"python -m bench.network {shlex.join(sys.argv[1:])}; torch {torch.__version__}", file=sys.stderr)
    print("; ".join(f"{name} {value}" for name, value in machine().items()), file=sys.stderr)
    if file:
        file.write_text(json.dumps(as_json(figures, quick=False), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
