"""Scores as tables: a group of clips each, a row per measure, a column per rule."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.truth.cameras import STRENGTHS
from bench.truth.pool import CUT_MEASURES, MARK_MEASURES, POINT_MEASURES, STILL_MEASURES, Figure, Measure, figure_of
from bench.truth.score import ClipScore

MAIN = ("objects", "blur", "exposure", "large", "low_texture")
"""categories that are pooled; the others are told of alone"""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells of text; the first column names the rows."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Some clips: their title and number, and a figure for each measure and rule."""

    title: str
    clips: int
    rows: tuple[tuple[Measure, tuple[Figure, ...]], ...]
    filtered: str
    """why our rules filtered clips of it, and how many"""


def groups_of(scores: Sequence[ClipScore], rules: Sequence[str], points_only: bool) -> Iterator[Group]:
    """All clips of the main set, then by strength and category, then the sets that are told of alone."""
    measures = POINT_MEASURES if points_only else POINT_MEASURES + MARK_MEASURES
    main = [each for each in scores if each.category in MAIN]
    yield from _group("main set", main, rules, measures)
    for strength in STRENGTHS:
        same = [each for each in main if each.strength == strength]
        yield from _group(f"main set, camera {strength}", same, rules, measures)
    for category in (*MAIN, "two_depth", "dense_depth"):
        yield from _group(category, [each for each in scores if each.category == category], rules, measures)
    panned = [each for each in scores if each.category == "panned"]
    yield from _group("panned, nothing moves", panned, rules, STILL_MEASURES[points_only:])
    for strength in STRENGTHS:
        same = [each for each in panned if each.strength == strength]
        yield from _group(f"panned, camera {strength}", same, rules, STILL_MEASURES[points_only:])
    cut = [each for each in scores if each.category == "cut"]
    yield from _group("cut", cut, rules, CUT_MEASURES[:1] if points_only else CUT_MEASURES)


def _group(
    title: str, scores: Sequence[ClipScore], rules: Sequence[str], measures: Sequence[Measure]
) -> Iterator[Group]:
    by_rule = [[each for each in scores if each.rule == rule] for rule in rules]
    if not scores:
        return
    reasons = Counter(each.filtered for each in scores if each.filtered)
    yield Group(
        title=title,
        clips=len(by_rule[0]),
        rows=tuple((measure, tuple(figure_of(measure, each) for each in by_rule)) for measure in measures),
        filtered=", ".join(f"{reason} {count}" for reason, count in reasons.most_common()),
    )


def table_of(group: Group, rules: Sequence[str]) -> Table:
    """A group's figures, with their 95 % intervals in brackets."""
    title = f"{group.title}: {group.clips} clips" + (f" (filtered: {group.filtered})" if group.filtered else "")
    rows = tuple((measure.name, *(cell(measure, each) for each in figures)) for measure, figures in group.rows)
    return Table(heads=(title, *rules), rows=rows)


def text_lines(tables: Sequence[Table]) -> list[str]:
    """Aligned columns, a blank line before every table."""
    lines: list[str] = []
    for table in tables:
        rows = [table.heads, *((f"  {name}", *cells) for name, *cells in table.rows)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(table.heads))]
        aligned = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows]
        lines += ["", *(line.rstrip() for line in aligned)]
    return lines


def markdown_lines(tables: Sequence[Table]) -> list[str]:
    """A Markdown table each."""
    lines: list[str] = []
    for table in tables:
        rows = [table.heads, ("---",) * len(table.heads), *table.rows]
        lines += ["", *(f"| {' | '.join(row)} |" for row in rows)]
    return lines


def as_plain(groups: Sequence[Group], rules: Sequence[str]) -> list[dict[str, Any]]:
    """Groups as plain values."""
    return [
        {
            "title": group.title,
            "clips": group.clips,
            "filtered": group.filtered,
            "figures": {
                measure.name: {rule: asdict(each) for rule, each in zip(rules, figures, strict=True)}
                for measure, figures in group.rows
            },
        }
        for group in groups
    ]


def cell(measure: Measure, figure: Figure) -> str:
    """A figure and its interval; "-" where there is none."""
    if not np.isfinite(figure.value):
        return "-"
    shown = f"{figure.value:.{measure.digits}f}"
    if not np.isfinite(figure.low):
        return shown
    return f"{shown} [{figure.low:.{measure.digits}f}, {figure.high:.{measure.digits}f}]"
