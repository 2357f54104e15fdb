"""Which frame is marked, and the clip as seen from it. Letters: T frames, N points."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from schemas.flow import CameraMotion, Motion
from tests.marked import make_marked
from tests.scenes import fake_tracks, make_scene
from transforms.homography import warp
from transforms.points import grid_points
from transforms.reference import choose_reference, rebase

FPS = 8.0


def _motion(x_TN, moving_N=None):
    """Points that go along x, in steady pixels."""
    x_TN = np.array(x_TN, np.float64).reshape(len(x_TN), -1)
    n = x_TN.shape[1]
    moving = np.ones(n, bool) if moving_N is None else np.array(moving_N, bool)
    steady_xy_TN2 = np.stack([x_TN, np.zeros_like(x_TN)], axis=2)
    steady_xy_TN2.setflags(write=False)
    return Motion(steady_xy_TN2=steady_xy_TN2, usable_N=np.ones(n, bool), moving_N=moving, speed_N=np.ones(n))


def _drawn(motion, visible_TN=True, times_s_T=None, *, start_share=0.5, room_s=0.0, draws=300):
    """All frames that are ever drawn."""
    tracks = fake_tracks(motion.steady_xy_TN2, visible_TN)
    times_s_T = np.arange(len(motion.steady_xy_TN2)) / FPS if times_s_T is None else np.array(times_s_T)
    rng = np.random.default_rng(0)
    limits = {"start_share": start_share, "room_s": room_s}
    return Counter(choose_reference(motion, tracks, times_s_T, rng, **limits) for _ in range(draws))


@pytest.mark.parametrize(
    ("x_TN", "start_share", "frames"),
    [
        pytest.param([0, 1, 2, 3, 4, 5, 6, 7, 8], 0.5, [0, 1, 2, 3], id="even motion: the first half"),
        pytest.param([0, 1, 2, 3, 4, 5, 6, 7, 8], 0.0, [0], id="share 0: the first"),
        pytest.param([0, 1, 2, 3, 4], 1.0, [0, 1, 2, 3], id="share 1: all but the last"),
        pytest.param([0, 0, 0, 0, 8, 8, 8], 0.5, [0, 1, 2, 3], id="motion late"),
        pytest.param([0, 8, 8, 8, 8, 8, 8], 0.5, [0], id="motion early"),
        pytest.param([0, 0, 0, 0, 8], 1.0, [0, 1, 2, 3], id="never the last, which nothing follows"),
        pytest.param([5, 5, 5, 5], 0.5, [0], id="nothing moves"),
        pytest.param([5, 5], 1.0, [0], id="two frames"),
        pytest.param([5], 1.0, [0], id="one frame"),
        pytest.param([0, -4, 0, -4, 0], 0.5, [0, 1], id="back and forth is motion too"),
    ],
)
def test_frames_before_a_share_of_the_motion(x_TN, start_share, frames):
    assert sorted(_drawn(_motion(x_TN), start_share=start_share)) == frames


def test_the_frames_are_equally_likely():
    drawn = _drawn(_motion(np.arange(9)), draws=4000)
    assert all(abs(count / 4000 - 0.25) < 0.03 for count in drawn.values())


def test_points_that_stand_still_do_not_count():
    """A hundred jittering points would give the early frames a share of the motion."""
    mover_T = np.array([0, 0, 0, 0, 0, 0, 10, 20, 30.0])
    jitter_TN = np.random.default_rng(0).normal(0, 1, (9, 100))
    motion = _motion(np.column_stack([mover_T, jitter_TN]), [True] + [False] * 100)
    assert sorted(_drawn(motion)) == [0, 1, 2, 3, 4, 5, 6]
    nothing = replace(motion, moving_N=np.zeros(101, bool))
    assert sorted(_drawn(nothing)) == [0]


def test_hidden_steps_do_not_count():
    """A jump of a hidden point, as a drifting tracker shows it, is no motion."""
    x_TN = np.array([(0, 0), (0, 1), (90, 2), (90, 3), (90, 4)])
    visible_TN = np.array([(1, 1), (1, 1), (0, 1), (1, 1), (1, 1)], bool)
    assert sorted(_drawn(_motion(x_TN), visible_TN, start_share=0.6)) == [0, 1, 2]
    assert sorted(_drawn(_motion(x_TN), start_share=0.6)) == [0, 1]


def test_a_frame_that_hides_most_of_what_moves_is_never_the_one():
    visible_TN = np.ones((9, 4), bool)
    visible_TN[1, :2], visible_TN[2, :3], visible_TN[3] = False, False, False
    motion = _motion(np.arange(9.0)[:, None] * np.ones(4))
    assert sorted(_drawn(motion, visible_TN, start_share=0.6)) == [0, 1, 4, 5]


def test_the_clip_goes_on_after_it():
    motion = _motion(np.arange(5.0))
    assert sorted(_drawn(motion, start_share=1.0, room_s=0.25)) == [0, 1, 2]
    assert sorted(_drawn(motion, start_share=1.0, room_s=9.0)) == [0]
    assert sorted(_drawn(motion, times_s_T=[0, 0.1, 0.2, 0.3, 0.3], start_share=1.0)) == [0, 1, 2]  # one frame twice


def test_the_same_numbers_draw_the_same_frame():
    marked = make_marked()
    drawn = [
        choose_reference(
            marked.motion, marked.tracks, marked.clip.times_s_T, np.random.default_rng(seed), start_share=0.5
        )
        for seed in (1, 1, 2, 3, 4)
    ]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1


def _camera(homographies_T33, model="homography"):
    return CameraMotion(
        moving=model == "homography",
        model=model,
        homographies_T33=homographies_T33,
        inlier_ratio_T=np.ones(len(homographies_T33)),
        residual_px=0.0,
    )


def test_a_camera_that_stands_still_stays_as_it_is():
    camera, motion = _camera(np.tile(np.eye(3), (5, 1, 1)), "none"), _motion(np.arange(5.0))
    turned_camera, turned_motion = rebase(camera, motion, 3)
    assert (turned_camera, turned_motion) == (camera, motion)
    assert np.array_equal(turned_camera.homographies_T33, np.tile(np.eye(3), (5, 1, 1)))


@pytest.mark.parametrize("reference", [0, 1, 8, 16])
def test_rebase_gives_what_the_camera_of_that_frame_sees(reference):
    scene = make_scene(zoom_per_frame=0.99, roll_deg_per_frame=0.5)
    points_N2 = grid_points(scene.clip.size_wh, 6).astype(np.float64)
    steady_xy_TN2 = scene.steady_tracks(points_N2)
    motion = Motion(
        steady_xy_TN2=steady_xy_TN2, usable_N=np.ones(36, bool), moving_N=np.ones(36, bool), speed_N=np.ones(36)
    )
    turned_camera, turned_motion = rebase(_camera(scene.homographies_T33), motion, reference)

    assert np.array_equal(turned_camera.homographies_T33[reference], np.eye(3))
    assert np.array_equal(turned_camera.homographies_T33[:, 2, 2], np.ones(17))
    raw_xy_TN2 = scene.tracks(points_N2)
    np.testing.assert_allclose(turned_motion.steady_xy_TN2[reference], raw_xy_TN2[reference], atol=1e-9)
    np.testing.assert_allclose(warp(turned_camera.homographies_T33, raw_xy_TN2), turned_motion.steady_xy_TN2, atol=1e-6)
    still_N = scene.object_at(points_N2) < 0
    assert np.ptp(turned_motion.steady_xy_TN2[:, still_N], axis=0).max() < 1e-6
    assert turned_motion.moving_N is motion.moving_N and turned_motion.speed_N is motion.speed_N
