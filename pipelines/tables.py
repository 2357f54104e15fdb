"""Parquet files written row by row: they appear whole or not at all, and hold one row group in memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import store

_GROUP_ROWS = 8192


@contextmanager
def table_writer(uri: str, schema: pa.Schema) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Gives a function that adds a row; columns that the schema does not name are left out."""
    rows: list[dict[str, Any]] = []
    with store.writing(uri) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:

        def flush() -> None:
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            rows.clear()

        def add(row: dict[str, Any]) -> None:
            rows.append({name: row[name] for name in schema.names})
            if len(rows) >= _GROUP_ROWS:
                flush()

        yield add
        flush()
