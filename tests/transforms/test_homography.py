import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.homography import corners_and_middle, fit_homographies, is_sane, warp
from transforms.points import grid_points

SIZE_WH = (320, 240)  # a diagonal of 400 px
POINTS_N2 = grid_points(SIZE_WH, 10).astype(np.float64)
UNIT_N2 = (POINTS_N2 - (160, 120)) / 400
"""as `fit_homographies` wants them: of the order of 1 around 0"""

linears = st.lists(st.floats(-0.3, 0.3), min_size=4, max_size=4)
pairs = st.lists(st.floats(-1, 1), min_size=2, max_size=2)


def homography(linear, shift, tilt):
    homography_33 = np.eye(3)
    homography_33[:2, :2] += np.reshape(linear, (2, 2))
    homography_33[:2, 2] = shift
    homography_33[2, :2] = tilt
    return homography_33


def random_homographies(n, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack(
        [homography(rng.uniform(-0.3, 0.3, 4), rng.uniform(-1, 1, 2), rng.uniform(-0.6, 0.6, 2)) for _ in range(n)]
    )


@pytest.mark.parametrize(
    ("homography_33", "xy", "mapped"),
    [
        (np.eye(3), (3, 4), (3, 4)),
        ([(1, 0, 5), (0, 1, -2), (0, 0, 1)], (3, 4), (8, 2)),
        ([(2, 0, 0), (0, 2, 0), (0, 0, 2)], (3, 4), (3, 4)),
        ([(1, 2, 0), (3, 4, 0), (0, 0, 1)], (10, 100), (210, 430)),
        ([(1, 0, 0), (0, 1, 0), (0.1, 0, 1)], (10, 4), (5, 2)),
    ],
)
def test_warp(homography_33, xy, mapped):
    out = warp(np.array([homography_33], float), np.array([[xy]], np.float32))
    assert out.dtype == np.float64
    np.testing.assert_allclose(out, [[mapped]])


def test_each_frame_has_its_own_homography():
    homographies_T33 = random_homographies(5)
    xy_TN2 = np.random.default_rng(0).normal(0, 0.5, (5, 7, 2))
    expected = [cv2.perspectiveTransform(xy_TN2[t][None], homographies_T33[t])[0] for t in range(5)]
    np.testing.assert_allclose(warp(homographies_T33, xy_TN2), expected)


def test_warp_of_nothing():
    assert warp(np.zeros((0, 3, 3)), np.zeros((0, 4, 2))).shape == (0, 4, 2)
    assert warp(np.tile(np.eye(3), (2, 1, 1)), np.zeros((2, 0, 2))).shape == (2, 0, 2)


@given(linears, pairs, pairs)
def test_warp_then_its_inverse_is_identity(linear, shift, tilt):
    homography_33 = homography(linear, np.multiply(shift, 100), np.multiply(tilt, 5e-4))
    there = warp(homography_33[None], POINTS_N2[None])
    back = warp(np.linalg.inv(homography_33)[None], there)
    np.testing.assert_allclose(back, POINTS_N2[None], atol=1e-5)


@given(linears, pairs, pairs)
def test_exact_points_give_their_homography(linear, shift, tilt):
    homography_133 = homography(linear, shift, np.multiply(tilt, 0.6))[None]
    to_1N2 = warp(homography_133, UNIT_N2[None])
    fitted_133 = fit_homographies(UNIT_N2[None], to_1N2, np.ones((1, 100)))
    np.testing.assert_allclose(fitted_133, homography_133, atol=2e-6)


def test_four_points_are_enough_and_frames_are_fitted_each_for_itself():
    homographies_T33 = random_homographies(6)
    from_TN2 = np.broadcast_to(UNIT_N2[[0, 9, 90, 99]], (6, 4, 2))
    fitted_T33 = fit_homographies(from_TN2, warp(homographies_T33, from_TN2), np.ones((6, 4)))
    np.testing.assert_allclose(fitted_T33, homographies_T33, atol=5e-5)


def test_outliers_of_weight_zero_do_not_matter():
    rng = np.random.default_rng(0)
    homographies_T33 = random_homographies(4)
    from_TN2 = np.broadcast_to(UNIT_N2, (4, 100, 2))
    bad_TN = rng.random((4, 100)) < 0.6
    to_TN2 = warp(homographies_T33, from_TN2) + bad_TN[..., None] * rng.normal(0, 5, (4, 100, 2))
    fitted_T33 = fit_homographies(from_TN2, to_TN2, np.where(bad_TN, 0.0, 1.0))
    np.testing.assert_allclose(fitted_T33, homographies_T33, atol=1e-5)
    # and they would with the least of a weight
    assert np.abs(fit_homographies(from_TN2, to_TN2, np.where(bad_TN, 0.05, 1.0)) - homographies_T33).max() > 1e-2


def test_a_weight_counts_like_as_many_points():
    rng = np.random.default_rng(0)
    count_N = rng.integers(0, 4, 100)
    to_N2 = UNIT_N2 + rng.normal(0, 0.02, UNIT_N2.shape)
    weighted = fit_homographies(UNIT_N2[None], to_N2[None], count_N[None].astype(float))
    from_M2, to_M2 = np.repeat(UNIT_N2, count_N, axis=0), np.repeat(to_N2, count_N, axis=0)
    np.testing.assert_allclose(weighted, fit_homographies(from_M2[None], to_M2[None], np.ones((1, len(to_M2)))))


def test_errors_are_geometric():
    """As small as those of OpenCV's fit, which minimises them, though depths differ by a factor of four."""
    homography_33 = homography((0, 0, 0, 0), (0, 0), (1.6, 0))
    to_N2 = warp(homography_33[None], UNIT_N2[None])[0] + np.random.default_rng(0).normal(0, 0.003, UNIT_N2.shape)
    errors = [
        np.linalg.norm(warp(fitted_133, UNIT_N2[None])[0] - to_N2)
        for fitted_133 in (
            fit_homographies(UNIT_N2[None], to_N2[None], np.ones((1, 100))),
            cv2.findHomography(UNIT_N2, to_N2, 0)[0][None],
        )
    ]
    assert errors[0] < 1.0005 * errors[1]  # linear least squares, weighted once: 1.005


@pytest.mark.parametrize(
    "from_N2",
    [
        np.zeros((0, 2)),
        UNIT_N2[:1],
        UNIT_N2[[3, 60]],
        UNIT_N2[[3, 60, 99]],
        pytest.param(UNIT_N2[:10], id="on one line"),
        pytest.param(UNIT_N2[[5] * 8], id="all in one place"),
    ],
)
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_what_too_few_points_leave_open_is_finite(from_N2, weight):
    to_N2 = 1.1 * from_N2 + (0.1, 0.2)
    fitted_133 = fit_homographies(from_N2[None], to_N2[None], np.full((1, len(from_N2)), weight))
    assert fitted_133.shape == (1, 3, 3)
    assert np.isfinite(fitted_133).all()
    assert fitted_133[0, 2, 2] == 1


def test_no_frames_have_no_homographies():
    assert fit_homographies(np.zeros((0, 5, 2)), np.zeros((0, 5, 2)), np.zeros((0, 5))).shape == (0, 3, 3)


def _about_middle(linear_22):
    homography_33 = np.eye(3)
    homography_33[:2, :2] = linear_22
    homography_33[:2, 2] = (160, 120) - np.array(linear_22, float) @ (160, 120)
    return homography_33


@pytest.mark.parametrize(
    ("homography_33", "sane"),
    [
        pytest.param(np.eye(3), True, id="identity"),
        pytest.param(_about_middle([(0, -1), (1, 0)]), True, id="a quarter turn"),
        pytest.param(_about_middle([(-1, 0), (0, -1)]), True, id="upside down"),
        pytest.param(_about_middle([(0.1, 0), (0, 0.1)]), True, id="a tenth of the size"),
        pytest.param(_about_middle([(4.9, 0), (0, 4.9)]), True, id="corners 1.95 diagonals away"),
        pytest.param(_about_middle([(5.1, 0), (0, 5.1)]), False, id="corners 2.05 diagonals away"),
        pytest.param(np.array([(1, 0, 790), (0, 1, 0), (0, 0, 1)]), True, id="shifted by 1.98 diagonals"),
        pytest.param(np.array([(1, 0, 0), (0, 1, -810), (0, 0, 1)]), False, id="shifted by 2.03 diagonals"),
        pytest.param(_about_middle([(-1, 0), (0, 1)]), False, id="mirrored"),
        pytest.param(_about_middle([(0, 1), (1, 0)]), False, id="transposed"),
        pytest.param(_about_middle([(1, 0), (0, 0)]), False, id="flattened to a line"),
        pytest.param(np.array([(1, 0, 0), (0, 1, 0), (-0.002, 0, 1)]), True, id="right side 2.8 times nearer"),
        pytest.param(np.array([(1, 0, 0), (0, 1, 0), (-1 / 319, 0, 1)]), False, id="right side behind the camera"),
        pytest.param(np.array([(1, 0, 0), (0, 1, 0), (0, -1 / 240, 1)]), False, id="bottom infinitely far"),
        pytest.param(-np.eye(3), False, id="all behind the camera"),
        pytest.param(np.full((3, 3), np.nan), False, id="nan"),
    ],
)
@pytest.mark.parametrize("scale", [1, 3])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_is_sane(homography_33, sane, scale):
    resize_33 = np.diag((scale, scale, 1.0))
    resized_33 = resize_33 @ homography_33 @ np.linalg.inv(resize_33)
    assert is_sane(resized_33, (scale * SIZE_WH[0], scale * SIZE_WH[1])) == sane


def test_corners_and_middle():
    assert corners_and_middle((4, 2)).tolist() == [[0, 0], [4, 0], [0, 2], [4, 2], [2, 1]]
