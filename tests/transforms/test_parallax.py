"""A pinhole camera looks at a plane and at a thing before or behind it. Letters: T frames, N points.

Lengths are distances from the first camera to the plane; noise keeps the views from being degenerate to the last digit.
"""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from schemas.config import MotionConfig
from schemas.flow import Motion, Rejected
from tests.scenes import fake_tracks, make_scene
from transforms import motion as motion_module
from transforms.camera import identity_motion
from transforms.homography import fit_homographies, warp
from transforms.motion import judge_motion
from transforms.parallax import like_depth
from transforms.points import grid_points

SIZE_WH = (320, 240)
LENS_33 = np.array([(352.0, 0, 160), (0, 352, 120), (0, 0, 1)])
"""focal length: 1.1 long sides"""
POINTS_N2 = grid_points(SIZE_WH, 15).astype(np.float64)
THING_N = ((POINTS_N2 >= (110, 70)) & (POINTS_N2 < (210, 170))).all(axis=1)
SHARE_T = np.arange(17) / 16
UNIT_33 = np.array([(1, 0, -160), (0, 1, -120), (0, 0, 400)]) / 400
ARGS = MotionConfig().model_dump(exclude={"min_moving_points"})


def turned(x=0.0, y=0.0, z=0.0):
    """Rotations (T33) that grow evenly up to these angles in radians."""
    return np.array([cv2.Rodrigues(np.array((x, y, z)) * share)[0] for share in SHARE_T])


def travelled(x=0.0, y=0.0, z=0.0):
    return SHARE_T[:, None] * np.array((x, y, z))


def view(turns_T33, places_T3, *, normal=(0, 0, 1), distance=1.0, own_T3=0.0, noise=0.1, seed=0):
    """Tracks and the plane's homographies, fitted to its points; the thing lies at `distance` planes along the rays."""
    rays_N3 = np.c_[POINTS_N2, np.ones(225)] @ np.linalg.inv(LENS_33).T
    normal_3 = np.array(normal) / np.linalg.norm(normal)
    world_N3 = rays_N3 * (normal_3[2] / (rays_N3 @ normal_3))[:, None] * np.where(THING_N, distance, 1.0)[:, None]
    world_TN3 = world_N3 + np.broadcast_to(own_T3, (17, 3))[:, None] * THING_N[:, None] - places_T3[:, None]
    seen_TN3 = world_TN3 @ np.swapaxes(turns_T33, 1, 2) @ LENS_33.T
    assert (seen_TN3[..., 2] > 0).all()
    noise_TN2 = np.random.default_rng(seed).normal(0, noise, (17, 225, 2)) * (SHARE_T > 0)[:, None, None]
    xy_TN2 = seen_TN3[..., :2] / seen_TN3[..., 2:] + noise_TN2
    visible_TN = ((xy_TN2 >= 0) & (xy_TN2 < SIZE_WH)).all(axis=-1)
    unit_TN2 = (xy_TN2 - (160, 120)) / 400
    plane_TN = visible_TN * (~THING_N).astype(float)
    unit_T33 = fit_homographies(unit_TN2, np.broadcast_to(unit_TN2[0], unit_TN2.shape), plane_TN)
    homographies_T33 = np.linalg.inv(UNIT_33) @ unit_T33 @ UNIT_33
    return xy_TN2, visible_TN, homographies_T33 / homographies_T33[:, 2:, 2:]


def like(*args, **options):
    """Shares of the thing's points, and of the plane's, that are like depth. The thing moves by 7 px and more."""
    xy_TN2, visible_TN, homographies_T33 = view(*args, **options)
    steady_xy_TN2 = warp(homographies_T33, xy_TN2)
    away_TN = np.linalg.norm(steady_xy_TN2 - POINTS_N2, axis=-1) * visible_TN
    assert away_TN[:, THING_N].max() > 7
    like_N = like_depth(steady_xy_TN2, visible_TN, homographies_T33, SIZE_WH)
    return like_N[THING_N].mean(), like_N[~THING_N].mean()


STRAIGHT = turned()
SHAKEN = turned(z=0.05) @ np.array([cv2.Rodrigues(np.array((0.02, 0.03, 0)) * np.sin(8 * s))[0] for s in SHARE_T])
PLANES = pytest.mark.parametrize("normal", [(0, 0, 1), (0, 0.3, 1), (0.5, 0, 1)])
DISTANCES = pytest.mark.parametrize("distance", [0.5, 0.7, 1.5, 3.0])


@PLANES
@DISTANCES
@pytest.mark.parametrize("place", [(0.16, 0, 0), (0, -0.12, 0), (0.1, 0.08, 0), (0.12, 0, 0.06)])
@pytest.mark.parametrize("turns", ["straight", "shaken"])
def test_a_thing_at_another_depth_under_a_sliding_camera(turns, place, distance, normal):
    turns_T33 = {"straight": STRAIGHT, "shaken": SHAKEN}[turns]
    on_thing, on_plane = like(turns_T33, travelled(*place), normal=normal, distance=distance)
    assert on_thing > 0.9
    assert on_plane < 0.03


@PLANES
@pytest.mark.parametrize("distance", [0.5, 0.8])
@pytest.mark.parametrize("angle", [0.2, -0.35])
def test_a_thing_that_stands_on_what_the_camera_orbits(angle, distance, normal):
    angles_T = angle * SHARE_T
    turns_T33, places_T3 = turned(y=angle), np.stack([np.sin(angles_T), 0 * angles_T, 1 - np.cos(angles_T)], axis=1)
    middle_T3 = np.einsum("tij,tj->ti", turns_T33, (0, 0, 1) - places_T3)
    np.testing.assert_allclose(middle_T3, np.tile((0, 0, 1.0), (17, 1)), atol=1e-9)  # stays in the middle
    on_thing, on_plane = like(turns_T33, places_T3, normal=normal, distance=distance)
    assert on_thing > 0.9
    assert on_plane < 0.03


TURNS = {"pan": turned(y=0.15), "tilt": turned(x=0.12), "roll": turned(z=0.2), "all": turned(0.05, 0.12, 0.1)}
OWN = {"right": (0.08, 0, 0), "up": (0, -0.08, 0), "aslant": (0.06, 0.06, 0)}


ALONG = {("pan", "right"), ("tilt", "up")}
"""no test of two views can tell"""


@pytest.mark.parametrize(("turn", "own"), [(turn, own) for turn in TURNS for own in OWN if (turn, own) not in ALONG])
def test_what_moves_under_a_camera_that_only_turns(turn, own):
    on_thing, on_plane = like(TURNS[turn], travelled(), own_T3=travelled(*OWN[own]))
    assert on_thing < 0.05
    assert on_plane < 0.03


@pytest.mark.parametrize(("late", "like_depth_"), [(False, 1.0), (True, 0.0)])
def test_what_moves_along_with_the_camera_but_at_its_own_times(late, like_depth_):
    times_T = np.maximum(SHARE_T - 0.5, 0) * 2 if late else SHARE_T
    own_T3 = times_T[:, None] * np.array((0.08, 0, 0))
    assert like(TURNS["pan"], travelled(), own_T3=own_T3)[0] == pytest.approx(like_depth_, abs=0.05)


@pytest.mark.parametrize(("place", "own"), [((0.16, 0, 0), "up"), ((0.16, 0, 0), "aslant"), ((0, 0.12, 0), "right")])
@pytest.mark.parametrize("turns", ["straight", "shaken"])
def test_what_moves_across_the_way_of_the_camera(turns, place, own):
    turns_T33 = {"straight": STRAIGHT, "shaken": SHAKEN}[turns]
    on_thing, on_plane = like(turns_T33, travelled(*place), own_T3=travelled(*OWN[own]))
    assert on_thing < 0.05
    assert on_plane < 0.03


@pytest.mark.parametrize(("closeness", "expected"), [(-0.95, 0), (-0.8, 1), (-0.3, 1), (1, 1), (2.9, 1), (3.2, 0)])
def test_only_depths_that_there_are(closeness, expected):
    """Closer than -1 lies nothing (it is behind infinity), and hardly anything at a quarter of the distance."""
    homographies_T33 = np.tile(np.eye(3), (9, 1, 1))
    homographies_T33[:, 0, 2] = np.arange(9) * 4.0
    path_T12 = np.arange(9)[:, None, None] * np.array((-4.0, 0.0))
    steady_xy_TN2 = POINTS_N2[:3] + path_T12 * np.array([closeness, closeness, 0])[:, None]
    like_N = like_depth(steady_xy_TN2, np.ones((9, 3), bool), homographies_T33, SIZE_WH)
    assert like_N.tolist() == [expected, expected, 0]


def test_where_a_hidden_point_is_said_to_be_does_not_matter():
    xy_TN2, visible_TN, homographies_T33 = view(STRAIGHT, travelled(0.16), distance=0.6)
    visible_TN = visible_TN & ((np.arange(17)[:, None] + np.arange(225)) % 4 > 0)
    visible_TN[0] = True
    steady_xy_TN2 = warp(homographies_T33, xy_TN2)
    garbage_TN2 = np.where(visible_TN[..., None], steady_xy_TN2, 1e4)
    like_N = like_depth(steady_xy_TN2, visible_TN, homographies_T33, SIZE_WH)
    np.testing.assert_array_equal(like_depth(garbage_TN2, visible_TN, homographies_T33, SIZE_WH), like_N)
    assert like_N[THING_N].mean() > 0.9


def test_the_verdict_survives_a_change_of_resolution():
    xy_TN2, visible_TN, homographies_T33 = view(SHAKEN, travelled(0.12, 0, 0.06), distance=0.6)
    double_33 = np.diag((2.0, 2.0, 1.0))
    large_T33 = double_33 @ homographies_T33 @ np.linalg.inv(double_33)
    small_N, large_N = (
        like_depth(scale * warp(homographies_T33, xy_TN2), visible_TN, h_T33, (320 * scale, 240 * scale))
        for scale, h_T33 in ((1, homographies_T33), (2, large_T33))
    )
    np.testing.assert_array_equal(small_N, large_N)


def test_no_points():
    none_TN2, nothing_TN = np.zeros((17, 0, 2)), np.zeros((17, 0), bool)
    assert like_depth(none_TN2, nothing_TN, np.tile(np.eye(3), (17, 1, 1)), SIZE_WH).shape == (0,)


def camera_of(scene):
    """The true one."""
    return replace(identity_motion(17), moving=True, model="homography", homographies_T33=scene.homographies_T33)


def judged(scene, camera, **changes):
    points_N2 = grid_points(SIZE_WH, 15)
    xy_TN2 = scene.tracks(points_N2)
    visible_TN = ((xy_TN2 >= 0) & (xy_TN2 < SIZE_WH)).all(axis=-1) & ~scene.covered(points_N2)
    return judge_motion(scene.clip, fake_tracks(xy_TN2, visible_TN), camera, **(ARGS | changes))


def test_what_depth_explains_neither_moves_nor_is_usable():
    """The box goes right, the camera left: it may as well stand nearer. Where that is much of the clip, it is left."""
    scene = make_scene(pan_px_per_frame=(-2.5, -0.5))
    box_N = scene.object_at(grid_points(SIZE_WH, 15)) >= 0
    motion = judged(scene, camera_of(scene))
    assert isinstance(motion, Motion)
    assert not motion.moving_N.any()
    assert not motion.usable_N[box_N].any()
    rejected = judged(scene, camera_of(scene), max_parallax=0.05)
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.threshold) == ("parallax", 0.05)
    assert rejected.value == pytest.approx(box_N.mean(), abs=0.03)


def test_under_a_camera_that_stands_still_depth_is_not_asked(monkeypatch):
    monkeypatch.setattr(motion_module, "like_depth", lambda *_: pytest.fail("asked"))
    scene = make_scene(pan_px_per_frame=(0, 0))
    box_N = scene.object_at(grid_points(SIZE_WH, 15)) >= 0
    motion = judged(scene, identity_motion(17), max_parallax=0.0)
    assert isinstance(motion, Motion)
    np.testing.assert_array_equal(motion.moving_N, box_N)
