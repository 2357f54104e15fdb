"""Where tracking starts. Letters: N points."""

import numpy as np
import numpy.typing as npt


def grid_points(size_wh: tuple[int, int], grid: int) -> npt.NDArray[np.float32]:
    """Middles of the grid x grid cells of an image as points_N2, row by row, in pixels (paper, section 4.2)."""
    width, height = size_wh
    middles = (np.arange(grid) + 0.5) / grid
    x, y = np.meshgrid(middles * width, middles * height)
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
