"""Shots to clips, clips to frames: arithmetic of time.

Letters: F presented frames of the footage.
"""

import math

import numpy as np
import numpy.typing as npt

_TOLERANCE_S = 1e-6


def cut_clips(
    start_s: float, end_s: float, length_s: float, stride_s: float, min_length_s: float
) -> list[tuple[float, float]]:
    """(start, end) of windows of `length_s` every `stride_s` seconds from `start_s` on.

    The last window may be shorter, down to `min_length_s`; none lies wholly inside the one before it.
    """
    clips: list[tuple[float, float]] = []
    while True:
        clip_start_s = start_s + len(clips) * stride_s
        clip_end_s = min(clip_start_s + length_s, end_s)
        if clip_end_s - clip_start_s < min_length_s - _TOLERANCE_S:
            return clips
        if clips and clip_end_s <= clips[-1][1] + _TOLERANCE_S:
            return clips
        clips.append((clip_start_s, clip_end_s))


def sample_indices(times_s: npt.NDArray[np.float64], start_s: float, end_s: float, fps: float) -> npt.NDArray[np.int64]:
    """Numbers of the frames on screen at start_s, start_s + 1/fps, … up to end_s inclusive; nondecreasing.

    `times_s`: presentation times of all frames of the footage, sorted. Moments at or after the end of the footage (one
    average frame step after its last frame) are left out.
    """
    if not len(times_s):
        return np.zeros(0, np.int64)
    steps = len(times_s) - 1
    last_s = float(times_s[-1])
    footage_end_s = last_s + ((last_s - float(times_s[0])) / steps if steps else 1 / fps)
    count = math.floor((end_s - start_s) * fps + _TOLERANCE_S) + 1
    moments_s = start_s + np.arange(max(count, 0)) / fps
    moments_s = moments_s[moments_s < footage_end_s - _TOLERANCE_S]
    shown = np.searchsorted(times_s, moments_s + _TOLERANCE_S, side="right") - 1
    return np.maximum(shown, 0).astype(np.int64)
