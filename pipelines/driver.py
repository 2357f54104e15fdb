"""The one driver: takes records through a recipe's steps and gives a ledger row for every record and item.

It owns iteration, order, exceptions, batches across records, threads and the timing of each step. A step is a plain
function: it gives a value or `Rejected`; what it raises is caught here and nowhere else, and quarantines what it was
given.

Threads change no result: a step runs in one of them only, and is given its values in the order of the records.
"""

import math
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from pipelines.ahead import made_ahead
from schemas.flow import EncodedSample, LedgerRow, Ref, Rejected
from schemas.tables import OUTCOMES
from transforms.footage import FootageError

Seconds = dict[str, float]
"""Step name -> seconds spent in it."""

Halved = dict[str, int]
"""Step name -> values that it takes at once since memory ran out, where that is fewer than its batch."""

_CURE = (
    "one item alone needs too much memory; make it smaller (decode.long_side_px and points.grid, or "
    "picture.max_side_px and proposer.points_per_batch) or, on a GPU, set run.device=cpu"
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A named step. With `batch` above 1, `run` takes and gives a list of as many values, across records.

    With `ahead`, all that comes before it runs in a thread of its own, up to so many values ahead of it.
    """

    name: str
    run: Callable[[Any], Any]
    batch: int = 1
    ahead: int = 0


Beat = Callable[[], None]
"""Called now and then by work that takes long, to show that it goes on."""


@dataclass(frozen=True, kw_only=True)
class Opening:
    """The step that opens a record; what it gives has a `close()`."""

    name: str
    run: Callable[[Ref, Beat], Any]


@dataclass(frozen=True, kw_only=True)
class Split:
    """The step that gives the items of an opened record as (key, value or Rejected)."""

    name: str
    run: Callable[[Any, Beat], Iterable[tuple[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Opens a record, splits it into items, takes each item through the steps.

    The last step gives an EncodedSample. `root` is left out of error messages, so that they do not depend on where the
    inputs lie.
    """

    open: Opening
    split: Split
    steps: Sequence[Step]
    root: str = ""

    @property
    def overlaps(self) -> bool:
        """Whether work on an item may begin before that on the one before it has ended."""
        return any(step.batch > 1 or step.ahead for step in self.steps)


@dataclass(frozen=True, kw_only=True)
class Done:
    """What became of an item, or, with `row.kind` "record", of a whole record: its last event."""

    ref: Ref
    row: LedgerRow
    sample: EncodedSample | None = None


@dataclass(frozen=True, kw_only=True)
class _Failed:
    stage: str
    error: str
    memory: bool = False
    """there was too little of it"""


@dataclass(frozen=True, kw_only=True)
class _Known:
    row: LedgerRow


@dataclass(frozen=True, kw_only=True)
class _RecordEnd:
    failure: _Failed | None


@dataclass(frozen=True, kw_only=True)
class _Element:
    ref: Ref
    key: str
    value: Any
    stage: str = ""

    @property
    def live(self) -> bool:
        return not isinstance(self.value, Rejected | _Failed | _Known | _RecordEnd)


def run_records(
    recipe: Recipe,
    refs: Iterable[Ref],
    seconds: Seconds,
    on_begin: Callable[[Ref, str], None] = lambda ref, key: None,
    on_beat: Beat = lambda: None,
    known: Mapping[str, LedgerRow] | None = None,
    one_at_a_time: bool = False,
    halved: Halved | None = None,
) -> Iterator[Done]:
    """Takes records through a recipe, in order; memory holds one item, or a batch and what is ahead.

    Args:
        seconds: counted up as the work goes on.
        on_begin: hears of each record (key "") and each item just before work on it begins; perhaps in another thread.
        on_beat: hears that a record is still being opened or split; in the same thread as `on_begin`.
        known: item key -> row of items settled in an earlier try: no work is done and no event given for them.
        one_at_a_time: no batches and no threads, so that there is never more than one item in work.
        halved: batches that were halved before; those that are now are added, before an item made so is given.
    """
    stream = _items(recipe, refs, seconds, on_begin, on_beat, known or {})
    halved = {} if halved is None else halved
    for step in recipe.steps:
        if step.ahead and not one_at_a_time:
            stream = made_ahead(stream, step.ahead)
        batches = {step.name: 1} if one_at_a_time else halved
        stream = _through(step, recipe.root, stream, seconds, batches)
    rows: list[LedgerRow] = []
    with closing(stream):
        for element in stream:
            if isinstance(element.value, _RecordEnd):
                yield from _record_end(element, element.value.failure, rows)
                rows = []
            elif isinstance(element.value, _Known):
                rows.append(element.value.row)
            else:
                done = _item_done(element)
                rows.append(done.row)
                yield done


def item_row(ref: Ref, key: str, outcome: str, **why: Any) -> LedgerRow:
    """A ledger row for an item; `why`: stage, reason, value, threshold, error."""
    return LedgerRow(
        kind="item", key=key, record_key=ref.record_key, record_id=ref.record_id, uri=ref.uri, outcome=outcome, **why
    )


def ended(ref: Ref, rows: Iterable[LedgerRow]) -> Done:
    """The last event of a record: the outcome of its best item, and why, if that was not kept."""
    best = min(rows, key=lambda row: OUTCOMES.index(row.outcome))
    return Done(ref=ref, row=replace(best, kind="record", key=ref.record_key))


def broken_off(ref: Ref, rows: Iterable[LedgerRow], **why: Any) -> Iterator[Done]:
    """The last events of a record on which work broke off: what is missing of it is one more item, quarantined."""
    rest = item_row(ref, f"{ref.record_key}-rest{ref.part}", "quarantined", **why)
    yield Done(ref=ref, row=rest)
    yield ended(ref, [*rows, rest])


def _items(
    recipe: Recipe,
    refs: Iterable[Ref],
    seconds: Seconds,
    on_begin: Callable[[Ref, str], None],
    on_beat: Beat,
    known: Mapping[str, LedgerRow],
) -> Generator[_Element, None, None]:
    for ref in refs:
        on_begin(ref, "")
        failure = None
        stage = recipe.open.name
        try:
            with _timed(seconds, stage):
                opened = recipe.open.run(ref, on_beat)
            stage = recipe.split.name
            with closing(opened):
                items = iter(recipe.split.run(opened, on_beat))
                while True:
                    with _timed(seconds, stage):
                        key, value = next(items, ("", None))
                    if not key:
                        break
                    if key in known:
                        value = _Known(row=known[key])
                    else:
                        on_begin(ref, key)
                    yield _Element(ref=ref, key=key, value=value, stage=stage)
        except Exception as error:  # noqa: BLE001  the one seam: what a record raises becomes its ledger row
            failure = _Failed(stage=stage, error=_explained(error, recipe.root))
        yield _Element(ref=ref, key="", value=_RecordEnd(failure=failure))


def _through(
    step: Step, root: str, stream: Generator[_Element, None, None], seconds: Seconds, halved: Halved
) -> Generator[_Element, None, None]:
    """Elements in order, each live one taken through a step."""
    waiting: list[_Element] = []
    with closing(stream):
        for element in stream:
            waiting.append(element)
            n_live = sum(held.live for held in waiting)
            if n_live == 0 or n_live >= min(step.batch, halved.get(step.name, step.batch)):
                yield from _flushed(step, root, waiting, seconds, halved)
                waiting = []
    yield from _flushed(step, root, waiting, seconds, halved)


def _flushed(step: Step, root: str, waiting: list[_Element], seconds: Seconds, halved: Halved) -> Iterator[_Element]:
    live = [element for element in waiting if element.live]
    results = iter(_attempt(step, root, [element.value for element in live], seconds, halved) if live else [])
    for element in waiting:
        yield replace(element, value=next(results), stage=step.name) if element.live else element


def _attempt(step: Step, root: str, values: list[Any], seconds: Seconds, halved: Halved) -> list[Any]:
    """A step's results; halves of a batch that fails are tried, so that one bad item costs only itself.

    Where memory ran out the batch stays halved, unless one item alone is to blame.
    """
    results = _tried(step, root, values, seconds)
    if not isinstance(results, _Failed):
        return results
    failed, half = results, (len(values) + 1) // 2
    if len(values) == 1:
        return [failed]
    parts = (values[:half], values[half:])
    results = [result for part in parts for result in _attempt(step, root, part, seconds, halved)]
    if failed.memory and not any(isinstance(result, _Failed) and result.memory for result in results):
        halved[step.name] = min(half, halved.get(step.name, half))
    return results


def _tried(step: Step, root: str, values: list[Any], seconds: Seconds) -> list[Any] | _Failed:
    """A step's results, or why there are none; what a failed try held in memory is free again on return."""
    try:
        with _timed(seconds, step.name):
            results = step.run(values) if step.batch > 1 else [step.run(values[0])]
        if len(results) != len(values):
            raise ValueError(f"step {step.name} gave {len(results)} results for {len(values)} values")
        return list(results)
    except MemoryError as error:
        return _Failed(stage=step.name, error=f"{_explained(error, root)}: {_CURE}", memory=True)
    except Exception as error:  # noqa: BLE001  the one seam: what a step raises becomes the item's ledger row
        return _Failed(stage=step.name, error=_explained(error, root))


def _item_done(element: _Element) -> Done:
    ref, key = element.ref, element.key
    match element.value:
        case EncodedSample() as sample:
            return Done(ref=ref, row=item_row(ref, key, "kept"), sample=sample)
        case Rejected(reason=reason, value=value, threshold=threshold):
            value = value if math.isnan(value) else round(value, 6)
            why = {"stage": element.stage, "reason": reason, "value": value, "threshold": threshold}
            return Done(ref=ref, row=item_row(ref, key, "filtered", **why))
        case _Failed() as failed:
            return Done(ref=ref, row=item_row(ref, key, "quarantined", **_why(failed)))
        case other:
            raise TypeError(f"the last step gave {type(other).__name__}, want an EncodedSample")


def _record_end(element: _Element, failure: _Failed | None, rows: list[LedgerRow]) -> Iterator[Done]:
    if failure is None and not rows:
        failure = _Failed(stage="split", error="the record gave no items")
    if failure:
        yield from broken_off(element.ref, rows, **_why(failure))
    else:
        yield ended(element.ref, rows)


def _why(failed: _Failed) -> dict[str, str]:
    return {"stage": failed.stage, "reason": "error", "error": failed.error}


def _explained(error: Exception, root: str) -> str:
    """What happened, in a form that depends neither on this machine nor on where the inputs lie."""
    message = " ".join(str(error).split())
    if root:
        message = message.replace(root.rstrip("/") + "/", "")
    if isinstance(error, FootageError):
        return message
    if isinstance(error, OSError):
        return f"{type(error).__name__}: {message}"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {message} ({PurePath(frame.filename).name}:{frame.lineno})"


@contextmanager
def _timed(seconds: Seconds, name: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
