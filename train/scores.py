"""How right answers are: counts of single answers, and their shares and means with intervals over samples.

Letters: S samples, M measures, K steps of a trace. A count is (sum, number of what was summed), so that counts of
answers and samples add up and the value of a measure is the one by the other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt

from model.answers import Bins, parse_mark, parse_som, parse_traces, parse_ui_action
from schemas.flow import Float
from schemas.sample import TurnKind
from transforms.keys import rng_for
from transforms.traces import from_bins

Count = tuple[float, float]
Counts = dict[tuple[str, str], Count]
"""(kind of turn, measure) -> count"""

NEAR = 0.05
"""of the diagonal: a mark that is told to lie no farther from its place is located"""
MEASURES = ("exact", "unreadable", "located", "error_bins", "mark", "precision", "recall", "ade", "fde")
BASELINES = {
    "mark": "any mark",
    "precision": "any mark",
    "recall": "any mark",
    "ade": "standing still",
    "fde": "standing still",
}
"""what a measure's baseline does: it names marks at random, or says that a mark stays where it is"""
_WAYS = ("ade", "fde", "baseline ade", "baseline fde")
_RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A measure over all answers to turns of a `kind`; NaN where there was nothing to measure.

    `low` and `high` bound it with 95 % confidence; `n`: answers, marks or traces it is the mean of; `baseline`: what
    naming marks at random, or saying that they stand still, would reach on the same ones; NaN where there is none.

        exact        share of answers equal to the stored ones
        unreadable   share of answers in which no mark, place or trace is found
        located      share of marks told to lie within `NEAR` of their place; unnamed ones are not
        error_bins   mean distance of the marks named from their places, in bins
        mark         share of answers that name the right mark
        precision    share of the marks said to move that do
        recall       share of the marks that move that are said to
        ade, fde     distance from the true way, over the steps that both tell and at the last of these, in diagonals
    """

    kind: str
    measure: str
    value: float
    low: float
    high: float
    n: int
    baseline: float


def count_answer(
    kind: TurnKind,
    stored: str,
    answer: str,
    *,
    size_wh: tuple[int, int],
    bins: int,
    n_marks: int,
) -> Counts:
    """What one answer adds, against the stored one; `size_wh` is that of the picture which carries the `n_marks`."""
    counts: dict[str, Count] = {"exact": (float(answer.strip() == stored.strip()), 1)}
    match kind:
        case "som":
            counts |= _count_places(parse_som(stored), parse_som(answer), size_wh, bins)
        case "tom":
            counts |= _count_traces(_paths(stored), _paths(answer), size_wh, bins, n_marks)
        case "semantic":
            pass
        case _:
            counts |= _count_mark(named_mark(stored), named_mark(answer), n_marks)
    return {(kind, measure): count for measure, count in counts.items()}


def named_mark(text: str) -> int | None:
    """The mark of `Mark: 3` or of {"TAP": {"MARK": 3}}."""
    act = parse_ui_action(text)
    return parse_mark(text) if act is None else act.mark


def distances_px(said: Mapping[int, Float], true: Mapping[int, Float]) -> dict[int, float]:
    """How far each mark that both name is from its place."""
    return {mark: float(np.linalg.norm(said[mark] - true[mark])) for mark in true if mark in said}


def way_errors(said_K2: Float, true_K2: Float) -> tuple[float, float]:
    """Mean and last distance over the steps that both have; both begin with the first step after the start."""
    steps = min(len(said_K2), len(true_K2))
    away_K = np.linalg.norm(said_K2[:steps] - true_K2[:steps], axis=1)
    return float(away_K.mean()), float(away_K[-1])


def summarise(samples: Sequence[Counts], seed: int) -> tuple[Score, ...]:
    """The scores of all measures that occur; intervals by drawing whole samples again and again."""
    keys = sorted({key for counts in samples for key in counts}, key=_order)
    if not keys:
        return ()
    counts_SM2 = np.array([[counts.get(key, (0, 0)) for key in keys] for counts in samples], np.float64)
    rng = rng_for(seed, "scores", "bootstrap")
    drawn = rng.integers(len(samples), size=(_RESAMPLES, len(samples)))
    sums_RM2 = np.stack([counts_SM2[rows].sum(axis=0) for rows in drawn])
    total_M2 = counts_SM2.sum(axis=0)
    value = dict(zip(keys, _ratio(total_M2), strict=True))
    scores = []
    for place, (kind, measure) in enumerate(keys):
        if measure.startswith("baseline "):
            continue
        ratios_R = _ratio(sums_RM2[:, place])
        known_R = ratios_R[~np.isnan(ratios_R)]
        low, high = np.percentile(known_R, (2.5, 97.5)) if len(known_R) else (np.nan, np.nan)
        scores.append(
            Score(
                kind=kind,
                measure=measure,
                value=float(value[kind, measure]),
                low=float(low),
                high=float(high),
                n=int(total_M2[place, 1]),
                baseline=float(value.get((kind, f"baseline {measure}"), np.nan)),
            )
        )
    return tuple(scores)


def added(counts: Iterable[Counts]) -> Counts:
    """The counts of several answers as those of one sample."""
    total: Counts = {}
    for one in counts:
        for key, (value, n) in one.items():
            before, n_before = total.get(key, (0.0, 0.0))
            total[key] = before + value, n_before + n
    return total


def _count_places(
    true: Mapping[int, Bins], said: Mapping[int, Bins], size_wh: tuple[int, int], bins: int
) -> dict[str, Count]:
    if not true:
        return {}
    true_px, said_px = (
        {mark: from_bins([place], size_wh, bins)[0] for mark, place in one.items()} for one in (true, said)
    )
    near = sum(px <= NEAR * float(np.hypot(*size_wh)) for px in distances_px(said_px, true_px).values())
    off_bins = [float(np.hypot(*np.subtract(said[mark], true[mark]))) for mark in true if mark in said]
    return {
        "unreadable": (float(not said), 1),
        "located": (near, len(true)),
        "error_bins": (sum(off_bins), len(off_bins)),
    }


def _count_traces(
    true: Mapping[int, Sequence[Bins]],
    said: Mapping[int, Sequence[Bins]],
    size_wh: tuple[int, int],
    bins: int,
    n_marks: int,
) -> dict[str, Count]:
    """`true` and `said`: the future of every mark that moves, the place of the mark first."""
    if not true:
        return {}
    right = true.keys() & said.keys()
    counts: dict[str, Count] = {
        "unreadable": (float(not said), 1),
        "precision": (len(right), len(said)),
        "recall": (len(right), len(true)),
        **dict.fromkeys(_WAYS, (0.0, 0.0)),
    }
    if n_marks:
        chance = len(true) / n_marks
        counts |= {
            "baseline precision": (chance * len(said), len(said)),
            "baseline recall": (chance * len(true), len(true)),
        }
    diagonal_px = float(np.hypot(*size_wh))
    for mark in sorted(right):
        true_K2, said_K2 = (from_bins(one[mark], size_wh, bins) / diagonal_px for one in (true, said))
        steps = min(len(true_K2), len(said_K2))
        if steps > 1:
            errors = way_errors(said_K2[1:], true_K2[1:])
            still = way_errors(np.repeat(true_K2[:1], steps - 1, axis=0), true_K2[1:])
            for measure, error in zip(_WAYS, (*errors, *still), strict=True):
                counts[measure] = counts[measure][0] + error, counts[measure][1] + 1
    return counts


def _count_mark(true: int | None, said: int | None, n_marks: int) -> dict[str, Count]:
    if true is None:
        return {}
    counts: dict[str, Count] = {"unreadable": (float(said is None), 1), "mark": (float(said == true), 1)}
    return counts | ({"baseline mark": (1 / n_marks, 1)} if n_marks else {})


def _paths(text: str) -> dict[int, list[Bins]]:
    """Where each mark is that an answer says to move, then where it will be; what has no future is left out."""
    found = parse_traces(text)
    return {mark: [trace.start or trace.future[0], *trace.future] for mark, trace in found.items() if trace.future}


def _ratio(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Sums by numbers; NaN where there is nothing to divide by."""
    sums, numbers = counts[..., 0], counts[..., 1]
    return np.divide(sums, numbers, out=np.full_like(sums, np.nan), where=numbers > 0)


def _order(key: tuple[str, str]) -> tuple[int, int]:
    kind, measure = key
    return get_args(TurnKind).index(kind), MEASURES.index(measure.removeprefix("baseline "))
