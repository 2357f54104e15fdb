"""Traces of marks at even steps of time, and which of them are told in text. Letters: T frames, K points of a trace.

All that is told of a trace are its own first points: the steps in text are as long as those stored, none is left out.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from schemas.flow import Bool, Float
from transforms.prompts import Bins

_TOLERANCE_S = 1e-6


def room_for(times_s_T: Float, reference: int, *, steps: int, interval_s: float) -> int:
    """How many steps of `interval_s` the clip holds after its reference frame, `steps` at most."""
    left_s = float(times_s_T[-1] - times_s_T[reference])
    return min(steps, math.floor((left_s + _TOLERANCE_S) / interval_s))


def resample(
    times_s_T: Float,
    xy_T2: Float,
    visible_T: Bool,
    reference: int,
    size_wh: tuple[int, int],
    *,
    steps: int,
    interval_s: float,
    max_gap_s: float,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """times_s_K, xy_K2 and visible_K at the reference frame and every `interval_s` after it.

    Between two frames that show the point its positions are interpolated; a step is flagged where frames between those
    two hide it. The trace ends with the last step before two such frames that are farther apart than `max_gap_s`, with
    the last frame that shows the point, or before it leaves the image. ValueError where the reference frame hides it.
    """
    if not visible_T[reference]:
        raise ValueError(f"the point is hidden on frame {reference}, where its trace starts; a mark has to be visible")
    start_s = float(times_s_T[reference])
    seen_t = reference + np.flatnonzero(visible_T[reference:])
    seen_s = times_s_T[seen_t]
    too_long = np.diff(seen_s) > max_gap_s + _TOLERANCE_S
    last = int(too_long.argmax()) if too_long.any() else len(too_long)
    points = [(np.asarray(xy_T2[reference], np.float64), True)]
    for step in range(1, 1 + room_for(times_s_T, reference, steps=steps, interval_s=interval_s)):
        time_s = start_s + step * interval_s
        before = min(int(np.searchsorted(seen_s, time_s + _TOLERANCE_S, side="right")) - 1, last)
        xy_2, visible = np.asarray(xy_T2[seen_t[before]], np.float64), True
        if time_s - seen_s[before] > _TOLERANCE_S:
            if before == last:
                break
            way = (time_s - seen_s[before]) / (seen_s[before + 1] - seen_s[before])
            xy_2 = xy_2 + way * (xy_T2[seen_t[before + 1]] - xy_2)
            visible = bool(seen_t[before + 1] - seen_t[before] == 1)
        if not ((xy_2 >= 0) & (xy_2 < size_wh)).all():
            break
        points.append((xy_2, visible))
    times_s_K = np.array([start_s + step * interval_s for step in range(len(points))])
    return times_s_K, np.stack([xy_2 for xy_2, _ in points]), np.array([visible for _, visible in points])


def to_bins(xy_K2: npt.ArrayLike, size_wh: tuple[int, int], bins: int) -> list[Bins]:
    """Positions as whole numbers 0..bins-1 of width and height, truncated as the released model was trained."""
    width, height = size_wh
    points = np.asarray(xy_K2, np.float64).reshape(-1, 2).tolist()
    return [(_truncated(bins * x / width, bins), _truncated(bins * y / height, bins)) for x, y in points]


def from_bins(points: Sequence[Bins], size_wh: tuple[int, int], bins: int) -> npt.NDArray[np.float64]:
    """xy_K2 in pixels of what a text tells: the middles of its bins. `to_bins` gives the text back."""
    return (np.array(points, np.float64).reshape(-1, 2) + 0.5) * size_wh / bins


def told_traces(
    traces: Mapping[int, npt.ArrayLike],
    size_wh: tuple[int, int],
    room: int,
    *,
    bins: int,
    min_share: float,
    min_reach_bins: float,
) -> dict[int, list[Bins]]:
    """What is told of each trace (xy_K2, its start first), by mark: the start and N steps, the same N for all of them.

    Traces with fewer steps than `min_share` of the `room` are left out, and so are those that never get
    `min_reach_bins` (before truncation) from their start in N steps. As N decides over both, it is the number of steps
    with which most traces are told, the greatest of several; so it is the length of the shortest trace told.
    """
    paths = {mark: np.asarray(xy_K2, np.float64) for mark, xy_K2 in traces.items()}
    steps = {mark: len(path) - 1 for mark, path in paths.items()}
    reached = {mark: _steps_to_reach(path * bins / size_wh, min_reach_bins) for mark, path in paths.items()}
    told: list[int] = []
    n_steps = 0
    for n in sorted({n for n in steps.values() if n >= max(1.0, min_share * room)}, reverse=True):
        marks = [mark for mark in paths if reached[mark] <= n <= steps[mark]]
        if len(marks) > len(told):
            told, n_steps = marks, n
    return {mark: to_bins(paths[mark][: n_steps + 1], size_wh, bins) for mark in told}


def _steps_to_reach(path_bins_K2: npt.NDArray[np.float64], reach_bins: float) -> float:
    """The first step that is `reach_bins` from the start; inf where there is none."""
    far_K = np.linalg.norm(path_bins_K2 - path_bins_K2[0], axis=1) >= reach_bins
    return float(far_K.argmax()) if far_K.any() else math.inf


def _truncated(position_bins: float, bins: int) -> int:
    return min(max(int(position_bins), 0), bins - 1)
