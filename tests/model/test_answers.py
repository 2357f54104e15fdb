"""What the model says, read: in its formats, sloppy, cut off, and not at all."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.answers import (
    Trace,
    UiAction,
    parse_actions,
    parse_box,
    parse_mark,
    parse_marks,
    parse_point,
    parse_som,
    parse_traces,
    parse_ui_action,
)
from model.tokenizer import SpecialIds
from transforms.prompts import som_answer, tom_answer

SPECIAL = SpecialIds(bos=600, start_header=602, end_header=603, eot=604, pad=605, image=606, base_vocab=600)
SEVEN = [344, 599, 400, 401, 402, 403, 404]
TOM = {1: [(93, 93), (96, 92), (98, 91)], 12: [(0, 255), (3, 250)]}
PARSERS = [parse_mark, parse_marks, parse_point, parse_box, parse_som, parse_traces, parse_ui_action]


def whole(start, *future) -> Trace:
    return Trace(start=start, future=future, complete=True)


def cut(start, *future) -> Trace:
    return Trace(start=start, future=future, complete=False)


@pytest.mark.parametrize("text", ["", " ", "I see nothing of the kind.", "Mark", "[", "{", "Coordinate: ", "{'a': {}}"])
def test_nothing_is_found_in_nothing(text):
    assert [parse(text) for parse in PARSERS] == [None, [], None, None, {}, {}, None]


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("Coordinate: (0.1, 0.2). Mark: 3.", [3]),
        ("Mark: 0", [0]),
        ("mark:12", [12]),
        ("the button (0.1, 0.2) (Mark 7)", [7]),
        ("Coordinate: (0.1, 0.2). Mark: 3. Coordinate: (0.3, 0.4). Mark: 1. Mark: 3", [3, 1, 3]),
        ("Benchmark 5, marks, Mark: x", []),
        ("Mark: " + "9" * 5000, []),
    ],
)
def test_marks(text, marks):
    assert parse_marks(text) == marks
    assert parse_mark(text) == (marks[0] if marks else None)


@pytest.mark.parametrize(
    ("text", "point", "box"),
    [
        ("Coordinate: (0.12, 0.34). Mark: 3.", (0.12, 0.34), None),
        ("coordinates are [.5,1]", (0.5, 1.0), None),
        ("coordinates: [.5,1]", (0.5, 1.0), None),
        ("Coordinate: (0, 1)", (0.0, 1.0), None),
        ("Coordinate: (0.1, 0.2, 0.3, 0.6)", (0.2, 0.4), (0.1, 0.2, 0.3, 0.6)),
        ("Coordinate: (0.3, 0.6, 0.1, 0.2)", (0.2, 0.4), (0.1, 0.2, 0.3, 0.6)),
        ("<box>(100,200),(300,600)</box>", (0.2, 0.4), (0.1, 0.2, 0.3, 0.6)),
        ("<ref>it</ref><box> (100, 200) , (300, 600) </box>", (0.2, 0.4), (0.1, 0.2, 0.3, 0.6)),
        ("<box>(100,200),(300,1001)</box>", None, None),
        ("It is at (0.25, 0.5).", (0.25, 0.5), None),
        ("Mark 1 at [0,1]. Mark 2 at [93,255]", None, None),
        ("Coordinate: (93, 255)", None, None),
        ("Coordinate: (-0.1, 0.5)", None, None),
        ("Coordinate: (1.2, 0.5). Coordinate: (0.2, 0.5)", (0.2, 0.5), None),
        ("from (0.9, 0.9): Coordinate: (0.2, 0.5)", (0.2, 0.5), None),
        ("Coordinate: (0.1, 0.2, 0.3)", None, None),
        ("Coordinate: (., .)", None, None),
        ("Coordinate: (0.1, 0.2", None, None),
    ],
)
def test_points_and_boxes(text, point, box):
    assert parse_point(text) == (None if point is None else pytest.approx(point))
    assert parse_box(text) == (None if box is None else pytest.approx(box))


@pytest.mark.parametrize("positions", [{3: (1, 2)}, {1: (93, 93), 2: (0, 255), 10: (7, 8)}])
def test_som_answers_of_our_own(positions):
    assert parse_som(som_answer(positions)) == positions
    assert parse_traces(som_answer(positions)) == {}


@pytest.mark.parametrize(
    ("text", "positions"),
    [
        ("mark 1 at ( 5, 6 ), Mark 2 at[7 ,8]", {1: (5, 6), 2: (7, 8)}),
        ("Mark 1 at [5,6]. Mark 1 at [7,8]", {1: (5, 6)}),
        ("Mark 1 at [5,6]. Mark 2 at [7", {1: (5, 6)}),
        ("Mark 1 at [5,-6]", {}),
    ],
)
def test_sloppy_som_answers(text, positions):
    assert parse_som(text) == positions


BIN = st.tuples(st.integers(0, 255), st.integers(0, 255))
TOLD = st.dictionaries(st.integers(0, 50), st.lists(BIN, min_size=1, max_size=6), min_size=1, max_size=5)


@given(TOLD)
def test_tom_answers_of_our_own(positions):
    expected = {mark: whole(*path) for mark, path in positions.items()}
    assert parse_traces(tom_answer(positions)) == expected
    assert parse_som(tom_answer(positions)) == {mark: path[0] for mark, path in positions.items()}


@given(TOLD, st.integers(0, 400))
def test_what_is_left_of_a_tom_answer_is_the_start_of_it(positions, length):
    text = tom_answer(positions)
    left = parse_traces(text[:length])
    for mark, trace in left.items():
        future = tuple(positions[mark][1:])
        assert trace.start == positions[mark][0]
        assert trace.future == future[: len(trace.future)]
        assert trace.future == future or not trace.complete
    if length >= len(text):
        assert left == parse_traces(text)


TOM_TEXT = tom_answer(TOM)
LINES = TOM_TEXT.partition("are:")[2]


@pytest.mark.parametrize(
    ("text", "traces"),
    [
        (TOM_TEXT, {1: whole(*TOM[1]), 12: whole(*TOM[12])}),
        (LINES, {1: whole(None, *TOM[1][1:]), 12: whole(None, *TOM[12][1:])}),
        (TOM_TEXT.partition("\n\n")[0], {1: cut((93, 93)), 12: cut((0, 255))}),
        (TOM_TEXT[: TOM_TEXT.index("98,91")], {1: cut((93, 93), (96, 92)), 12: cut((0, 255))}),
        (TOM_TEXT[: TOM_TEXT.index(',91]]"')], {1: cut((93, 93), (96, 92)), 12: cut((0, 255))}),
        (TOM_TEXT.replace('"[', '"<trace_start>[').replace(']"', ']<trace_end>"'), None),
        (TOM_TEXT.replace('"Mark', '<trace_start>"Mark').replace(']"', ']"<trace_end>'), None),
        (f"<trace_start>{TOM_TEXT}<trace_end>", None),
        (TOM_TEXT.replace(",", ", ").replace('"', "'"), None),
        (TOM_TEXT.replace('"[', "[").replace(']"', "]").upper(), None),
        (f"Sure! {TOM_TEXT} Anything else?", None),
        ('"Mark 1": "[]"', {1: whole(None)}),
        ('"Mark 1": "[1,2],[3,4]"', {1: whole(None, (1, 2), (3, 4))}),
        ('"Mark 1": "[[1,2],[x,4],[5,6]]"', {1: cut(None, (1, 2))}),
        ('"Mark 1": "', {1: cut(None)}),
        ('"Mark 1": "[[1,2]]"\n\n"Mark 1": "[[3,4]]"', {1: whole(None, (1, 2))}),
        ("Mark: 3. Coordinate: (0.1, 0.2)", {}),
    ],
)
def test_traces(text, traces):
    assert parse_traces(text) == (parse_traces(TOM_TEXT) if traces is None else traces)


@pytest.mark.parametrize(
    "ids",
    [
        SEVEN,
        [*SEVEN, 604],
        [*SEVEN, 604, 605, 605],
        [198, 30, *SEVEN, 604],
        [*SEVEN, 604, 400],
        np.array([*SEVEN, 604]),
    ],
)
def test_seven_actions_are_found(ids):
    found = parse_actions(ids, SPECIAL)
    assert found == SEVEN
    assert all(type(token) is int for token in found)


@pytest.mark.parametrize(
    ("ids", "complaint"),
    [
        ([], "found 0 among 0 ids"),
        ([604, *SEVEN], "found 0 among 0 ids"),
        ([*SEVEN[:6], 604], "found 6 among 6 ids"),
        ([*SEVEN, 400, 604], "found 8 among 8 ids"),
        ([400, 30, *SEVEN, 604], "found 8 among 9 ids"),
        ([*SEVEN, 30, 604], r"found 7 among 8 ids before \[eot\], which end with \[344, .*404, 30\]"),
        ([*SEVEN[:3], 30, *SEVEN[3:], 604], "found 7 among 8 ids"),
        ([600] * 7, "ids 344..599; found 0 among 7"),
    ],
)
def test_other_than_seven_actions_are_an_error(ids, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse_actions(ids, SPECIAL)


def test_another_number_of_actions_can_be_asked_for():
    assert parse_actions([400, 401, 604], SPECIAL, n=2) == [400, 401]


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ('{"TAP": {"MARK": 3}}', UiAction(operation="TAP", mark=3)),
        ("{'TAP': {'MARK': 0}}", UiAction(operation="TAP", mark=0)),
        ('{"tap": {"mark": "3"}}', UiAction(operation="TAP", mark=3)),
        ('{"TAP": {"NORMALIZED_COORDINATE": [0.1, 0.9]}}', UiAction(operation="TAP", point_xy=(0.9, 0.1))),
        ("{'TAP': {'COORDINATE': (0.1, 0.9)}}", UiAction(operation="TAP", point_xy=(0.1, 0.9))),
        ("{'TAP': {'MARK': 3, 'Coordinate': [0, 1]}}", UiAction(operation="TAP", mark=3, point_xy=(0.0, 1.0))),
        ('{"SWIPE": "UP"}', UiAction(operation="SWIPE", value="UP")),
        ("{'swipe': 'left'}", UiAction(operation="SWIPE", value="LEFT")),
        ('{"NAVIGATE": "BACK"}', UiAction(operation="NAVIGATE", value="BACK")),
        ('{"TYPE": "a {b} \'c\' \\"d\\""}', UiAction(operation="TYPE", value="a {b} 'c' \"d\"")),
        ('{"TYPE": "two\nlines"}', UiAction(operation="TYPE", value="two\nlines")),
        ("{'TYPE': \"it's ünï\"}", UiAction(operation="TYPE", value="it's ünï")),
        ('{"TYPE": ""}', UiAction(operation="TYPE", value="")),
        ("{'TYPE': 42}", UiAction(operation="TYPE", value="42")),
        ('{"SET_TASK_STATUS": "COMPLETE"}', UiAction(operation="SET_TASK_STATUS", value="COMPLETE")),
        ('I\'ll go: ```{"NAVIGATE": "HOME"}```', UiAction(operation="NAVIGATE", value="HOME")),
        ('{"SWIPE": "IN"} {"SWIPE": "DOWN"}', UiAction(operation="SWIPE", value="DOWN")),
    ],
)
def test_acts_on_a_phone(text, action):
    assert parse_ui_action(text) == action


@pytest.mark.parametrize(
    "text",
    [
        '{"SWIPE": "IN"}',
        '{"CLICK": {"MARK": 3}}',
        '{"TAP": 3}',
        '{"TAP": {}}',
        '{"TAP": {"MARK": -3}}',
        '{"TAP": {"MARK": true}}',
        '{"TAP": {"MARK": 3, "FORCE": 1}}',
        '{"TAP": {"NORMALIZED_COORDINATE": [0.1]}}',
        '{"TAP": {"NORMALIZED_COORDINATE": [0.1, 1.2]}}',
        '{"TAP": {"NORMALIZED_COORDINATE": ["0.1", 0.2]}}',
        '{"SWIPE": "UP", "NAVIGATE": "BACK"}',
        '{"SWIPE": ["UP"]}',
        '{"TYPE": null}',
        "{'TYPE': __import__('os').getcwd()}",
        '{"SWIPE": "UP"',
        "{'TYPE': {'a'}}",
        "{[]: 1}",
    ],
)
def test_what_is_no_act_on_a_phone(text):
    assert parse_ui_action(text) is None


HOSTILE = [
    "{" * 50_000,
    "{'TYPE': " + "[" * 50_000,
    "{'TYPE': " + "[" * 1400 + "]" * 1400 + "}",
    "{'TYPE': " + "-" * 2900 + "1}",
    "{'TYPE': 0x" + "f" * 2900 + "}",
    "{0x" + "f" * 2900 + ": 1}",
    '{"' * 20_000,
    "mark 1" + " " * 50_000,
    "Mark 1 at " + " " * 50_000,
    "Coordinate: (" + " " * 50_000,
    '"Mark 1": "[' + "[1,2]," * 10_000,
    '"Mark 1": "[' + ", " * 30_000,
    "Coordinate: (" + "9" * 50_000 + ", 0.1)",
    "<box>(" * 10_000,
    "(0.1, " * 10_000,
    "Mark " * 10_000,
    "\x00\ud800",
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_text_neither_raises_nor_takes_long(number):
    started = time.perf_counter()
    for parse in PARSERS:
        parse(HOSTILE[number])
    assert time.perf_counter() - started < 5


PARTS = ["Mark 1", " at ", "[93,255]", '": "', "[[", "]]", ",", "Coordinate: ", "(0.1, 0.2)", "{'TAP': ", "{'MARK': 1}"]


@given(
    st.lists(st.sampled_from([*PARTS, "should be moved", "<box>", "}", '"', "'"]) | st.text(max_size=5)).map("".join)
)
def test_no_text_raises(text):
    for parse in PARSERS:
        parse(text)
