"""Values made in a thread: the same, in order, no further ahead than asked, and no thread is left behind."""

import threading
from collections.abc import Generator, Iterator
from contextlib import closing

import pytest

from pipelines.ahead import made_ahead


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def counted(most: int, made: list[int], closed: list[str]) -> Generator[int, None, None]:
    """Counts up; tells what was made and in which thread it was closed."""
    try:
        for number in range(most):
            made.append(number)
            yield number
    finally:
        closed.append(threading.current_thread().name)


@pytest.mark.parametrize("most", [1, 2, 7, 100])
def test_values_come_in_order_and_their_source_is_closed_in_its_thread(most: int) -> None:
    closed: list[str] = []
    assert list(made_ahead(counted(20, [], closed), most)) == list(range(20))
    assert closed == ["ahead"]


def test_nothing_gives_nothing() -> None:
    assert list(made_ahead((number for number in range(0)), 3)) == []


def test_the_thread_is_no_further_ahead_than_asked() -> None:
    made: list[int] = []
    gate = threading.Event()

    def source() -> Generator[int, None, None]:
        for number in range(20):
            made.append(number)
            if number == 3:
                gate.set()
            yield number

    values = made_ahead(source(), 3)
    assert next(values) == 0
    assert gate.wait(10), "three more are made while the first is in use"
    assert made == [0, 1, 2, 3]
    assert list(values) == list(range(1, 20))


def test_it_begins_only_when_the_first_value_is_asked_for() -> None:
    made: list[int] = []
    values = made_ahead(counted(3, made, []), 2)
    values.close()
    assert made == []


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), SystemExit(3)])
def test_errors_of_any_kind_come_after_the_values_before_them(error: BaseException) -> None:
    def source() -> Generator[int, None, None]:
        yield 1
        yield 2
        raise error

    got = []
    with pytest.raises(type(error)) as raised:
        for value in made_ahead(source(), 5):
            got.append(value)
    assert raised.value is error
    assert got == [1, 2]


@pytest.mark.parametrize("taken", [1, 4])
def test_closing_early_ends_the_threads_of_a_chain(taken: int) -> None:
    closed: list[str] = []

    def between() -> Generator[int, None, None]:
        with closing(made_ahead(counted(1000, [], closed), 2)) as inner:
            yield from inner

    with closing(made_ahead(between(), 3)) as values:
        assert [next(values) for _ in range(taken)] == list(range(taken))
    assert closed == ["ahead"]


def test_closing_while_a_value_is_being_made_waits_for_that_one_only() -> None:
    begun, go_on = threading.Event(), threading.Event()
    made: list[int] = []

    def source() -> Generator[int, None, None]:
        yield 0
        begun.set()
        go_on.wait(10)
        made.append(1)
        yield 1
        made.append(2)
        yield 2

    values = made_ahead(source(), 1)
    assert next(values) == 0
    assert begun.wait(10)
    timer = threading.Timer(0.05, go_on.set)
    timer.start()
    values.close()
    assert made == [1]
    timer.join()


def test_values_that_nobody_keeps_leave_no_thread() -> None:
    for number in made_ahead(counted(1000, [], []), 2):
        if number == 3:
            break
