"""Pyramidal Lucas-Kanade tracking, frame by frame, with a forward-backward check. Letters: T frames, N points.

OpenCV builds its pyramids anew in every call: its Python binding can't take ready ones (opencv/opencv#4777).
"""

import cv2
import numpy as np
import numpy.typing as npt

from schemas.flow import Bool, Clip, Float, Tracks

_HALF_PIXEL = np.float32(0.5)
"""OpenCV has the centre of the top-left pixel at (0, 0), this project at (0.5, 0.5)"""
_MIN_WINDOW_PX = 7
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01)


def track_lucas_kanade(
    clip: Clip, points_N2: Float, *, window: float, levels: int, max_forward_backward: float
) -> Tracks:
    """Follows points of frame 0 through the clip; a point once lost (or out of the image) stays lost.

    `window` and `max_forward_backward` are in image diagonals. Confidence is 1 on frame 0, then 1 falling to 0.5 as
    the way back misses by up to `max_forward_backward`, 0 where lost.
    """
    diagonal = float(np.hypot(*clip.size_wh))
    window_px = max(_MIN_WINDOW_PX, round(window * diagonal) | 1)
    limit_px = max_forward_backward * diagonal

    xy_TN2 = np.repeat(np.asarray(points_N2, np.float32).reshape(1, -1, 2), len(clip.times_s_T), axis=0)
    visible_TN = np.zeros(xy_TN2.shape[:2], bool)
    visible_TN[0] = _inside(xy_TN2[0], clip.size_wh)
    confidence_TN = visible_TN.astype(np.float16)

    before = _gray(clip.frames_THW3[0])
    for t in range(1, len(xy_TN2)):
        after = _gray(clip.frames_THW3[t])
        xy_TN2[t] = xy_TN2[t - 1]
        alive = np.flatnonzero(visible_TN[t - 1])
        there_M2, found_M = _flow(before, after, xy_TN2[t - 1, alive], window_px, levels)
        back_M2, found_back_M = _flow(after, before, there_M2, window_px, levels)
        miss_M = np.linalg.norm(back_M2 - xy_TN2[t - 1, alive], axis=1)
        kept_M = found_M & found_back_M & (miss_M <= limit_px) & _inside(there_M2, clip.size_wh)
        xy_TN2[t, alive[kept_M]] = there_M2[kept_M]
        visible_TN[t, alive[kept_M]] = True
        confidence_TN[t, alive[kept_M]] = 1 - miss_M[kept_M] / limit_px / 2
        before = after
    return Tracks(xy_TN2=xy_TN2, visible_TN=visible_TN, confidence_TN=confidence_TN)


def _gray(frame_HW3: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    gray_HW: npt.NDArray[np.uint8] = cv2.cvtColor(frame_HW3, cv2.COLOR_RGB2GRAY)
    return gray_HW


def _inside(xy_N2: Float, size_wh: tuple[int, int]) -> Bool:
    return np.asarray(((xy_N2 >= 0) & (xy_N2 < size_wh)).all(axis=-1))


def _flow(
    before_HW: npt.NDArray[np.uint8], after_HW: npt.NDArray[np.uint8], xy_N2: Float, window_px: int, levels: int
) -> tuple[npt.NDArray[np.float32], Bool]:
    """Where each point went, and whether it was found; what was not found is not meaningful, but finite."""
    if len(xy_N2) == 0:
        return np.zeros((0, 2), np.float32), np.zeros(0, bool)
    there_N12, found_N1, _ = cv2.calcOpticalFlowPyrLK(
        before_HW,
        after_HW,
        (xy_N2 - _HALF_PIXEL)[:, None],
        None,
        winSize=(window_px, window_px),
        maxLevel=levels,
        criteria=_STOP,
    )
    there_N2 = there_N12[:, 0] + _HALF_PIXEL
    found_N = (found_N1[:, 0] == 1) & np.isfinite(there_N2).all(axis=1)
    return np.where(found_N[:, None], there_N2, xy_N2), found_N
