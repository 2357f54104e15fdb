"""Reads a dataset as it lies on disk, front to back, in memory that does not grow with it."""

import hashlib
import json
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import store

_CHUNK = 1 << 20
_ROWS_AT_ONCE = 4096
_ROWS_IN_MEMORY = 200_000
_MAX_FILES = 512


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredSample:
    """Adjacent members of a tar with one key, as (suffix, bytes) in their order, and the byte range they fill."""

    key: str
    offset: int
    size: int
    members: tuple[tuple[str, bytes], ...]


class HashingReader:
    """A file that is read once, front to back, and hashed on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self.size = 0
        self.sha256 = hashlib.sha256()
        self._file = file

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.size += len(data)
        self.sha256.update(data)
        return data

    def drain(self) -> None:
        """Reads what a reader of tars leaves behind the end mark."""
        while self.read(_CHUNK):
            pass


def stored_samples(file: HashingReader) -> Iterator[StoredSample]:
    """The samples of a tar, one in memory at a time; tarfile.TarError where it is not a tar of plain files."""
    with tarfile.open(fileobj=file, mode="r|", bufsize=_CHUNK) as tar:  # type: ignore[call-overload]
        for key, entries in groupby(tar, key=lambda entry: str(entry.name.partition(".")[0])):
            members: list[tuple[str, bytes]] = []
            start = end = -1
            for entry in entries:
                content = tar.extractfile(entry) if entry.isfile() else None
                if content is None:
                    raise tarfile.TarError(f"{entry.name} is not a plain file")
                members.append((entry.name.partition(".")[2], content.read()))
                start = entry.offset if start < 0 else start
                end = entry.offset_data + entry.size + -entry.size % tarfile.BLOCKSIZE
            yield StoredSample(key=key, offset=start, size=end - start, members=tuple(members))


def read_json(uri: str) -> dict[str, Any]:
    """OSError or ValueError where there is no such file or it is no JSON object."""
    content = json.loads(store.read_bytes(uri))
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")
    return content


def table_shape(uri: str) -> tuple[pa.Schema, int]:
    """Columns and number of rows of a Parquet file; OSError or ValueError (pyarrow's) where it is none."""
    with store.reading(uri) as source, pq.ParquetFile(source) as file:
        return file.schema_arrow, file.metadata.num_rows


def read_through(uri: str) -> None:
    """Reads every value of a Parquet file; OSError or ValueError (pyarrow's) where one can't be."""
    with store.reading(uri) as source, pq.ParquetFile(source) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE, use_threads=False):
            batch.validate(full=True)


def table_rows(uri: str, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    with store.reading(uri) as source, pq.ParquetFile(source) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=columns, use_threads=False):
            yield from batch.to_pylist()


def index_by_shard(out: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Runs of rows of the index that name the same shard."""
    for shard, rows in groupby(table_rows(store.join(out, "index.parquet")), key=itemgetter("shard")):
        yield shard, list(rows)


def gathered(rows: Iterable[tuple[str, ...]], n_rows: int) -> Iterator[list[tuple[str, ...]]]:
    """Rows in lists that fit in memory; all rows with the same first value are in the same list."""
    n_files = min(_MAX_FILES, 1 + n_rows // _ROWS_IN_MEMORY)
    if n_files == 1:
        yield list(rows)
        return
    with tempfile.TemporaryDirectory(prefix="somtom-lint-") as folder:
        paths = [Path(folder) / str(number) for number in range(n_files)]
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("w", encoding="utf-8")) for path in paths]
            for row in rows:
                files[zlib.crc32(row[0].encode()) % n_files].write(json.dumps(row) + "\n")
        for path in paths:
            with path.open(encoding="utf-8") as lines:
                yield [tuple(json.loads(line)) for line in lines]
