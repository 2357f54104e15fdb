"""What tracked points looked like at first, and where a later frame looks like that.

A point near the edge of an object is easily dragged along by what moves beside it; then it no longer looks like itself,
and is lost. A point that is lost, or doubtful, is tried where each of its neighbours went.

Letters: N points, M some of them, K neighbours, S side of a patch, H height, W width.
"""

import cv2
import numpy as np
import numpy.typing as npt

from schemas.flow import Bool, Float
from transforms.patches import Gray, patches_at, similarity
from transforms.trackers.pyramid_flow import Flow, GrayFrame, Points, half_of

_SIDE = 9
_PATCH = 0.027
"""side of a patch, in diagonals"""
_NOISE = 1.0
"""standard deviation of a camera's noise on half-size frames, in grey levels"""
_NEIGHBOURS = 8
_MIN_FOUND = 3
"""points from which the frame's turn and shift against the first can be told"""
_TORN = 0.0034
"""a point whose neighbour went elsewhere by more may be on the wrong side of an edge, in diagonals"""
_SURE = 0.8
_DOUBT = 0.85
_BETTER = 0.08
"""similarities: enough to be found again; below which neighbours are tried; how much better a trial must be"""
_MIN_FOR_TURN = 8


class FirstLook:
    """The looks of points on the first frame of a stretch."""

    def __init__(self, frame: GrayFrame, xy_N2: Points, flow: Flow) -> None:
        self._frame, self._xy_N2, self._flow = frame, xy_N2, flow
        self._step_px = max(1.0, _PATCH * frame.diagonal / 2 / _SIDE)
        self._patches_NSS = patches_at(frame.half_HW, xy_N2 / 2, _SIDE, self._step_px)
        away_NN = np.linalg.norm(xy_N2[:, None] - xy_N2[None], axis=-1)
        np.fill_diagonal(away_NN, np.inf)
        self._near_NK = np.argsort(away_NN, axis=1, kind="stable")[:, : min(_NEIGHBOURS, len(xy_N2) - 1)]

    def judge(self, frame: GrayFrame, xy_N2: Points, found_N: Bool) -> tuple[Points, npt.NDArray[np.float64]]:
        """Positions on a frame, corrected, and how much each looks as at first (0 where it is not found)."""
        similar_N = np.zeros(len(xy_N2))
        if found_N.sum() < _MIN_FOUND:
            return xy_N2, similar_N
        turn_23 = _turn(self._xy_N2[found_N], xy_N2[found_N])
        turned_HW = _turned(frame.full_HW, turn_23)
        half_HW = half_of(turned_HW, frame)
        off_N2 = _apply(cv2.invertAffineTransform(turn_23), xy_N2) - self._xy_N2
        found = np.flatnonzero(found_N)
        similar_N[found] = self._similarity(half_HW, found, off_N2[found])
        tried, trial_M2 = self._try_neighbours(half_HW, off_N2, found_N, similar_N)
        there_M2, there_M = self._flow.refine(self._frame.full_HW, turned_HW, self._xy_N2[tried], trial_M2)
        better_M = self._similarity(half_HW, tried, there_M2 - self._xy_N2[tried])
        taken_M = there_M & (better_M >= np.maximum(_SURE, similar_N[tried] + _BETTER))
        xy_N2 = xy_N2.copy()
        xy_N2[tried[taken_M]] = _apply(turn_23, there_M2[taken_M])
        similar_N[tried[taken_M]] = better_M[taken_M]
        return xy_N2, similar_N

    def _try_neighbours(
        self, half_HW: Gray, off_N2: Float, found_N: Bool, similar_N: Float
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
        """Points which look more like themselves where one of their neighbours went, and that place."""
        near_off_NK2, near_found_NK = off_N2[self._near_NK], found_N[self._near_NK]
        apart_NK = np.linalg.norm(near_off_NK2 - off_N2[:, None], axis=-1)
        torn_N = (near_found_NK & (apart_NK > _TORN * self._frame.diagonal)).any(axis=1)
        doubtful_N = (torn_N | ~found_N | (similar_N < _DOUBT)) & near_found_NK.any(axis=1)
        m, k = np.nonzero(near_found_NK & doubtful_N[:, None])
        trial_NK = np.full(near_found_NK.shape, -1.0)
        trial_NK[m, k] = self._similarity(half_HW, m, near_off_NK2[m, k])
        best_N = trial_NK.argmax(axis=1)
        tried = np.flatnonzero(trial_NK.max(axis=1) > similar_N + _BETTER)
        return tried, self._xy_N2[tried] + near_off_NK2[tried, best_N[tried]]

    def _similarity(self, half_HW: Gray, which: npt.NDArray[np.intp], off_M2: Float) -> npt.NDArray[np.float64]:
        seen_MSS = patches_at(half_HW, (self._xy_N2[which] + off_M2) / 2, _SIDE, self._step_px)
        return similarity(self._patches_NSS[which], seen_MSS, _NOISE)


def _turn(from_M2: Float, to_M2: Float) -> npt.NDArray[np.float64]:
    """The similarity (2x3) that most points agree on; the median shift where they are few. OpenCV's seed is fixed."""
    if len(from_M2) >= _MIN_FOR_TURN:
        turn_23, _ = cv2.estimateAffinePartial2D(
            from_M2, to_M2, method=cv2.RANSAC, ransacReprojThreshold=4.0, maxIters=200, confidence=0.99, refineIters=3
        )
        if turn_23 is not None and np.isfinite(turn_23).all() and 0.2 < np.hypot(*turn_23[:, 0]) < 5:
            return np.asarray(turn_23, np.float64)
    shift_2 = np.median(to_M2 - from_M2, axis=0)
    return np.array([(1, 0, shift_2[0]), (0, 1, shift_2[1])], np.float64)


def _turned(gray_HW: Gray, turn_23: npt.NDArray[np.float64]) -> Gray:
    """A frame seen as the first one was."""
    at_corner_23 = turn_23.copy()  # OpenCV counts from the first pixel's centre
    at_corner_23[:, 2] += turn_23[:, :2] @ (0.5, 0.5) - 0.5
    turned_HW = cv2.warpAffine(
        gray_HW,
        at_corner_23,
        gray_HW.shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(turned_HW, np.uint8)


def _apply(turn_23: Float, xy_M2: Float) -> npt.NDArray[np.float64]:
    return np.asarray(xy_M2 @ turn_23[:, :2].T + turn_23[:, 2], np.float64)
