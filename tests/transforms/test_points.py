import numpy as np
import pytest

from transforms.points import grid_points


@pytest.mark.parametrize(
    ("size_wh", "grid", "points"),
    [
        ((10, 6), 1, [(5, 3)]),
        ((8, 4), 2, [(2, 1), (6, 1), (2, 3), (6, 3)]),
        ((10, 6), 0, []),
    ],
)
def test_points_are_cell_middles_row_by_row(size_wh, grid, points):
    points_N2 = grid_points(size_wh, grid)
    assert points_N2.dtype == np.float32
    np.testing.assert_array_equal(points_N2, np.array(points, np.float32).reshape(-1, 2))


@pytest.mark.parametrize("grid", [2, 15, 128])
def test_points_lie_inside_and_are_symmetric(grid):
    points_N2 = grid_points((321, 97), grid)
    assert ((points_N2 > 0) & (points_N2 < (321, 97))).all()
    np.testing.assert_allclose(points_N2 + points_N2[::-1], np.broadcast_to((321, 97), points_N2.shape), rtol=1e-5)
