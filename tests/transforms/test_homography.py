import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.flow import CameraMotion, Rejected
from tests.scenes import fake_tracks, make_scene
from transforms.homography import estimate_camera, identity_motion, warp
from transforms.points import grid_points
from transforms.trackers.lucas_kanade import track_lucas_kanade

SIZE_WH = (320, 240)
ARGS = {"max_residual": 0.004, "min_inlier_ratio": 0.4, "static_below": 0.004}
POINTS = grid_points(SIZE_WH, 10).astype(np.float64)


def _shifted(shifts_T2):
    return POINTS + np.array(shifts_T2, np.float64)[:, None]


@pytest.mark.parametrize("n_frames", [0, 1, 5])
def test_identity_motion(n_frames):
    camera = identity_motion(n_frames)
    assert (camera.moving, camera.model, camera.residual_px) == (False, "none", 0.0)
    np.testing.assert_array_equal(camera.homographies_T33, np.broadcast_to(np.eye(3), (n_frames, 3, 3)))
    np.testing.assert_array_equal(camera.inlier_ratio_T, np.ones(n_frames))


@pytest.mark.parametrize(
    ("homography_33", "xy", "mapped"),
    [
        (np.eye(3), (3, 4), (3, 4)),
        ([(1, 0, 5), (0, 1, -2), (0, 0, 1)], (3, 4), (8, 2)),
        ([(2, 0, 0), (0, 2, 0), (0, 0, 2)], (3, 4), (3, 4)),
        ([(1, 0, 0), (0, 1, 0), (0.1, 0, 1)], (10, 4), (5, 2)),
    ],
)
def test_warp(homography_33, xy, mapped):
    out = warp(np.array([homography_33], float), np.array([[xy]], np.float32))
    assert out.dtype == np.float64
    np.testing.assert_allclose(out, [[mapped]])


def test_warp_of_nothing():
    assert warp(np.zeros((0, 3, 3)), np.zeros((0, 4, 2))).shape == (0, 4, 2)
    assert warp(np.tile(np.eye(3), (2, 1, 1)), np.zeros((2, 0, 2))).shape == (2, 0, 2)


@given(
    st.lists(st.floats(-0.3, 0.3), min_size=4, max_size=4),
    st.lists(st.floats(-100, 100), min_size=2, max_size=2),
    st.lists(st.floats(-5e-4, 5e-4), min_size=2, max_size=2),
)
def test_warp_then_its_inverse_is_identity(linear, shift, tilt):
    homography_33 = np.eye(3)
    homography_33[:2, :2] += np.reshape(linear, (2, 2))
    homography_33[:2, 2] = shift
    homography_33[2, :2] = tilt
    there = warp(homography_33[None], POINTS[None])
    back = warp(np.linalg.inv(homography_33)[None], there)
    np.testing.assert_allclose(back, POINTS[None], atol=1e-5)


@pytest.mark.parametrize("n_frames", [1, 2])
def test_clips_too_short_to_show_motion_have_a_still_camera(n_frames):
    camera = estimate_camera(fake_tracks(_shifted([(0, 0)] * n_frames)), SIZE_WH, **ARGS)
    assert isinstance(camera, CameraMotion)
    assert not camera.moving
    assert camera.homographies_T33.shape == (n_frames, 3, 3)


@pytest.mark.parametrize(
    ("shift_px", "moving"),
    [(0.0, False), (1.5, False), (1.7, True), (40.0, True)],  # static_below is 1.6 px here
)
def test_the_camera_moves_where_a_corner_does(shift_px, moving):
    camera = estimate_camera(fake_tracks(_shifted([(0, 0), (shift_px, 0), (0, 0)])), SIZE_WH, **ARGS)
    assert isinstance(camera, CameraMotion)
    assert (camera.moving, camera.model) == (moving, "homography" if moving else "none")
    expected_T33 = np.tile(np.eye(3), (3, 1, 1))
    expected_T33[1, 0, 2] = -shift_px if moving else 0.0
    np.testing.assert_allclose(camera.homographies_T33, expected_T33, atol=1e-3)


def test_too_few_points_are_a_rejection_with_its_numbers():
    rejected = estimate_camera(fake_tracks(_shifted([(0, 0), (1, 1)])[:, :7]), SIZE_WH, **ARGS)
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.value, rejected.threshold) == ("too_few_points", 7, 8)


def test_no_points_at_all_are_a_rejection():
    assert isinstance(estimate_camera(fake_tracks(np.zeros((3, 0, 2))), SIZE_WH, **ARGS), Rejected)


@pytest.mark.parametrize(
    "seen_N2",
    [
        pytest.param(POINTS * (-1, 1) + (320, 0), id="mirrored"),
        pytest.param(np.full_like(POINTS, 100.0), id="all in one place"),
        pytest.param(np.random.default_rng(0).uniform(0, 240, POINTS.shape), id="noise"),
        pytest.param(POINTS * (1, 0) + (0, 120), id="on one line"),
    ],
)
def test_what_no_camera_sees_is_rejected(seen_N2):
    rejected = estimate_camera(fake_tracks(np.stack([POINTS, seen_N2])), SIZE_WH, **ARGS)
    assert isinstance(rejected, Rejected)
    assert rejected.value < rejected.threshold


def test_a_frame_without_points_rejects_the_clip_instead_of_being_skipped():
    """MAGMA.md 2.7, 2: a frame whose fit failed was dropped, and the track went out of step with its visibility."""
    visible_TN = np.ones((5, 100), bool)
    visible_TN[2] = False
    tracks = fake_tracks(_shifted([(t, 0) for t in range(5)]), visible_TN)
    assert isinstance(estimate_camera(tracks, SIZE_WH, **ARGS), Rejected)


def test_the_worst_frame_decides():
    """MAGMA.md 2.7, 3: the share of points that agree was never looked at."""
    xy_TN2 = _shifted([(0, 0), (3, 0), (6, 0)])
    xy_TN2[1, 35:] += np.random.default_rng(0).uniform(10, 60, (65, 2))
    rejected = estimate_camera(fake_tracks(xy_TN2), SIZE_WH, **ARGS)
    assert isinstance(rejected, Rejected)
    assert rejected.value == pytest.approx(0.35, abs=0.02)
    assert isinstance(estimate_camera(fake_tracks(xy_TN2), SIZE_WH, **(ARGS | {"min_inlier_ratio": 0.3})), CameraMotion)


def test_hidden_and_moving_points_do_not_bend_the_fit():
    """MAGMA.md 2.7, 3: occluded points and the moving foreground took part in the fit."""
    xy_TN2 = _shifted([(0, 0), (3, 2), (6, 4)])
    xy_TN2[1:, :40] = 7.0
    xy_TN2[1, 40:60] += (12, 5)
    xy_TN2[2, 40:60] += (24, 10)
    visible_TN = np.ones((3, 100), bool)
    visible_TN[1:, :40] = False
    camera = estimate_camera(fake_tracks(xy_TN2, visible_TN), SIZE_WH, **ARGS)
    assert isinstance(camera, CameraMotion)
    np.testing.assert_allclose(camera.inlier_ratio_T, [1, 40 / 60, 40 / 60])
    np.testing.assert_allclose(warp(camera.homographies_T33, xy_TN2)[:, 60:], xy_TN2[[0, 0, 0], 60:], atol=1e-3)


@pytest.mark.parametrize("scale", [0.5, 4.0])
def test_the_verdict_survives_a_change_of_resolution(scale):
    """MAGMA.md 2.7, 3: the threshold was 4 px at any size."""
    xy_TN2 = _shifted([(0, 0), (3, 1), (6, 2)]) + np.random.default_rng(0).normal(0, 0.5, (3, 100, 2))
    size_wh = (round(SIZE_WH[0] * scale), round(SIZE_WH[1] * scale))
    small = estimate_camera(fake_tracks(xy_TN2), SIZE_WH, **ARGS)
    large = estimate_camera(fake_tracks(xy_TN2 * scale), size_wh, **ARGS)
    assert isinstance(small, CameraMotion)
    assert isinstance(large, CameraMotion)
    np.testing.assert_allclose(large.inlier_ratio_T, small.inlier_ratio_T, atol=0.01)
    assert large.residual_px == pytest.approx(scale * small.residual_px, rel=0.01)


def test_outliers_do_not_cost_exactness():
    """OpenCV's MAGSAC with the limit as it is (1.6 px) is off by 0.3 px here; see `_FIT_LIMIT`."""
    rng = np.random.default_rng(0)
    xy_TN2 = _shifted([(0, 0)] + [(6, 3)] * 12)
    noise_TN2 = rng.normal(0, 0.1, xy_TN2.shape)
    outlier_TN = rng.random(xy_TN2.shape[:2]) < 0.3
    noise_TN2[outlier_TN] += rng.uniform(-40, 40, (outlier_TN.sum(), 2))
    noise_TN2[0] = 0
    camera = estimate_camera(fake_tracks(xy_TN2 + noise_TN2), SIZE_WH, **ARGS)
    assert isinstance(camera, CameraMotion)
    worst_T = np.abs(warp(camera.homographies_T33, xy_TN2) - POINTS).max(axis=(1, 2))
    assert np.median(worst_T[1:]) < 0.15  # measured: 0.07


def test_same_tracks_same_homographies():
    tracks = fake_tracks(_shifted([(0, 0), (9, 4)]) + np.random.default_rng(1).normal(0, 2, (2, 100, 2)))
    arguments = {**ARGS, "min_inlier_ratio": 0.0}
    first, second = (estimate_camera(tracks, SIZE_WH, **arguments) for _ in range(2))
    assert isinstance(first, CameraMotion)
    assert isinstance(second, CameraMotion)
    np.testing.assert_array_equal(first.homographies_T33, second.homographies_T33)


@pytest.mark.parametrize(
    "options",
    [
        {"objects": 0, "pan_px_per_frame": (5, -2)},
        {"objects": 2},
        {"objects": 1, "zoom_per_frame": 0.99, "roll_deg_per_frame": 0.5},
        {"objects": 2, "pan_px_per_frame": (0, 0)},
    ],
)
def test_the_camera_of_a_synthetic_scene_is_found(options):
    scene = make_scene(**options)
    points_N2 = grid_points(scene.clip.size_wh, 15)
    tracks = track_lucas_kanade(scene.clip, points_N2, window=0.033, levels=4, max_forward_backward=0.0025)
    camera = estimate_camera(tracks, scene.clip.size_wh, **ARGS)
    assert isinstance(camera, CameraMotion)
    assert camera.moving == scene.moving
    everywhere_TN2 = np.broadcast_to(points_N2, (17, len(points_N2), 2))
    error_TN2 = warp(camera.homographies_T33, everywhere_TN2) - warp(scene.homographies_T33, everywhere_TN2)
    assert np.abs(error_TN2).max() < 1.0  # measured over 32 scenes: at most 0.47 px
