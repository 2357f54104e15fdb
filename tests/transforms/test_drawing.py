"""Marks and traces drawn into pictures."""

import numpy as np
import pytest

from transforms.drawing import draw_marks, draw_traces

GREY = 120


def _blank(size_wh: tuple[int, int] = (512, 288)) -> np.ndarray:
    return np.full((size_wh[1], size_wh[0], 3), GREY, dtype=np.uint8)


def _changed_box(image_HW3: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero((image_HW3 != GREY).any(axis=-1))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def _digits(image_HW3: np.ndarray) -> np.ndarray:
    """Where white is stronger than red: green is 0 on the disc, 255 in the digits."""
    inside = (image_HW3 != GREY).any(axis=-1) & (image_HW3[..., 0] > 200)
    return inside & (image_HW3[..., 1] > GREY + 8)


def test_nothing_to_draw_gives_an_equal_copy():
    image = _blank()
    for drawn in (draw_marks(image, []), draw_traces(image, [])):
        assert np.array_equal(drawn, image)
        assert not np.shares_memory(drawn, image)


def test_drawing_leaves_its_input_alone():
    image = _blank()
    draw_marks(image, [(1, (10.0, 10.0))])
    draw_traces(image, [(1, np.array([[0.0, 0.0], [99.0, 99.0]]), np.array([True, True]))])
    assert (image == GREY).all()


def test_same_marks_same_bytes_also_on_a_read_only_image():
    image = _blank()
    image.setflags(write=False)
    marks = [(1, (30.5, 40.5)), (12, (200.0, 100.0))]
    assert np.array_equal(draw_marks(image, marks), draw_marks(image, marks))


@pytest.mark.parametrize("text_id", [1, 7, 12, 55])
def test_the_disc_is_red_and_centred_on_the_point(text_id):
    drawn = draw_marks(_blank(), [(text_id, (200.5, 100.5))])
    left, top, right, bottom = _changed_box(drawn)
    assert ((left + right) / 2, (top + bottom) / 2) == (200.5, 100.5)
    assert right - left == bottom - top
    assert drawn[top + 2, 200].tolist() == [255, 0, 0]


@pytest.mark.parametrize("text_id", [1, 4, 7, 10, 11, 55])
def test_the_digits_are_centred_in_the_disc(text_id):
    rows, columns = np.nonzero(_digits(draw_marks(_blank(), [(text_id, (200.5, 100.5))])))
    assert abs((columns.min() + columns.max() + 1) / 2 - 200.5) <= 1
    assert abs((rows.min() + rows.max() + 1) / 2 - 100.5) <= 1


@pytest.mark.parametrize(
    ("size_wh", "least_px"), [((64, 64), 9), ((256, 256), 9), ((512, 288), 15.4), ((1920, 1080), 57.6)]
)
def test_digits_grow_with_the_image_and_stay_legible(size_wh, least_px):
    drawn = draw_marks(_blank(size_wh), [(55, (size_wh[0] / 2, size_wh[1] / 2))])
    rows, _ = np.nonzero(_digits(drawn))
    assert least_px <= rows.max() + 1 - rows.min() <= least_px * 1.3 + 2


@pytest.mark.parametrize("xy", [(0.0, 0.0), (512.0, 0.0), (0.0, 288.0), (512.0, 288.0), (1.0, 144.0), (300.0, 287.9)])
def test_at_a_border_the_disc_is_shifted_only_as_far_as_needed(xy):
    free = _changed_box(draw_marks(_blank(), [(8, (200.5, 100.5))]))
    side = free[2] - free[0]
    left, top, right, bottom = _changed_box(draw_marks(_blank(), [(8, xy)]))
    assert (right - left, bottom - top) == (side, side)
    assert left == max(0, min(int(xy[0]) - side // 2, 512 - side))
    assert top == max(0, min(int(xy[1]) - side // 2, 288 - side))


def test_an_image_smaller_than_a_disc_is_filled_as_far_as_it_goes():
    drawn = draw_marks(_blank((8, 6)), [(55, (4.0, 3.0))])
    assert drawn.shape == (6, 8, 3)
    assert (drawn != GREY).any()


def test_the_edge_is_smooth():
    drawn = draw_marks(_blank(), [(1, (200.5, 100.5))]).astype(int)
    assert ((drawn[..., 1] > 0) & (drawn[..., 1] < GREY)).sum() > 20


def _trace(mark_id: int, y: float) -> tuple[int, np.ndarray, np.ndarray]:
    return mark_id, np.stack([np.linspace(50.5, 450.5, 9), np.full(9, y)], axis=1), np.ones(9, dtype=bool)


def test_a_trace_goes_from_pale_to_full():
    drawn = draw_traces(_blank(), [_trace(1, 100.5)]).astype(int)
    vividness = drawn[100].max(axis=-1) - drawn[100].min(axis=-1)
    assert vividness[60] < vividness[200] < vividness[440]


def test_until_draws_no_farther():
    drawn = draw_traces(_blank(), [_trace(1, 100.5)], until=4)
    assert 250 <= _changed_box(drawn)[2] < 262
    assert np.array_equal(
        draw_traces(_blank(), [_trace(1, 100.5)], until=99), draw_traces(_blank(), [_trace(1, 100.5)])
    )
    assert np.array_equal(draw_traces(_blank(), [_trace(1, 100.5)], until=-1), _blank())


def test_traces_of_different_marks_differ_in_colour_whatever_their_order():
    traces = [_trace(mark_id, 20.5 + 30 * mark_id) for mark_id in (8, 1, 3, 5, 2)]
    drawn = draw_traces(_blank(), traces)
    ends = [tuple(drawn[int(20.5 + 30 * mark_id), 450]) for mark_id in (1, 2, 3, 5, 8)]
    assert len(set(ends)) == 5
    assert np.array_equal(drawn, draw_traces(_blank(), traces[::-1]))


def test_a_hidden_step_is_thin():
    mark_id, xy_T2, visible_T = _trace(1, 100.5)
    visible_T[3:6] = False
    drawn = draw_traces(_blank(), [(mark_id, xy_T2, visible_T)])
    heights = (drawn != GREY).any(axis=-1).sum(axis=0)
    assert 0 < heights[250] < heights[100]


def test_a_trace_that_leaves_the_image_is_cut():
    xy_T2 = np.array([[500.0, 100.0], [1e9, -1e9]])
    assert draw_traces(_blank(), [(1, xy_T2, np.array([True, True]))]).shape == (288, 512, 3)
