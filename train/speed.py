"""How much work a step is, by the network's own products, and how much the device could do."""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from model.checkpoint import empty_magma
from model.config import Grid, MagmaConfig, image_tokens
from model.describe import count_flops
from schemas.training import ModelConfig

_PEAKS = (("H100 PCIe", 756e12), ("H100", 989e12), ("H200", 989e12), ("A100", 312e12))
"""what a GPU's name holds, and its dense products in bf16 per second; the first that fits counts"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCost:
    """Floating-point operations of a forward and backward pass; what is computed twice to save memory counts once.

    `pair`: of two positions of a document of which one sees the other, itself included.
    """

    tile: float
    position: float
    pair: float
    supervised: float

    def of(self, *, tiles: float, positions: float, pairs: float, supervised: float) -> float:
        return self.tile * tiles + self.position * positions + self.pair * pairs + self.supervised * supervised


def step_cost(config: MagmaConfig, model: ModelConfig) -> StepCost:
    """Counted on one tile and one word; a backward pass is two products for each of the forward pass, of weights and of
    inputs, and what is frozen needs no gradient of weights. Adapters themselves are not counted.
    """
    grid = Grid(1, 1)
    flops, _ = count_flops(empty_magma(config), [grid], text_tokens=1)
    length = image_tokens(grid, config.vision_config.img_size) + 1
    # the language model passes gradients on to the vectors of images, or to its adapters
    language = 2 if model.language.frozen or model.lora else 3
    vision = 1 if model.vision.frozen else 3
    projector = (1 if model.vision.frozen else 2) if model.projector.frozen else 3
    return StepCost(
        tile=vision * flops.vision + projector * flops.projector,
        position=language * flops.layers / length,
        pair=3 * flops.scores / (length * (length + 1) / 2),
        supervised=language * flops.head,
    )


def peak_flops(device: torch.device, dtype: torch.dtype) -> tuple[float, str]:
    """FLOP/s that the device does at best, and where that is from: the maker, or one large matrix product."""
    if device.type != "cuda":
        rate = matmul_rate(device, dtype, 1024)
        return rate, f"{rate / 1e9:.0f} GFLOP/s, measured of a matrix product, threads: {torch.get_num_threads()}"
    name = torch.cuda.get_device_name(device)
    peak = next((flops for part, flops in _PEAKS if part in name), None)
    if peak is not None and dtype == torch.bfloat16:
        return peak, f"{peak / 1e12:.0f} TFLOP/s, of {name}"
    rate = matmul_rate(device, dtype, 8192)
    return rate, f"{rate / 1e12:.0f} TFLOP/s, measured of a matrix product on {name}"


def matmul_rate(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """FLOP/s of a product of two square matrices, the best of several."""
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / min(_seconds(lambda: left @ right, device) for _ in range(6))


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    finish(device)
    start = time.perf_counter()
    work()
    finish(device)
    return time.perf_counter() - start


def peak_memory(device: torch.device) -> float:
    """Bytes in use so far at most: on a GPU by tensors, on a CPU by the process."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def finish(device: torch.device) -> None:
    """Waits until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
