"""Traces of marks, and which of their points are told in text. Letters: T frames."""

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from schemas.flow import Bool, Float, Motion, PointMark, Tracks


def trace_of(mark: PointMark, motion: Motion, tracks: Tracks) -> tuple[npt.NDArray[np.float64], Bool]:
    """xy_T2 of the mark's point as the reference camera would see it, and visible_T."""
    return np.asarray(motion.steady_xy_TN2[:, mark.track], np.float64), tracks.visible_TN[:, mark.track]


def text_trace(
    xy_T2: Float, visible_T: Bool, size_wh: tuple[int, int], *, bins: int, min_step_bins: float
) -> list[tuple[int, int]]:
    """The points of a trace that are told, in whole bins 0..bins-1 of width and height.

    The first is the mark's own position and always told; later ones only where visible, inside the image and at least
    `min_step_bins` (before truncation) from the last one told.
    """
    width, height = size_wh
    told: list[tuple[float, float]] = []
    for t, (x, y) in enumerate(np.asarray(xy_T2, np.float64).tolist()):
        here = (bins * x / width, bins * y / height)
        if t > 0:
            inside = 0 <= x < width and 0 <= y < height
            if not (visible_T[t] and inside and math.dist(here, told[-1]) >= min_step_bins):
                continue
        told.append(here)
    return [(_truncated(x, bins), _truncated(y, bins)) for x, y in told]


def is_worth_telling(
    points: list[tuple[int, int]], n_steps: int, *, min_trace_share: float, min_speed_bins: float
) -> bool:
    """Whether a text trace (its start first) is long and fast enough to be part of an answer."""
    n_future = len(points) - 1
    if n_future < 1 or n_future <= min_trace_share * n_steps:
        return False
    way_bins = sum(math.dist(a, b) for a, b in pairwise(points))
    return way_bins / n_future >= min_speed_bins


def _truncated(position_bins: float, bins: int) -> int:
    return min(max(int(position_bins), 0), bins - 1)
