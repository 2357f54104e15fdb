"""Traces at even steps of time, and what is told of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scenes import make_scene
from transforms.points import grid_points
from transforms.traces import from_bins, resample, room_for, to_bins, told_traces

SIZE_WH = (256, 128)
LIMITS = {"steps": 16, "interval_s": 0.125, "max_gap_s": 0.3}
TOLD = {"bins": 256, "min_share": 0.5, "min_reach_bins": 2.0}
NO_LIMIT = {"bins": 256, "min_share": 0.0, "min_reach_bins": 0.0}

EVEN_S = (0, 0.125, 0.25, 0.375, 0.5, 0.625)
SOURCE_30_FPS_S = (0, 0.133, 0.267, 0.4, 0.5, 0.633, 0.767)
"""a source of 30 frames a second, looked at 8 times a second"""


def _trace(times_s_T, x_T, visible_T=None, reference=0, **changes):
    """Trace of a point at (x, 10); inputs are read-only."""
    x_T = np.array(x_T, np.float64)
    xy_T2 = np.stack([x_T, np.full(len(x_T), 10.0)], axis=1)
    xy_T2.setflags(write=False)
    visible = np.ones(len(x_T), bool) if visible_T is None else np.array(visible_T, bool)
    times_s, xy_K2, visible_K = resample(
        np.array(times_s_T, np.float64), xy_T2, visible, reference, SIZE_WH, **(LIMITS | changes)
    )
    assert (xy_K2[:, 1] == 10).all()
    return times_s.tolist(), xy_K2[:, 0].tolist(), visible_K.tolist()


@pytest.mark.parametrize(
    ("times_s_T", "reference", "steps", "room"),
    [
        (EVEN_S, 0, 16, 5),
        (EVEN_S, 2, 16, 3),
        (EVEN_S, 5, 16, 0),
        (EVEN_S, 0, 3, 3),
        (np.arange(17) / 8 + 1 / 3, 0, 16, 16),  # as exact as floats are
        ((0, 0.3), 0, 16, 2),
        ((0, 0.1), 0, 16, 0),
        ((7.0,), 0, 16, 0),
    ],
)
def test_room(times_s_T, reference, steps, room):
    assert room_for(np.array(times_s_T), reference, steps=steps, interval_s=0.125) == room


@pytest.mark.parametrize(
    ("times_s_T", "x_T", "visible_T", "changes", "x_K", "visible_K"),
    [
        pytest.param((7.0,), [9], None, {}, [9], [1], id="one frame"),
        pytest.param((0, 0.1), [9, 8], None, {}, [9], [1], id="no room"),
        pytest.param(EVEN_S, [0, 9, 3, 4, 4, 5], None, {}, [0, 9, 3, 4, 4, 5], [1] * 6, id="frames at the steps"),
        pytest.param(EVEN_S, [0, 9, 3, 4, 4, 5], None, {"steps": 2}, [0, 9, 3], [1] * 3, id="no more steps than asked"),
        pytest.param(EVEN_S, [0, 9, 3, 4, 4, 5], None, {"reference": 3}, [4, 4, 5], [1] * 3, id="a later reference"),
        pytest.param(
            EVEN_S, [0, 1, 2, 3, 4, 5], None, {"interval_s": 0.25}, [0, 2, 4], [1] * 3, id="steps of two frames"
        ),
        pytest.param(
            SOURCE_30_FPS_S,
            [1000 * time_s / 10 for time_s in SOURCE_30_FPS_S],
            None,
            {},
            [0, 12.5, 25, 37.5, 50, 62.5, 75],
            [1] * 7,
            id="a steady point at uneven times has even steps",
        ),
        pytest.param((0, 0.25, 0.5), [0, 8, 40], None, {}, [0, 4, 8, 24, 40], [1] * 5, id="source slower than steps"),
        pytest.param((0, 0.5), [0, 8], None, {}, [0], [1], id="frames farther apart than a gap may be"),
        pytest.param(
            EVEN_S, [0, 1, 90, 3, 4, 5], (1, 1, 0, 1, 1, 1), {}, [0, 1, 2, 3, 4, 5], (1, 1, 0, 1, 1, 1), id="short gap"
        ),
        pytest.param(EVEN_S, [0, 1, 90, 90, 4, 5], (1, 1, 0, 0, 1, 1), {}, [0, 1], (1, 1), id="long gap"),
        pytest.param(
            EVEN_S, [0, 1, 90, 90, 4, 5], (1, 1, 0, 0, 1, 1), {"max_gap_s": 0.375}, [0, 1, 2, 3, 4, 5],
            (1, 1, 0, 0, 1, 1), id="a gap just short enough",
        ),
        pytest.param(EVEN_S, [0, 1, 2, 3, 90, 90], (1, 1, 1, 1, 0, 0), {}, [0, 1, 2, 3], [1] * 4, id="not seen again"),
        pytest.param(EVEN_S, [0, 90, 90, 90, 90, 90], (1, 0, 0, 0, 0, 0), {}, [0], [1], id="hidden at once, for good"),
        pytest.param(
            EVEN_S, [90, 90, 2, 3, 4, 5], (0, 0, 1, 1, 1, 1), {"reference": 2}, [2, 3, 4, 5], [1] * 4,
            id="what was hidden before does not matter",
        ),
        pytest.param(
            (0, 0.1, 0.2, 0.3, 0.4), [0, 10, 99, 30, 40], (1, 1, 0, 1, 1), {}, [0, 12.5, 25, 37.5], (1, 0, 0, 1),
            id="a gap between uneven frames",
        ),
        pytest.param(
            (0, 0.1, 0.2, 0.3, 0.4), [0, 10, 20, 99, 99], (1, 1, 1, 0, 0), {}, [0, 12.5], (1, 1),
            id="the last frame that shows it is the end",
        ),
        pytest.param(
            EVEN_S, [0, 1, 99, 99, 4, 5], (1, 1, 0, 0, 1, 1), {"interval_s": 0.5}, [0], [1], id="long gap between steps"
        ),
        pytest.param((0, 0.125, 0.125, 0.25), [0, 1, 1, 2], None, {}, [0, 1, 2], [1] * 3, id="one frame twice"),
        pytest.param(EVEN_S, [250, 255, 256, 250, 9, 9], None, {}, [250, 255], [1] * 2, id="right edge is outside"),
        pytest.param(EVEN_S, [5, 0, -0.1, 5, 9, 9], None, {}, [5, 0], [1] * 2, id="left edge is inside"),
        pytest.param(EVEN_S, [5, 6, np.nan, 5, 9, 9], None, {}, [5, 6], [1] * 2, id="not a number is outside"),
        pytest.param(EVEN_S, [5, 6, np.inf, 5, 9, 9], None, {}, [5, 6], [1] * 2, id="infinity is outside"),
        pytest.param((0, 0.2, 0.4), [250, 255, 265], None, {}, [250, 253.125], [1] * 2, id="outside between frames"),
    ],
)  # fmt: skip
def test_resample(times_s_T, x_T, visible_T, changes, x_K, visible_K):
    """MAGMA.md 2.7, 2 (aligned in time), 5 (by visibility and the real image) and 11 (even steps)."""
    reference = changes.get("reference", 0)
    times_s, x, visible = _trace(times_s_T, x_T, visible_T, **changes)
    interval_s = changes.get("interval_s", 0.125)
    np.testing.assert_allclose(times_s, times_s_T[reference] + interval_s * np.arange(len(x_K)), atol=1e-9)
    np.testing.assert_allclose(x, x_K, atol=1e-3)
    assert visible == [bool(flag) for flag in visible_K]


def test_a_height_is_not_a_width():
    xy_T2 = np.array([(10.0, 100.0), (10.0, 127.9), (10.0, 128.0)])
    _, xy_K2, _ = resample(np.arange(3) / 8, xy_T2, np.ones(3, bool), 0, SIZE_WH, **LIMITS)
    assert xy_K2.tolist() == [[10, 100], [10, 127.9]]


def test_a_point_hidden_where_its_trace_starts_is_an_error():
    with pytest.raises(ValueError, match="hidden on frame 1"):
        _trace(EVEN_S, [0] * 6, (1, 0, 1, 1, 1, 1), reference=1)


def test_an_exact_frame_is_taken_as_it_is():
    """Times out of a container are sums of thirds and twelfths; positions must not change in their last bits."""
    times_s_T = 1 / 3 + np.arange(17) * (3 / 24)
    x_T = np.random.default_rng(0).uniform(0, 256, 17)
    assert _trace(times_s_T, x_T)[1] == x_T.tolist()


@pytest.mark.parametrize("reference", [0, 5, 11])
@pytest.mark.parametrize("fps", [8.0, 7.5, 5.0, 30.0])
def test_a_trace_is_the_truth_in_the_reference_frame(reference, fps):
    """Of an object with a constant velocity under a panning, turning, zooming camera, whatever the rate of frames."""
    scene = make_scene(
        n_frames=17, pan_px_per_frame=(2, 1), zoom_per_frame=0.995, roll_deg_per_frame=0.4, fps=fps, noise=0
    )
    points_N2 = grid_points(scene.clip.size_wh, 8).astype(np.float64)
    on_object_n = np.flatnonzero(scene.object_at(points_N2) == 0)
    back_33 = np.linalg.inv(scene.homographies_T33[reference])
    steady_xy_TN2 = _seen(back_33, scene.steady_tracks(points_N2))
    velocity_2 = (scene.object_boxes_TO4[1, 0, :2] - scene.object_boxes_TO4[0, 0, :2]) * fps
    for n in on_object_n:
        times_s_K, xy_K2, visible_K = resample(
            scene.clip.times_s_T,
            steady_xy_TN2[:, n],
            np.ones(17, bool),
            reference,
            scene.clip.size_wh,
            steps=16,
            interval_s=0.125,
            max_gap_s=0.3,
        )
        truth_K2 = _seen(back_33, points_N2[n] + times_s_K[:, None] * velocity_2)
        np.testing.assert_allclose(xy_K2, truth_K2, atol=1e-6)
        assert len(xy_K2) == 1 + min(16, int((16 - reference) / fps / 0.125 + 1e-6))
        assert visible_K.all()
    assert len(on_object_n) > 2


def _seen(homography_33, xy):
    xyw = np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1) @ homography_33.T
    return xyw[..., :2] / xyw[..., 2:]


@pytest.mark.parametrize(
    ("xy", "bins", "told"),
    [
        pytest.param([], 256, [], id="empty"),
        pytest.param([(10.9, 10.49)], 256, [(10, 20)], id="truncated, not rounded; height has its own scale"),
        pytest.param([(0, 0), (255.99, 127.99)], 256, [(0, 0), (255, 255)], id="corners"),
        pytest.param([(256, 128)], 256, [(255, 255)], id="the far corner is clamped"),
        pytest.param([(-0.5, 64)], 256, [(0, 128)], id="so is what lies before the image"),
        pytest.param([(128, 64)], 10, [(5, 5)], id="other bins"),
    ],
)
def test_to_bins(xy, bins, told):
    """MAGMA.md 2.7, 5: no value is 256."""
    assert to_bins(xy, SIZE_WH, bins) == told
    assert all(isinstance(value, int) for point in told for value in point)


@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(2, 1100), st.data())
def test_bins_and_their_middles_go_back_and_forth(width, height, bins, data):
    cell = st.integers(0, bins - 1)
    points = data.draw(st.lists(st.tuples(cell, cell), max_size=5))
    middles = from_bins(points, (width, height), bins)
    assert to_bins(middles, (width, height), bins) == points
    inside = st.floats(0, 1, exclude_max=True)
    xy = np.array([(data.draw(inside) * width, data.draw(inside) * height)])
    away = np.abs(from_bins(to_bins(xy, (width, height), bins), (width, height), bins) - xy)
    assert (away <= np.array([width, height]) * (0.5 / bins + 1e-9)).all()


def _path(n_steps, step=4.0, at=10.0):
    return np.array([(at + step * k, 10.0) for k in range(n_steps + 1)])


@pytest.mark.parametrize(
    ("traces", "room", "changes", "steps"),
    [
        pytest.param({}, 16, {}, {}, id="no traces"),
        pytest.param({1: _path(0)}, 0, NO_LIMIT, {}, id="no room"),
        pytest.param({1: _path(0)}, 16, NO_LIMIT, {}, id="a start is no trace"),
        pytest.param({1: _path(16)}, 16, {}, {1: 16}, id="one"),
        pytest.param({3: _path(16), 1: _path(9)}, 16, {}, {1: 9, 3: 9}, id="cut to the shortest"),
        pytest.param({1: _path(16), 2: _path(8)}, 16, {}, {1: 8, 2: 8}, id="just long enough"),
        pytest.param({1: _path(16), 2: _path(7)}, 16, {}, {1: 16}, id="too short to be told"),
        pytest.param({1: _path(7), 2: _path(2)}, 16, {}, {}, id="all too short"),
        pytest.param({1: _path(4), 2: _path(3)}, 5, {}, {1: 3, 2: 3}, id="little room"),
        pytest.param({1: _path(16, step=0.1)}, 16, {}, {}, id="gets nowhere"),
        pytest.param({1: _path(16, step=0.125)}, 16, {}, {1: 16}, id="gets just far enough"),
        pytest.param({1: _path(16, step=0.1), 2: _path(8)}, 16, {}, {2: 8}, id="only one gets somewhere"),
        pytest.param({1: _path(16, step=0.125), 2: _path(8)}, 16, {}, {1: 16}, id="either: the longer"),
        pytest.param(
            {1: _path(16, step=0.125), 2: _path(9), 3: _path(8)}, 16, {}, {2: 8, 3: 8}, id="most traces"
        ),
        pytest.param(
            {1: _path(16), 2: _path(12), 3: _path(8, step=0.1)}, 16, {}, {1: 12, 2: 12}, id="what is not told cuts none"
        ),
        pytest.param(
            {1: np.array([(10, 10), (40, 10), *[(10, 10)] * 15], float)}, 16, {}, {1: 16}, id="there and back"
        ),
    ],
)  # fmt: skip
def test_told_traces_have_one_number_of_steps(traces, room, changes, steps):
    """MAGMA.md 2.7, 10 and 11: the start is told first, then every step; N is that of every mark."""
    told = told_traces(traces, SIZE_WH, room, **(TOLD | changes))
    assert {mark: len(points) - 1 for mark, points in told.items()} == steps
    for mark, points in told.items():
        assert points == to_bins(traces[mark], SIZE_WH, 256)[: len(points)]


@given(
    st.dictionaries(st.integers(0, 9), st.tuples(st.integers(0, 16), st.floats(0, 5)), max_size=6),
    st.integers(0, 16),
    st.floats(0, 1),
    st.floats(0, 40),
)
def test_told_traces_laws(lengths, room, min_share, min_reach_bins):
    traces = {mark: _path(min(n, room), step) for mark, (n, step) in lengths.items()}
    limits = {"bins": 256, "min_share": min_share, "min_reach_bins": min_reach_bins}
    told = told_traces(traces, SIZE_WH, room, **limits)
    assert len({len(points) for points in told.values()}) <= 1
    for mark, points in told.items():
        n = len(points) - 1
        assert n >= max(1, min_share * room)
        assert np.abs(traces[mark][: n + 1, 0] - 10).max() >= min_reach_bins
    if told:
        assert min(len(traces[mark]) for mark in told) == len(next(iter(told.values())))
    else:
        assert not any(
            len(path) - 1 >= max(1, min_share * room) and np.abs(path[:, 0] - 10).max() >= min_reach_bins
            for path in traces.values()
        )
