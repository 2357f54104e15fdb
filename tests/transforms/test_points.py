import numpy as np
import pytest

from tests.scenes import make_scene
from transforms.points import grid_points, texture_map, texture_of, textured_points

REACH = 0.4
"""how far a point may lie from the middle of its cell, in cells"""


def flat_frame(size_wh, level=120):
    return np.full((size_wh[1], size_wh[0], 3), level, np.uint8)


def noisy_frame(size_wh, seed=0):
    noise_HW1 = np.random.default_rng(seed).integers(0, 256, (size_wh[1], size_wh[0], 1), dtype=np.uint8)
    return np.repeat(noise_HW1, 3, axis=2)


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


@pytest.mark.parametrize(
    ("size_wh", "grid"), [((150, 90), 0), ((150, 90), 1), ((150, 90), 2), ((1, 1), 3), ((7, 5), 10), ((321, 97), 15)]
)
def test_textured_points_stay_in_their_cells_and_apart(size_wh, grid):
    for frame_HW3 in (flat_frame(size_wh), noisy_frame(size_wh), make_scene(1, (64, 48)).clip.frames_THW3[0]):
        height, width = frame_HW3.shape[:2]
        middles_N2, cell_2 = grid_points((width, height), grid), np.array([width, height]) / max(grid, 1)
        points_N2 = textured_points(frame_HW3, grid)
        assert points_N2.dtype == np.float32
        assert points_N2.shape == (grid**2, 2)
        assert (np.abs(points_N2 - middles_N2) <= REACH * cell_2 + 1e-3).all()
        apart_NN = (np.abs(points_N2[:, None] - points_N2[None]) / cell_2).max(axis=-1)
        assert (apart_NN[~np.eye(len(points_N2), dtype=bool)] >= 1 - 2 * REACH - 1e-3).all()


def test_without_texture_and_with_texture_everywhere_points_are_cell_middles():
    for frame_HW3 in (flat_frame((150, 90)), noisy_frame((150, 90))):
        np.testing.assert_array_equal(textured_points(frame_HW3, 10), grid_points((150, 90), 10))  # pixel centres
        off_N2 = textured_points(frame_HW3, 7) - grid_points((150, 90), 7)
        assert np.abs(off_N2).max() < 1  # no pixel's centre is in the middle


def test_points_prefer_texture_that_lies_within_their_reach():
    frame_HW3 = flat_frame((200, 200))
    noise_HW3 = noisy_frame((200, 200))
    spots = {0: (16, 14), 3: (182, 40), 13: (65, 190)}  # cell to the middle of its spot; cells of 50 px
    for x, y in spots.values():
        frame_HW3[y - 4 : y + 4, x - 4 : x + 4] = noise_HW3[y - 4 : y + 4, x - 4 : x + 4]
    frame_HW3[96:104, 96:104] = noise_HW3[96:104, 96:104]  # where four cells meet: out of reach of them all
    points_N2, middles_N2 = textured_points(frame_HW3, 4), grid_points((200, 200), 4)
    for n, spot_2 in spots.items():
        assert np.abs(points_N2[n] - spot_2).max() < 6
        assert texture_of(frame_HW3, points_N2)[n] > 10 * texture_of(frame_HW3, middles_N2)[n]
    others = np.setdiff1d(np.arange(16), list(spots))
    assert np.abs(points_N2 - middles_N2)[others].max() <= 0.5


def test_points_on_a_scene_have_more_texture_than_the_plain_grid():
    frame_HW3 = make_scene(1).clip.frames_THW3[0]
    plain_N = texture_of(frame_HW3, grid_points((320, 240), 15))
    chosen_N = texture_of(frame_HW3, textured_points(frame_HW3, 15))
    assert (chosen_N < 3).sum() < 0.5 * (plain_N < 3).sum()  # measured: 5 of 225 instead of 31
    assert chosen_N.mean() > plain_N.mean() - 0.5  # a place with enough is not left for one with more


def test_same_frame_same_points_and_the_frame_stays_as_it_is():
    frame_HW3 = make_scene(1).clip.frames_THW3[0]
    frame_HW3.setflags(write=False)
    assert textured_points(frame_HW3, 15).tobytes() == textured_points(frame_HW3.copy(), 15).tobytes()


@pytest.mark.parametrize("amplitude", [5, 20, 60])
def test_texture_is_in_grey_levels_per_pixel(amplitude):
    """Two crossed waves: the root mean square of the slope is a k / sqrt 2 in every direction."""
    k = 2 * np.pi / 21
    x, y = np.meshgrid(np.arange(1920), np.arange(1080))
    gray_HW = 128 + amplitude * (np.sin(k * x) + np.sin(k * y))
    texture_HW = texture_map(np.repeat(np.round(gray_HW)[..., None], 3, axis=2).astype(np.uint8))
    assert texture_HW.dtype == np.float32
    np.testing.assert_allclose(texture_HW[50:-50, 50:-50], amplitude * k / np.sqrt(2), rtol=0.15)


def test_one_direction_is_no_texture_two_are():
    x, y = np.meshgrid(np.arange(160), np.arange(120))
    pictures = {
        "ramp": x + y / 2,
        "edges": 255 * (x // 8 % 2),
        "checkers": 255 * ((x // 8 + y // 8) % 2),
        "flat": np.full_like(x, 77),
    }
    middle = {
        name: texture_map(np.repeat(gray_HW[..., None], 3, axis=2).astype(np.uint8))[10:-10, 10:-10]
        for name, gray_HW in pictures.items()
    }
    assert middle["flat"].max() == 0
    assert middle["ramp"].max() < 0.1
    assert middle["edges"].max() < 0.1
    corners = middle["checkers"][5::8, 5::8]  # pixels 15, 23, ... beside the corners of the squares
    assert corners.min() > 20


def test_texture_of_points_is_that_of_their_pixels_and_of_the_nearest_one_outside():
    frame_HW3 = noisy_frame((30, 20))
    texture_HW = texture_map(frame_HW3)
    xy_N2 = np.array([(0.1, 0.9), (29.9, 0.5), (7.0, 12.99), (-50, 3.5), (400, 300)], np.float32)
    expected_N = texture_HW[[0, 0, 12, 3, 19], [0, 29, 7, 0, 29]]
    np.testing.assert_array_equal(texture_of(frame_HW3, xy_N2), expected_N)
    assert texture_of(frame_HW3, np.zeros((0, 2))).shape == (0,)
