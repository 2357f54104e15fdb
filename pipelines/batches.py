"""Steps that are networks: how many items each takes at once, and the threads in which a GPU need not wait for others.

A step's batch is `run.batch`, or found once, when the recipe is built, from the memory that one item takes. Where it
is too much all the same, the driver halves it as the work goes on.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pipelines.driver import Step
from pipelines.parts import network_parts
from schemas.config import RunConfig, VideoJob
from schemas.flow import Clip, Picture, Ref
from schemas.jobs import JobConfig
from schemas.networks import NetworkConfig
from schemas.page import Page, PageElement
from transforms.keys import rng_for

_MOST = 32
"""items in a batch: a GPU is busy with fewer, and these have to be decoded and held"""
_HELD_BYTES = 1 << 30
"""of clips in one batch, in the host's own memory: as much is ahead of it, and as much behind"""
_SHARE = 0.7
"""of the free memory is planned for: items differ, and what is freed lies in pieces"""
_STEPS = {"gate": "gate", "tracker": "track", "objects.proposer": "objects", "proposer": "propose"}
"""the step of each part that may be a network"""
_SLACK = 2
"""beside a batch: ends of records, and what is filtered, take places too"""
_BOXES = 64
"""that a made-up picture comes with"""


def network_steps(config: JobConfig) -> tuple[str, ...]:
    """Names of a recipe's steps that are networks."""
    return tuple(_STEPS[field] for field, _ in network_parts(config))


def network_step(
    name: str,
    run: Callable[[Sequence[Any]], Sequence[Any]],
    part: Any,
    config: RunConfig,
    once: Callable[[], Any],
    item_bytes: int = 0,
) -> Step:
    """A step of which `run` takes and gives lists; in batches, if `part` is the config of a network.

    `once`: runs the network on one made-up item; called where that is needed to find how many fit. `item_bytes`: what
    the host holds of an item.
    """
    batch = find_batch(config, once, item_bytes) if isinstance(part, NetworkConfig) else 1
    if batch > 1:
        return Step(name=name, run=run, batch=batch)
    return Step(name=name, run=lambda value: run([value])[0])


def find_batch(config: RunConfig, once: Callable[[], Any], item_bytes: int = 0) -> int:
    """Items that a network takes at once: `run.batch` or, on a CUDA device, what its free memory has room for, else 1.

    Of items that take `item_bytes` of the host's memory no more than 1 GiB is taken at once.

    Processes that share a GPU each count on all that is free when they look: give them `run.batch`.
    """
    if config.batch:
        return config.batch
    from transforms.networks import find_device

    device = find_device(config.device)
    if device.type != "cuda":
        return 1
    return max(1, min(fitting(*_measured(device, once)), _HELD_BYTES // max(1, item_bytes)))


def fitting(free_bytes: int, item_bytes: int) -> int:
    """How many items of a size are planned for in a device's memory, at least one."""
    return max(1, min(_MOST, int(free_bytes * _SHARE / max(1, item_bytes))))


def _measured(device: Any, once: Callable[[], Any]) -> tuple[int, int]:
    """Bytes that are free beside the network itself, and those that one item takes at the most."""
    import torch

    with torch.cuda.device(device):
        try:
            once()  # libraries take their workspaces the first time
            torch.cuda.empty_cache()
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            once()
        except MemoryError:
            return 0, 1
        item = torch.cuda.max_memory_allocated() - before
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info()[0], item


def overlapped(steps: Sequence[Step], config: JobConfig) -> tuple[Step, ...]:
    """The steps, in threads where networks run on a GPU: one up to the first network, one for them, one for the rest.

    What comes before the networks is ahead by a batch, what comes after them behind by one.
    """
    names = network_steps(config)
    if not names or not _on_gpu(config.run):
        return tuple(steps)
    places = [number for number, step in enumerate(steps) if step.name in names]
    ahead = max(steps[place].batch for place in places) + _SLACK
    edges = (places[0], places[-1] + 1)
    return tuple(replace(step, ahead=ahead) if number in edges else step for number, step in enumerate(steps))


def default_workers(config: JobConfig) -> int:
    """Processes where nobody says how many: one per core, or a single one where networks run on a GPU."""
    return 1 if network_steps(config) and _on_gpu(config.run) else os.cpu_count() or 1


def _on_gpu(config: RunConfig) -> bool:
    from transforms.networks import find_device

    return find_device(config.device).type != "cpu"


def made_up_picture(size_wh: tuple[int, int]) -> Picture:
    """A picture of noise, with boxes of its own, to measure with."""
    width, height = size_wh
    rng = rng_for(0, "made up", "picture")
    corners_R22 = np.sort(rng.uniform(0, size_wh, size=(_BOXES, 2, 2)), axis=1)
    elements = [PageElement(box_xyxy=box_22.ravel().tolist()) for box_22 in corners_R22]
    return Picture(
        key="made-up",
        ref=_REF,
        record_id="made-up",
        image_HW3=rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        window_xyxy=(0, 0, width, height),
        page_wh=size_wh,
        page=Page(elements=elements),
    )


def clip_bytes(config: VideoJob) -> int:
    """What the largest of a job's clips takes."""
    return math.prod(_clip_shape(config))


def _clip_shape(config: VideoJob) -> tuple[int, int, int, int]:
    side = config.decode.long_side_px
    return max(2, math.ceil(config.clips.length_s * config.decode.fps)), side, side, 3


def made_up_clip(config: VideoJob) -> Clip:
    """A clip of noise as large and as long as a job's clips can be, to measure with."""
    count, *_ = shape_THW3 = _clip_shape(config)
    return Clip(
        key="made-up",
        ref=_REF,
        frames_THW3=rng_for(0, "made up", "clip").integers(0, 256, shape_THW3, dtype=np.uint8),
        times_s_T=np.arange(count) / config.decode.fps,
        fps=config.decode.fps,
        frame_indices_T=np.arange(count),
    )


_REF = Ref(
    record_key="made-up",
    record_id="made-up",
    source_key="made-up",
    split="train",
    uri="",
    part=0,
    start_s=0.0,
    end_s=math.inf,
    text="made up",
    licence="",
    cost=0.0,
)
