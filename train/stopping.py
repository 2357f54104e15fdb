"""Ctrl-C and SIGTERM: a training ends after the step that it is in, with a checkpoint."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ECHO_S = 3.0
"""torchrun passes on a Ctrl-C that its processes have got themselves"""


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """A function that tells whether the training shall stop. A second Ctrl-C some seconds later ends it at once."""
    first_s: list[float] = []

    def ask(number: int, _: FrameType | None) -> None:
        now_s = time.monotonic()
        if not first_s:
            first_s.append(now_s)
            print("\nstopping after this step, with a checkpoint; Ctrl-C again stops at once", file=sys.stderr)
        elif number == signal.SIGINT and now_s - first_s[0] > _ECHO_S:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, ask) for number in _SIGNALS}
    try:
        yield lambda: bool(first_s)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
