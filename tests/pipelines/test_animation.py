"""The trace GIF."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipelines.animation import _from_reference, trace_gif
from tests.marked import N_FRAMES, SIZE_WH, make_marked
from transforms.homography import warp


def _frames(gif: bytes) -> tuple[list[np.ndarray], list[int], Image.Image]:
    image = Image.open(io.BytesIO(gif))
    frames, durations = [], []
    for place in range(image.n_frames):
        image.seek(place)
        frames.append(np.asarray(image.convert("RGB")).astype(int))
        durations.append(image.info["duration"])
    return frames, durations, image


def test_a_frame_per_time_step_side_by_side_without_end():
    frames, durations, image = _frames(trace_gif(make_marked()))
    assert len(frames) == N_FRAMES
    assert image.info["loop"] == 0
    assert durations[0] > 500  # the marked frame
    assert set(durations[1:-1]) == {120}
    assert durations[-1] > 500
    assert frames[0].shape[1] == 2 * SIZE_WH[0] + 4
    assert frames[0].shape[0] > SIZE_WH[1]


def test_same_clip_same_bytes():
    assert trace_gif(make_marked()) == trace_gif(make_marked())


def test_large_frames_are_shrunk():
    marked = make_marked(camera_moves=False)
    large = np.zeros((N_FRAMES, 720, 960, 3), dtype=np.uint8)
    frames, _, _ = _frames(trace_gif(replace(marked, clip=replace(marked.clip, frames_THW3=large))))
    assert frames[0].shape == (360 + 28, 2 * 480 + 4, 3)


@pytest.mark.parametrize("reference", [0, 3])
def test_both_panels_are_alike_where_the_camera_stands_still(reference):
    marked = make_marked(camera_moves=False, reference=reference)
    dark = replace(marked, clip=replace(marked.clip, frames_THW3=marked.clip.frames_THW3 // 8))
    frames, _, _ = _frames(trace_gif(dark))
    for frame in frames:
        left, right = frame[28:, : SIZE_WH[0]], frame[28:, SIZE_WH[0] + 4 :]
        assert np.array_equal(left, right)


def _black(marked):
    return replace(marked, clip=replace(marked.clip, frames_THW3=np.zeros_like(marked.clip.frames_THW3)))


def _coloured(panel_HW3):
    return int((np.ptp(panel_HW3, axis=-1) > 60).sum())


def test_traces_grow():
    frames, _, _ = _frames(trace_gif(_black(make_marked())))
    coloured = [_coloured(frame[28:, SIZE_WH[0] + 4 :]) for frame in frames]
    assert coloured[0] < coloured[4] < coloured[-1]


def test_marks_and_traces_begin_with_the_marked_frame():
    frames, durations, _ = _frames(trace_gif(_black(make_marked(reference=3))))
    for panel in (slice(None, SIZE_WH[0]), slice(SIZE_WH[0] + 4, None)):
        coloured = [_coloured(frame[28:, panel]) for frame in frames]
        assert coloured[:3] == [0, 0, 0]
        assert 0 < coloured[3] < coloured[5] < coloured[-1]
    assert [place for place, duration in enumerate(durations) if duration > 500] == [3, N_FRAMES - 1]


def test_what_stands_still_stays_where_it_is_in_the_right_panel():
    """Every frame is seen from the camera of the marked one, which stays as it is."""
    marked = make_marked(reference=3)
    frames_THW3 = np.zeros_like(marked.clip.frames_THW3)
    for t in range(N_FRAMES):
        frames_THW3[t, 40:60, 100 - 2 * t : 120 - 2 * t] = 200
    frames, _, _ = _frames(trace_gif(replace(marked, clip=replace(marked.clip, frames_THW3=frames_THW3), marks=())))
    for frame in frames:
        box_HW = frame[28:, SIZE_WH[0] + 4 :].min(axis=-1) > 150
        assert np.flatnonzero(box_HW.any(axis=0))[[0, -1]].tolist() == [94, 113]


@pytest.mark.parametrize("moves", [True, False])
def test_a_clip_of_one_frame(moves):
    marked = make_marked(moves=moves)
    one = replace(
        marked,
        clip=replace(marked.clip, frames_THW3=marked.clip.frames_THW3[:1], times_s_T=marked.clip.times_s_T[:1]),
    )
    assert len(_frames(trace_gif(one))[0]) == 1


def test_a_shrunk_frame_is_warped_to_where_the_homography_says():
    homography_33 = np.array([[1.05, 0.02, -12.0], [-0.03, 0.97, 6.0], [1e-4, 0.0, 1.0]])
    spot_xy, scale_xy = np.array([120.0, 60.0]), np.array([0.5, 0.5])
    y, x = np.mgrid[:100, :150] + 0.5
    far_px = np.hypot(x - spot_xy[0] / 2, y - spot_xy[1] / 2)
    frame_HW3 = np.repeat((255 * np.exp(-((far_px / 4) ** 2)))[..., None], 3, axis=2).astype(np.uint8)

    warped_HW = _from_reference(frame_HW3, homography_33, scale_xy)[..., 2].astype(float)
    warped_HW = np.maximum(warped_HW - 80, 0)  # brighter than what lies outside of the frame
    found_xy = [float((warped_HW * grid).sum() / warped_HW.sum()) for grid in (x, y)]
    wanted_xy = warp(homography_33[None], spot_xy[None, None])[0, 0] * scale_xy
    assert np.allclose(found_xy, wanted_xy, atol=0.1)
