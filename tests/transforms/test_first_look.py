import cv2
import numpy as np
import pytest

from tests.scenes import make_scene
from transforms.points import grid_points
from transforms.trackers.first_look import FirstLook
from transforms.trackers.pyramid_flow import Flow, gray_frames

FLOW = Flow(window_px=14, levels=3, limit_px=1.0)
POINTS_N2 = grid_points((320, 240), 8)
ALL = np.ones(len(POINTS_N2), bool)


@pytest.fixture(scope="module")
def first_HW3():
    return make_scene(1, objects=0).clip.frames_THW3[0]


def seen_from(frame_HW3, turn_23):
    """The frame as another camera sees it, and where the points are there; pixel centres at halves."""
    at_centre_23 = turn_23.copy()
    at_centre_23[:, 2] += turn_23[:, :2] @ (0.5, 0.5) - 0.5
    view_HW3 = cv2.warpAffine(frame_HW3, at_centre_23, frame_HW3.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    return view_HW3, (POINTS_N2 @ turn_23[:, :2].T + turn_23[:, 2]).astype(np.float32)


def similarity_turn(degrees=0.0, scale=1.0, shift=(0.0, 0.0), about=(160, 120)):
    turn_23 = cv2.getRotationMatrix2D(about, degrees, scale)
    turn_23[:, 2] += shift
    return turn_23


def look_at(first_HW3, later_HW3, points_N2=POINTS_N2):
    first, later = gray_frames(np.stack([first_HW3, later_HW3]))
    return FirstLook(first, points_N2, FLOW), later


def test_on_the_first_frame_everything_looks_like_itself(first_HW3):
    look, frame = look_at(first_HW3, first_HW3)
    xy_N2, similar_N = look.judge(frame, POINTS_N2, ALL)
    np.testing.assert_allclose(xy_N2, POINTS_N2, atol=1e-3)
    assert (similar_N > 0.9).all()
    assert (similar_N <= 1 + 1e-6).all()


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_few_points_and_none_found(first_HW3, n):
    look, frame = look_at(first_HW3, first_HW3, POINTS_N2[20 : 20 + n])
    xy_N2, similar_N = look.judge(frame, POINTS_N2[20 : 20 + n], np.ones(n, bool))
    np.testing.assert_allclose(xy_N2, POINTS_N2[20 : 20 + n], atol=1e-3)
    assert similar_N.shape == (n,)
    assert (similar_N > 0.9).all()
    _, similar_N = look.judge(frame, POINTS_N2[20 : 20 + n], np.zeros(n, bool))
    assert (similar_N == 0).all()


@pytest.mark.parametrize(
    "turn_23",
    [
        similarity_turn(shift=(12, -7)),
        similarity_turn(degrees=20),
        similarity_turn(degrees=-35, shift=(5, 3)),
        similarity_turn(scale=1.3),
        similarity_turn(scale=0.75, degrees=8),
    ],
    ids=["shift", "roll", "roll and shift", "nearer", "farther and rolled"],
)
def test_points_look_like_themselves_under_a_moving_camera(first_HW3, turn_23):
    later_HW3, there_N2 = seen_from(first_HW3, turn_23)
    look, frame = look_at(first_HW3, later_HW3)
    found_N = ((there_N2 > 12) & (there_N2 < (308, 228))).all(axis=1)
    assert found_N.sum() > 30
    xy_N2, similar_N = look.judge(frame, there_N2, found_N)
    assert np.median(similar_N[found_N]) > 0.9
    assert (similar_N[found_N] > 0.6).mean() > 0.95
    assert np.median(np.linalg.norm(xy_N2 - there_N2, axis=1)[found_N]) < 0.2


def test_another_picture_is_not_alike(first_HW3):
    look, frame = look_at(first_HW3, make_scene(1, seed=77, objects=0).clip.frames_THW3[0])
    _, similar_N = look.judge(frame, POINTS_N2, ALL)
    assert (similar_N < 0.5).mean() > 0.9


def test_points_that_were_dragged_are_put_where_their_neighbours_went(first_HW3):
    later_HW3, there_N2 = seen_from(first_HW3, similarity_turn(shift=(4, 3)))
    look, frame = look_at(first_HW3, later_HW3)
    dragged = np.array([9, 27, 36, 53])
    wrong_N2 = there_N2.copy()
    wrong_N2[dragged] += (11, -9)
    xy_N2, similar_N = look.judge(frame, wrong_N2, ALL)
    assert np.linalg.norm(xy_N2 - there_N2, axis=1)[dragged].max() < 0.7
    assert (similar_N[dragged] > 0.8).all()
    np.testing.assert_allclose(np.delete(xy_N2, dragged, axis=0), np.delete(there_N2, dragged, axis=0), atol=0.7)


def test_lost_points_are_found_where_their_neighbours_went(first_HW3):
    later_HW3, there_N2 = seen_from(first_HW3, similarity_turn(shift=(-6, 5), degrees=3))
    look, frame = look_at(first_HW3, later_HW3)
    found_N = ALL.copy()
    lost = np.array([10, 29, 43])
    found_N[lost] = False
    held_N2 = np.where(found_N[:, None], there_N2, POINTS_N2)
    xy_N2, similar_N = look.judge(frame, held_N2, found_N)
    assert np.linalg.norm(xy_N2 - there_N2, axis=1)[lost].max() < 0.7
    assert (similar_N[lost] > 0.8).all()


def test_covered_points_are_not_found(first_HW3):
    later_HW3, there_N2 = seen_from(first_HW3, similarity_turn(shift=(4, 3)))
    later_HW3[60:180, 80:240] = make_scene(1, seed=78, objects=0).clip.frames_THW3[0][60:180, 80:240]
    covered_N = ((there_N2 > (85, 65)) & (there_N2 < (235, 175))).all(axis=1)
    assert covered_N.sum() > 8
    look, frame = look_at(first_HW3, later_HW3)
    held_N2 = np.where(covered_N[:, None], POINTS_N2, there_N2)
    xy_N2, similar_N = look.judge(frame, held_N2, ~covered_N)
    assert (similar_N[covered_N] == 0).all()
    np.testing.assert_array_equal(xy_N2[covered_N], held_N2[covered_N])
    _, fooled_N = look.judge(frame, there_N2, ALL)  # a flow that stayed at the place says nothing of the look
    assert (fooled_N[covered_N] < 0.5).mean() > 0.8


def test_inputs_stay_as_they_are(first_HW3):
    look, frame = look_at(first_HW3, first_HW3)
    xy_N2, found_N = POINTS_N2 + np.float32(3), ALL.copy()
    found_N[::5] = False
    for array in (xy_N2, found_N):
        array.setflags(write=False)
    first, second = (look.judge(frame, xy_N2, found_N) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
