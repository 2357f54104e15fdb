"""Ctrl-C and SIGTERM: a training ends after the step that it is in, with a checkpoint."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ECHO_S = 3.0
"""torchrun passes on a Ctrl-C that its processes have got themselves"""
_HEARD = b"\nstopping after this step, with a checkpoint; Ctrl-C again stops at once\n"


@contextmanager
def stopping(*, tells: bool) -> Iterator[Callable[[], bool]]:
    """A function that tells whether the training shall stop. A second Ctrl-C some seconds later ends it at once.

    `tells`: says on the screen that it has heard.
    """
    first_s: list[float] = []

    def ask(number: int, _: FrameType | None) -> None:
        now_s = time.monotonic()
        if not first_s:
            first_s.append(now_s)
            if tells:  # past Python's buffer, which the signal may have met in use
                with suppress(OSError):
                    os.write(2, _HEARD)
        elif number == signal.SIGINT and now_s - first_s[0] > _ECHO_S:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, ask) for number in _SIGNALS}
    try:
        yield lambda: bool(first_s)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
