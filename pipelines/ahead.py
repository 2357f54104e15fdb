"""Values made by a thread of their own before they are asked for, in order."""

import threading
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class _End:
    """Nothing more comes: `values` are all made, or raised an error."""

    error: BaseException | None


def made_ahead(values: Generator[_T, None, None], most: int) -> Generator[_T, None, None]:
    """The same values in the same order, made by one thread that is at most so many ahead of what was taken.

    What `values` raises, of any kind, is raised here, after what came before it. Closing this ends the thread once it
    has made the value that it is at, and closes `values` there.
    """
    room, made, over = threading.Semaphore(most), SimpleQueue[_T | _End](), threading.Event()

    def make() -> None:
        error = None
        try:
            with closing(values):
                while room.acquire() and not over.is_set():
                    made.put(next(values))
        except StopIteration:
            pass
        except BaseException as raised:  # noqa: BLE001  raised again by whoever asks for the value
            error = raised
        made.put(_End(error=error))

    # a daemon: a process may end while one is at work
    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(value := made.get(), _End):
            room.release()
            yield value
        if value.error is not None:
            raise value.error
    finally:
        over.set()
        room.release()
        thread.join()
