import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.flow import Motion, PointMark
from tests.scenes import fake_tracks
from transforms.traces import is_worth_telling, text_trace, trace_of

SIZE_WH = (256, 128)
ARGS = {"bins": 256, "min_step_bins": 2.0}


def _told(xy_T2, visible_T=None, **changes):
    xy = np.array(xy_T2, np.float64).reshape(-1, 2)
    xy.setflags(write=False)  # MAGMA.md 2.7, 10: tracks were quantised in place
    visible = np.ones(len(xy), bool) if visible_T is None else np.array(visible_T, bool)
    return text_trace(xy, visible, SIZE_WH, **(ARGS | changes))


def test_trace_of_a_mark_is_its_steady_track():
    steady_xy_TN2 = np.arange(12.0).reshape(3, 2, 2)
    visible_TN = np.array([(1, 1), (1, 0), (1, 1)], bool)
    motion = Motion(
        steady_xy_TN2=steady_xy_TN2, usable_N=np.ones(2, bool), moving_N=np.ones(2, bool), speed_N=np.ones(2)
    )
    xy_T2, visible_T = trace_of(
        PointMark(id=4, track=1, kind="moving"), motion, fake_tracks(np.zeros((3, 2, 2)), visible_TN)
    )
    np.testing.assert_array_equal(xy_T2, [(2, 3), (6, 7), (10, 11)])
    np.testing.assert_array_equal(visible_T, [True, False, True])


@pytest.mark.parametrize(
    ("xy_T2", "visible_T", "told"),
    [
        pytest.param([], None, [], id="empty"),
        pytest.param([(10, 10)], None, [(10, 20)], id="only the start"),
        pytest.param([(10.9, 10.49)], None, [(10, 20)], id="truncated, not rounded"),
        pytest.param([(10, 10), (20, 20)], None, [(10, 20), (20, 40)], id="height has its own scale"),
        pytest.param([(10, 10), (11, 10), (12, 10)], None, [(10, 20), (12, 20)], id="thinned against the last told"),
        pytest.param([(10.9, 10), (12.8, 10)], None, [(10, 20)], id="thinned before truncation"),
        pytest.param([(10, 10), (20, 10), (30, 10)], (1, 0, 1), [(10, 20), (30, 20)], id="hidden ones are left out"),
        pytest.param([(10, 10), (20, 10)], (0, 1), [(10, 20), (20, 20)], id="the start is always told"),
        pytest.param([(0, 0), (9, 9)], None, [(0, 0), (9, 18)], id="a start in the corner is told"),
        pytest.param([(250, 9), (256, 9)], None, [(250, 18)], id="right edge is outside"),
        pytest.param([(9, 120), (9, 128), (9, 127.9)], None, [(9, 240), (9, 255)], id="bottom edge is outside"),
        pytest.param([(9, 9), (-0.1, 9), (5, 9)], None, [(9, 18), (5, 18)], id="left edge"),
        pytest.param([(256, 128)], None, [(255, 255)], id="a start on the far corner is clamped"),
        pytest.param([(9, 9), (np.nan, 9)], None, [(9, 18)], id="not a number is outside"),
    ],
)
def test_text_trace(xy_T2, visible_T, told):
    """MAGMA.md 2.7, 5 and 10: by visibility and the real image, and the first point told is the mark's own."""
    assert _told(xy_T2, visible_T) == told


@given(
    st.lists(st.tuples(st.floats(-50, 300), st.floats(-50, 200)), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
)
def test_text_trace_laws(points, random):
    visible_T = [random.random() < 0.7 for _ in points]
    told = _told(points, visible_T)
    assert told[0] == _told(points[:1])[0]
    assert 1 <= len(told) <= 1 + sum(visible_T[1:])
    assert all(0 <= value <= 255 for point in told for value in point)
    assert all(isinstance(value, int) for point in told for value in point)
    assert _told(points, visible_T, min_step_bins=0.0)[0] == told[0]


@pytest.mark.parametrize(
    ("points", "n_steps", "worth"),
    [
        ([], 16, False),
        ([(0, 0)], 16, False),
        ([(0, 0)], 0, False),
        ([(5 * i, 0) for i in range(5)], 16, False),  # 4 future points are not more than a quarter of 16
        ([(5 * i, 0) for i in range(6)], 16, True),
        ([(2 * i, 0) for i in range(6)], 16, True),
        ([(i, i) for i in range(6)], 16, False),  # 1.41 bins a step
    ],
)
def test_is_worth_telling(points, n_steps, worth):
    assert is_worth_telling(points, n_steps, min_trace_share=0.25, min_speed_bins=2.0) == worth
