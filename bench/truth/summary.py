"""The few tables to read first, and what is required of our rules."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bench.truth.cameras import STRENGTHS
from bench.truth.pool import CUT_MEASURES, MARK_MEASURES, POINT_MEASURES, STILL_MEASURES, Measure, figure_of
from bench.truth.score import ClipScore
from bench.truth.table import MAIN, Table, cell

_MEASURES: Mapping[str, Measure] = {each.name: each for each in (*POINT_MEASURES, *MARK_MEASURES, *STILL_MEASURES)}
_SHOWN = (
    "point precision",
    "point recall",
    "mark precision",
    "mark precision, to the pixel",
    "object recall",
    "background residual, px",
    "trace error, % of diagonal",
    "clips kept",
)
_OF_MARKS = tuple(measure.name for measure in MARK_MEASURES)
_OF_DEPTH = ("clips kept", "point precision", "mark precision", "clips with a wrong mark")


@dataclass(frozen=True, kw_only=True)
class Limit:
    """At least or at most `value`, both inclusive; `others` by column."""

    value: float
    least: bool
    others: Mapping[str, float] = field(default_factory=dict)

    def met(self, column: str, value: float) -> bool:
        limit = self.others.get(column, self.value)
        return value >= limit if self.least else value <= limit

    @property
    def shown(self) -> str:
        if not self.least and self.value == 0:
            return "0"
        sign = ">=" if self.least else "<="
        return ", ".join([f"{sign} {self.value:g}", *(f"{column} {value:g}" for column, value in self.others.items())])


_AT_CAMERA = {
    "point precision": Limit(value=0.9, least=True),
    "point recall": Limit(value=0.9, least=True),
    "mark precision": Limit(value=0.95, least=True),
    "object recall": Limit(value=0.9, least=True),
    "background residual, px": Limit(value=0.5, least=False, others={"strong": 0.7}),
    "trace error, % of diagonal": Limit(value=1, least=False),
    "clips kept": Limit(value=0.9, least=True),
}
_NOTHING_ASKED = ("very_strong", "dense_depth")
_AT_TWO_DEPTHS = {name: Limit(value=0.9, least=True) for name in ("point precision", "mark precision")}
_STILL = {"clips with a moving mark": Limit(value=0, least=False)}


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A requirement and how our rules stand. Figures that no clip gives (NaN) are not checked."""

    measure: str
    clips: str
    required: str
    value: float
    met: bool


@dataclass(frozen=True, kw_only=True)
class Summary:
    tables: tuple[Table, ...]
    checked: tuple[Checked, ...]

    def as_plain(self) -> list[dict[str, Any]]:
        return [asdict(each) for each in self.checked]

    @property
    def verdict(self) -> str:
        missed = [f"{each.measure}, {each.clips}" for each in self.checked if not each.met]
        met = f"{len(self.checked) - len(missed)} of {len(self.checked)} requirements met"
        return f"{met}; not met: {'; '.join(missed)}" if missed else met


def summary_of(scores: Sequence[ClipScore], rules: Sequence[str], ours: str, points_only: bool) -> Summary:
    """Tables of our rules by the camera's strength, beside the published ones, and on the sets told of alone."""
    named = tuple(name for name in _SHOWN if not (points_only and name in _OF_MARKS))
    of_ours = [each for each in scores if each.rule == ours]
    main = [each for each in scores if each.category in MAIN]
    tables: list[Table] = []
    checked: list[Checked] = []
    if of_ours:
        of_main = [each for each in of_ours if each.category in MAIN]
        by_strength = {strength: [c for c in of_main if c.strength == strength] for strength in STRENGTHS}
        of_depth = {name: [c for c in of_ours if c.category == name] for name in ("two_depth", "dense_depth")}
        depth_named = tuple(name for name in _OF_DEPTH if not (points_only and name in _OF_MARKS))
        strength_checks = list(_check(by_strength, named, _AT_CAMERA))
        depth_checks = list(_check(of_depth, depth_named, _AT_TWO_DEPTHS))
        tables += _columns("ours, by the camera's strength", by_strength, named, _AT_CAMERA, strength_checks)
        depth = list(_columns("ours, parallax", of_depth, depth_named, _AT_TWO_DEPTHS, depth_checks))
        checked += strength_checks + depth_checks
    tables += _beside("main set", main, rules, [_MEASURES[name] for name in named])
    tables += depth if of_ours else []
    panned = [each for each in scores if each.category == "panned"]
    checks = list(_check({"panned": [c for c in panned if c.rule == ours]}, tuple(_STILL)[points_only:], _STILL))
    tables += _beside("panned, nothing moves", panned, rules, STILL_MEASURES[points_only:], _STILL, checks)
    cut = [each for each in scores if each.category == "cut"]
    tables += _beside("cut", cut, rules, CUT_MEASURES[:1] if points_only else CUT_MEASURES)
    return Summary(tables=tuple(tables), checked=(*checked, *checks))


def _check(
    columns: Mapping[str, Sequence[ClipScore]], names: Sequence[str], limits: Mapping[str, Limit]
) -> Iterator[Checked]:
    for name in names:
        for column, scores in columns.items():
            if name not in limits or column in _NOTHING_ASKED or not scores:
                continue
            value = figure_of(_MEASURES[name], scores).value
            if np.isfinite(value):
                met = limits[name].met(column, value)
                yield Checked(measure=name, clips=column, required=limits[name].shown, value=value, met=met)


def _columns(
    title: str,
    columns: Mapping[str, Sequence[ClipScore]],
    names: Sequence[str],
    limits: Mapping[str, Limit],
    checks: Sequence[Checked],
) -> Iterator[Table]:
    """One rule, a column per set of clips."""
    present = {column: scores for column, scores in columns.items() if scores}
    if not present:
        return
    rows = [("clips", *(str(len(scores)) for scores in present.values()), "", "")]
    for name in names:
        cells = (cell(_MEASURES[name], figure_of(_MEASURES[name], scores)) for scores in present.values())
        rows.append((name, *cells, *_verdict(name, limits, checks)))
    reasons = sorted({each.filtered for scores in present.values() for each in scores if each.filtered})
    for reason in reasons:
        counts = (str(sum(each.filtered == reason for each in scores)) for scores in present.values())
        rows.append((f"filtered: {reason}", *counts, "", ""))
    yield Table(heads=(title, *present, "required", "met"), rows=tuple(rows))


def _beside(
    title: str,
    scores: Sequence[ClipScore],
    rules: Sequence[str],
    measures: Sequence[Measure],
    limits: Mapping[str, Limit] | None = None,
    checks: Sequence[Checked] = (),
) -> Iterator[Table]:
    """The same clips, a column per rule; what is required is required of ours."""
    if not scores:
        return
    by_rule = [[each for each in scores if each.rule == rule] for rule in rules]
    shown = limits is not None and bool(checks)
    rows = [
        (
            measure.name,
            *(cell(measure, figure_of(measure, each)) for each in by_rule),
            *(_verdict(measure.name, limits or {}, checks) if shown else ()),
        )
        for measure in measures
    ]
    asked = ("required of ours", "met") if shown else ()
    yield Table(heads=(f"{title}: {len(by_rule[0])} clips", *rules, *asked), rows=tuple(rows))


def _verdict(name: str, limits: Mapping[str, Limit], checks: Sequence[Checked]) -> tuple[str, str]:
    """What is required of a measure, and whether all of the checked columns have it."""
    mine = [each for each in checks if each.measure == name]
    if not mine:
        return "", ""
    missed = [each.clips for each in mine if not each.met]
    return limits[name].shown, f"NO: {', '.join(missed)}" if missed else "yes"
