import cv2
import numpy as np
import pytest

from tests.scenes import make_scene
from transforms.trackers.pyramid_flow import Flow, flow, gray_frames, odd

FLOW = Flow(window_px=14, levels=3, limit_px=1.0)
LARGEST_PX = 735
"""diagonal that frames are shrunk to"""


@pytest.fixture(scope="module")
def frame_HW3():
    return make_scene(1, noise=0).clip.frames_THW3[0]


def shifted(frame_HW3, x, y):
    """The content of a frame moved right and down by a possibly broken number of pixels."""
    return cv2.warpAffine(
        frame_HW3, np.array([(1, 0, x), (0, 1, y)], float), frame_HW3.shape[1::-1], borderMode=cv2.BORDER_REPLICATE
    )


def inner_points(n=40, seed=0):
    return np.random.default_rng(seed).uniform((40, 40), (280, 200), (n, 2)).astype(np.float32)


@pytest.mark.parametrize(
    ("size_wh", "tracked_wh"),
    [
        ((1, 1), (1, 1)),
        ((17, 16), (17, 16)),
        ((640, 360), (640, 360)),
        ((1920, 1080), (641, 360)),
        ((1080, 1920), (360, 641)),
        ((4000, 2), (735, 1)),
    ],
)
def test_frames_are_shrunk_only_where_they_are_large(size_wh, tracked_wh):
    frames_THW3 = np.full((2, size_wh[1], size_wh[0], 3), 50, np.uint8)
    frames = gray_frames(frames_THW3)
    assert len(frames) == 2
    for frame in frames:
        np.testing.assert_allclose(frame.size_wh, tracked_wh, atol=1)
        assert frame.diagonal <= LARGEST_PX + 1
        assert frame.full_HW.shape == frame.size_wh[::-1]
        half_wh = np.array(frame.half_HW.shape[::-1])
        assert (np.abs(2 * half_wh - frame.size_wh) <= 1).all()
        assert frame.full_HW.dtype == frame.half_HW.dtype == np.uint8
        assert (frame.full_HW == 50).all()
        assert (frame.half_HW == 50).all()


def test_no_frames_give_none():
    assert gray_frames(np.zeros((0, 4, 4, 3), np.uint8)) == []


def test_small_frames_keep_their_pixels(frame_HW3):
    (frame,) = gray_frames(frame_HW3[None])
    np.testing.assert_array_equal(frame.full_HW, cv2.cvtColor(frame_HW3, cv2.COLOR_RGB2GRAY))
    even_HW = frame.full_HW.astype(float).reshape(120, 2, 160, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(frame.half_HW, even_HW, atol=1)


@pytest.mark.parametrize("gains", [(1, 0.6, 0.8), (1, 1.2, 1.2), (1, 1, 0.9)])
def test_all_frames_get_the_exposure_of_the_first(frame_HW3, gains):
    dim_HW3 = frame_HW3 * 0.8
    frames = gray_frames(np.stack([np.round(dim_HW3 * gain).astype(np.uint8) for gain in gains]))
    for frame in frames[1:]:
        for one_HW, other_HW in ((frame.full_HW, frames[0].full_HW), (frame.half_HW, frames[0].half_HW)):
            difference_HW = one_HW.astype(float) - other_HW
            assert np.abs(difference_HW).mean() < 5  # measured: up to 2.7, where the gain is 0.6


def test_what_moves_through_half_the_picture_does_not_change_its_exposure(frame_HW3):
    other_HW3 = frame_HW3.copy()
    other_HW3[:, :130] = 240
    _, frame = gray_frames(np.stack([frame_HW3, other_HW3]))
    np.testing.assert_array_equal(frame.full_HW[:, 140:], cv2.cvtColor(frame_HW3, cv2.COLOR_RGB2GRAY)[:, 140:])


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (0.5, 0.25), (-11, 7)])
def test_a_step_finds_a_known_shift(frame_HW3, shift):
    before, after = gray_frames(np.stack([frame_HW3, shifted(frame_HW3, *shift)]))
    xy_M2 = inner_points()
    there_M2, found_M, miss_M = FLOW.step(before, after, xy_M2)
    assert found_M.mean() > 0.95
    error_M = np.linalg.norm(there_M2 - xy_M2 - shift, axis=1)[found_M]
    assert np.median(error_M) < 0.06
    assert (error_M > 0.5).mean() < 0.05
    assert ((miss_M[found_M] >= 0) & (miss_M[found_M] <= 1)).all()


def test_nothing_is_found_where_there_is_nothing(frame_HW3):
    flat_HW3 = np.full_like(frame_HW3, 120)
    xy_M2 = inner_points(10)
    flat, also_flat = gray_frames(np.stack([flat_HW3, flat_HW3]))
    there_M2, found_M, miss_M = FLOW.step(flat, also_flat, xy_M2)
    assert not found_M.any()
    assert np.isfinite(there_M2).all()
    assert (miss_M == 1).all()
    here, elsewhere = gray_frames(np.stack([frame_HW3, make_scene(1, seed=77, noise=0).clip.frames_THW3[0]]))
    assert FLOW.step(here, elsewhere, inner_points(100))[1].mean() < 0.1


def test_no_points_and_points_outside_are_no_error(frame_HW3):
    before, after = gray_frames(np.stack([frame_HW3, shifted(frame_HW3, 1, 1)]))
    there_M2, found_M, miss_M = FLOW.step(before, after, np.zeros((0, 2)))
    assert (there_M2.shape, found_M.shape, miss_M.shape) == ((0, 2), (0,), (0,))
    far_M2 = np.array([(-500, 3), (5000, 5000), (-40, -40)], np.float32)
    there_M2, found_M, _ = FLOW.step(before, after, far_M2)
    assert np.isfinite(there_M2).all()
    assert not found_M.any()


def test_a_tighter_limit_finds_less(frame_HW3):
    after_HW3 = np.clip(shifted(frame_HW3, 3.3, -2.6) + np.random.default_rng(0).normal(0, 12, frame_HW3.shape), 0, 255)
    frames = gray_frames(np.stack([frame_HW3, after_HW3.astype(np.uint8)]))
    limits = (0.02, 0.1, 0.5, 2.0)
    found = [Flow(window_px=14, levels=3, limit_px=limit).step(*frames, inner_points(200))[1].sum() for limit in limits]
    assert found == sorted(found)
    assert found[0] < 0.3 * found[-1]


def test_a_refinement_starts_at_its_guess_and_does_not_go_far(frame_HW3):
    before, after = gray_frames(np.stack([frame_HW3, shifted(frame_HW3, 30, 10)]))
    xy_M2 = inner_points()
    near_M2, found_M = FLOW.refine(before.full_HW, after.full_HW, xy_M2, np.add(xy_M2, (31, 9.2)))
    assert found_M.mean() > 0.9
    assert np.median(np.linalg.norm(near_M2 - xy_M2 - (30, 10), axis=1)) < 0.05
    there_M2, found_M = FLOW.refine(before.full_HW, after.full_HW, xy_M2, xy_M2)
    assert (np.linalg.norm(there_M2 - xy_M2, axis=1)[found_M] < 20).all()


def test_pixel_centres_lie_at_halves():
    """One bright dot: where it is in both pictures is where its pixels' middle is."""
    pictures = np.zeros((2, 64, 64), np.uint8)
    cv2.circle(pictures[0], (20, 30), 4, 255, -1)  # about pixel (20, 30), whose middle is (20.5, 30.5)
    cv2.circle(pictures[1], (22, 33), 4, 255, -1)
    pictures = [cv2.GaussianBlur(picture, (0, 0), 1.5) for picture in pictures]
    start_M2 = np.array([(20.5, 30.5)], np.float32)
    there_M2, found_M = flow(*pictures, start_M2, start_M2, 15, 2)
    assert found_M.all()
    np.testing.assert_allclose(there_M2, [(22.5, 33.5)], atol=0.05)


@pytest.mark.parametrize("length_px", [0.1, 5, 12.9, 14, 15.0, 31.4])
def test_windows_are_odd_and_not_too_small(length_px):
    side = odd(length_px)
    assert side % 2 == 1
    assert side >= 5
    assert abs(side - length_px) <= 1.5 or length_px < 7
