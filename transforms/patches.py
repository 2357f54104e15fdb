"""Small squares of a picture around points, and how alike two of them are. Letters: N points, S side of a square."""

import cv2
import numpy as np
import numpy.typing as npt

from schemas.flow import Float

Gray = npt.NDArray[np.uint8]
Patches = npt.NDArray[np.float32]

_SPREAD = 0.25
"""standard deviation of the weights of a square, in its sides"""
_ROWS_OF_A_CALL = 16384


def patches_at(gray_HW: Gray, xy_N2: Float, side: int, step_px: float = 1.0, turn_N22: Float | None = None) -> Patches:
    """NSS grey levels around each point, `step_px` apart; beyond the image its border goes on.

    `turn_N22` turns and stretches each square as the picture is turned and stretched there.
    """
    line_S = (np.arange(side, dtype=np.float32) - (side - 1) / 2) * step_px
    offset_SS2 = np.stack(np.meshgrid(line_S, line_S), axis=-1)
    if turn_N22 is not None:
        offset_SS2 = np.einsum("nij,abj->nabi", np.asarray(turn_N22, np.float32), offset_SS2)
    # OpenCV has pixel centres at whole numbers
    at_NSS2 = np.asarray(xy_N2, np.float32)[:, None, None] - np.float32(0.5) + offset_SS2
    at_FS2 = np.ascontiguousarray(at_NSS2.reshape(-1, side, 2), np.float32)
    patches_FS = np.empty(at_FS2.shape[:2], np.float32)
    for first in range(0, len(at_FS2), _ROWS_OF_A_CALL):  # remap takes at most 32767 rows
        rows = slice(first, first + _ROWS_OF_A_CALL)
        patches_FS[rows] = cv2.remap(gray_HW, at_FS2[rows], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return patches_FS.reshape(len(xy_N2), side, side)


def similarity(one_NSS: Patches, other_NSS: Patches, noise: float) -> npt.NDArray[np.float64]:
    """Correlation of each pair of patches, -1..1; blind to gain and offset. The middle counts most.

    `noise`: standard deviation of the noise in grey levels; it draws what hardly differs from flat towards 0.
    """
    weight_SS = _weights(one_NSS.shape[-1])
    one_NSS = one_NSS - np.einsum("...ab,ab->...", one_NSS, weight_SS)[..., None, None]
    other_NSS = other_NSS - np.einsum("...ab,ab->...", other_NSS, weight_SS)[..., None, None]
    weighted_NSS = one_NSS * weight_SS
    product_N = np.einsum("...ab,...ab->...", weighted_NSS, other_NSS)
    one_N = np.einsum("...ab,...ab->...", weighted_NSS, one_NSS) + noise**2
    other_N = np.einsum("...ab,ab->...", np.square(other_NSS), weight_SS) + noise**2
    return np.asarray(product_N / np.sqrt(np.maximum(one_N * other_N, 1e-12)), np.float64)


def weighted_rms(patches_NSS: Patches) -> npt.NDArray[np.float64]:
    """Root mean square of each patch; the middle counts most."""
    return np.asarray(
        np.sqrt(np.einsum("nab,ab->n", np.square(patches_NSS), _weights(patches_NSS.shape[-1]))), np.float64
    )


def _weights(side: int) -> npt.NDArray[np.float32]:
    away_S = (np.arange(side) - (side - 1) / 2) / side
    weight_S = np.exp(-np.square(away_S / _SPREAD) / 2)
    weight_SS = np.outer(weight_S, weight_S)
    return np.asarray(weight_SS / weight_SS.sum(), np.float32)
