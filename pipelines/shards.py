"""A shard: its tar of samples, then its sidecar of ledger rows. The unit of work, of retry, of resume and of checking.

A shard is done when its sidecar is there and the tar's size and checksum match it; anything else is redone.
"""

import hashlib
import json
import math
import tarfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import store
from schemas.flow import EncodedSample, LedgerRow
from schemas.sample import SCHEMA_VERSION
from schemas.tables import LEDGER, SIDECAR

FOLDER = "shards"
_METADATA = b"shard"
_CHUNK = 1 << 20

UNREADABLE = (OSError, ValueError, KeyError, TypeError)
"""what reading a sidecar raises that is not whole (pyarrow's errors are among them)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardCounts:
    """What the footer of a sidecar says; kept, filtered and quarantined count items. No tar: size 0, sha256 "".

    `members`: what follows the keys in the names of the tar's members; all that occur.
    """

    tar_size: int
    tar_sha256: str
    records: int
    items: int
    kept: int
    filtered: int
    quarantined: int
    quarantined_records: int
    members: tuple[str, ...] = ()


def tar_uri(out: str, shard: str) -> str:
    return store.join(out, FOLDER, f"{shard}.tar")


def sidecar_uri(out: str, shard: str) -> str:
    return store.join(out, FOLDER, f"{shard}.parquet")


def write_shard(out: str, shard: str, rows: Iterable[tuple[LedgerRow, EncodedSample | None]]) -> ShardCounts:
    """Streams samples into the tar of a shard like "train-000000", then writes its sidecar.

    A sample comes with the row of its kept item and with no other row. An exception from `rows` leaves the shard as it
    was. Holds the rows in memory, never more than one sample.
    """
    table_rows: list[dict[str, Any]] = []
    keys: set[tuple[str, str]] = set()
    tar: _TarWriter | None = None
    with ExitStack() as stack:
        for row, sample in rows:
            _check_row(row, sample, keys)
            place: dict[str, Any] = {}
            if sample is not None:
                # opened by the first sample: a shard that kept nothing has no tar
                tar = tar or _TarWriter(stack.enter_context(store.writing(tar_uri(out, shard))))
                offset = tar.size
                for suffix, data in sample.members:
                    tar.add(sample.key, suffix, data)
                place = {**sample.index_row, "shard": shard, "offset": offset, "size": tar.size - offset}
            table_rows.append(_table_row(row) | place)
        if tar:
            tar.finish()
    if not tar:
        store.remove(tar_uri(out, shard))
    counts = _count(table_rows, tar)
    _write_sidecar(out, shard, table_rows, counts)
    return counts


def read_sidecar_counts(out: str, shard: str) -> ShardCounts:
    """Reads the footer only. ValueError (pyarrow's included), KeyError, TypeError or OSError: not a whole sidecar."""
    with store.reading(sidecar_uri(out, shard)) as file:
        return parse_counts(pq.read_schema(file))


def parse_counts(schema: pa.Schema) -> ShardCounts:
    """The counts from the metadata of an open sidecar; errors as for `read_sidecar_counts`."""
    content = json.loads((schema.metadata or {})[_METADATA])
    if content.pop("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"not a sidecar of schema_version {SCHEMA_VERSION}")
    return ShardCounts(**content | {"members": tuple(content["members"])})


def read_sidecar(out: str, shard: str) -> tuple[pa.Table, ShardCounts]:
    """All rows (columns of `schemas.tables.SIDECAR`) with page checksums verified; errors as above."""
    with (
        store.reading(sidecar_uri(out, shard)) as source,
        pq.ParquetFile(source, page_checksum_verification=True) as file,
    ):
        table = file.read(use_threads=False)
    counts = parse_counts(table.schema)
    if table.num_rows != counts.records + counts.items:
        raise ValueError(f"{table.num_rows} rows but {counts.records} records and {counts.items} items")
    return table, counts


def shard_is_whole(out: str, shard: str) -> bool:
    """Whether the sidecar is there and whole, and the tar has its size (or rightly is not there)."""
    try:
        _, counts = read_sidecar(out, shard)
    except UNREADABLE:
        return False
    tar = tar_uri(out, shard)
    if not counts.tar_size:
        return not store.exists(tar)
    return store.exists(tar) and store.size(tar) == counts.tar_size


def shard_is_done(out: str, shard: str) -> bool:
    """Whether a shard is whole and its tar, which is read, has its checksum."""
    if not shard_is_whole(out, shard):
        return False
    counts, tar = read_sidecar_counts(out, shard), tar_uri(out, shard)
    if not counts.tar_size:
        return True
    digest = hashlib.sha256()
    with store.reading(tar) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest() == counts.tar_sha256


class _TarWriter:
    """Writes a USTAR archive front to back: no times, no owners; counts and hashes what it writes."""

    def __init__(self, file: BinaryIO) -> None:
        self.size = 0
        self.sha256 = hashlib.sha256()
        self.members: set[str] = set()
        self._file = file

    def add(self, key: str, suffix: str, data: bytes) -> None:
        header = tarfile.TarInfo(f"{key}.{suffix}")
        header.size = len(data)
        self._write(header.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict"))
        self._write(data)
        self._write(bytes(-len(data) % tarfile.BLOCKSIZE))
        self.members.add(suffix)

    def finish(self) -> None:
        self._write(bytes(2 * tarfile.BLOCKSIZE))
        self._write(bytes(-self.size % tarfile.RECORDSIZE))

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self.sha256.update(data)
        self.size += len(data)


def _check_row(row: LedgerRow, sample: EncodedSample | None, keys: set[tuple[str, str]]) -> None:
    if (row.kind, row.key) in keys:
        raise ValueError(f"{row.kind} {row.key} comes twice")
    keys.add((row.kind, row.key))
    if (sample is not None) != (row.kind == "item" and row.outcome == "kept"):
        raise ValueError(f"{row.kind} {row.key} is {row.outcome} {'with' if sample else 'without'} a sample")
    if sample is not None and (sample.key != row.key or "." in row.key):
        raise ValueError(f"the sample of item {row.key!r} is named {sample.key!r}; want the same, without dots")


def _table_row(row: LedgerRow) -> dict[str, Any]:
    return {
        name: None if isinstance(value := getattr(row, name), float) and math.isnan(value) else value
        for name in LEDGER.names
    }


def _count(rows: list[dict[str, Any]], tar: _TarWriter | None) -> ShardCounts:
    outcomes = [row["outcome"] for row in rows if row["kind"] == "item"]
    return ShardCounts(
        tar_size=tar.size if tar else 0,
        tar_sha256=tar.sha256.hexdigest() if tar else "",
        records=len(rows) - len(outcomes),
        items=len(outcomes),
        kept=outcomes.count("kept"),
        filtered=outcomes.count("filtered"),
        quarantined=outcomes.count("quarantined"),
        quarantined_records=sum(row["kind"] == "record" and row["outcome"] == "quarantined" for row in rows),
        members=tuple(sorted(tar.members)) if tar else (),
    )


def _write_sidecar(out: str, shard: str, rows: list[dict[str, Any]], counts: ShardCounts) -> None:
    metadata = json.dumps({"schema_version": SCHEMA_VERSION, **asdict(counts)})
    table = pa.Table.from_pylist(rows, schema=SIDECAR.with_metadata({_METADATA: metadata}))
    with store.writing(sidecar_uri(out, shard)) as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)
