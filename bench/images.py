"""A 4K image as tiles: ours against the plain way (ToTensor, Normalize, resize) and against its resize alone.

One thread. The rivals take turns, and every ratio is one of neighbours in time.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

from bench.report import Figure, seconds_of
from model.config import Grid
from model.images import CLIP_MEAN, CLIP_STD, choose_grid, image_tiles, rgb_array

_SIZE_WH = (3840, 2160)
_QUICK_WH = (960, 540)
_TILE = 512


def measure(scratch: Path, quick: bool) -> Iterator[Figure]:
    width, height = size_wh = _QUICK_WH if quick else _SIZE_WH
    image_HW3 = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    picture = Image.fromarray(image_HW3)
    grid = choose_grid(size_wh)
    size_hw = (grid.rows * _TILE, grid.cols * _TILE)
    normalised_13HW = _normalised(image_HW3)[None]
    read_HW3 = np.empty((2 * size_hw[0], 2 * size_hw[1], 3), dtype=np.uint8)
    out_3HW = np.empty((3, *size_hw), dtype=np.float32)
    rivals: dict[str, Callable[[], object]] = {
        "array": lambda: image_tiles(image_HW3, grid, mean=CLIP_MEAN, std=CLIP_STD),
        "pil": lambda: image_tiles(rgb_array(picture), grid, mean=CLIP_MEAN, std=CLIP_STD),
        "plain": lambda: plain_tiles(image_HW3, grid),
        "resize": lambda: interpolate(normalised_13HW, size_hw, mode="bilinear", align_corners=False),
        "unpack": lambda: np.asarray(picture),
        # the least that any way must do: copy the four pixels of each point, write its three floats
        "bytes": lambda: (read_HW3.copy(), out_3HW.fill(1)),
    }
    times: dict[str, list[float]] = {rival: [] for rival in rivals}
    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        for repeat in range(4 if quick else 32):
            for rival, work in rivals.items():
                seconds = seconds_of(work)
                if repeat:  # the first one loads code and memory
                    times[rival].append(seconds)
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])
    yield from _figures(times, f"{width}x{height}")


def _figures(times: dict[str, list[float]], size: str) -> Iterator[Figure]:
    ms = {rival: 1000 * median(taken) for rival, taken in times.items()}
    floor = f"{ms['bytes']:.1f} ms: copying the pixels that are read and writing the tiles"
    for rival, source, bound in (
        ("array", "an array", floor),
        ("pil", "a PIL image", f"{floor}; {ms['unpack']:.1f} ms: PIL's own copy to an array"),
    ):
        yield Figure(
            topic="images",
            what=f"tiles of {source} of {size}",
            shown=f"{ms[rival]:.1f} ms (to {1000 * max(times[rival]):.1f})",
            value=ms[rival],
            bound=f"target 30 ms; {bound}",
        )
        for other, what, bound in (
            ("plain", "ToTensor, Normalize and resize", "above 1"),
            ("resize", "torch's resize alone, of floats", "above 1; it neither reads uint8 nor normalises"),
        ):
            ratios = [theirs / ours for ours, theirs in zip(times[rival], times[other], strict=True)]
            yield Figure(
                topic="images",
                what=f"{what} / ours from {source}, time",
                shown=f"{median(ratios):.1f} ({ms[other]:.0f} ms against {ms[rival]:.1f})",
                value=median(ratios),
                bound=bound,
            )


def plain_tiles(image_HW3: np.ndarray, grid: Grid) -> torch.Tensor:
    """As the reference does it (MAGMA.md section 4): the whole image is made floats and normalised, then resized."""
    size_hw = (grid.rows * _TILE, grid.cols * _TILE)
    raster_3HW = interpolate(_normalised(image_HW3)[None], size_hw, mode="bilinear", align_corners=False)[0]
    tiles = raster_3HW.view(3, grid.rows, _TILE, grid.cols, _TILE)
    return tiles.permute(1, 3, 0, 2, 4).reshape(-1, 3, _TILE, _TILE)


def _normalised(image_HW3: np.ndarray) -> torch.Tensor:
    """What torchvision's ToTensor and Normalize do, in place where they do it in place."""
    image_3HW = torch.from_numpy(image_HW3).permute(2, 0, 1).contiguous().float().div_(255)
    mean, std = (torch.tensor(each)[:, None, None] for each in (CLIP_MEAN, CLIP_STD))
    return image_3HW.sub_(mean).div_(std)
