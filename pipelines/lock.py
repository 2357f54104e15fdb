"""One writer per dataset: a lock on its folder that ends with the process that holds it, however that ends.

Local folders only; two writers to a bucket are not kept apart here.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines import store
from schemas.errors import UserError

_TRIES, _PAUSE_S = 5, 0.1
"""`is_locked` holds a lock for a moment too"""


@contextmanager
def locked(out: str) -> Iterator[None]:
    """Holds the lock of a dataset."""
    if store.is_remote(out):
        yield
        return
    path = Path(out) / ".lock"
    with store.explained(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _taken(handle):
            raise UserError(
                f"--out: {out} is being written by process {path.read_text() or '?'}; wait for it, or stop it first"
            )
        os.truncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        yield
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    for _ in range(_TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_S)
        else:
            return True
    return False


def is_locked(out: str) -> bool:
    """Whether a process is writing to a local dataset."""
    path = Path(out) / ".lock"
    if store.is_remote(out) or not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
