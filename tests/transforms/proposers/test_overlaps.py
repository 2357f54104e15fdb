import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.flow import Regions
from transforms.ocr import Line
from transforms.proposers.overlaps import with_words
from transforms.proposers.windows import make_regions

Box = tuple[float, float, float, float]


def icons(*boxes: Box, labels: list[str] | None = None) -> Regions:
    n = len(boxes)
    return make_regions(boxes, np.linspace(0.9, 0.5, n).tolist(), labels or [""] * n, ["icon"] * n)


def line(box: Box, text: str) -> Line:
    return Line(box_xyxy=box, text=text, score=0.7, char_x_C=np.zeros(len(text)))


def told(regions: Regions) -> list[tuple[Box, str, str]]:
    return [
        ((x1, y1, x2, y2), label, role)
        for (x1, y1, x2, y2), label, role in zip(
            regions.xyxy_R4.tolist(), regions.label_R.tolist(), regions.role_R.tolist(), strict=True
        )
    ]


BUTTON: Box = (0, 0, 100, 40)
WORD: Box = (10, 10, 60, 30)
FAR: Box = (200, 200, 260, 220)


@pytest.mark.parametrize(
    ("boxes", "lines", "expected"),
    [
        pytest.param([], [], [], id="nothing"),
        pytest.param([], [line(WORD, "Go")], [(WORD, "Go", "text")], id="words alone"),
        pytest.param([BUTTON], [], [(BUTTON, "", "icon")], id="a box alone"),
        pytest.param([BUTTON], [line(WORD, "Go")], [(BUTTON, "Go", "button")], id="words in a box"),
        pytest.param(
            [BUTTON],
            [line((10, 2, 60, 18), "Go"), line((10, 20, 60, 38), "now")],
            [(BUTTON, "Go now", "button")],
            id="two lines in a box",
        ),
        pytest.param(
            [BUTTON],
            [line((70, 9, 90, 29), "4"), line(WORD, "Go")],
            [(BUTTON, "Go 4", "button")],
            id="words side by side are read from left to right",
        ),
        pytest.param(
            [BUTTON, FAR],
            [line((60, 10, 110, 30), "Go")],
            [((60, 10, 110, 30), "Go", "text"), (BUTTON, "", "icon"), (FAR, "", "icon")],
            id="words of which 0.8 are in a box are not in it",
        ),
        pytest.param(
            [BUTTON], [line((61, 10, 109, 30), "Go")], [(BUTTON, "Go", "button")], id="words of which 0.8125 are"
        ),
        pytest.param([WORD], [line(BUTTON, "Go")], [(BUTTON, "Go", "text")], id="a box in words"),
        pytest.param([WORD], [line(WORD, "Go")], [(WORD, "Go", "button")], id="words as large as the box"),
        pytest.param([BUTTON, WORD], [], [(WORD, "", "icon")], id="of two boxes the larger goes"),
        pytest.param([BUTTON, BUTTON], [], [(BUTTON, "", "icon")] * 2, id="of equal ones none goes"),
        pytest.param(
            [(0, 0, 400, 400), BUTTON, WORD],
            [],
            [(WORD, "", "icon")],
            id="of three in one another the smallest stays",
        ),
        pytest.param([(0, 0, 400, 400), (0, 0, 0.9, 9)], [], [((0, 0, 400, 400), "", "icon")], id="no whole pixel"),
        pytest.param([], [line((3.1, 0, 3.9, 9), "i")], [], id="words of no whole pixel"),
        pytest.param(
            [FAR, BUTTON],
            [line(WORD, "Go"), line((300, 0, 340, 20), "Hi")],
            [((300, 0, 340, 20), "Hi", "text"), (BUTTON, "Go", "button"), (FAR, "", "icon")],
            id="what says nothing comes last",
        ),
    ],
)
def test_boxes_and_words_are_put_together(
    boxes: list[Box], lines: list[Line], expected: list[tuple[Box, str, str]]
) -> None:
    merged = with_words(icons(*boxes), lines, max_overlap=0.1)
    assert told(merged) == [(tuple(np.float32(box).tolist()), label, role) for box, label, role in expected]


@pytest.mark.parametrize(("max_overlap", "stay"), [(0.1, 1), (0.49, 1), (0.51, 2), (1.0, 2)])
def test_overlap_is_measured_by_the_smaller_box(max_overlap: float, stay: int) -> None:
    half_out = icons((0, 0, 100, 100), (90, 0, 110, 20))
    assert len(with_words(half_out, [], max_overlap=max_overlap).score_R) == stay


def test_a_thing_with_a_name_keeps_it_and_its_place_and_leaves_words_alone() -> None:
    found = make_regions([BUTTON, WORD], [0.9, 0.8], ["bus", ""], ["segment", "icon"])
    merged = with_words(found, [line((62, 10, 90, 30), "12")], max_overlap=0.1)
    assert told(merged) == [((62, 10, 90, 30), "12", "text"), (BUTTON, "bus", "segment"), (WORD, "", "icon")]


def test_scores_stay_with_their_boxes() -> None:
    merged = with_words(icons(FAR, BUTTON), [line(WORD, "Go")], max_overlap=0.1)
    np.testing.assert_allclose(merged.score_R, [0.5, 0.9])


sides = st.integers(min_value=0, max_value=30)
box_lists = st.lists(st.tuples(sides, sides, sides, sides), max_size=8)


@given(boxes=box_lists, words=box_lists)
def test_no_word_is_lost_and_nothing_is_invented(boxes: list[Box], words: list[Box]) -> None:
    found = icons(*((x, y, x + w, y + h) for x, y, w, h in boxes))
    lines = [line((x, y, x + w, y + h), f"w{number}") for number, (x, y, w, h) in enumerate(words)]
    merged = with_words(found, lines, max_overlap=0.1)
    said = " ".join(merged.label_R.tolist()).split()
    assert set(said) == {
        each.text for each in lines if (each.box_xyxy[2] - each.box_xyxy[0]) * (each.box_xyxy[3] - each.box_xyxy[1])
    }
    known = {tuple(box) for box in found.xyxy_R4.tolist()} | {tuple(map(float, each.box_xyxy)) for each in lines}
    assert {tuple(box) for box in merged.xyxy_R4.tolist()} <= known
    silent = merged.label_R == ""
    assert (np.sort(silent) == silent).all()
