"""Networks on a GPU: SAM, CoTracker and YOLO in our batches, each beside the library's own predictor in a loop.

Weights are random, so times are real and results are not. Of SAM's masks a tenth is let through, as a trained network's
thresholds would about do. The rivals take turns on the same network and the same pictures; the library works as it
comes: in float32, one picture or clip at a time.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bench.footage import video_config, write_videos
from bench.report import Figure, seconds_of, spread
from pipelines import job
from pipelines.batches import find_batch, made_up_clip, made_up_picture
from schemas.config import RunConfig, VideoJob
from schemas.flow import Clip, Picture
from schemas.networks import CoTrackerTracker, SamProposer, YoloProposer
from transforms.keys import rng_for
from transforms.networks import compute_type, find_device
from transforms.points import grid_points

Pixels = npt.NDArray[np.uint8]

_SAM_TARGET = 2.0
_COTRACKER_TARGET = 1.3
_BUSY_TARGET = 0.9
_LET_THROUGH = 0.1
"""share of SAM's masks that its threshold keeps"""
_VIDEOS = 10
"""of five clips each"""
_REPOSITORY = "SOMTOM_COTRACKER"
"""a checkout of CoTracker's repository, where it is not installed"""
_AS_IT_COMES = "the library: float32, one at a time"


def measure(scratch: Path, quick: bool) -> Iterator[Figure]:
    device = find_device("auto")
    if device.type == "cpu" and not quick:
        raise SystemExit("bench gpu: there is no GPU here; --quick tries it at a small size on the CPU")
    if _is_there("segment_anything"):
        for model in ("vit_b",) if quick else ("vit_b", "vit_h"):
            yield _measure_sam(model, device, quick)
    if _is_there("ultralytics"):
        yield _measure_yolo(scratch, device, quick)
    if os.environ.get(_REPOSITORY) or _is_there("cotracker"):
        config = _save_cotracker(scratch / "cotracker.pth")
        yield _measure_cotracker(config, device, quick)
        yield _measure_job(scratch, config, quick)


def _is_there(module: str) -> bool:
    there = find_spec(module) is not None
    if not there:
        print(f"gpu: {module} is not installed, and so not measured", file=sys.stderr)
    return there


def _measure_sam(model: Any, device: torch.device, quick: bool) -> Figure:
    from segment_anything import SamAutomaticMaskGenerator, sam_model_registry

    from tests.tiny_sam import make_tiny_sam
    from transforms.proposers.sam import Sam, propose_sam

    torch.manual_seed(0)
    network = (make_tiny_sam() if quick else sam_model_registry[model]()).to(device).eval()
    pictures = _pictures(*((2, (96, 64)) if quick else (16, (1024, 768))))
    side = 4 if quick else 32
    let_tenth_through(network, pictures[0].image_HW3)
    config = SamProposer(model=model, weights="random", points_per_side=side, min_stability=0, most=1000)
    dtype = compute_type(config.precision, device)
    sam = Sam(network=network, device=device, dtype=dtype, prompts_at_once=config.points_per_batch)
    library = SamAutomaticMaskGenerator(
        network,
        points_per_side=side,
        points_per_batch=config.points_per_batch,
        pred_iou_thresh=config.min_iou,
        stability_score_thresh=0,
        box_nms_thresh=config.max_iou,
    )
    ours = partial(propose_sam, sam=sam, config=config)
    return _compared(
        f"SAM {'tiny' if quick else model}, automatic masks at {side}x{side} points",
        "images/s",
        pictures,
        ours=ours,
        theirs=lambda picture: library.generate(picture.image_HW3),
        batch=2 if quick else find_batch(RunConfig(), lambda: ours(pictures[:1])),
        bound=f"target {_SAM_TARGET}; {_AS_IT_COMES}",
        repeats=1 if quick else 3,
    )


def let_tenth_through(network: Any, image_HW3: Pixels) -> None:
    """Moves the qualities that a random SAM gives its masks, so that a tenth of those of a picture pass 0.88."""
    from segment_anything import SamPredictor
    from segment_anything.utils.amg import build_point_grid

    predictor = SamPredictor(network)
    predictor.set_image(image_HW3)
    height, width = image_HW3.shape[:2]
    points_N2 = predictor.transform.apply_coords(build_point_grid(8) * (width, height), (height, width))
    points_N12 = torch.as_tensor(points_N2, dtype=torch.float32, device=predictor.device)[:, None]
    _, quality_N3, _ = predictor.predict_torch(points_N12, torch.ones_like(points_N12[..., 0]), return_logits=True)
    with torch.no_grad():
        last = network.mask_decoder.iou_prediction_head.layers[-1]
        last.bias += SamProposer(weights="random").min_iou - torch.quantile(quality_N3.flatten(), 1 - _LET_THROUGH)


def _measure_yolo(scratch: Path, device: torch.device, quick: bool) -> Figure:
    from tests.transforms.proposers.yolo_checkpoints import make_network, save_trained
    from transforms.proposers.yolo import build_yolo
    from transforms.proposers.yolo_weights import load_library

    load_library()
    with contextlib.chdir(scratch):  # the library's predictor may leave a folder
        from ultralytics import YOLO
        from ultralytics.nn.tasks import DetectionModel

        torch.manual_seed(0)
        network = make_network("yolo11n") if quick else DetectionModel("yolo11m.yaml", nc=1, verbose=False)
        if not quick:
            network.names = {0: "icon"}
        weights = save_trained(network, scratch / "yolo.pt")
        config = YoloProposer(weights=weights, image_px=96 if quick else 1280, min_score=0.05)
        pictures = _pictures(*((2, (96, 64)) if quick else (64, (1280, 800))))
        ours, library = build_yolo(config, weights, device.type), YOLO(weights)
        options = {"imgsz": config.image_px, "conf": config.min_score, "iou": config.max_iou, "max_det": config.most}
        return _compared(
            f"YOLO {'tiny' if quick else '11m'}, {config.image_px} px",
            "images/s",
            pictures,
            ours=ours,
            theirs=lambda picture: library.predict(
                np.ascontiguousarray(picture.image_HW3[..., ::-1]), device=str(device), verbose=False, **options
            ),
            batch=2 if quick else find_batch(RunConfig(), lambda: ours(pictures[:1])),
            bound=_AS_IT_COMES,
            repeats=1 if quick else 3,
        )


def _save_cotracker(path: Path) -> CoTrackerTracker:
    """The config of a CoTracker 3 with random weights, which are written to a file."""
    repository = os.environ.get(_REPOSITORY, "")
    if repository:
        sys.path.insert(0, repository)
    from cotracker.models.build_cotracker import build_cotracker

    torch.manual_seed(0)
    network = build_cotracker(None, offline=True, window_len=60, v2=False)
    torch.save(network.state_dict(), path)
    return CoTrackerTracker(weights=str(path), repository=repository)


def _measure_cotracker(config: CoTrackerTracker, device: torch.device, quick: bool) -> Figure:
    from cotracker.predictor import CoTrackerPredictor

    from transforms.trackers.cotracker import build_cotracker

    grid, n_frames, size_wh = (2, 2, (96, 64)) if quick else (15, 16, (512, 288))
    clips = _clips(2 if quick else 32, n_frames, size_wh)
    points_N2 = grid_points(size_wh, grid)
    queries_1N3 = torch.from_numpy(np.insert(points_N2 - 0.5, 0, 0, axis=1)).float()[None].to(device)
    tracker = build_cotracker(config, config.weights, device.type)
    library = CoTrackerPredictor(checkpoint=config.weights, offline=True, window_len=60).to(device)

    def ours(some: Sequence[Clip]) -> object:
        return tracker(some, [points_N2] * len(some))

    def theirs(clip: Clip) -> object:
        video_1T3HW = torch.from_numpy(clip.frames_THW3).permute(0, 3, 1, 2)[None].float().to(device)
        return [found.cpu() for found in library(video_1T3HW, queries=queries_1N3)]

    return _compared(
        f"CoTracker 3 offline, {len(points_N2)} points, clips of {n_frames} frames {size_wh[0]}x{size_wh[1]}",
        "frames x points/s",
        clips,
        ours=ours,
        theirs=theirs,
        batch=2 if quick else find_batch(RunConfig(), lambda: ours(clips[:1])),
        bound=f"target {_COTRACKER_TARGET}; {_AS_IT_COMES}",
        repeats=1 if quick else 3,
        each=n_frames * len(points_N2),
    )


def _measure_job(scratch: Path, config: CoTrackerTracker, quick: bool) -> Figure:
    """A whole job, one worker; most clips are filtered after the tracker, whose random tracks no camera explains."""
    n = 1 if quick else _VIDEOS
    videos = write_videos(scratch / "videos", n, (160, 90) if quick else (640, 360))
    few = ["shots.name=none", "clips.length_s=0.5", "clips.stride_s=5", "clips.min_length_s=0.2", "decode.fps=4"]
    asked = [f"tracker.weights={config.weights}", f"tracker.repository={config.repository}", "tracker.name=cotracker"]
    out = scratch / "out"
    made: VideoJob = video_config(videos, *asked, "val_share=0", *([*few, "points.grid=2"] if quick else []))
    job.run(made, str(out), workers=1)
    told = json.loads((out / "job.json").read_bytes())
    clips, wall_s = sum(told["counts"]["items"].values()), told["wall_seconds"] - told["seconds"]["start"]
    return Figure(
        topic="gpu",
        what=f"job of {clips} clips, one worker: share of its time spent in the network",
        shown=f"{told['networks_busy']:.2f}; {clips / wall_s:.2f} clips/s, bound by {told['bound_by']}",
        value=told["networks_busy"],
        bound=f"target {_BUSY_TARGET}",
    )


def _compared(
    what: str,
    unit: str,
    items: Sequence[Any],
    *,
    ours: Callable[[Sequence[Any]], object],
    theirs: Callable[[Any], object],
    batch: int,
    bound: str,
    repeats: int,
    each: int = 1,
) -> Figure:
    """Our batches against the library's loop over the same items; `each`: what one of them counts."""

    def in_batches() -> None:
        for start in range(0, len(items), batch):
            ours(items[start : start + batch])

    def in_a_loop() -> None:
        for item in items:
            theirs(item)

    times = [(seconds_of(in_batches), seconds_of(in_a_loop)) for _ in range(repeats + 1)][1:]  # the first warms up
    ratios = [their_s / our_s for our_s, their_s in times]
    speeds = [each * len(items) / median(taken) for taken in zip(*times, strict=True)]
    return Figure(
        topic="gpu",
        what=f"{what}, batches of {batch}: ours / the library, speed",
        shown=f"{spread(ratios)}: {speeds[0]:.3g} {unit} against {speeds[1]:.3g}",
        value=median(ratios),
        bound=bound,
    )


def _pictures(n: int, size_wh: tuple[int, int]) -> list[Picture]:
    made = made_up_picture(size_wh)
    rng = rng_for(0, "bench", "gpu")
    return [
        replace(made, key=f"{number}", image_HW3=rng.permutation(made.image_HW3, axis=1).copy()) for number in range(n)
    ]


def _clips(n: int, n_frames: int, size_wh: tuple[int, int]) -> list[Clip]:
    width, height = size_wh
    made = made_up_clip(video_config(Path("x")))
    rng = rng_for(0, "bench", "gpu")
    return [
        replace(
            made,
            key=f"{number}",
            frames_THW3=rng.integers(0, 256, (n_frames, height, width, 3), dtype=np.uint8),
            times_s_T=np.arange(n_frames) / made.fps,
            frame_indices_T=np.arange(n_frames),
        )
        for number in range(n)
    ]
