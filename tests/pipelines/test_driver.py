"""The driver with fake steps: every record and item has one outcome, in order, whatever the steps do."""

import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from pipelines.driver import Done, Opening, Recipe, Split, Step, item_row, run_records
from schemas.flow import EncodedSample, Ref, Rejected
from tests.scenes import fake_ref


@dataclass
class Opened:
    """An opened record: what it yields; counts its closings."""

    ref: Ref
    closed: list[str]

    def close(self) -> None:
        self.closed.append(self.ref.record_id)


def refs(*names: str) -> list[Ref]:
    return [fake_ref(record_id=name, record_key=name, uri=f"{name}.mp4") for name in names]


def sample(key: str) -> EncodedSample:
    return EncodedSample(key=key, members=(), index_row={})


def quiet(run: Any) -> Split:
    """A split that does not beat."""
    return Split(name="split", run=lambda opened, beat: run(opened))


def recipe(steps: list[Step], items: int = 2, closed: list[str] | None = None, **changed: Any) -> Recipe:
    def split(opened: Opened) -> Iterator[tuple[str, Any]]:
        yield from ((f"{opened.ref.record_id}-{number}", f"{opened.ref.record_id}-{number}") for number in range(items))

    log: list[str] = [] if closed is None else closed
    return Recipe(
        open=changed.get("open", Opening(name="open", run=lambda ref, beat: Opened(ref, log))),
        split=quiet(changed.get("split", split)),
        steps=[*steps, Step(name="encode", run=sample)],
        root="/somewhere",
    )


def rows(events: Iterator[Done]) -> list[tuple[str, str, str, str]]:
    return [(done.row.kind, done.row.key, done.row.outcome, done.row.stage) for done in events]


def test_no_records_give_nothing() -> None:
    assert rows(run_records(recipe([]), [], {})) == []


def test_items_then_their_record_in_order() -> None:
    closed: list[str] = []
    assert rows(run_records(recipe([], closed=closed), refs("a", "b"), {})) == [
        ("item", "a-0", "kept", ""),
        ("item", "a-1", "kept", ""),
        ("record", "a", "kept", ""),
        ("item", "b-0", "kept", ""),
        ("item", "b-1", "kept", ""),
        ("record", "b", "kept", ""),
    ]
    assert closed == ["a", "b"]


def test_a_rejection_is_a_row_with_its_numbers_and_skips_the_later_steps() -> None:
    seen: list[str] = []
    steps = [
        Step(
            name="judge", run=lambda v: Rejected(reason="too_short", value=0.12345678, threshold=1) if "0" in v else v
        ),
        Step(name="after", run=lambda v: seen.append(v) or v),
    ]
    events = list(run_records(recipe(steps), refs("a"), {}))
    assert [done.row.outcome for done in events] == ["filtered", "kept", "kept"]
    row = events[0].row
    assert (row.stage, row.reason, row.value, row.threshold) == ("judge", "too_short", 0.123457, 1)
    assert (events[-1].row.kind, events[-1].row.reason) == ("record", "")
    assert seen == ["a-1"]


def test_a_bug_in_a_step_costs_one_item_and_says_where_without_the_machines_paths() -> None:
    def fail(value: str) -> str:
        if value == "a-0":
            raise ValueError("bad /somewhere/a.mp4  here")
        return value

    events = list(run_records(recipe([Step(name="judge", run=fail)]), refs("a"), {}))
    assert [done.row.outcome for done in events] == ["quarantined", "kept", "kept"]
    assert events[0].row.error.startswith("ValueError: bad a.mp4 here (test_driver.py:")
    assert (events[0].row.stage, events[0].row.reason) == ("judge", "error")


@pytest.mark.parametrize("stage", ["open", "split"])
def test_a_record_that_does_not_open_or_split_is_quarantined_and_the_next_goes_on(stage: str) -> None:
    def fail(value: Any) -> Any:
        ref = value if isinstance(value, Ref) else value.ref
        if ref.record_id == "a":
            raise OSError("no such file")
        return Opened(ref, []) if stage == "open" else [("b-0", "b-0")]

    opening = Opening(name="open", run=lambda ref, beat: fail(ref))
    made = recipe([], items=1, **{stage: opening if stage == "open" else fail})
    assert rows(run_records(made, refs("a", "b"), {})) == [
        ("item", "a-rest0", "quarantined", stage),
        ("record", "a", "quarantined", stage),
        ("item", "b-0", "kept", ""),
        ("record", "b", "kept", ""),
    ]


def test_a_record_that_breaks_off_keeps_what_it_gave_and_names_the_rest() -> None:
    def split(opened: Opened) -> Iterator[tuple[str, str]]:
        yield "a-0", "a-0"
        raise OSError("cut off")

    assert rows(run_records(recipe([], split=split), refs("a"), {})) == [
        ("item", "a-0", "kept", ""),
        ("item", "a-rest0", "quarantined", "split"),
        ("record", "a", "kept", ""),
    ]


def test_a_record_that_gives_no_items_is_not_lost() -> None:
    assert rows(run_records(recipe([], items=0), refs("a"), {})) == [
        ("item", "a-rest0", "quarantined", "split"),
        ("record", "a", "quarantined", "split"),
    ]


def test_batches_cross_records_and_keep_the_order() -> None:
    sizes: list[int] = []

    def upper(values: list[str]) -> list[str]:
        sizes.append(len(values))
        return [value.upper() for value in values]

    made = recipe([Step(name="gpu", run=upper, batch=4)])
    events = list(run_records(made, refs("a", "b", "c"), {}))
    assert sizes == [4, 2]
    assert [done.row.key for done in events] == ["a-0", "a-1", "a", "b-0", "b-1", "b", "c-0", "c-1", "c"]
    assert [done.sample.key for done in events if done.sample] == ["A-0", "A-1", "B-0", "B-1", "C-0", "C-1"]


def test_a_bad_item_of_a_batch_costs_only_itself() -> None:
    def fail(values: list[str]) -> list[str]:
        if "a-1" in values:
            raise RuntimeError("out of memory")
        return values

    events = list(run_records(recipe([Step(name="gpu", run=fail, batch=4)]), refs("a", "b"), {}))
    outcomes = {done.row.key: done.row.outcome for done in events if done.row.kind == "item"}
    assert outcomes == {"a-0": "kept", "a-1": "quarantined", "b-0": "kept", "b-1": "kept"}


def test_a_step_that_loses_a_value_of_a_batch_is_found_out() -> None:
    lossy = Step(name="gpu", run=lambda values: values[:1], batch=2)
    events = list(run_records(recipe([lossy]), refs("a"), {}))
    assert [done.row.outcome for done in events] == ["kept", "kept", "kept"]  # one by one nothing is lost
    broken = Step(name="gpu", run=lambda values: [], batch=2)
    events = list(run_records(recipe([broken]), refs("a"), {}))
    assert all("gave 0 results" in done.row.error for done in events if done.row.kind == "item")


def test_known_items_are_left_out_but_count_for_their_record() -> None:
    begun: list[str] = []
    events = run_records(
        recipe([Step(name="no", run=lambda v: Rejected(reason="too_short"))]),
        refs("a"),
        {},
        on_begin=lambda ref, key: begun.append(key),
        known={"a-0": item_row(refs("a")[0], "a-0", "kept")},
    )
    assert rows(events) == [("item", "a-1", "filtered", "no"), ("record", "a", "kept", "")]
    assert begun == ["", "a-1"]


def test_seconds_are_counted_per_step() -> None:
    seconds: dict[str, float] = {}
    list(run_records(recipe([Step(name="track", run=lambda v: v)]), refs("a"), seconds))
    assert set(seconds) == {"open", "split", "track", "encode"}
    assert all(spent > 0 for spent in seconds.values())


def test_a_split_that_takes_long_shows_that_it_goes_on() -> None:
    beats: list[int] = []

    def split(opened: Opened, beat: Any) -> Iterator[tuple[str, str]]:
        beat()
        yield "a-0", "a-0"

    made = replace(recipe([]), split=Split(name="split", run=split))
    list(run_records(made, refs("a", "b"), {}, on_beat=lambda: beats.append(1)))
    assert len(beats) == 2


def test_a_record_says_why_as_its_best_item_does() -> None:
    no = Step(name="judge", run=lambda value: Rejected(reason="too_short", value=0, threshold=1))
    row = list(run_records(recipe([no]), refs("a"), {}))[-1].row
    assert (row.kind, row.key, row.outcome, row.stage, row.reason, row.threshold) == (
        *("record", "a", "filtered"),
        *("judge", "too_short", 1),
    )


def hungry(room: int, sizes: list[int], greedy: str = "") -> Step:
    """A step that runs out of memory for more than `room` values at once, or for one value in any company."""

    def run(values: list[str]) -> list[str]:
        sizes.append(len(values))
        if len(values) > room or greedy in values:
            raise MemoryError("CUDA out of memory")
        return values

    return Step(name="gpu", run=run, batch=8)


def outcomes(events: Iterator[Done]) -> dict[str, str]:
    return {done.row.key: done.row.outcome for done in events if done.row.kind == "item"}


def test_a_batch_that_memory_has_no_room_for_is_halved_and_stays_so() -> None:
    sizes: list[int] = []
    halved: dict[str, int] = {}
    made = recipe([hungry(3, sizes)], items=20)
    assert set(outcomes(run_records(made, refs("a"), {}, halved=halved)).values()) == {"kept"}
    assert halved == {"gpu": 2}
    assert sizes == [8, 4, 2, 2, 4, 2, 2, *[2] * 6]
    sizes.clear()
    list(run_records(made, refs("b"), {}, halved=halved))
    assert sizes == [2] * 10


def test_an_item_that_memory_has_no_room_for_alone_costs_itself_and_halves_nothing() -> None:
    sizes: list[int] = []
    halved: dict[str, int] = {}
    events = list(run_records(recipe([hungry(8, sizes, "a-3")], items=16), refs("a"), {}, halved=halved))
    bad = next(done.row for done in events if done.row.outcome == "quarantined")
    assert [done.row.key for done in events if done.row.outcome == "quarantined"] == ["a-3"]
    assert "MemoryError: CUDA out of memory" in bad.error
    assert "decode.long_side_px" in bad.error and "run.device=cpu" in bad.error
    assert halved == {} and sizes[-1] == 8


def test_what_a_failed_try_held_is_let_go_of_before_the_next() -> None:
    class Tensor:
        pass

    held: list[weakref.ref[Tensor]] = []
    alive: list[bool] = []

    def run(values: list[str]) -> list[str]:
        alive.append(any(ref() is not None for ref in held))
        tensor = Tensor()
        held.append(weakref.ref(tensor))
        if len(values) > 1:
            try:
                raise ValueError("of the library")
            except ValueError as error:
                raise MemoryError("out of memory") from error
        return values

    list(run_records(recipe([Step(name="gpu", run=run, batch=4)]), refs("a", "b"), {}))
    assert len(alive) == 7 and not any(alive)


def test_one_at_a_time_uses_neither_batches_nor_threads() -> None:
    sizes: list[int] = []
    threads: set[str] = set()

    def run(values: list[str]) -> list[str]:
        sizes.append(len(values))
        threads.add(threading.current_thread().name)
        return values

    made = recipe([Step(name="gpu", run=run, batch=4, ahead=4), Step(name="after", run=lambda v: v, ahead=4)])
    list(run_records(made, refs("a", "b"), {}, one_at_a_time=True))
    assert sizes == [1, 1, 1, 1]
    assert threads == {threading.current_thread().name}


def busy_recipe(ahead: int) -> Recipe:
    """Every kind of outcome, around a step with batches; in three threads, if `ahead`."""

    def judge(value: str) -> Any:
        return Rejected(reason="too_short", value=1, threshold=2) if value.endswith("3") else value

    def network(values: list[str]) -> list[str]:
        if any(value.endswith("5") for value in values):
            raise ValueError("bad pixels")
        return [value.upper() for value in values]

    def split(opened: Opened) -> Iterator[tuple[str, Any]]:
        for number in range(7):
            yield f"{opened.ref.record_id}-{number}", f"{opened.ref.record_id}-{number}"
        if opened.ref.record_id == "c":
            raise OSError("cut off")

    steps = [
        Step(name="judge", run=judge),
        Step(name="network", run=network, batch=3, ahead=ahead),
        Step(name="after", run=lambda value: value + "!", ahead=ahead),
    ]
    return recipe(steps, split=split)


@pytest.mark.parametrize("ahead", [1, 2, 50])
def test_threads_change_nothing(ahead: int) -> None:
    before = threading.active_count()
    names = refs(*"abcdefgh")
    seconds: dict[str, float] = {}
    plain = [(done.row, done.sample) for done in run_records(busy_recipe(0), names, {})]
    threaded = [(done.row, done.sample) for done in run_records(busy_recipe(ahead), names, seconds)]
    assert [repr(row) for row, _ in threaded] == [repr(row) for row, _ in plain]
    assert [sample and sample.key for _, sample in threaded] == [sample and sample.key for _, sample in plain]
    assert {row.outcome for row, _ in plain} == {"kept", "filtered", "quarantined"}
    assert list(seconds) == ["open", "split", "judge", "network", "after", "encode"]
    assert threading.active_count() == before


def test_a_network_and_the_decoding_before_it_work_at_the_same_time() -> None:
    last = 6
    met = threading.Barrier(3, timeout=20)

    def meeting(place: int) -> Any:
        """Waits until decoding is at a clip, the network at the one before, and what comes after at the one before."""

        def run(value: str) -> str:
            number = int(value.partition("-")[2])
            if 2 <= number + place <= last:  # first and last somebody has nothing to do
                met.wait()
            return value

        return run

    steps = [
        Step(name="decode", run=meeting(0)),
        Step(name="network", run=meeting(1), ahead=1),
        Step(name="after", run=meeting(2), ahead=1),
    ]
    found = outcomes(run_records(recipe(steps, items=last + 1), refs("a"), {}))
    assert set(found.values()) == {"kept"}, "each waits until all three are at work at once"


def test_leaving_early_ends_the_threads_and_closes_the_record() -> None:
    before = threading.active_count()
    closed: list[str] = []
    steps = [Step(name="network", run=lambda v: v, ahead=2), Step(name="after", run=lambda v: v, ahead=2)]
    events = run_records(recipe(steps, items=100, closed=closed), refs("a"), {})
    assert next(events).row.key == "a-0"
    events.close()
    assert threading.active_count() == before
    assert closed == ["a"]


@pytest.mark.parametrize("where", ["decode", "network"])
def test_an_interrupt_in_a_thread_stops_the_run(where: str) -> None:
    before = threading.active_count()

    def interrupt(value: str) -> str:
        if value == "a-3":
            raise KeyboardInterrupt
        return value

    steps = [
        Step(name="decode", run=interrupt if where == "decode" else str),
        Step(name="network", run=interrupt if where == "network" else str, ahead=2),
        Step(name="after", run=str, ahead=2),
    ]
    events = run_records(recipe(steps, items=10), refs("a"), {})
    got = []
    with pytest.raises(KeyboardInterrupt):
        for done in events:
            got.append(done.row.key)
    assert got == ["a-0", "a-1", "a-2"]
    assert threading.active_count() == before
