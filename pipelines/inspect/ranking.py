"""The samples of a dataset that are highest in a column: of its index, or of a table joined to it by key.

Memory grows with neither: the index is read in pieces, and the whole joined table, batch by batch, for each of them.
Letters: R rows of a piece of the index, B rows of a batch of the joined table, K rows that are highest so far.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import store
from schemas.errors import UserError

Values = npt.NDArray[np.float64]

_ROWS_AT_ONCE = 1 << 20


def highest(index: pq.ParquetFile, sort: str, join: str, n: int) -> list[tuple[int, float]]:
    """Up to n rows of the index and their values, the highest first; of equal ones the first. UserError: none has one.

    Args:
        sort: a column with numbers, a "-" before it for the lowest first; the joined table's, where both have it.
        join: a Parquet file, or a folder of them, with a column `key`. Of several rows of a key the one with the
            highest `step` counts, without such a column the last one. Empty: there is none.
    """
    column, sign = sort.removeprefix("-"), -1.0 if sort.startswith("-") else 1.0
    files = _parquet_files(join) if join else []
    joined, own = _number_columns(files, join), _numbers(index.schema_arrow)
    if column not in joined + own:
        raise UserError(f"--sort: {column!r} is no column with numbers; those are {', '.join([*joined, *own])}")
    row_K, value_K, start = np.zeros(0, np.int64), np.zeros(0), 0
    for piece in _pieces(index, "key" if column in joined else column):
        value_R = _joined(piece, files, column) if column in joined else _floats(piece)
        given_R = np.flatnonzero(~np.isnan(value_R))
        row_K, value_K = np.r_[row_K, start + given_R], np.r_[value_K, value_R[given_R]]
        best = np.argsort(-sign * value_K, kind="stable")[:n]
        row_K, value_K, start = row_K[best], value_K[best], start + len(value_R)
    if start and not len(row_K):
        raise UserError(
            f"--join: {join} and this dataset have no key in common that has a {column}; give the table of this dataset"
            if column in joined
            else f"--sort: no sample of this dataset has a {column}; choose another of {', '.join(own)}"
        )
    return list(zip(row_K.tolist(), value_K.tolist(), strict=True))


def _parquet_files(uri: str) -> list[str]:
    fs, path = store.filesystem(uri)
    files = [store.join(uri, name) for name in store.names(uri, ".parquet")] if fs.isdir(path) else [uri]
    if not files or not fs.exists(path):
        raise UserError(f"--join: {uri} is not there or holds no Parquet file; name a file, or a folder with some")
    return files


def _number_columns(files: list[str], join: str) -> list[str]:
    """Of the joined table, as its first file has them."""
    if not files:
        return []
    with store.reading(files[0]) as file:
        try:
            schema = pq.read_schema(file)
        except pa.ArrowInvalid as error:
            raise UserError(f"--join: {files[0]} is no Parquet file: {error}") from error
    if "key" not in schema.names:
        raise UserError(f"--join: {join} has no column 'key' to join by; it has {', '.join(schema.names)}")
    return _numbers(schema)


def _numbers(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)]


def _pieces(index: pq.ParquetFile, column: str) -> Iterator[pa.ChunkedArray]:
    """A column, many row groups at a time: every piece costs a look at the whole joined table."""
    chunks, n_rows = [], 0
    for batch in index.iter_batches(batch_size=_ROWS_AT_ONCE, columns=[column], use_threads=False):
        chunks.append(batch.column(column))
        n_rows += len(batch)
        if n_rows >= _ROWS_AT_ONCE:
            yield pa.chunked_array(chunks)
            chunks, n_rows = [], 0
    if chunks:
        yield pa.chunked_array(chunks)


def _joined(keys: pa.ChunkedArray, files: list[str], column: str) -> Values:
    """What the latest row of each key gives, NaN where there is none."""
    value_R, step_R = np.full(len(keys), np.nan), np.full(len(keys), -np.inf)
    for file_uri in files:
        with store.reading(file_uri) as file:
            table = pq.ParquetFile(file)
            stepped = "step" in table.schema_arrow.names
            columns = list({"key", column, *(["step"] if stepped else [])})
            for batch in table.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns, use_threads=False):
                at_B = pc.index_in(batch.column("key").cast(pa.string()), value_set=keys)
                row_B = pc.fill_null(at_B, -1).to_numpy(zero_copy_only=False)
                step_B = _floats(batch.column("step")) if stepped else np.zeros(len(batch))
                order = np.argsort(step_B, kind="stable")  # of repeated rows the last assignment stays
                order = order[(row_B[order] >= 0) & (step_B[order] >= step_R[row_B[order]])]
                step_R[row_B[order]] = step_B[order]
                value_R[row_B[order]] = _floats(batch.column(column))[order]
    return value_R


def _floats(column: pa.Array | pa.ChunkedArray) -> Values:
    """NaN for null."""
    return np.asarray(pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy(), np.float64)
