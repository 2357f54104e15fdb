"""Files of a dataset by URI: a local folder or anything fsspec knows. Every write is whole or not there at all.

Locally a file is written under a temporary name, synced and renamed; an object store's single put is atomic already.
"""

import errno
import os
import posixpath
import tempfile
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from fsspec.core import url_to_fs

from schemas.errors import UserError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
"""what a write can meet and a read in the same block can't"""


def filesystem(uri: str, **options: Any) -> tuple[Any, str]:
    """The file system of a URI and the path in it. UserError for a kind of URI that can't be used here.

    `options`: what that kind of file system is opened with.
    """
    try:
        fs, path = url_to_fs(uri, **options)
    except (ImportError, ValueError) as error:
        raise UserError(
            f"{uri}: {' '.join(str(error).split())}; install what it needs (gs: pip install '.[gcp]') or use another"
        ) from error
    return fs, str(path)


def is_remote(uri: str) -> bool:
    return "://" in uri and not uri.startswith("file://")


def join(root: str, *names: str) -> str:
    return posixpath.join(root, *names)


def exists(uri: str) -> bool:
    fs, path = filesystem(uri)
    return bool(fs.exists(path))


def size(uri: str) -> int:
    """Bytes; FileNotFoundError where there is no such file."""
    fs, path = filesystem(uri)
    return int(fs.info(path)["size"])


def names(folder: str, suffix: str = "") -> list[str]:
    """Sorted names of the files in a folder; none where the folder is not there."""
    fs, path = filesystem(folder)
    fs.invalidate_cache()
    if not fs.exists(path):
        return []
    found = (posixpath.basename(entry["name"]) for entry in fs.ls(path, detail=True) if entry["type"] == "file")
    return sorted(name for name in found if name.endswith(suffix) and not name.startswith("."))


@contextmanager
def reading(uri: str) -> Iterator[BinaryIO]:
    """Opens for reading bytes, seekable."""
    fs, path = filesystem(uri)
    with fs.open(path, "rb") as file:
        yield file


def read_bytes(uri: str) -> bytes:
    with reading(uri) as file:
        return file.read()


def remove(uri: str) -> None:
    """Removes a file; nothing happens where there is none."""
    fs, path = filesystem(uri)
    if fs.exists(path):
        fs.rm_file(path)


@contextmanager
def writing(uri: str) -> Iterator[BinaryIO]:
    """A new file that appears under `uri`, whole, when the block ends; an exception in the block leaves nothing."""
    fs, path = filesystem(uri)
    folder = None if is_remote(uri) else Path(path).parent
    with explained(uri):
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".partial-", dir=folder)
    try:
        with explained(uri, NO_ROOM), os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
        with explained(uri):
            if folder:
                put_in_place(Path(temporary), Path(path))
            else:
                fs.put_file(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def put_in_place(temporary: Path, path: Path) -> None:
    """Gives a local file that is written to its end its name, in the same folder, so that both survive a crash."""
    _sync(temporary)
    temporary.chmod(0o644)
    temporary.replace(path)
    _sync(path.parent)


@contextmanager
def explained(uri: str, errnos: Container[int] | None = None, field: str = "--out") -> Iterator[None]:
    """Turns the system's errors of writing (some of them: `errnos`) into `UserError`; `field` said where to write."""
    try:
        yield
    except OSError as error:
        if errnos is not None and error.errno not in errnos:
            raise
        raise UserError(
            f"{field}: {uri} can't be written: {error.strerror or error}; free space or choose a folder that can be "
            "written, then run the same command again: it goes on where it stopped"
        ) from error


def write_bytes(uri: str, data: bytes) -> None:
    with writing(uri) as file:
        file.write(data)


def remove_partials(folder: str) -> None:
    """Clears what a killed writer left behind in a local folder. Only for the one who holds the dataset's lock."""
    if not is_remote(folder) and Path(folder).is_dir():
        for leftover in Path(folder).glob(".partial-*"):
            leftover.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
