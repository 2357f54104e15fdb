import numpy as np
import pytest

from schemas.config import HomographyCamera, MotionConfig
from schemas.flow import CameraMotion, Motion, Rejected, Tracks
from tests.scenes import Scene, fake_tracks, make_scene
from transforms.homography import estimate_camera, identity_motion
from transforms.motion import judge_motion
from transforms.points import grid_points
from transforms.trackers.lucas_kanade import track_lucas_kanade

SIZE_WH = (300, 400)  # a diagonal of 500 px
ARGS = MotionConfig().model_dump(exclude={"min_moving_points"})
STILL = grid_points(SIZE_WH, 5).astype(np.float64)


def _judge(xy_TN2, visible_TN=True, fps=8.0, size_wh=SIZE_WH, **changes):
    tracks = fake_tracks(xy_TN2, visible_TN)
    n_frames = len(tracks.xy_TN2)
    times_s_T = np.arange(n_frames) / fps
    return judge_motion(tracks, identity_motion(n_frames), times_s_T, size_wh, **(ARGS | changes))


def _still_with(path_T2):
    """25 points, all still but point 7, which follows a path of steps from its start."""
    xy_TN2 = np.repeat(STILL[None], len(path_T2), axis=0)
    xy_TN2[:, 7] += np.array(path_T2, np.float64)
    return xy_TN2


@pytest.mark.parametrize("n_points", [0, 15])
def test_too_few_points_are_a_rejection_with_its_numbers(n_points):
    rejected = _judge(np.zeros((3, n_points, 2)))
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.value, rejected.threshold) == ("too_few_points", n_points, 16)


def test_one_frame_has_no_motion():
    motion = _judge(STILL[None])
    assert isinstance(motion, Motion)
    assert motion.usable_N.all()
    assert not motion.moving_N.any()
    np.testing.assert_array_equal(motion.speed_N, np.zeros(25))


@pytest.mark.parametrize(
    ("visible_T", "usable"),
    [
        ((1, 1, 1, 1), True),
        ((1, 1, 1, 0), True),
        ((1, 1, 0, 0), False),  # half is not more than half
        ((0, 1, 1, 1), False),  # not there on the reference frame
    ],
)
def test_usable_is_visible_at_the_start_and_most_of_the_time(visible_T, usable):
    visible_TN = np.ones((4, 25), bool)
    visible_TN[:, 7] = visible_T
    motion = _judge(_still_with([(0, 0)] * 4), visible_TN)
    assert isinstance(motion, Motion)
    assert motion.usable_N[7] == usable
    assert motion.usable_N.sum() == 24 + usable


@pytest.mark.parametrize(
    ("path_T2", "moves", "speed"),
    [
        ([(0, 0)] * 5, False, 0.0),
        ([(0, 0), (5, 0), (10, 0), (15, 0), (20, 0)], True, 0.08),
        ([(0, 0), (5, 0), (10, 0), (5, 0), (0, 0)], True, 0.08),  # there and back again
        ([(0, 0), (6, 0), (0, 0), (6, 0), (0, 0)], False, 0.096),  # vibrates by less than 10 px
        ([(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)], False, 0.016),  # too slow
    ],
)
def test_moving_is_fast_and_away_from_the_start(path_T2, moves, speed):
    """MAGMA.md 2.7, 4: the mean step alone let jitter pass."""
    motion = _judge(_still_with(path_T2))
    assert isinstance(motion, Motion)
    np.testing.assert_array_equal(np.flatnonzero(motion.moving_N), [7] if moves else [])
    assert motion.speed_N[7] == pytest.approx(speed)


def test_drift_of_a_hidden_point_does_not_count():
    """MAGMA.md 2.7, 4: the motion statistic ignored visibility."""
    visible_TN = np.ones((5, 25), bool)
    visible_TN[3:, 7] = False
    motion = _judge(_still_with([(0, 0), (0, 0), (0, 0), (50, 50), (90, 90)]), visible_TN)
    assert isinstance(motion, Motion)
    assert motion.usable_N[7]
    assert not motion.moving_N.any()
    np.testing.assert_allclose(motion.steady_xy_TN2[:, 7], np.broadcast_to(STILL[7], (5, 2)))


def test_a_jump_while_hidden_has_no_speed_but_shows_where_the_point_is():
    visible_TN = np.ones((5, 25), bool)
    visible_TN[2, 7] = False
    motion = _judge(_still_with([(0, 0), (0, 0), (0, 0), (50, 0), (50, 0)]), visible_TN)
    assert isinstance(motion, Motion)
    assert motion.speed_N[7] == 0.0
    np.testing.assert_allclose(motion.steady_xy_TN2[3, 7], STILL[7] + (50, 0))


def test_a_hidden_point_holds_its_place_while_the_camera_moves():
    shifts_T = np.arange(5) * 20.0
    homographies_T33 = np.tile(np.eye(3), (5, 1, 1))
    homographies_T33[:, 0, 2] = shifts_T
    camera = CameraMotion(
        moving=True,
        model="homography",
        homographies_T33=homographies_T33,
        inlier_ratio_T=np.ones(5),
        residual_px=0.0,
    )
    xy_TN2 = STILL - np.stack([shifts_T, np.zeros(5)], axis=1)[:, None]
    visible_TN = np.ones((5, 25), bool)
    visible_TN[3:, 7] = False
    xy_TN2[3:, 7] = xy_TN2[2, 7]
    motion = judge_motion(fake_tracks(xy_TN2, visible_TN), camera, np.arange(5) / 8, SIZE_WH, **ARGS)
    assert isinstance(motion, Motion)
    np.testing.assert_allclose(motion.steady_xy_TN2, np.broadcast_to(STILL, (5, 25, 2)), atol=1e-4)
    assert not motion.moving_N.any()


def test_speed_is_the_same_at_any_frame_rate_and_size():
    """MAGMA.md 2.7, 4: thresholds were px per frame."""
    path_T2 = np.stack([np.arange(17) * 2.0, np.zeros(17)], axis=1)
    full, half = _judge(_still_with(path_T2)), _judge(_still_with(path_T2)[::2], fps=4.0)
    large = _judge(_still_with(path_T2) * 3, size_wh=(900, 1200))
    assert isinstance(full, Motion)
    for other in (half, large):
        assert isinstance(other, Motion)
        np.testing.assert_allclose(other.speed_N, full.speed_N, rtol=1e-5)
        np.testing.assert_array_equal(other.moving_N, full.moving_N)


def _judged(scene: Scene) -> tuple[Tracks, CameraMotion, Motion]:
    size_wh = scene.clip.size_wh
    tracks = track_lucas_kanade(
        scene.clip, grid_points(size_wh, 15), window=0.033, levels=4, max_forward_backward=0.0025
    )
    camera = estimate_camera(tracks, size_wh, **HomographyCamera().model_dump(exclude={"name"}))
    assert isinstance(camera, CameraMotion)
    motion = judge_motion(tracks, camera, scene.clip.times_s_T, size_wh, **ARGS)
    assert isinstance(motion, Motion)
    return tracks, camera, motion


@pytest.mark.parametrize(
    "options",
    [
        {"pan_px_per_frame": (5, -3)},
        {"pan_px_per_frame": (3, 1), "zoom_per_frame": 0.99, "roll_deg_per_frame": 0.5},
        {"pan_px_per_frame": (0, 0), "noise": 6.0},
    ],
)
def test_a_still_scene_seen_by_a_moving_camera_has_no_moving_points(options):
    """MAGMA.md 2.7, 1: track lengths of before the homography decided what moves."""
    _, _, motion = _judged(make_scene(objects=0, **options))
    assert not motion.moving_N.any()
    assert motion.speed_N[motion.usable_N].max() < 0.02


def test_moving_points_are_those_on_the_objects():
    hits = moving = usable = 0
    for seed in range(3):
        for options in ({"objects": 1}, {"objects": 2}, {"objects": 2, "pan_px_per_frame": (0, 0)}):
            scene = make_scene(seed=seed, **options)
            points_N2 = grid_points(scene.clip.size_wh, 15)
            _, _, motion = _judged(scene)
            on_object_N = scene.object_at(points_N2) >= 0
            hits += int((motion.moving_N & on_object_N).sum())
            moving += int(motion.moving_N.sum())
            usable += int((motion.usable_N & on_object_N).sum())
            # Whatever else moves touches an object: half a tracking window away, or covered by it later.
            explained_N = (scene.object_at(points_N2, margin_px=7) >= 0) | scene.covered(points_N2).any(axis=0)
            assert not (motion.moving_N & ~explained_N).any()
    assert hits / moving > 0.8  # measured over 32 scenes: 0.90
    assert hits / usable > 0.85  # measured over 32 scenes: 0.92
