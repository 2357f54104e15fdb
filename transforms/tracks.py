"""What holds for the tracks of any tracker. Letters: T frames, N points."""

from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.flow import Bool, Float


def held(xy_TN2: npt.NDArray[Any], visible_TN: Bool) -> npt.NDArray[Any]:
    """Positions with every hidden one at the last visible one before it, or at that of frame 0 where there is none."""
    frame_T1 = np.arange(len(xy_TN2))[:, None]
    last_TN = np.maximum.accumulate(np.where(visible_TN, frame_T1, 0), axis=0)
    return np.take_along_axis(xy_TN2, last_TN[..., None], axis=0)


def inside(xy_N2: Float, size_wh: tuple[int, int]) -> Bool:
    """Which positions lie in a picture; of TN2, too."""
    return np.asarray(((xy_N2 >= 0) & (xy_N2 < size_wh)).all(axis=-1))
