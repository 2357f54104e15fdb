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
from transforms.trackers.pyramid_flow import Flow, GrayFrame, Points

_SIDE = 9
_PATCH = 0.027
"""side of a patch, in diagonals"""
_NOISE = 1.0
"""standard deviation of a camera's noise on half-size frames, in grey levels"""
_NEIGHBOURS = 8
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
        # where there are fewer points each is its own last neighbour, which never is a better place
        self._near_NK = np.argsort(away_NN, axis=1, kind="stable")[:, :_NEIGHBOURS]

    def judge(self, frame: GrayFrame, xy_N2: Points, found_N: Bool) -> tuple[Points, npt.NDArray[np.float64]]:
        """Positions on a frame, corrected, and how much each looks as at first (0 where it is not found)."""
        similar_N = np.zeros(len(xy_N2))
        if not found_N.any():
            return xy_N2, similar_N
        turn_23 = _turn(self._xy_N2[found_N], xy_N2[found_N])
        turned_HW = _turned(frame.half_HW, turn_23)
        off_N2 = _apply(cv2.invertAffineTransform(turn_23), xy_N2) - self._xy_N2
        found = np.flatnonzero(found_N)
        similar_N[found] = self._similarity(turned_HW, found, off_N2[found])
        tried, trial_M2 = self._try_neighbours(turned_HW, off_N2, found_N, similar_N)
        there_M2, there_M = self._flow.refine(self._frame.half_HW, turned_HW, self._xy_N2[tried] / 2, trial_M2 / 2, 0.5)
        there_M2 = 2 * there_M2
        better_M = self._similarity(turned_HW, tried, there_M2 - self._xy_N2[tried])
        taken_M = there_M & (better_M >= np.maximum(_SURE, similar_N[tried] + _BETTER))
        xy_N2 = xy_N2.copy()
        xy_N2[tried[taken_M]] = _apply(turn_23, there_M2[taken_M])
        similar_N[tried[taken_M]] = better_M[taken_M]
        return xy_N2, similar_N

    def _try_neighbours(
        self, turned_HW: Gray, off_N2: Float, found_N: Bool, similar_N: Float
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
        """Points which look more like themselves where one of their neighbours went, and that place."""
        torn_px = _TORN * self._frame.diagonal
        apart_NK = np.abs(off_N2[self._near_NK] - off_N2[:, None]).max(axis=-1)
        torn_N = ((apart_NK > torn_px) & found_N[self._near_NK]).any(axis=1)
        doubtful = np.flatnonzero(torn_N | ~found_N | (similar_N < _DOUBT))
        near_DK = self._near_NK[doubtful]
        near_off_DK2, try_DK = off_N2[near_DK], found_N[near_DK]
        # Neighbours that went the same way are tried once.
        apart_DKK = np.abs(near_off_DK2[:, :, None] - near_off_DK2[:, None]).max(axis=-1)
        earlier_KK = np.tri(try_DK.shape[1], k=-1, dtype=bool)
        try_DK = try_DK & ~((apart_DKK < torn_px / 2) & earlier_KK & try_DK[:, None]).any(axis=-1)
        d, k = np.nonzero(try_DK)
        trial_DK = np.full(try_DK.shape, -1.0)
        trial_DK[d, k] = self._similarity(turned_HW, doubtful[d], near_off_DK2[d, k])
        better_D = trial_DK.max(axis=1) > similar_N[doubtful] + _BETTER
        best_off_D2 = near_off_DK2[np.arange(len(doubtful)), trial_DK.argmax(axis=1)]
        tried = doubtful[better_D]
        return tried, self._xy_N2[tried] + best_off_D2[better_D]

    def _similarity(self, turned_HW: Gray, which: npt.NDArray[np.intp], off_M2: Float) -> npt.NDArray[np.float64]:
        """Of points, seen so far off their first place, to their first look."""
        seen_MSS = patches_at(turned_HW, (self._xy_N2[which] + off_M2) / 2, _SIDE, self._step_px)
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


def _turned(half_HW: Gray, turn_23: npt.NDArray[np.float64]) -> Gray:
    """A half-size frame seen as the first one was; the turn is that of full-size frames."""
    half_23 = turn_23.copy()
    half_23[:, 2] = turn_23[:, 2] / 2 + turn_23[:, :2] @ (0.5, 0.5) - 0.5  # OpenCV counts from a pixel's centre
    turned_HW = cv2.warpAffine(
        half_HW,
        half_23,
        half_HW.shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(turned_HW, np.uint8)


def _apply(turn_23: Float, xy_M2: Float) -> npt.NDArray[np.float64]:
    return np.asarray(xy_M2 @ turn_23[:, :2].T + turn_23[:, 2], np.float64)
