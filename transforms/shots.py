"""Shot boundaries, found while frames stream by.

Letters: F frames given, H height, W width.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from scenedetect import FrameTimecode
from scenedetect.common import Timecode
from scenedetect.detectors import ContentDetector

from transforms.footage import FootageError

_TICK = Fraction(1, 1_000_000)
_NOMINAL_FPS = 25.0
"""The detector wants one, and does not use it where frames have times."""


def find_shots(
    frames: Iterable[npt.NDArray[np.uint8]], times_s: npt.NDArray[np.float64], threshold: float, min_shot_s: float
) -> Iterator[tuple[int, int]]:
    """Half-open ranges (first, last + 1) of frame numbers that together cover all frames, each as soon as it is known.

    `frames`: HW3 RGB, small ones do; `times_s`: their F times, sorted. `threshold`: mean change of hue, saturation and
    brightness, 0..255 (PySceneDetect's ContentDetector). Where reading the frames fails, the running shot up to the
    last good frame is given before the error goes on.
    """
    detector = ContentDetector(threshold=threshold, min_scene_len=float(min_shot_s))
    ticks = np.round(np.asarray(times_s, np.float64) / float(_TICK)).astype(np.int64)
    ticks -= ticks[:1].sum()
    start, count = 0, 0
    try:
        for frame_HW3 in frames:
            now = FrameTimecode(Timecode(pts=int(ticks[count]), time_base=_TICK), fps=_NOMINAL_FPS)
            for cut in detector.process_frame(now, np.ascontiguousarray(frame_HW3[..., ::-1])):
                at = int(np.searchsorted(ticks, cut.pts))
                if at > start:
                    yield start, at
                    start = at
            count += 1
    except FootageError:
        if count > start:
            yield start, count
        raise
    if count > start:
        yield start, count
