"""Marks and traces drawn into pictures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from transforms import drawing
from transforms.drawing import draw_marks, draw_traces

GREY = 120

Marks = list[tuple[int, tuple[float, float]]]


def _blank(size_wh: tuple[int, int] = (512, 288)) -> np.ndarray:
    return np.full((size_wh[1], size_wh[0], 3), GREY, dtype=np.uint8)


def _changed_box(image_HW3: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero((image_HW3 != GREY).any(axis=-1))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def _digits(image_HW3: np.ndarray) -> np.ndarray:
    """Where white is stronger than red: green is 0 on the disc, 255 in the digits."""
    inside = (image_HW3 != GREY).any(axis=-1) & (image_HW3[..., 0] > 200)
    return inside & (image_HW3[..., 1] > GREY + 8)


class _Discs:
    """Where the discs of one call lie, in the order of their ids: noted as they are drawn."""

    def __init__(self, image_HW3: np.ndarray, marks: Marks) -> None:
        self.footprints: list[np.ndarray] = []
        self.middles: list[tuple[int, int]] = []
        self.sides: list[int] = []
        paste = drawing._paste

        def noted(image_HW3, adds_SS3, keeps_SS3, centre):
            half = len(keeps_SS3) // 2
            footprint = np.zeros((image_HW3.shape[0] + 2 * half, image_HW3.shape[1] + 2 * half), dtype=bool)
            footprint[centre[1] : centre[1] + 2 * half + 1, centre[0] : centre[0] + 2 * half + 1] = (
                keeps_SS3[..., 0] < 255
            )
            inside = footprint[half : half + image_HW3.shape[0], half : half + image_HW3.shape[1]]
            assert inside.sum() == footprint.sum(), "cut by the border"
            self.footprints.append(inside)
            self.middles.append((int(centre[0]), int(centre[1])))
            self.sides.append(len(keeps_SS3))
            paste(image_HW3, adds_SS3, keeps_SS3, centre)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(drawing, "_paste", noted)
            self.drawn_HW3 = draw_marks(image_HW3, marks)
        self.cover_HW = sum(self.footprints, np.zeros(image_HW3.shape[:2], dtype=int))

    def moved(self, marks: Marks) -> np.ndarray:
        points = np.array([xy for _, xy in sorted(marks)])
        return np.linalg.norm(np.array(self.middles) + 0.5 - points, axis=1)

    def gaps(self) -> np.ndarray:
        """Between the edges of every two discs."""
        middles, radii = np.array(self.middles), np.array(self.sides) / 2
        gaps = np.linalg.norm(middles[:, None] - middles, axis=-1) - radii[:, None] - radii
        return gaps[~np.eye(len(middles), dtype=bool)]


def _numbered(points: list[tuple[float, float]], start: int = 1) -> Marks:
    return list(enumerate(points, start))


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


@st.composite
def _layouts(draw):
    """Up to 40 marks, some in a crowd, some outside of the image."""
    size_wh = draw(st.sampled_from([(256, 256), (512, 288), (320, 240), (180, 320), (1000, 90)]))
    anywhere = st.tuples(*(st.floats(-30, side + 30) for side in size_wh))
    crowd = st.tuples(*(st.integers(side // 3, side // 3 + 20).map(float) for side in size_wh))
    points = draw(st.lists(st.one_of(anywhere, crowd), min_size=1, max_size=40))
    return size_wh, _numbered(points, start=draw(st.sampled_from([0, 1, 85])))


@settings(max_examples=60, deadline=None)
@given(_layouts(), st.randoms(use_true_random=False))
def test_no_disc_lies_on_another_or_is_cut_whatever_the_order(layout, random):
    size_wh, marks = layout
    discs = _Discs(_blank(size_wh), marks)
    assert len(discs.sides) == len(marks)
    assert discs.cover_HW.max() <= 1
    assert (discs.gaps() > 2 - 1e-9).all()
    shuffled = random.sample(marks, len(marks))
    assert np.array_equal(draw_marks(_blank(size_wh), shuffled), discs.drawn_HW3)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 14.9), st.floats(0, 14.9)), min_size=40, max_size=40))
def test_discs_with_room_stay_on_their_points(offsets):
    """Cells of 51 px; the discs are 33 px wide."""
    marks = _numbered([(20 + 51 * (n % 9) + x, 20 + 51 * (n // 9) + y) for n, (x, y) in enumerate(offsets)])
    discs = _Discs(_blank((512, 288)), marks)
    assert discs.middles == [(int(x), int(y)) for _, (x, y) in marks]
    assert np.array_equal((discs.drawn_HW3 != GREY).any(axis=-1), discs.cover_HW > 0)


def test_a_crowd_leaves_what_it_does_not_reach_alone():
    marks = _numbered([(100.0 + n, 100.0) for n in range(6)] + [(400.5, 200.5), (425.5, 200.5), (20.5, 260.5)])
    discs = _Discs(_blank(), marks)
    assert discs.sides[6:] == [23, 23, 23]
    assert discs.middles[6:] == [(400, 200), (425, 200), (20, 260)]


@pytest.mark.parametrize("way_xy", [(10, 0), (0, 7), (-9, 12), (12, -11)])
def test_of_two_that_touch_each_moves_half_the_way(way_xy):
    marks = _numbered([(200.5, 100.5), (200.5 + way_xy[0], 100.5 + way_xy[1])])
    discs = _Discs(_blank(), marks)
    lack = discs.sides[0] - np.hypot(*way_xy)
    assert (discs.moved(marks) <= lack / 2 + 2.5).all()
    shift = np.array(discs.middles[1]) - discs.middles[0]
    assert np.dot(shift, way_xy) >= 0.97 * np.linalg.norm(shift) * np.hypot(*way_xy)


@pytest.mark.parametrize("spread_px", [0.0, 20.0])
def test_a_crowd_goes_little_farther_than_the_densest_packing(spread_px):
    """40 discs packed densely fill a round place whose mean distance from its middle is two thirds of its radius."""
    points = np.random.default_rng(0).normal(0, 1, (40, 2)) * spread_px + (960, 540)
    marks = _numbered([(float(x), float(y)) for x, y in points], start=10)
    discs = _Discs(_blank((1920, 1080)), marks)
    assert len(set(discs.sides)) == 1
    packed_radius = (discs.sides[0] + 2) * np.sqrt(40 * np.sqrt(3) / 2 / np.pi)
    assert discs.moved(marks).mean() <= 1.1 * 2 / 3 * packed_radius
    assert (discs.gaps() > 2 - 1e-9).all()


@pytest.mark.parametrize("corner", [(0.0, 0.0), (511.9, 287.9), (600.0, -50.0)])
def test_many_marks_in_a_corner(corner):
    discs = _Discs(_blank(), _numbered([corner] * 30))
    assert (discs.gaps() > 2 - 1e-9).all()


def test_places_depend_on_the_marks_and_not_on_the_picture():
    marks = _numbered([(100.0 + 7 * n, 90.0 + 5 * n) for n in range(12)])
    noise = np.random.default_rng(0).integers(0, 256, (288, 512, 3), dtype=np.uint8)
    frames = [_Discs(frame, marks) for frame in (_blank(), noise)]
    assert frames[0].middles == frames[1].middles


@pytest.mark.parametrize("ground", [(255, 0, 0), (255, 255, 255), (0, 0, 0), (0, 0, 255)])
def test_a_disc_far_from_its_point_is_tied_to_it_on_any_ground(ground):
    image = np.full((288, 512, 3), ground, dtype=np.uint8)
    marks = _numbered([(200.5, 100.5)] * 12)
    discs = _Discs(image, marks)
    beside = (discs.drawn_HW3 != image).any(axis=-1) & (discs.cover_HW == 0)
    assert beside.sum() > 20
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "_draw_leaders", lambda *_: None)
        untied_HW3 = draw_marks(image, marks)
    opaque = np.zeros_like(beside)
    for (x, y), side in zip(discs.middles, discs.sides, strict=True):
        rows, columns = np.ogrid[: len(image), : image.shape[1]]
        opaque |= np.hypot(columns - x, rows - y) < side / 2 - 1
    assert np.array_equal(discs.drawn_HW3[opaque], untied_HW3[opaque])


def test_a_leader_ends_at_the_point():
    """Discs crowd at the left border; the point of one is free to be seen."""
    marks = _numbered([(0.5, 144.5)] * 3 + [(0.5, 144.5 + 20 * sign) for sign in (-1, 1)])
    discs = _Discs(_blank(), marks)
    tied = discs.moved(marks) > 0.75 * np.array(discs.sides)
    assert tied.any()
    assert discs.cover_HW[144, 0] == 0
    assert discs.drawn_HW3[144, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    "points",
    [
        [(200.5, 100.5), (206.5, 100.5)],
        [(0.0, 0.0), (511.9, 0.0), (0.0, 287.9), (511.9, 287.9)],
        [(250.0, 0.5), (0.5, 99.5)],
    ],
)
def test_a_disc_that_went_a_little_has_no_leader(points):
    discs = _Discs(_blank(), _numbered(points))
    assert np.array_equal((discs.drawn_HW3 != GREY).any(axis=-1), discs.cover_HW > 0)


def test_discs_shrink_only_where_they_are_too_many():
    points = np.random.default_rng(0).uniform((0, 0), (320, 240), (200, 2))
    all_marks = _numbered([(float(x), float(y)) for x, y in points])
    alone, few, some, many = (_Discs(_blank((320, 240)), all_marks[:n]) for n in (1, 20, 110, 200))
    assert alone.sides[0] == few.sides[0] > some.sides[0] > many.sides[0]
    assert many.cover_HW.max() == 1
    assert len(many.sides) == 200


def test_on_a_small_image_discs_fit_in_side_by_side():
    discs = _Discs(_blank((64, 64)), _numbered([(32.0, 32.0)] * 9, start=96))
    assert discs.cover_HW.max() == 1


def test_where_nothing_helps_discs_overlap_but_none_is_left_out():
    discs = _Discs(_blank((64, 64)), _numbered([(float(n), 32.0) for n in range(60)]))
    assert len(discs.sides) == len(set(discs.middles)) == 60


def test_an_image_lower_than_a_disc_has_smaller_ones():
    discs = _Discs(_blank((1920, 40)), [(55, (960.0, 20.0)), (7, (300.0, 39.0))])
    assert max(discs.sides) <= 40


def test_no_image_of_the_picture_s_size_is_made_to_find_the_font_size(monkeypatch):
    for cached in (drawing._font_size, drawing._side, drawing._font, drawing._stamp):
        cached.cache_clear()
    made: list[int] = []
    new = Image.new
    monkeypatch.setattr(
        Image, "new", lambda mode, size, *rest: made.append(size[0] * size[1]) or new(mode, size, *rest)
    )
    marks = _numbered([(45.0 * n, 500.0) for n in range(40)])
    draw_marks(_blank((1920, 1080)), marks)
    assert 0 < len(made) <= 40
    assert max(made) < 1920 * 1080 / 50
    made.clear()
    draw_marks(_blank((1920, 1080)), marks)
    assert not made


@pytest.mark.parametrize("mark_id", [0, 9, 10, 99, 100, 150])
def test_all_digits_of_an_id_lie_within_its_disc(mark_id):
    discs = _Discs(_blank((256, 256)), [(mark_id, (128.0, 128.0))])
    rim = discs.drawn_HW3[128 - discs.sides[0] // 2 + 1, 128]
    assert rim.tolist() == [255, 0, 0]
    rows, columns = np.nonzero(_digits(discs.drawn_HW3))
    assert np.hypot(columns - 128, rows - 128).max() <= discs.sides[0] / 2
    white = (discs.drawn_HW3 > 200).all(axis=-1)
    assert white.sum() >= 4 * len(str(mark_id))


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
