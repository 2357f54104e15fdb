"""Points, camera and motion of synthetic clips by our own steps; truth is asked of points that are there on frame 0."""

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.video import find_moving, remove_camera_motion, track_points
from schemas.config import HomographyCamera, LucasKanadeTracker, MotionConfig, PointsConfig
from schemas.flow import Judged, Rejected, Steadied
from tests.scenes import Scene, make_scene
from transforms.homography import warp
from transforms.trackers import build_tracker

ZOOMED = {"zoom_per_frame": 0.99, "roll_deg_per_frame": 0.5}


def judged(scene: Scene) -> Judged:
    tracked = track_points([scene.clip], build_tracker(LucasKanadeTracker()), PointsConfig())[0]
    steadied = remove_camera_motion(tracked, HomographyCamera())
    assert isinstance(steadied, Steadied), steadied
    found = find_moving(steadied, MotionConfig())
    assert not isinstance(found, Rejected), found
    assert not (found.motion.moving_N & ~(found.motion.usable_N & found.tracks.visible_TN[0])).any()
    return found


@pytest.mark.parametrize(
    "options",
    [
        {"objects": 0, "pan_px_per_frame": (5, -2)},
        {"objects": 2},
        {"objects": 1} | ZOOMED,
        {"objects": 3, "pan_px_per_frame": (0, 0)},
        {"objects": 1, "pan_px_per_frame": (14, 0), "n_frames": 25},
    ],
)
def test_the_camera_is_found(options):
    scene = make_scene(**options)
    camera = judged(scene).camera
    assert camera.moving == scene.moving
    middle_T12 = np.tile(np.array([(160.0, 120.0)]), (len(scene.clip.times_s_T), 1, 1))
    found_T12, true_T12 = (warp(each.homographies_T33, middle_T12) for each in (camera, scene))
    np.testing.assert_allclose(found_T12, true_T12, atol=1.0)


@pytest.mark.parametrize("seed", range(10))
def test_a_still_scene_has_no_moving_points(seed):
    """MAGMA.md 2.7, 1: track lengths of before the homography decided what moves."""
    camera = ({"pan_px_per_frame": (5, -3)}, {"pan_px_per_frame": (3, 1)} | ZOOMED, {"zoom_per_frame": 1.01})[seed % 3]
    motion = judged(make_scene(objects=0, seed=seed, **camera)).motion
    assert not motion.moving_N.any()
    assert motion.usable_N.sum() > 120
    assert motion.speed_N[motion.usable_N].max() < 0.02  # measured: 0.006


def counted(scene: Scene) -> npt.NDArray[np.int_]:
    """Points found moving on objects, found moving, usable on objects, seen on objects: all but those at an edge."""
    found = judged(scene)
    points_N2, visible_TN = found.tracks.xy_TN2[0], found.tracks.visible_TN
    sure_N = scene.object_at(points_N2, margin_px=1) == scene.object_at(points_N2, margin_px=-1)
    on_object_N = sure_N & (scene.object_at(points_N2) >= 0)
    seen_N = visible_TN[0] & (visible_TN.mean(axis=0) > MotionConfig().min_visible_share)
    moving_N, usable_N = found.motion.moving_N & sure_N, found.motion.usable_N
    sets = (moving_N & on_object_N, moving_N, usable_N & on_object_N, seen_N & on_object_N)
    return np.array([which_N.sum() for which_N in sets])


def test_moving_points_are_those_on_the_objects():
    """Measured over 40 scenes: precision 1.00, recall 0.99 of the usable points and 0.97 of those that were seen."""
    cases = ({"objects": 3, "pan_px_per_frame": (-3, 2)}, {"pan_px_per_frame": (0, 0)}, ZOOMED, {"noise": 8.0})
    scenes = [make_scene(**({"objects": 2, "seed": seed} | case)) for seed in range(3) for case in cases]
    hits, moving, usable, seen = np.sum([counted(scene) for scene in scenes], axis=0)
    assert hits > 200
    assert hits / moving > 0.97
    assert hits / usable > 0.97
    assert hits / seen > 0.93
