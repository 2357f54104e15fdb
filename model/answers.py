"""What the model says, read: marks, points, traces, robot actions and acts on a phone (MAGMA.md 1.3, 2.4 j and k).

A model is sloppy at times, so space, case and kind of bracket or quote do not matter, text around an answer is let
pass, and where nothing is found the result is None or empty. Bins are whole numbers, x then y.
`transforms.traces.from_bins` makes pixels of them.
"""

import ast
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal, get_args

from model.actions import ACTION_BINS, ACTION_DIMS
from model.tokenizer import TRACE_END, TRACE_START, SpecialIds

Bins = tuple[int, int]
Point = tuple[float, float]
Box = tuple[float, float, float, float]

# digits are bounded: `int` refuses thousands of them, and a model that repeats itself writes as many
_WHOLE = r"\d{1,6}(?!\d)"
_NUMBER = r"(?:\d{1,6}(?:\.\d{0,20})?|\.\d{1,20})"
_BINS = rf"[\[(]\s*({_WHOLE})\s*,\s*({_WHOLE})\s*[\])]"
_TUPLE = rf"[\[(]\s*({_NUMBER})\s*,\s*({_NUMBER})\s*(?:,\s*({_NUMBER})\s*,\s*({_NUMBER})\s*)?[\])]"

_MARK = re.compile(rf"\bmark\s*+:?\s*+({_WHOLE})", re.I)
_COORDINATE = re.compile(rf"\bcoordinates?\W{{0,4}}{_TUPLE}", re.I)
_ANY_TUPLE = re.compile(_TUPLE)
_QWEN_BOX = re.compile(
    rf"<box>\s*\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)\s*,\s*\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)\s*</box>", re.I
)
_QWEN_SCALE = 1000

_MARK_AT = re.compile(rf"\bmark\s+({_WHOLE})\s+at\s*{_BINS}", re.I)
_MOVED = "should be moved"
_LINE = re.compile(
    rf"\bmark\s+({_WHOLE})\s*+[\"']?\s*+:[\s\"']*"
    rf"(?:\[(?=\s*(?:[\[(\]]|$)))?(?P<points>(?:[\s,]*{_BINS})*)[\s,]*(?P<end>[\]\"'])?",
    re.I,
)
_BINS_PARTS = re.compile(_BINS)

Operation = Literal["TAP", "SWIPE", "NAVIGATE", "TYPE", "SET_TASK_STATUS"]

_CHOICES = {
    "SWIPE": ("UP", "DOWN", "LEFT", "RIGHT"),
    "NAVIGATE": ("BACK", "HOME", "ENTER"),
    "SET_TASK_STATUS": ("COMPLETE", "IMPOSSIBLE"),
}
_QUOTED = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'"
_FLAT_DICT = rf"\{{(?:[^{{}}\"']|{_QUOTED})*\}}"
_DICT = re.compile(rf"\{{(?:[^{{}}\"']|{_QUOTED}|{_FLAT_DICT})*\}}")
_READ_FOR_DICT = 3000
"""characters; Python's own parser gives up on long numbers and much nesting in unpleasant ways"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Where a mark is (None where the answer does not say) and will be, in bins; `complete`: the list was closed."""

    start: Bins | None
    future: tuple[Bins, ...]
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UiAction:
    """One act on a phone: a tap has a mark or a point (x, y as shares 0..1) or both, all others have a value."""

    operation: Operation
    mark: int | None = None
    point_xy: Point | None = None
    value: str = ""


def parse_mark(text: str) -> int | None:
    """The first mark that is named, `Mark: 3`."""
    return next(iter(parse_marks(text)), None)


def parse_marks(text: str) -> list[int]:
    """All marks that are named, in order and as often as they are: `Mark: 3` or `(Mark 3)`."""
    return [int(mark) for mark in _MARK.findall(text)]


def parse_point(text: str) -> Point | None:
    """The first point as shares 0..1 of width and height; a box gives its middle.

    Read are `Coordinate: (0.12, 0.34)`, `Coordinate: (x1, y1, x2, y2)`, Qwen's `<box>(x1,y1),(x2,y2)</box>` in
    thousandths, and such numbers in brackets without a word before them if one has a decimal point: else they are bins.
    The dicts of `parse_ui_action` have an order of their own.
    """
    for numbers in _numbers(text):
        if len(numbers) == 2:
            return numbers[0], numbers[1]
        x1, y1, x2, y2 = numbers
        return (x1 + x2) / 2, (y1 + y2) / 2
    return None


def parse_box(text: str) -> Box | None:
    """The first box as shares 0..1, left, top, right, bottom, in the formats of `parse_point`; points are no boxes."""
    for numbers in _numbers(text):
        if len(numbers) == 4:
            x1, y1, x2, y2 = numbers
            return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)
    return None


def _numbers(text: str) -> Iterator[tuple[float, ...]]:
    """Twos and fours of numbers 0..1, the surest format first."""
    for found in _COORDINATE.finditer(text):
        yield from _shares(found, 1)
    for found in _QWEN_BOX.finditer(text):
        yield from _shares(found, _QWEN_SCALE)
    for found in _ANY_TUPLE.finditer(text):
        if "." in found[0]:
            yield from _shares(found, 1)


def _shares(found: re.Match[str], scale: int) -> Iterator[tuple[float, ...]]:
    numbers = tuple(float(part) / scale for part in found.groups() if part is not None)
    if max(numbers) <= 1:
        yield numbers


def parse_som(text: str) -> dict[int, Bins]:
    """Where each mark is, by id, from `Mark 1 at [x,y]. Mark 2 at [x,y]`; of a mark named twice the first holds."""
    found: dict[int, Bins] = {}
    for mark, x, y in _MARK_AT.findall(text):
        found.setdefault(int(mark), (int(x), int(y)))
    return found


def parse_traces(text: str) -> dict[int, Trace]:
    """Where each mark is and moves to, by id, also from an answer that was cut off: whole points are kept.

        Mark 1 at [x,y], Mark 2 at [x,y] should be moved, and their future positions are:

        "Mark 1": "[[x,y],[x,y]]"

        "Mark 2": "[[x,y],[x,y]]"

    The head may be missing, <trace_start> and <trace_end> may stand anywhere. Of a mark told twice the first holds. A
    SoM answer holds no traces.
    """
    text = text.replace(TRACE_START, "").replace(TRACE_END, "")
    starts = parse_som(text)
    traces: dict[int, Trace] = {}
    for line in _LINE.finditer(text):
        mark = int(line[1])
        future = tuple((int(x), int(y)) for x, y in _BINS_PARTS.findall(line["points"]))
        traces.setdefault(mark, Trace(start=starts.get(mark), future=future, complete=line["end"] is not None))
    if _MOVED in text.lower():
        for mark, start in starts.items():
            traces.setdefault(mark, Trace(start=start, future=(), complete=False))
    return traces


def parse_actions(ids: Sequence[int], special: SpecialIds, n: int = ACTION_DIMS) -> list[int]:
    """The `n` action ids that generated `ids` (without the prompt) end with, before [eot] if there is one.

    ValueError says what was found if these are not action ids or there are more of them: a robot must not move by half
    an answer. The reference takes ids [-8:-1], whatever they are.
    """
    said = [int(token) for token in takewhile(lambda token: token != special.eot, ids)]
    lowest = special.base_vocab - ACTION_BINS
    are_actions = [lowest <= token < special.base_vocab for token in said]
    if sum(are_actions) == n and all(are_actions[-n:]):
        return said[-n:]
    raise ValueError(
        f"wanted {n} action ids at the end, ids {lowest}..{special.base_vocab - 1}; found {sum(are_actions)} among "
        f"{len(said)} ids before [eot], which end with {said[-n - 1 :]}"
    )


def parse_ui_action(text: str) -> UiAction | None:
    """The first act on a phone in `text`, a dict with one key as the prompt of the released model asks for it.

        {"TAP": {"MARK": 3}}   {"TAP": {"NORMALIZED_COORDINATE": [y, x]}}   {"TYPE": "any text"}
        {"SWIPE": "UP"|"DOWN"|"LEFT"|"RIGHT"}   {"NAVIGATE": "BACK"|"HOME"|"ENTER"}
        {"SET_TASK_STATUS": "COMPLETE"|"IMPOSSIBLE"}

    Mind the order of NORMALIZED_COORDINATE, y first; the key COORDINATE, which the released model writes too, is read
    as x, y like every other coordinate of it. Single quotes pass; other keys and values, or two keys, are no act. Of a
    long text only the first 3000 characters are read.
    """
    for found in _DICT.finditer(text[:_READ_FOR_DICT]):
        act = _ui_action(_literal(found[0]))
        if act is not None:
            return act
    return None


def _literal(text: str) -> object:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _ui_action(said: object) -> UiAction | None:
    if not isinstance(said, dict) or len(said) != 1:
        return None
    ((key, value),) = said.items()
    operation = next((name for name in get_args(Operation) if name == str(key).upper()), None)
    if operation == "TAP":
        return _tap(value)
    if operation == "TYPE":
        return UiAction(operation=operation, value=str(value)) if isinstance(value, str | int | float) else None
    if operation is None or str(value).upper() not in _CHOICES[operation]:
        return None
    return UiAction(operation=operation, value=str(value).upper())


def _tap(target: object) -> UiAction | None:
    if not isinstance(target, dict) or not target:
        return None
    mark: int | None = None
    point_xy: Point | None = None
    for key, value in target.items():
        match str(key).upper():
            case "MARK" if re.fullmatch(_WHOLE, str(value)):
                mark = int(value)
            case "NORMALIZED_COORDINATE" if _is_point(value):
                point_xy = float(value[1]), float(value[0])
            case "COORDINATE" if _is_point(value):
                point_xy = float(value[0]), float(value[1])
            case _:
                return None
    return UiAction(operation="TAP", mark=mark, point_xy=point_xy)


def _is_point(value: object) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(isinstance(share, int | float) and 0 <= share <= 1 for share in value)
    )
