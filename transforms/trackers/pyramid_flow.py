"""One step of Lucas-Kanade: from a frame to the next and back. Letters: M points, H height, W width.

Points are found on a half-size frame, which is where the time goes, and refined on the full one. OpenCV builds its
pyramids anew in every call: its Python binding can't take ready ones (opencv/opencv#4777); that costs little here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from schemas.flow import Bool, Float
from transforms.patches import Gray

Points = npt.NDArray[np.float32]

_HALF_PIXEL = np.float32(0.5)
"""OpenCV has the centre of the top-left pixel at (0, 0), this project at (0.5, 0.5)"""
_DIAGONAL_PX = 735.0
"""larger frames are shrunk to it (640x360): more pixels take time and find nothing more"""
_FINE_SHARE = 0.6
"""side of the window of the refinement as a share of that of the search: less of what lies beside a point"""
_MIN_WINDOW_PX = 5
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 10, 0.05)
_GAIN_STRIDE = 4
_EXPOSED, _MIN_EXPOSED = (24, 248), 0.05
"""grey levels that tell the gain, neither black nor burnt out, and the share of the picture that must have them"""
_MIN_GAIN = 0.015
"""a smaller change of exposure does not matter"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GrayFrame:
    """A frame in the size that is tracked in, and in half of it."""

    full_HW: Gray
    half_HW: Gray

    @property
    def size_wh(self) -> tuple[int, int]:
        return self.full_HW.shape[1], self.full_HW.shape[0]

    @property
    def diagonal(self) -> float:
        return float(np.hypot(*self.full_HW.shape))


def gray_frames(frames_THW3: npt.NDArray[np.uint8]) -> list[GrayFrame]:
    """Frames to track in, at most `_DIAGONAL_PX` large, each with the exposure of the one before it."""
    frames: list[GrayFrame] = []
    for frame_HW3 in frames_THW3:
        frame = _gray_frame(frame_HW3)
        frames.append(_exposed_as(frames[-1], frame) if frames else frame)
    return frames


def _gray_frame(frame_HW3: npt.NDArray[np.uint8]) -> GrayFrame:
    full_HW = np.asarray(cv2.cvtColor(frame_HW3, cv2.COLOR_RGB2GRAY), np.uint8)
    height, width = full_HW.shape
    shrink = _DIAGONAL_PX / float(np.hypot(width, height))
    if shrink < 1:
        full_HW = _resized(full_HW, (max(1, round(width * shrink)), max(1, round(height * shrink))))
    half_HW = _resized(full_HW, ((full_HW.shape[1] + 1) // 2, (full_HW.shape[0] + 1) // 2))
    return GrayFrame(full_HW=full_HW, half_HW=half_HW)


def _exposed_as(before: GrayFrame, frame: GrayFrame) -> GrayFrame:
    """The frame times the gain that takes the median pixel's change away: flicker and fading break tracking."""
    old_HW = before.half_HW[::_GAIN_STRIDE, ::_GAIN_STRIDE].astype(np.float32)
    new_HW = frame.half_HW[::_GAIN_STRIDE, ::_GAIN_STRIDE].astype(np.float32)
    low, high = _EXPOSED
    exposed_HW = (old_HW >= low) & (new_HW >= low) & (old_HW <= high) & (new_HW <= high)
    if exposed_HW.sum() < _MIN_EXPOSED * exposed_HW.size:
        return frame
    gain = float(np.median(old_HW[exposed_HW] / new_HW[exposed_HW]))
    if abs(gain - 1) <= _MIN_GAIN:
        return frame
    return replace(
        frame,
        full_HW=np.asarray(cv2.convertScaleAbs(frame.full_HW, alpha=gain), np.uint8),
        half_HW=np.asarray(cv2.convertScaleAbs(frame.half_HW, alpha=gain), np.uint8),
    )


def _resized(gray_HW: Gray, size_wh: Sequence[int]) -> Gray:
    return np.asarray(cv2.resize(gray_HW, tuple(size_wh), interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flow:
    """`window_px`: side of the search window; `limit_px`: how far the way back may miss; pixels of the full size."""

    window_px: float
    levels: int
    limit_px: float

    def step(self, before: GrayFrame, after: GrayFrame, xy_M2: Float) -> tuple[Points, Bool, Float]:
        """Where points went, whether they were found, and how far the way back missed, as a share of the limit."""
        start_M2 = np.asarray(xy_M2, np.float32)
        there_M2, miss_M = self._there_and_back(before, after, start_M2)
        good = np.flatnonzero(miss_M <= self.limit_px)
        fine_K2, found_K = self.refine(before.full_HW, after.full_HW, start_M2[good], there_M2[good])
        found_K &= np.linalg.norm(fine_K2 - there_M2[good], axis=1) <= 2 * self.limit_px
        there_M2[good[found_K]] = fine_K2[found_K]
        found_M = np.zeros(len(start_M2), bool)
        found_M[good[found_K]] = True
        return there_M2, found_M, np.where(found_M, miss_M / self.limit_px, 1.0)

    def _there_and_back(
        self, before: GrayFrame, after: GrayFrame, start_M2: Points
    ) -> tuple[Points, npt.NDArray[np.float64]]:
        """On the half-size frames; infinite misses where nothing was found."""
        window = odd(self.window_px / 2)
        half_M2 = start_M2 / 2
        there_M2, found_M = flow(before.half_HW, after.half_HW, half_M2, half_M2, window, self.levels)
        back_M2, back_M = flow(after.half_HW, before.half_HW, there_M2, there_M2, window, self.levels)
        miss_M = 2 * np.linalg.norm(back_M2 - half_M2, axis=1)
        return 2 * there_M2, np.where(found_M & back_M, miss_M, np.inf)

    def refine(
        self, before_HW: Gray, after_HW: Gray, start_M2: Float, guess_M2: Float, shrink: float = 1.0
    ) -> tuple[Points, Bool]:
        """Where points of a picture are on another, very near to a guess; pictures are `shrink` of the full size."""
        window = odd(self.window_px * _FINE_SHARE * shrink)
        there_M2, found_M = flow(before_HW, after_HW, start_M2, guess_M2, window, 0)
        return there_M2, found_M & (np.linalg.norm(there_M2 - guess_M2, axis=1) <= window)


def odd(length_px: float) -> int:
    """The side of a window: odd, and not too small."""
    return max(_MIN_WINDOW_PX, round(length_px) | 1)


def flow(
    before_HW: Gray, after_HW: Gray, xy_M2: Float, guess_M2: Float, window_px: int, levels: int
) -> tuple[Points, Bool]:
    """Where each point went, and whether it was found; what was not found is not meaningful, but finite."""
    xy_M2 = np.ascontiguousarray(xy_M2, np.float32)
    if len(xy_M2) == 0:
        return xy_M2, np.zeros(0, bool)
    there_M12, found_M1, _ = cv2.calcOpticalFlowPyrLK(
        before_HW,
        after_HW,
        (xy_M2 - _HALF_PIXEL).reshape(-1, 1, 2),
        np.ascontiguousarray(guess_M2 - _HALF_PIXEL, np.float32).reshape(-1, 1, 2),
        winSize=(window_px, window_px),
        maxLevel=levels,
        criteria=_STOP,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    there_M2 = there_M12.reshape(-1, 2) + _HALF_PIXEL
    found_M = (found_M1.ravel() == 1) & np.isfinite(there_M2).all(axis=1)
    return np.where(found_M[:, None], there_M2, xy_M2).astype(np.float32), found_M
