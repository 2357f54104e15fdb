"""Questions from templates and answers in the fixed formats of the released model, and the answers read back.

Answers name marks and points in bins: whole numbers, x then y. Their formats are to the letter (MAGMA.md 2.4 j, k):
programs parse them. Questions are free and come from a template file.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Literal, TypeVar

Bins = tuple[int, int]
Value = TypeVar("Value")

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_IMAGE = "<image>"

_KNOWN: dict[str, tuple[str, ...]] = {
    "semantic": (),
    "som": ("bins", "marks"),
    "tom": ("bins", "marks", "text", "steps"),
    "tom_without_text": ("bins", "marks", "steps"),
    "tom_with_speed": ("bins", "marks", "text", "steps", "speed"),
    "tom_with_speed_without_text": ("bins", "marks", "steps", "speed"),
}
_REQUIRED = ("text", "steps", "speed")
"""where a template knows one of these, leaving it out would change what the answer means"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Templates:
    """The questions, with placeholders in braces; made by `parse_templates`."""

    semantic: str
    som: str
    tom: str
    tom_without_text: str
    tom_with_speed: str
    tom_with_speed_without_text: str


def parse_templates(mapping: Mapping[str, object]) -> Templates:
    """Checks the content of a template file; ValueError names the template, what is wrong with it and the cure."""
    names = [field.name for field in fields(Templates)]
    unknown = sorted(set(mapping) - set(names))
    if unknown:
        raise ValueError(f"unknown template {unknown[0]!r}; templates are {', '.join(names)}")
    return Templates(**{name: _checked(name, mapping.get(name)) for name in names})


def _checked(name: str, template: object) -> str:
    known = _KNOWN[name]
    listed = " ".join(f"{{{word}}}" for word in known) or "no placeholders"
    if template is None:
        raise ValueError(f"template {name!r} is missing; add it (it knows {listed})")
    if not isinstance(template, str) or not template.strip():
        raise ValueError(f"template {name!r} is {template!r}; write a question as text")
    if _IMAGE in template:
        raise ValueError(f"template {name!r} holds {_IMAGE}; leave it out, it is put in front where an image belongs")
    used = set(_PLACEHOLDER.findall(template))
    strange = sorted(used - set(known))
    if strange:
        raise ValueError(f"template {name!r} has the placeholder {{{strange[0]}}}; it knows {listed}")
    missing = [word for word in _REQUIRED if word in known and word not in used]
    if missing:
        raise ValueError(f"template {name!r} lacks the placeholder {{{missing[0]}}}; write it where the value belongs")
    return template


def question(
    templates: Templates,
    kind: Literal["semantic", "som", "tom"],
    *,
    bins: int,
    marks: Sequence[int],
    text: str,
    steps: int,
    speed: int | None,
) -> str:
    """A question without `<image>`; what a template does not name is not used. `text` empty: there is no narration.

    `steps`: future positions of every mark told; `speed`: mean way per step in bins, None where it is not told.
    Braces in `text` stay as they are.
    """
    values = {"bins": str(bins), "marks": str(list(marks)), "text": text, "steps": str(steps), "speed": str(speed)}
    template = _template(templates, kind, has_text=bool(text), has_speed=speed is not None)
    return _PLACEHOLDER.sub(lambda found: values[found[1]], template)


def _template(templates: Templates, kind: str, *, has_text: bool, has_speed: bool) -> str:
    match kind, has_text, has_speed:
        case "semantic", _, _:
            return templates.semantic
        case "som", _, _:
            return templates.som
        case "tom", True, False:
            return templates.tom
        case "tom", False, False:
            return templates.tom_without_text
        case "tom", True, True:
            return templates.tom_with_speed
        case "tom", False, True:
            return templates.tom_with_speed_without_text
        case _:
            raise ValueError(f"no question of kind {kind!r}; kinds are semantic, som, tom")


def som_answer(positions: Mapping[int, Bins]) -> str:
    """Where each mark is: `Mark 1 at [x,y]. Mark 2 at [x,y]` and a newline, by id. ValueError without marks."""
    if not positions:
        raise ValueError("a SoM answer needs at least one mark; got none")
    return ". ".join(_mark_at(mark, positions[mark]) for mark in sorted(positions)) + "\n"


def tom_answer(positions: Mapping[int, Sequence[Bins]]) -> str:
    """Which marks move and where to, by id; each sequence starts with the mark's own position.

    The head gives that position, the mark's line those after it. ValueError without marks or with an empty sequence.
    """
    if not positions or not all(positions.values()):
        raise ValueError(f"a ToM answer needs at least one mark and a position of each; got {dict(positions)}")
    marks = sorted(positions)
    head = ", ".join(_mark_at(mark, positions[mark][0]) for mark in marks)
    lines = (f'"Mark {mark}": "[{",".join(map(_point, positions[mark][1:]))}]"\n\n' for mark in marks)
    return f"{head} should be moved, and their future positions are:\n\n{''.join(lines)}"


def _mark_at(mark: int, position: Bins) -> str:
    return f"Mark {mark} at {_point(position)}"


def _point(position: Bins) -> str:
    x, y = position
    return f"[{x},{y}]"


_POINT = r"\[\d+,\d+\]"
_MARK_AT = rf"Mark \d+ at {_POINT}"
_SOM = re.compile(rf"{_MARK_AT}(?:\. {_MARK_AT})*", re.ASCII)
_TOM = re.compile(
    rf"(?P<head>{_MARK_AT}(?:, {_MARK_AT})*) should be moved, and their future positions are:"
    rf'(?P<lines>(?:\n\n"Mark \d+": "\[(?:{_POINT}(?:,{_POINT})*)?\]")+)',
    re.ASCII,
)
_MARK_AT_PARTS = re.compile(r"Mark (\d+) at \[(\d+),(\d+)\]", re.ASCII)
_LINE_PARTS = re.compile(r'"Mark (\d+)": "\[(.*)\]"', re.ASCII)
_POINT_PARTS = re.compile(r"\[(\d+),(\d+)\]", re.ASCII)


def parse_som_answer(text: str) -> dict[int, Bins]:
    """Inverse of `som_answer`; space around the whole is let pass (decoders strip it), nothing else: ValueError."""
    if not _SOM.fullmatch(text.strip()):
        raise ValueError(f"not a SoM answer: {text[:120]!r}; want 'Mark 1 at [x,y]. Mark 2 at [x,y]'")
    return _unique((int(mark), (int(x), int(y))) for mark, x, y in _MARK_AT_PARTS.findall(text))


def parse_tom_answer(text: str) -> dict[int, list[Bins]]:
    """Inverse of `tom_answer`, start point first; space around the whole is let pass, nothing else: ValueError."""
    found = _TOM.fullmatch(text.strip())
    if not found:
        raise ValueError(f"not a ToM answer: {text[:120]!r}; want what transforms.prompts.tom_answer writes")
    starts = _unique((int(mark), (int(x), int(y))) for mark, x, y in _MARK_AT_PARTS.findall(found["head"]))
    futures = _unique(
        (int(mark), [(int(x), int(y)) for x, y in _POINT_PARTS.findall(points)])
        for mark, points in _LINE_PARTS.findall(found["lines"])
    )
    if starts.keys() != futures.keys():
        raise ValueError(f"a ToM answer says marks {sorted(starts)} move but gives paths of {sorted(futures)}")
    return {mark: [start, *futures[mark]] for mark, start in starts.items()}


def _unique(pairs: Iterable[tuple[int, Value]]) -> dict[int, Value]:
    named: dict[int, Value] = {}
    for mark, value in pairs:
        if mark in named:
            raise ValueError(f"an answer names mark {mark} twice")
        named[mark] = value
    return named


_NAMED_MARK = re.compile(r"\s*\(mark:? \d+\)| ?\bmark: \d+\.?", re.IGNORECASE)


def without_marks(text: str) -> str:
    """A question or an answer about coordinates that no longer names the mark there: `Mark: 3.` and `(Mark 3)` go."""
    return _NAMED_MARK.sub("", text)


_MARK_NOTE = re.compile(r"\s*\(\s*(?:marks?\s*)?\d{1,3}(?:(?:\s*,\s*|\s+and\s+)(?:marks?\s*)?\d{1,3})*\s*\)", re.I)
_SECOND_PERSON = (
    (r"you(?:['’]re|\s+are)", "the person is"),
    (r"you(?:['’]ve|\s+have)", "the person has"),
    (r"you\s+were", "the person was"),
    (r"you['’]ll", "the person will"),
    (r"you['’]d", "the person would"),
    (r"(?:yourself|yourselves)", "themselves"),
    (r"yours?", "the person's"),
    (r"you", "the person"),
    (r"camera[\s-]+wearer", "person"),
)
_REWORDINGS = tuple(
    (re.compile(rf"(?<!\w)(?<!\w-){pattern}(?!-?\w)", re.I), plain) for pattern, plain in _SECOND_PERSON
)


def clean_narration(text: str) -> str:
    """A narration as a statement about "the person": whole words only, so "young" stays as it is.

    "you" and "your" become "the person" and "the person's", "camera wearer" becomes "person"; marks in parentheses such
    as " (3)" or " (Mark 2)" and `<image>` are removed; every run of white space becomes one space, none at the ends.
    """
    text = _MARK_NOTE.sub("", text.replace(_IMAGE, " "))
    for pattern, plain in _REWORDINGS:
        text = pattern.sub(partial(_cased_like, plain), text)
    return " ".join(text.split())


def _cased_like(plain: str, found: re.Match[str]) -> str:
    """`plain` with the capitals of what it stands for: "You" gives "The person", "YOU" gives "THE PERSON"."""
    if found[0].isupper():
        return plain.upper()
    return plain[0].upper() + plain[1:] if found[0][0].isupper() else plain
