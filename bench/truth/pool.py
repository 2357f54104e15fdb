"""Figures of many clips, with bootstrap intervals over clips. Letters: C clips, R resamples, V values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.truth.score import ClipScore

Array = npt.NDArray[np.float64]

RESAMPLES = 1000
SEED = 20250101


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A figure of clips. `of` takes how often each clip counts, once for every R, and gives R figures (NaN: none)."""

    name: str
    of: Callable[[Sequence[ClipScore], Array], Array]
    digits: int = 3
    factor: float = 1.0
    interval: bool = True


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A measure of one rule on some clips, with its 95 % interval."""

    value: float
    low: float
    high: float


def figure_of(measure: Measure, scores: Sequence[ClipScore]) -> Figure:
    """The figure and its interval; the resamples of the clips have a fixed seed."""
    n = len(scores)
    value = float(measure.of(scores, np.ones((1, n)))[0]) * measure.factor
    if not measure.interval or n < 2:
        return Figure(value=value, low=float("nan"), high=float("nan"))
    weight_RC = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), RESAMPLES).astype(np.float64)
    drawn_R = measure.of(scores, weight_RC) * measure.factor
    drawn_R = drawn_R[np.isfinite(drawn_R)]
    low, high = np.quantile(drawn_R, [0.025, 0.975]) if len(drawn_R) else (float("nan"), float("nan"))
    return Figure(value=value, low=float(low), high=float(high))


def _ratio(over: str, under: str) -> Callable[[Sequence[ClipScore], Array], Array]:
    def of(scores: Sequence[ClipScore], weight_RC: Array) -> Array:
        over_C = np.array([each.counts.get(over, 0.0) for each in scores])
        under_C = np.array([each.counts.get(under, 0.0) for each in scores])
        whole_R = weight_RC @ under_C
        return np.divide(weight_RC @ over_C, whole_R, out=np.full(len(whole_R), np.nan), where=whole_R > 0)

    return of


def _number(test: Callable[[ClipScore], bool]) -> Callable[[Sequence[ClipScore], Array], Array]:
    return lambda scores, weight_RC: np.asarray(weight_RC @ np.array([float(test(each)) for each in scores]))


def _share(test: Callable[[ClipScore], bool]) -> Callable[[Sequence[ClipScore], Array], Array]:
    return lambda scores, weight_RC: np.asarray(_number(test)(scores, weight_RC) / len(scores))


def _median(values: Callable[[ClipScore], Sequence[float]]) -> Callable[[Sequence[ClipScore], Array], Array]:
    def of(scores: Sequence[ClipScore], weight_RC: Array) -> Array:
        value_V = np.array([value for each in scores for value in values(each)])
        clip_V = np.array([c for c, each in enumerate(scores) for _ in values(each)], int)
        if not len(value_V):
            return np.full(len(weight_RC), np.nan)
        order = np.argsort(value_V)
        so_far_RV = np.cumsum(weight_RC[:, clip_V[order]], axis=1)
        middle_R = (so_far_RV < so_far_RV[:, -1:] / 2).sum(axis=1).clip(0, len(order) - 1)
        return np.where(so_far_RV[:, -1] > 0, value_V[order][middle_R], np.nan)

    return of


def _has(count: str) -> Callable[[ClipScore], bool]:
    return lambda each: each.counts.get(count, 0.0) > 0


POINT_MEASURES = (
    Measure(name="point precision", of=_ratio("called_right", "called")),
    Measure(name="point recall", of=_ratio("due_called", "due")),
    Measure(name="point recall, kept clips", of=_ratio("due_called", "due_kept")),
    Measure(name="point recall, usable points", of=_ratio("due_called", "due_usable")),
    Measure(name="background residual, px", of=_median(lambda each: each.residuals_px), digits=2),
    Measure(name="clips kept", of=_share(lambda each: not each.filtered)),
)
MARK_MEASURES = (
    Measure(name="mark precision", of=_ratio("marks_right", "marks")),
    Measure(name="mark precision, to the pixel", of=_ratio("marks_exact", "marks")),
    Measure(name="object recall", of=_ratio("objects_found", "objects_due")),
    Measure(name="object recall, kept clips", of=_ratio("objects_found", "objects_due_kept")),
    Measure(name="trace error, % of diagonal", of=_median(lambda each: each.trace_errors), digits=2, factor=100.0),
    Measure(name="clips with a wrong mark", of=_number(_has("marks_wrong")), digits=0, interval=False),
)
STILL_MEASURES = (
    Measure(name="clips with a moving mark", of=_number(_has("marks")), digits=0, interval=False),
    Measure(name="clips with a moving point", of=_number(_has("called")), digits=0, interval=False),
    Measure(name="clips filtered", of=_number(lambda each: bool(each.filtered)), digits=0, interval=False),
)
CUT_MEASURES = (
    Measure(name="filtered", of=_number(lambda each: bool(each.filtered)), digits=0, interval=False),
    Measure(
        name="kept, no wrong mark",
        of=_number(lambda each: not each.filtered and not _has("wrong_claim")(each)),
        digits=0,
        interval=False,
    ),
    Measure(name="kept with wrong marks", of=_number(_has("wrong_claim")), digits=0, interval=False),
)
