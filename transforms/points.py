"""Where tracking starts, and how well a point can be tracked. Letters: N points, H height, W width."""

import cv2
import numpy as np
import numpy.typing as npt

from schemas.flow import Float

_TEXTURE_WINDOW = 0.009
"""side of the square over which texture is judged, in diagonals"""
_ENOUGH = 3.0
"""texture, in grey levels per pixel, beyond which a place is tracked no better"""
_ROOM = 0.4
"""how far a point may lie from the middle of its cell, in cells; less than half, so that points stay apart"""
_PULL = 0.5
"""what a place at the end of that room loses of its texture"""


def grid_points(size_wh: tuple[int, int], grid: int) -> npt.NDArray[np.float32]:
    """Middles of the grid x grid cells of an image as points_N2, row by row, in pixels (paper, section 4.2)."""
    width, height = size_wh
    middles = (np.arange(grid) + 0.5) / grid
    x, y = np.meshgrid(middles * width, middles * height)
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)


def middle_points(frame_HW3: npt.NDArray[np.uint8], grid: int) -> npt.NDArray[np.float32]:
    """`grid_points` of a frame."""
    return grid_points((frame_HW3.shape[1], frame_HW3.shape[0]), grid)


def textured_points(frame_HW3: npt.NDArray[np.uint8], grid: int) -> npt.NDArray[np.float32]:
    """The same cells, but in each a place with enough texture to be tracked, as near to its middle as there is one."""
    texture_HW = np.minimum(texture_map(frame_HW3) / _ENOUGH, 1)
    height, width = texture_HW.shape
    points_N2 = grid_points((width, height), grid)
    reach_x, reach_y = _ROOM * width / max(grid, 1), _ROOM * height / max(grid, 1)
    for n, (x, y) in enumerate(points_N2.tolist()):
        columns = np.arange(int(np.ceil(x - reach_x - 0.5)), int(np.floor(x + reach_x - 0.5)) + 1)
        rows = np.arange(int(np.ceil(y - reach_y - 0.5)), int(np.floor(y + reach_y - 0.5)) + 1)
        if len(columns) == 0 or len(rows) == 0:
            continue
        away_x, away_y = np.abs(columns + 0.5 - x) / reach_x, np.abs(rows + 0.5 - y) / reach_y
        away_RC = np.maximum(away_y[:, None], away_x[None])
        score_RC = texture_HW[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] - _PULL * away_RC
        row, column = divmod(int(score_RC.argmax()), len(columns))
        points_N2[n] = columns[column] + 0.5, rows[row] + 0.5
    return points_N2


def texture_map(frame_HW3: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Texture around every pixel, HW: grey levels per pixel in the direction of least change (Shi and Tomasi)."""
    gray_HW = cv2.cvtColor(frame_HW3, cv2.COLOR_RGB2GRAY)
    side_px = max(3, round(_TEXTURE_WINDOW * float(np.hypot(*gray_HW.shape))) | 1)
    # OpenCV's least eigenvalue is that of gradients in units of 255 grey levels, doubled.
    least_HW = cv2.cornerMinEigenVal(gray_HW, side_px, ksize=3)
    return np.asarray(127.5 * np.sqrt(np.maximum(least_HW, 0)), np.float32)


def texture_of(frame_HW3: npt.NDArray[np.uint8], xy_N2: Float) -> npt.NDArray[np.float32]:
    """`texture_map` at points in pixels; that of the nearest pixel for points outside."""
    texture_HW = texture_map(frame_HW3)
    height, width = texture_HW.shape
    column_N, row_N = np.floor(xy_N2).astype(int).T
    return np.asarray(texture_HW[row_N.clip(0, height - 1), column_N.clip(0, width - 1)], np.float32)
