"""CoTracker 2 and 3 (arXiv 2307.07635, 2410.11831), the networks of their authors' own repository.

The network sees every clip in its own resolution, and is asked for points by queries: frame, x, y.

Letters: B clips of a batch, T frames, N points, M points with those of the support grid, H height, W width.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import PathFinder
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.overrides import TorchFunctionMode

from schemas.errors import UserError
from schemas.flow import Clip, Float, Tracker, Tracks
from schemas.networks import CoTrackerTracker
from transforms.networks import compute_type, computing, find_device, load_state, read_state
from transforms.tracks import held, inside

_PART = "tracker"
_URL = "https://github.com/facebookresearch/co-tracker"
_ITERATIONS = 6
"""times that the network corrects its tracks, as the repository's predictors have it"""
_MARGIN = 1 / 64
"""between the support grid and the border, in widths of the picture; as there"""
_HALF_PIXEL = 0.5
"""the network has the centre of the top-left pixel at (0, 0), this project at (0.5, 0.5)"""

Queries = npt.NDArray[np.float64]
Feeding = Literal["whole", "windows", "online"]
"""the network takes a clip whole, cuts it into windows itself, or is given one window after another"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CoTracker:
    """A loaded network."""

    network: Any
    feeding: Feeding
    device: torch.device
    dtype: torch.dtype
    support_grid: int
    min_visibility: float

    @property
    def size_wh(self) -> tuple[int, int]:
        """Of the pictures that the network sees; clips are stretched to it."""
        height, width = self.network.model_resolution
        return width, height


def build_cotracker(config: CoTrackerTracker, weights: str, device: str) -> Tracker:
    """The tracker of a config; arguments and errors as for `load_cotracker` and `follow`."""
    loaded = load_cotracker(config, weights, device)

    def track(clips: Sequence[Clip], points: Sequence[Float]) -> list[Tracks]:
        return follow(loaded, [clip.frames_THW3 for clip in clips], [queries_at(0, points_N2) for points_N2 in points])

    return track


def load_cotracker(config: CoTrackerTracker, weights: str, device: str) -> CoTracker:
    """The network of a config on its device; `weights`: path of the file with its parameters, checked.

    Raises:
        UserError: there is no `cotracker` or no such device, or the file is not of this model.
    """
    there = find_device(device)
    network, feeding = _new_network(config)
    load_state(network, read_state(weights, part=_PART), part=_PART, what=f"CoTracker {config.model}")
    return CoTracker(
        network=network.requires_grad_(False).eval().to(there),
        feeding=feeding,
        device=there,
        dtype=compute_type(config.precision, there),
        support_grid=config.support_grid,
        min_visibility=config.min_visibility,
    )


def _new_network(config: CoTrackerTracker) -> tuple[Any, Feeding]:
    """What the repository's hubconf.py builds for a model, and how its predictor feeds it."""
    match config.model:
        case "3_offline":
            new = _imported("cotracker3_offline", config.repository).CoTrackerThreeOffline
            return new(stride=4, corr_radius=3, window_len=60), "whole"
        case "3_online":
            new = _imported("cotracker3_online", config.repository).CoTrackerThreeOnline
            return new(stride=4, corr_radius=3, window_len=16), "online"
        case "2":
            return _imported("cotracker", config.repository).CoTracker2(stride=4, window_len=8), "windows"


def _imported(module: str, folder: str) -> Any:
    """A module with a network: of the checkout in `folder`, and of no other; "" for the installed package."""
    name = f"cotracker.models.core.cotracker.{module}"
    try:
        return _imported_from(name, folder) if folder else import_module(name)
    except ModuleNotFoundError as error:
        which = f"repository: {folder!r}" if folder else "name: 'cotracker'"
        raise UserError(
            f"{_PART}.{which} needs the module {error.name}, which is not there; pip install git+{_URL} (version 3; "
            f"CC-BY-NC 4.0, not for commercial use), or give {_PART}.repository=FOLDER, a checkout of it"
        ) from error


def _imported_from(name: str, folder: str) -> Any:
    package, _, _ = name.partition(".")
    wanted = PathFinder.find_spec(package, [folder])
    if wanted is None:
        raise UserError(f"{_PART}.repository: {folder!r} holds no package {package!r}; give a checkout of {_URL}")
    sys.path.insert(0, folder)
    try:
        module = import_module(name)
    finally:
        sys.path.remove(folder)
    (loaded,) = sys.modules[package].__path__
    if loaded not in (wanted.submodule_search_locations or ()):
        raise UserError(f"{_PART}.repository: {folder!r}, but {package!r} is loaded from {loaded}; take one of the two")
    return module


def queries_at(frame: int, points_N2: Float) -> Queries:
    """Queries of points of one frame, N3."""
    return np.insert(np.asarray(points_N2, np.float64).reshape(-1, 2), 0, frame, axis=1)


def follow(
    loaded: CoTracker, clips: Sequence[npt.NDArray[np.uint8]], queries: Sequence[Queries], *, backward: bool = False
) -> list[Tracks]:
    """Follows points through clips, given as frames_THW3 and queries_N3 (number of a frame, x and y in its pixels).

    Before its own frame a point is not visible; with `backward` it is followed to the first frame, too. A point is not
    visible outside the picture, and lost from where the network gives NaN. Confidence is the network's visibility (of
    CoTracker 3, times its confidence in the place), and 1 on the point's own frame. Clips of as many frames and points
    as one another go through CoTracker 3 at once.

    Raises:
        ValueError: a query of a frame that is not there; the network gives nothing but NaN for a clip.
        MemoryError: the clips are too much at once for the device's memory.
    """
    alike: dict[tuple[int, int, int], list[int]] = {}
    for number, (frames_THW3, queries_N3) in enumerate(zip(clips, queries, strict=True)):
        _check_queries(queries_N3, len(frames_THW3))
        # CoTracker 2 takes sines of a thousand times its ways: the rounding of a batch would show in its tracks
        group = number if loaded.feeding == "windows" else 0
        alike.setdefault((len(frames_THW3), len(queries_N3), group), []).append(number)
    tracks: dict[int, Tracks] = {}
    for numbers in alike.values():
        found = _follow_alike(loaded, [clips[n] for n in numbers], [queries[n] for n in numbers], backward)
        tracks.update(zip(numbers, found, strict=True))
    return [tracks[number] for number in range(len(clips))]


def _check_queries(queries_N3: Queries, n_frames: int) -> None:
    frame_N = queries_N3[:, 0]
    wrong_N = (frame_N < 0) | (frame_N >= n_frames) | (frame_N % 1 > 0)
    if wrong_N.any():
        raise ValueError(f"a query of frame {frame_N[wrong_N][0]:g} of a clip of {n_frames}: want the number of one")


def _follow_alike(
    loaded: CoTracker, clips: list[npt.NDArray[np.uint8]], queries: list[Queries], backward: bool
) -> list[Tracks]:
    """Clips of as many frames and points as one another, through the network at once."""
    n_frames, n_points = len(clips[0]), len(queries[0])
    if n_points:
        asked_BM3 = np.stack([_asked(loaded, *each) for each in zip(queries, clips, strict=True)])
        with computing(loaded.device, loaded.dtype), _CopyingViews():
            video_BT3HW = torch.stack([_fitted(loaded, frames_THW3) for frames_THW3 in clips])
            queries_BM3 = torch.tensor(asked_BM3, dtype=torch.float32, device=loaded.device)
            xy_BTM2, sure_BTM = _seen(loaded, video_BT3HW, queries_BM3)
            if backward:
                xy_BTM2, sure_BTM = _with_past(loaded, video_BT3HW, queries_BM3, xy_BTM2, sure_BTM)
            xy_BTN2 = xy_BTM2[:, :, :n_points].cpu().numpy()
            sure_BTN = sure_BTM[:, :, :n_points].cpu().numpy()
    else:  # the network can't be asked for nothing
        xy_BTN2, sure_BTN = np.zeros((len(clips), n_frames, 0, 2)), np.zeros((len(clips), n_frames, 0))
    return [
        _to_tracks(loaded, *each, backward=backward) for each in zip(xy_BTN2, sure_BTN, queries, clips, strict=True)
    ]


class _CopyingViews(TorchFunctionMode):
    """Lets `Tensor.view` copy where it must, as `reshape` does.

    The networks are written for batches, but CoTracker 3 offline views an expanded tensor, which fails for any but one.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        is_view = func is torch.Tensor.view and len(args) > 1 and not isinstance(args[1], torch.dtype)
        return (torch.Tensor.reshape if is_view else func)(*args, **(kwargs or {}))


def _scale(loaded: CoTracker, frames_THW3: npt.NDArray[np.uint8]) -> Float:
    """Steps between pixels of the network in one between pixels of a clip: corner pixels lie on corner pixels."""
    _, height, width, _ = frames_THW3.shape
    return np.asarray(np.subtract(loaded.size_wh, 1) / np.maximum(np.subtract((width, height), 1), 1))


def _asked(loaded: CoTracker, queries_N3: Queries, frames_THW3: npt.NDArray[np.uint8]) -> Queries:
    """Queries in the network's pixels, and after them those of the support grid on frame 0, M3."""
    xy_N2 = (queries_N3[:, 1:] - _HALF_PIXEL) * _scale(loaded, frames_THW3)
    width, height = loaded.size_wh
    margin, side = _MARGIN * width, loaded.support_grid
    x, y = np.meshgrid(np.linspace(margin, width - margin, side), np.linspace(margin, height - margin, side))
    support_M2 = np.stack([x.ravel(), y.ravel()], axis=1) if side > 1 else np.array([(width / 2, height / 2)] * side)
    return np.concatenate([np.insert(xy_N2, 0, queries_N3[:, 0], axis=1), queries_at(0, support_M2)])


def _fitted(loaded: CoTracker, frames_THW3: npt.NDArray[np.uint8]) -> torch.Tensor:
    """A clip in the network's resolution, T3HW, 0..255."""
    width, height = loaded.size_wh
    pixels_T3HW = torch.tensor(frames_THW3).to(loaded.device).permute(0, 3, 1, 2).float()
    return torch.nn.functional.interpolate(pixels_T3HW, (height, width), mode="bilinear", align_corners=True)


def _seen(loaded: CoTracker, video_BT3HW: torch.Tensor, queries_BM3: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What the network says: xy_BTM2 in its pixels, and how sure it is, sure_BTM in 0..1."""
    network, n_frames = loaded.network, video_BT3HW.shape[1]
    if loaded.feeding == "whole":
        found = network(video=video_BT3HW, queries=queries_BM3, iters=_ITERATIONS)
    else:
        # a network with windows finds nothing in a clip of half a window
        missing = max(0, network.window_len - n_frames)
        video_BT3HW = torch.cat([video_BT3HW, video_BT3HW[:, -1:].expand(-1, missing, -1, -1, -1)], dim=1)
        if loaded.feeding == "online":
            network.init_video_online_processing()
            step = network.window_len // 2
            for first in range(0, video_BT3HW.shape[1] - step, step):
                window_BT3HW = video_BT3HW[:, first : first + 2 * step]
                found = network(video=window_BT3HW, queries=queries_BM3, iters=_ITERATIONS, is_online=True)
        else:
            found = network(video=video_BT3HW, queries=queries_BM3, iters=_ITERATIONS)
    xy_BTM2, sure_BTM, *placed_BTM, _ = found  # CoTracker 3 also says how sure it is of the place
    for each_BTM in placed_BTM:
        sure_BTM = sure_BTM * each_BTM
    return xy_BTM2[:, :n_frames].float(), sure_BTM[:, :n_frames].float()


def _with_past(
    loaded: CoTracker,
    video_BT3HW: torch.Tensor,
    queries_BM3: torch.Tensor,
    xy_BTM2: torch.Tensor,
    sure_BTM: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The tracks with what comes before each point's own frame from the clip played backward."""
    last = video_BT3HW.shape[1] - 1
    mirrored_BM3 = torch.cat([last - queries_BM3[..., :1], queries_BM3[..., 1:]], dim=-1)
    back_xy_BTM2, back_sure_BTM = _seen(loaded, video_BT3HW.flip(1), mirrored_BM3)
    frame_T1 = torch.arange(last + 1, device=loaded.device)[:, None]
    before_BTM = frame_T1 < queries_BM3[:, None, :, 0]
    return (
        torch.where(before_BTM[..., None], back_xy_BTM2.flip(1), xy_BTM2),
        torch.where(before_BTM, back_sure_BTM.flip(1), sure_BTM),
    )


def _to_tracks(
    loaded: CoTracker,
    xy_TN2: Float,
    sure_TN: Float,
    queries_N3: Queries,
    frames_THW3: npt.NDArray[np.uint8],
    *,
    backward: bool,
) -> Tracks:
    """Tracks in a clip's pixels of what the network says in its own."""
    number_TN = np.isfinite(xy_TN2).all(axis=-1) & np.isfinite(sure_TN)
    if number_TN.size and not number_TN.any():
        raise ValueError(
            "CoTracker gives NaN for every point; its weights are broken, or want tracker.precision=float32"
        )
    frame_T1, own_N = np.arange(len(xy_TN2))[:, None], queries_N3[:, 0]
    # lost from the first NaN on, as seen from a point's own frame
    lost_TN = np.logical_or.accumulate(~number_TN & (frame_T1 >= own_N), axis=0)
    lost_TN |= np.logical_or.accumulate((~number_TN & (frame_T1 <= own_N))[::-1], axis=0)[::-1]
    found_TN = ~lost_TN & (sure_TN > loaded.min_visibility) & (backward | (frame_T1 > own_N))
    at_TN = frame_T1 == own_N
    clip_TN2 = xy_TN2 / _scale(loaded, frames_THW3) + _HALF_PIXEL
    there_TN2 = np.where(at_TN[..., None], queries_N3[:, 1:], clip_TN2).astype(np.float32)
    visible_TN = (at_TN | found_TN) & inside(there_TN2, (frames_THW3.shape[2], frames_THW3.shape[1]))
    there_TN2[0] = np.where(visible_TN[0, :, None], there_TN2[0], queries_N3[:, 1:])
    return Tracks(
        xy_TN2=held(there_TN2, visible_TN),
        visible_TN=visible_TN,
        confidence_TN=np.where(visible_TN, np.where(at_TN, 1, sure_TN), 0).astype(np.float16),
    )
