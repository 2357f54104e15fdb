"""Mostly one textured box on a still ground: its pictures and its tracks are made from one path. Letters: T, N."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from schemas.config import MotionConfig
from schemas.flow import Motion, Rejected
from tests.scenes import _look, _texture, fake_tracks, make_scene
from transforms import motion as motion_module
from transforms.camera import identity_motion
from transforms.motion import judge_motion
from transforms.points import grid_points, textured_points

SIZE_WH = (320, 240)  # a diagonal of 400 px
ARGS = MotionConfig().model_dump(exclude={"min_moving_points"})
LIMIT_PX = 400 * ARGS["min_displacement"]
POINTS_N2 = grid_points(SIZE_WH, 15).astype(np.float64)
CLIP = make_scene(objects=0, pan_px_per_frame=(0, 0)).clip
BOX = (110, 80, 80, 80)
"""x, y, width, height; 20 points"""
TIME_T = np.arange(17)
RIGHT_T2 = TIME_T[:, None] * np.array((3.0, 1.0))


def inside(box=BOX):
    return ((POINTS_N2 - box[:2] >= 0) & (POINTS_N2 - box[:2] < box[2:])).all(axis=1)


def film(*things):
    """Boxes, each with its path (T2), on a still ground; brightly textured, without noise."""
    n_frames, rng = len(things[0][1]), np.random.default_rng(0)
    frames_THW3 = np.repeat(_texture(rng, SIZE_WH)[None], n_frames, axis=0)
    for (x, y, width, height), path_T2 in things:
        patch_HW3 = _texture(rng, (width, height))
        for view_HW3, path_2 in zip(frames_THW3, path_T2, strict=True):
            origin_2 = np.array((x, y)) + path_2
            alpha_HW3 = _look(np.ones_like(patch_HW3), origin_2, np.eye(3), SIZE_WH)
            view_HW3 += alpha_HW3 * (_look(patch_HW3, origin_2, np.eye(3), SIZE_WH, edge=True) - view_HW3)
    n_T = np.arange(n_frames)
    frames_THW3 = frames_THW3.round().clip(0, 255).astype(np.uint8)
    frames_THW3.setflags(write=False)
    return replace(CLIP, frames_THW3=frames_THW3, times_s_T=n_T / 8, frame_indices_T=n_T)


def along(path_T2, which_N=None):
    """All points stand still, but those of the box (or `which_N`) that follow the path."""
    which_N = inside() if which_N is None else which_N
    return POINTS_N2 + np.asarray(path_T2, float)[:, None] * which_N[:, None]


def judge(clip, xy_TN2, visible_TN=True, camera=None, **changes):
    camera = identity_motion(len(xy_TN2)) if camera is None else camera
    return judge_motion(clip, fake_tracks(xy_TN2, visible_TN), camera, **(ARGS | changes))


def judged(*args, **options):
    motion = judge(*args, **options)
    assert isinstance(motion, Motion), motion
    assert not (motion.moving_N & ~motion.usable_N).any()
    return motion


def of_path(path_T2, visible_TN=True, **options):
    """What is judged of a box with a path; that all the others stand still is asserted."""
    motion = judged(film((BOX, path_T2)), along(path_T2), visible_TN, **options)
    assert motion.usable_N[~inside()].all()
    assert not motion.moving_N[~inside()].any()
    return motion


def moving_camera(homographies_T33):
    still = identity_motion(len(homographies_T33))
    return replace(still, moving=True, model="homography", homographies_T33=homographies_T33)


def shift_to(reach_px):
    """A third of the clip still, a third on the way, a third arrived."""
    return np.clip((TIME_T - 5) / 6, 0, 1)[:, None] * np.array((reach_px, 0.0))


@pytest.mark.parametrize("n_points", [0, 15])
def test_too_few_points_are_a_rejection_with_its_numbers(n_points):
    visible_TN = np.broadcast_to(np.arange(225) < n_points, (17, 225))
    for xy_TN2, seen_TN in ((along(RIGHT_T2), visible_TN), (along(RIGHT_T2)[:, :n_points], True)):
        rejected = judge(CLIP, xy_TN2, seen_TN)
        assert isinstance(rejected, Rejected)
        assert (rejected.reason, rejected.value, rejected.threshold) == ("too_few_points", n_points, 16)


@pytest.mark.parametrize("n_frames", [1, 2])
def test_the_shortest_clips(n_frames):
    path_T2 = np.arange(n_frames)[:, None] * np.array((20.0, 0.0))
    motion = of_path(path_T2)
    np.testing.assert_array_equal(motion.moving_N, inside() & (n_frames > 1))
    np.testing.assert_allclose(motion.speed_N, motion.moving_N * 20 / 400 * 8, atol=1e-6)


@pytest.mark.parametrize(
    ("visible_T", "usable"),
    [
        ((1, 1, 1, 1), True),
        ((1, 1, 1, 0), True),
        ((1, 1, 0, 0), False),  # half is not more than half
        ((0, 1, 1, 1), False),  # not there on the reference frame
    ],
)
@pytest.mark.parametrize("moves", [False, True])
def test_usable_is_visible_at_the_start_and_most_of_the_time(visible_T, usable, moves):
    path_T2 = np.arange(4)[:, None] * np.array((8.0, 0)) * moves
    visible_TN = np.ones((4, 225), bool)
    visible_TN[:, np.flatnonzero(inside())[5]] = visible_T
    motion = judged(film((BOX, path_T2)), along(path_T2), visible_TN, min_visible_share=0.5)
    assert motion.usable_N.sum() == 224 + usable
    assert motion.moving_N.sum() == moves * (19 + usable)


@pytest.mark.parametrize(
    ("path_T2", "moves", "usable"),
    [
        pytest.param(RIGHT_T2 * 0, False, True, id="stands"),
        pytest.param(RIGHT_T2, True, True, id="goes"),
        pytest.param(np.abs(8 - np.abs(TIME_T - 8))[:, None] * (2.0, 1.0), True, True, id="there and back again"),
        pytest.param((TIME_T % 2)[:, None] * (3.0, 0.0), False, True, id="vibrates a little"),
        pytest.param((TIME_T % 2)[:, None] * (6.0, 0.0), False, False, id="vibrates by less than the limit"),
        pytest.param((TIME_T == 9)[:, None] * (30.0, 0.0), False, True, id="one bad step"),
        pytest.param(((TIME_T == 9) | (TIME_T == 10))[:, None] * (30.0, 0.0), True, True, id="two frames away"),
        pytest.param(np.maximum(TIME_T - 11, 0)[:, None] * (3.0, 1.0), True, True, id="starts late"),
        pytest.param(np.minimum(TIME_T, 5)[:, None] * (3.0, 1.0), True, True, id="stops early"),
    ],
)
def test_moving_is_away_from_the_start(path_T2, moves, usable):
    """MAGMA.md 2.7, 4: the mean step alone let jitter pass."""
    motion = of_path(path_T2)
    np.testing.assert_array_equal(motion.moving_N, inside() & moves)
    np.testing.assert_array_equal(motion.usable_N[inside()], usable)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize(("share", "moves"), [(0.98, False), (1.02, True)])
def test_the_limit_grows_with_the_picture(share, moves, scale):
    clip, size_wh = film((BOX, shift_to(share * LIMIT_PX))), (320 * scale, 240 * scale)
    clip = replace(clip, frames_THW3=np.stack([cv2.resize(frame_HW3, size_wh) for frame_HW3 in clip.frames_THW3]))
    motion = judged(clip, scale * along(shift_to(share * LIMIT_PX)))
    np.testing.assert_array_equal(motion.moving_N, inside() & moves)


def test_points_that_come_later_change_nothing():
    """They serve the camera; what they do is not known from the start on."""
    old = of_path(RIGHT_T2)
    late_TN2 = POINTS_N2 + 2.0 + np.maximum(TIME_T - 8, 0)[:, None, None] * (5.0, 5.0)
    late_TN = np.tile(TIME_T[:, None] > 5, 225)
    xy_TN2 = np.concatenate([along(RIGHT_T2), late_TN2], axis=1)
    motion = judged(film((BOX, RIGHT_T2)), xy_TN2, np.concatenate([~late_TN | True, late_TN], axis=1))
    np.testing.assert_array_equal(motion.moving_N, np.concatenate([old.moving_N, np.zeros(225, bool)]))
    np.testing.assert_array_equal(motion.usable_N, np.concatenate([old.usable_N, np.zeros(225, bool)]))


def test_drift_of_a_hidden_point_does_not_count():
    """MAGMA.md 2.7, 4: the motion statistic ignored visibility."""
    path_T2 = np.maximum(TIME_T - 9, 0)[:, None] * (14.0, 0.0)
    visible_TN = ~(inside() & (TIME_T > 9)[:, None])
    motion = judged(CLIP, along(path_T2), visible_TN)
    assert motion.usable_N.all()
    assert not motion.moving_N.any()
    np.testing.assert_allclose(motion.steady_xy_TN2, np.tile(POINTS_N2, (17, 1, 1)), atol=1e-4)
    np.testing.assert_array_equal(motion.speed_N, np.zeros(225))


def test_a_jump_while_hidden_has_no_speed_but_shows_where_the_point_is():
    path_T2 = (TIME_T > 8)[:, None] * (30.0, 0.0)
    visible_TN = ~(inside() & (TIME_T == 8)[:, None])
    motion = of_path(path_T2, visible_TN)
    np.testing.assert_array_equal(motion.moving_N, inside())
    np.testing.assert_array_equal(motion.speed_N, np.zeros(225))
    np.testing.assert_allclose(motion.steady_xy_TN2, along(path_T2), atol=1e-4)


def test_a_hidden_point_holds_its_place_while_the_camera_moves():
    homographies_T33 = np.tile(np.eye(3), (17, 1, 1))
    homographies_T33[:, 0, 2] = TIME_T * 5.0
    visible_TN = np.ones((17, 225), bool)
    visible_TN[8:, 100:140] = False
    xy_TN2 = POINTS_N2 - TIME_T[:, None, None] * (5.0, 0)
    xy_TN2[8:, 100:140] = xy_TN2[7, 100:140]
    motion = judged(CLIP, xy_TN2, visible_TN, moving_camera(homographies_T33), min_visible_share=0.4)
    np.testing.assert_allclose(motion.steady_xy_TN2, np.tile(POINTS_N2, (17, 1, 1)), atol=1e-4)
    assert motion.usable_N.all()
    assert not motion.moving_N.any()


@pytest.mark.parametrize(("box", "points"), [((128, 96, 21, 16), 1), ((128, 96, 21, 32), 2)])
def test_a_moving_point_has_a_neighbour_that_agrees(box, points):
    motion = judged(film((box, RIGHT_T2)), along(RIGHT_T2, inside(box)))
    assert inside(box).sum() == points
    np.testing.assert_array_equal(motion.moving_N, inside(box) & (points > 1))
    np.testing.assert_array_equal(motion.usable_N, ~inside(box) | (points > 1))


def test_points_that_part_in_all_directions_do_not_move(monkeypatch):
    """Whatever the pictures say. Measured: 33 % stay, each with one or two neighbours that go about the same way."""
    monkeypatch.setattr(motion_module, "gone_from_start", lambda *args: np.ones(len(args[3]), bool))
    angle_N = np.random.default_rng(0).uniform(0, 2 * np.pi, 225)
    way_N2 = np.stack([np.cos(angle_N), np.sin(angle_N)], axis=1) * inside((40, 40, 240, 160))[:, None]
    motion = judged(CLIP, POINTS_N2 + 2 * TIME_T[:, None, None] * way_N2)
    assert motion.moving_N.sum() < 0.4 * inside((40, 40, 240, 160)).sum()
    assert not (motion.usable_N & inside((40, 40, 240, 160)) & ~motion.moving_N).any()
    assert judged(CLIP, along(RIGHT_T2)).moving_N.sum() == 20


@pytest.mark.parametrize(("share", "moving"), [(0.2, 0.9), (0.6, 0.0)])
def test_what_depth_explains_contradicts_what_is_around_it(share, moving, monkeypatch):
    """The rest of a thing, most of which may as well stand nearer, is no motion; a little of it may be chance."""
    nearer_N = inside() & (np.random.default_rng(0).permutation(225) < share * 225)
    monkeypatch.setattr(motion_module, "like_depth", lambda *_: nearer_N)
    motion = judged(film((BOX, RIGHT_T2)), along(RIGHT_T2), camera=moving_camera(np.tile(np.eye(3), (17, 1, 1))))
    assert motion.moving_N[inside() & ~nearer_N].mean() == pytest.approx(moving, abs=0.1)
    assert not motion.moving_N[nearer_N].any()
    np.testing.assert_array_equal(motion.usable_N, ~inside() | motion.moving_N)


def test_two_things_side_by_side_both_move():
    left, right = (70, 80, 80, 80), (150, 80, 80, 80)
    up_T2, down_T2 = TIME_T[:, None] * (0.0, -3.0), TIME_T[:, None] * (0.0, 3.0)
    xy_TN2 = along(up_T2, inside(left)) + along(down_T2, inside(right)) - POINTS_N2
    motion = judged(film((left, up_T2), (right, down_T2)), xy_TN2)
    np.testing.assert_array_equal(motion.moving_N, inside(left) | inside(right))


@pytest.mark.parametrize("pictures", [True, False])
def test_background_that_is_dragged_along_does_not_move(pictures, monkeypatch):
    """It stands still until it is reached, and moves from then on. Neighbours tell, and the pictures do so too."""
    if not pictures:
        monkeypatch.setattr(motion_module, "gone_from_start", lambda *args: np.ones(len(args[3]), bool))
    ahead_N = inside((190, 80, 25, 80))
    dragged_TN2 = along(np.maximum(RIGHT_T2 - RIGHT_T2[10], 0), ahead_N)
    motion = judged(film((BOX, RIGHT_T2)), along(RIGHT_T2) + dragged_TN2 - POINTS_N2)
    assert ahead_N.sum() == 5
    np.testing.assert_array_equal(motion.moving_N, inside())
    assert not motion.usable_N[ahead_N].any()


def test_background_that_goes_along_beside_an_edge_does_not_move():
    """Only the pictures can tell: 8 px beside the box they show the ground, where it was."""
    beside_N = inside((110, 66, 80, 14)) | inside((110, 160, 80, 14))
    motion = judged(film((BOX, RIGHT_T2)), along(RIGHT_T2, inside() | beside_N))
    assert beside_N.sum() == 8
    np.testing.assert_array_equal(motion.moving_N, inside())
    np.testing.assert_array_equal(motion.usable_N, ~beside_N)


def test_where_the_ground_trembles_nothing_can_be_told():
    """Under a camera that stands still it may: there is no fit whose errors would be motion."""
    rng = np.random.default_rng(0)
    angle_N = rng.uniform(0, 2 * np.pi, 225)
    off_N2 = 0.9 * LIMIT_PX * np.stack([np.cos(angle_N), np.sin(angle_N)], axis=1) * ~inside()[:, None]
    path_T2 = shift_to(3 * LIMIT_PX)
    xy_TN2 = along(path_T2) + (TIME_T > 5)[:, None, None] * off_N2
    rejected = judge(film((BOX, path_T2)), xy_TN2, camera=moving_camera(np.tile(np.eye(3), (17, 1, 1))))
    assert isinstance(rejected, Rejected)
    assert rejected.reason == "unsteady"
    assert rejected.value == pytest.approx(0.9 * ARGS["min_displacement"], rel=1e-3)
    assert rejected.threshold == pytest.approx(motion_module._MAX_NOISE * ARGS["min_displacement"])
    motion = judged(film((BOX, path_T2)), xy_TN2)
    np.testing.assert_array_equal(motion.moving_N, inside())
    np.testing.assert_array_equal(motion.usable_N, inside())


def test_a_scene_is_judged_alike_at_any_frame_rate_and_size():
    """MAGMA.md 2.7, 4: thresholds were px per frame."""
    scene = make_scene(n_frames=33, objects=2, pan_px_per_frame=(1, 0.5), fps=16)
    points_N2 = textured_points(scene.clip.frames_THW3[0], 15)
    xy_TN2 = scene.tracks(points_N2)
    visible_TN = ((xy_TN2 >= 0) & (xy_TN2 < SIZE_WH)).all(axis=-1) & ~scene.covered(points_N2)
    full = judged(scene.clip, xy_TN2, visible_TN, moving_camera(scene.homographies_T33))
    slow_clip = replace(scene.clip, frames_THW3=scene.clip.frames_THW3[::2], times_s_T=scene.clip.times_s_T[::2], fps=8)
    slow = judged(slow_clip, xy_TN2[::2], visible_TN[::2], moving_camera(scene.homographies_T33[::2]))
    double_33 = np.diag((2.0, 2.0, 1.0))
    large_T33 = double_33 @ scene.homographies_T33 @ np.linalg.inv(double_33)
    large_THW3 = np.stack([cv2.resize(frame_HW3, (640, 480)) for frame_HW3 in scene.clip.frames_THW3])
    large = judged(replace(scene.clip, frames_THW3=large_THW3), 2 * xy_TN2, visible_TN, moving_camera(large_T33))
    assert full.moving_N.sum() > 20
    for other in (slow, large):
        assert (other.moving_N == full.moving_N).mean() > 0.98 < (other.usable_N == full.usable_N).mean()
        np.testing.assert_allclose(other.speed_N, full.speed_N, atol=1e-3)
