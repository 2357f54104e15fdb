"""Homographies: applied, fitted to points, checked. Letters: T frames, N points."""

import numpy as np
import numpy.typing as npt

from schemas.flow import Float

_MAX_CORNER_SHIFT = 2.0
"""a corner of the image that moves by more diagonals than this is a bad fit, not a camera"""
_REWEIGHTS = 2


def warp(homographies_T33: Float, xy_TN2: Float) -> npt.NDArray[np.float64]:
    """Maps the points of each frame through that frame's homography."""
    xy_TN2 = np.asarray(xy_TN2, np.float64)
    rotated_TN2 = xy_TN2 @ np.swapaxes(homographies_T33[..., :2, :2], -1, -2) + homographies_T33[..., None, :2, 2]
    depth_TN = xy_TN2 @ homographies_T33[..., 2, :2, None] + homographies_T33[..., 2, 2, None, None]
    return np.asarray(rotated_TN2 / depth_TN, dtype=np.float64)


def fit_homographies(from_TN2: Float, to_TN2: Float, weight_TN: Float) -> npt.NDArray[np.float64]:
    """The homography of each frame that maps `from` to `to` with the least weighted squares, T33 (33 element: 1).

    Linear least squares, weighted anew by depth so that errors are geometric. Coordinates must be of the order of 1
    around 0. What fewer than four points in general position leave open is not meaningful, but finite.
    """
    x, y = np.moveaxis(np.asarray(from_TN2, np.float64), -1, 0)
    u, v = np.moveaxis(np.asarray(to_TN2, np.float64), -1, 0)
    zero, one = np.zeros_like(x), np.ones_like(x)
    rows_TM8 = np.concatenate(
        [
            np.stack([x, y, one, zero, zero, zero, -u * x, -u * y], axis=-1),
            np.stack([zero, zero, zero, x, y, one, -v * x, -v * y], axis=-1),
        ],
        axis=1,
    )
    wanted_TM = np.concatenate([u, v], axis=1)
    depth_TN = one
    for _ in range(_REWEIGHTS):
        weight_TM = np.tile(weight_TN / np.square(depth_TN), (1, 2))
        weighted_T8M = np.swapaxes(rows_TM8 * weight_TM[..., None], 1, 2)
        normal_T88 = weighted_T8M @ rows_TM8 + 1e-9 * np.eye(8)
        solved_T8 = np.linalg.solve(normal_T88, weighted_T8M @ wanted_TM[..., None])[..., 0]
        homographies_T33 = np.concatenate([solved_T8, np.ones((len(x), 1))], axis=1).reshape(-1, 3, 3)
        depth_TN = np.maximum(homographies_T33[:, 2, 0, None] * x + homographies_T33[:, 2, 1, None] * y + 1, 0.1)
    return homographies_T33


def is_sane(homography_33: Float, size_wh: tuple[int, int]) -> bool:
    """Whether a camera can see this: no part of the image behind it, no flip, no corner absurdly far away."""
    depth_5 = np.c_[corners_and_middle(size_wh), np.ones(5)] @ homography_33[2]
    if (depth_5 <= 0).any():
        return False
    # With depth above 0, the map keeps its orientation exactly where the determinant of the whole matrix is above 0.
    if np.linalg.det(homography_33) <= 0:
        return False
    xy_52 = corners_and_middle(size_wh)
    shift_5 = np.linalg.norm(warp(homography_33[None], xy_52[None])[0] - xy_52, axis=-1)
    return bool(shift_5.max() <= _MAX_CORNER_SHIFT * np.hypot(*size_wh))


def corners_and_middle(size_wh: tuple[int, int]) -> npt.NDArray[np.float64]:
    width, height = size_wh
    return np.array([(0, 0), (width, 0), (0, height), (width, height), (width / 2, height / 2)], dtype=np.float64)
