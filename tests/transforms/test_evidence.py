"""Clips and tracks whose truth is known; the camera too is the true one. Letters: T frames, N points, C candidates."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.scenes import _camera_path, _look, fake_tracks, make_scene
from transforms.evidence import gone_from_start
from transforms.points import grid_points

SIZE_WH = (320, 240)
POINTS_N2 = grid_points(SIZE_WH, 15)
TIME_T11 = np.arange(17)[:, None, None]
PANNED = make_scene(objects=2)
STILL_CAMERA = make_scene(objects=1, pan_px_per_frame=(0, 0))
LINES = ("pan", "still", "zoom and roll")
SCENES = dict(zip(LINES, (PANNED, STILL_CAMERA, make_scene(zoom_per_frame=0.99, roll_deg_per_frame=1.5)), strict=True))


def on_objects(scene):
    """Points 3 px inside of an object's edge."""
    return scene.object_at(POINTS_N2, margin_px=-3) >= 0


def on_background(scene):
    """Points of the background that nothing ever covers, nor comes near to."""
    return (scene.object_at(POINTS_N2, margin_px=3) < 0) & ~scene.covered(POINTS_N2).any(axis=0)


def in_view(xy_TN2):
    return ((xy_TN2 >= 0) & (xy_TN2 < SIZE_WH)).all(axis=-1)


def shown(scene):
    """TN: points that are in view and that nothing drawn later covers."""
    steady_xy_TN2, object_N = scene.steady_tracks(POINTS_N2), scene.object_at(POINTS_N2)
    boxes_TO14 = scene.object_boxes_TO4[:, :, None]
    over_TON = ((steady_xy_TN2[:, None] >= boxes_TO14[..., :2]) & (steady_xy_TN2[:, None] < boxes_TO14[..., 2:])).all(
        -1
    )
    later_ON = np.arange(over_TON.shape[1])[:, None] > object_N
    return in_view(scene.tracks(POINTS_N2)) & ~(over_TON & later_ON).any(axis=1)


def gone(scene, which_N, xy_TN2=None, visible_TN=None, away_TC=None, still_N=None, frames_THW3=None):
    """The answer for some points; by default their tracks are true, and they are away from the second frame on."""
    xy_TN2 = scene.tracks(POINTS_N2) if xy_TN2 is None else xy_TN2
    visible_TN = shown(scene) if visible_TN is None else visible_TN
    frames_THW3 = scene.clip.frames_THW3.copy() if frames_THW3 is None else frames_THW3
    frames_THW3.setflags(write=False)
    which_C = np.flatnonzero(which_N)
    away_TC = np.tile(np.arange(17)[:, None] > 1, len(which_C)) if away_TC is None else away_TC
    gone_C = gone_from_start(
        replace(scene.clip, frames_THW3=frames_THW3),
        fake_tracks(xy_TN2, visible_TN),
        scene.homographies_T33,
        which_C,
        away_TC,
        np.flatnonzero(on_background(scene) if still_N is None else still_N),
    )
    assert gone_C.shape == which_C.shape
    assert gone_C.dtype == np.bool_
    return gone_C


def claimed(scene, velocity=(4.0, 1.0)):
    """Tracks that say of every point of the background that it moves, as an object does."""
    steady_xy_TN2 = scene.steady_tracks(POINTS_N2)
    steady_xy_TN2 = steady_xy_TN2 + TIME_T11 * (scene.object_at(POINTS_N2) < 0)[:, None] * np.array(velocity)
    inverse_T33 = np.linalg.inv(scene.homographies_T33)
    return np.concatenate(
        [cv2.perspectiveTransform(xy_N2[None], h_33) for xy_N2, h_33 in zip(steady_xy_TN2, inverse_T33, strict=True)]
    )


@pytest.mark.parametrize("name", SCENES)
def test_what_is_on_an_object_that_left_is_gone(name):
    gone_C = gone(SCENES[name], on_objects(SCENES[name]))
    assert gone_C.sum() >= 9
    assert gone_C.all()


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("velocity", [(4.0, 1.0), (-1.0, 2.5)])
def test_background_that_is_said_to_move_is_not_gone(name, velocity):
    """A point beside an edge that is carried along, or a tracker that slipped."""
    scene = SCENES[name]
    xy_TN2 = claimed(scene, velocity)
    told_N = (in_view(xy_TN2) & in_view(scene.tracks(POINTS_N2)))[2:].any(axis=0)
    gone_C = gone(scene, on_background(scene) & told_N, xy_TN2, in_view(xy_TN2))
    assert len(gone_C) > 130
    assert not gone_C.any()


def test_background_that_an_object_carries_along_is_not_gone():
    """Points less than 8 px outside of the edge, with the motion of the object itself: the hardest case."""
    scene = STILL_CAMERA
    points_N2 = POINTS_N2.astype(float)
    beside_N = (scene.object_at(points_N2, margin_px=8) >= 0) & (scene.object_at(points_N2, margin_px=2) < 0)
    xy_TN2 = points_N2 + TIME_T11 * beside_N[:, None] * np.array((5.0, 1.0))
    assert beside_N.sum() >= 8
    assert not gone(scene, beside_N, xy_TN2, in_view(xy_TN2)).any()


def test_pictures_turn_with_the_camera():
    """Stripes on grey, seen by a camera that rolls by a right angle: they look like themselves only if turned back."""
    homographies_T33 = _camera_path(17, SIZE_WH, (0, 0), 1.0, 90 / 16)
    stripes_HW3 = np.tile(np.float32(128 + 80 * np.sin(np.arange(60) * np.pi / 4))[:, None], (60, 1, 3))
    frames_THW3 = np.full((17, 240, 320, 3), 128, np.uint8)
    points_N2 = np.stack(np.meshgrid(np.arange(110, 150, 9), np.arange(90, 130, 9)), axis=-1).reshape(-1, 2) + 0.5
    xy_TN2 = np.zeros((17, len(points_N2), 2))
    for t, homography_33 in enumerate(homographies_T33):
        origin_2 = np.array((100.0, 80.0)) + t * np.array((3.0, 1.0))
        alpha_HW3 = _look(np.ones_like(stripes_HW3), origin_2, homography_33, SIZE_WH)
        stripes_at_HW3 = _look(stripes_HW3, origin_2, homography_33, SIZE_WH, edge=True)
        frames_THW3[t] = 128 + alpha_HW3 * (stripes_at_HW3 - 128)
        moved_12 = points_N2[None] + origin_2 - (100, 80)
        xy_TN2[t] = cv2.perspectiveTransform(moved_12, np.linalg.inv(homography_33))[0]
    clip, none = replace(PANNED.clip, frames_THW3=frames_THW3), np.zeros(0, np.intp)
    away_TC = np.tile(np.arange(17)[:, None] > 12, len(points_N2))
    every = np.arange(len(points_N2))
    assert gone_from_start(clip, fake_tracks(xy_TN2), homographies_T33, every, away_TC, none).mean() > 0.9


@pytest.mark.parametrize("fade", [0.4, 0.7, 1.4])
def test_exposure_may_change(fade):
    scene = PANNED
    gains_T111 = np.linspace(1, fade, 17)[:, None, None, None]
    frames_THW3 = np.clip(100 / 128 * scene.clip.frames_THW3 * gains_T111, 0, 255).astype(np.uint8)
    assert gone(scene, on_objects(scene), frames_THW3=frames_THW3).all()
    xy_TN2 = claimed(scene)
    assert not gone(scene, on_background(scene), xy_TN2, in_view(xy_TN2), frames_THW3=frames_THW3).any()


def test_exposure_is_read_from_what_stands_still():
    """Without points that do, a clip that fades to dark tells little."""
    frames_THW3 = (PANNED.clip.frames_THW3 * np.linspace(1, 0.3, 17)[:, None, None, None]).astype(np.uint8)
    nothing_N = np.zeros(225, bool)
    assert gone(PANNED, on_objects(PANNED), frames_THW3=frames_THW3.copy()).mean() > 0.95
    assert gone(PANNED, on_objects(PANNED), frames_THW3=frames_THW3, still_N=nothing_N).mean() < 0.7


def test_no_candidates():
    assert len(gone(PANNED, np.zeros(225, bool))) == 0


@pytest.mark.parametrize("never", ["away", "visible"])
def test_where_the_pictures_cannot_tell_the_track_is_believed(never):
    xy_TN2 = claimed(PANNED)
    which_N = on_background(PANNED)
    visible_TN, away_TC = in_view(xy_TN2), np.ones((17, which_N.sum()), bool)
    if never == "away":
        away_TC = ~away_TC
    else:
        visible_TN[1:] = False
        away_TC[0] = False
    assert gone(PANNED, which_N, xy_TN2, visible_TN, away_TC).all()


def test_frames_on_which_the_first_place_is_out_of_view_do_not_count():
    """The object leaves its place, and the camera goes along with it: the place itself is soon outside."""
    scene = make_scene(pan_px_per_frame=(14, 0))
    xy_TN2 = claimed(scene, (14.0, 0.0))  # a claim that is wrong, while it can be checked, and nonsense after
    outside_TN = ~in_view(np.broadcast_to(POINTS_N2, xy_TN2.shape) - TIME_T11 * np.array((14.0, 0)))
    soon_N = on_background(scene) & outside_TN[2:].all(axis=0)
    later_N = on_background(scene) & ~outside_TN[4] & outside_TN[12]
    assert soon_N.sum() > 3
    assert gone(scene, soon_N, xy_TN2, in_view(xy_TN2)).all()
    assert later_N.sum() > 20
    assert gone(scene, later_N, xy_TN2, in_view(xy_TN2)).mean() < 0.1


def test_only_frames_on_which_the_places_differ_are_looked_at():
    frames_THW3 = PANNED.clip.frames_THW3.copy()
    frames_THW3[1:8] = 0
    away_TC = np.tile(np.arange(17)[:, None] > 7, on_objects(PANNED).sum())
    assert gone(PANNED, on_objects(PANNED), frames_THW3=frames_THW3, away_TC=away_TC).all()


@pytest.mark.parametrize(("spoilt", "share"), [(1, 1.0), (9, 0.0)])
def test_a_frame_may_be_bad_but_not_half_of_them(spoilt, share):
    """Noise in place of pictures looks neither like the first place nor like the new one."""
    frames_THW3 = PANNED.clip.frames_THW3.copy()
    bad = np.linspace(2, 16, spoilt + 2).round().astype(int)[1:-1]
    frames_THW3[bad] = np.random.default_rng(0).integers(0, 255, frames_THW3[bad].shape)
    assert gone(PANNED, on_objects(PANNED), frames_THW3=frames_THW3).mean() == pytest.approx(share, abs=0.15)


def test_the_answer_survives_a_change_of_resolution():
    scene = PANNED
    large_THW3 = np.stack([cv2.resize(frame_HW3, (640, 480)) for frame_HW3 in scene.clip.frames_THW3])
    double_33 = np.diag((2.0, 2.0, 1.0))
    homographies_T33 = double_33 @ scene.homographies_T33 @ np.linalg.inv(double_33)
    xy_TN2 = claimed(scene)
    which_C = np.flatnonzero(on_objects(scene) | on_background(scene))
    away_TC = np.tile(np.arange(17)[:, None] > 1, len(which_C))
    gone_C = gone_from_start(
        replace(scene.clip, frames_THW3=large_THW3),
        fake_tracks(2 * xy_TN2, in_view(xy_TN2)),
        homographies_T33,
        which_C,
        away_TC,
        np.flatnonzero(on_background(scene)),
    )
    assert (gone_C == on_objects(scene)[which_C]).mean() > 0.98
