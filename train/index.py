"""The index of a dataset as arrays, and the order in which an epoch goes through it.

Letters: N samples that were chosen, in the order of the index: by shard, and by place within it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.errors import UserError
from schemas.training import DatasetConfig
from transforms.keys import rng_for

_BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Index:
    """Where the chosen samples of a dataset lie: 20 bytes for each, so that tens of millions fit in memory.

    `shards`: names of the tars.
    """

    shards: tuple[str, ...]
    shard_N: npt.NDArray[np.int32]
    offset_N: npt.NDArray[np.int64]
    size_N: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.shard_N)


def read_index(config: DatasetConfig) -> Index:
    """The samples of a dataset that its config chooses. UserError where there is no index, or nothing is left of it."""
    with _opened(config.path) as file:
        index = _chosen(file, config)
    if not len(index):
        with _opened(config.path) as file:
            raise UserError(_nothing_left(file, config))
    return index


def digest(indexes: Sequence[Index]) -> str:
    """16 hex digits over the samples and their places: other data, or in another order, give others."""
    hashed = hashlib.sha256()
    for index in indexes:
        hashed.update(repr(index.shards).encode())
        for column in (index.shard_N, index.offset_N, index.size_N):
            hashed.update(np.ascontiguousarray(column).data)
    return hashed.hexdigest()[:16]


def epoch_order(n: int, *, seed: int, key: str, epoch: int, block: int, window: int) -> npt.NDArray[np.integer[Any]]:
    """The numbers 0 to n - 1 in the order of an epoch: a block shuffle.

    `block` neighbours of the index make a block. Blocks are shuffled over the whole epoch, then the samples of every
    `window` blocks among themselves. So what is read next lies near what was read just now, and neighbours in the index
    (clips of one video) are still spread over a window.
    """
    rng = rng_for(seed, key, f"epoch {epoch}")
    n_blocks = -(-n // block)
    n_windows = -(-n_blocks // window)
    number: np.dtype[Any] = np.dtype(np.int32 if (n_blocks + 1) * block < 2**31 else np.int64)
    firsts = np.full(n_windows * window, n, dtype=number)  # of blocks; those beyond the last one are empty
    firsts[:n_blocks] = rng.permutation(np.arange(0, n, block, dtype=number))
    samples = (firsts[:, None] + np.arange(block, dtype=number)).reshape(n_windows, window * block)
    rng.permuted(samples, axis=1, out=samples)
    order: npt.NDArray[np.integer[Any]] = samples[samples < n]
    return order


@contextmanager
def _opened(path: str) -> Iterator[pq.ParquetFile]:
    """The index's file. UserError in place of all that says that it can't be read."""
    uri = f"{path.rstrip('/')}/index.parquet"
    try:
        fs, inner = fsspec.core.url_to_fs(uri)
        with (
            fs.open(inner, "rb") as source,
            pq.ParquetFile(source, read_dictionary=["split", "shard"]) as file,
        ):
            yield file
    except FileNotFoundError as error:
        raise UserError(
            f"data.mixture: {path} has no index.parquet; give the folder of a finished job, or finish it: "
            f"`somtom finish {path}`"
        ) from error
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise UserError(
            f"data.mixture: {uri} can't be read: {' '.join(str(error).split())}; `somtom finish {path}` writes it anew"
        ) from error


def _chosen(file: pq.ParquetFile, config: DatasetConfig) -> Index:
    n = file.metadata.num_rows
    # memory is taken only where it is written to: what is not chosen costs none
    shard_N, offset_N, size_N = (np.empty(n, dtype=kind) for kind in (np.int32, np.int64, np.int64))
    numbers: dict[str, int] = {}
    end = 0
    columns = ["split", "shard", "offset", "size", *(["tasks"] if config.tasks else [])]
    for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
        kept = batch.filter(_wanted(batch, config))
        if config.limit:
            kept = kept.slice(0, config.limit - end)
        place = slice(end, end + kept.num_rows)
        shard_N[place] = _numbered(kept["shard"], numbers)
        offset_N[place], size_N[place] = kept["offset"].to_numpy(), kept["size"].to_numpy()
        end = place.stop
        if config.limit and end == config.limit:
            break
    return Index(shards=tuple(numbers), shard_N=shard_N[:end], offset_N=offset_N[:end], size_N=size_N[:end])


def _wanted(batch: pa.RecordBatch, config: DatasetConfig) -> pa.BooleanArray:
    wanted = pc.equal(batch["split"].cast(pa.string()), config.split)
    if not config.tasks:
        return wanted
    tasks = batch["tasks"]
    rows = pc.list_parent_indices(tasks).filter(pc.is_in(pc.list_flatten(tasks), pa.array(config.tasks)))
    has_task = np.zeros(batch.num_rows, dtype=np.bool_)
    has_task[rows.to_numpy()] = True
    return pc.and_(wanted, pa.array(has_task))


def _numbered(names: pa.Array, numbers: dict[str, int]) -> npt.NDArray[np.int32]:
    """A number for each name; new names are added to `numbers`."""
    coded = names if pa.types.is_dictionary(names.type) else names.dictionary_encode()
    codes = coded.indices.to_numpy()
    known = coded.dictionary.to_pylist()
    # in the order in which they occur: a dictionary may hold more names, and in another order
    used, firsts = np.unique(codes, return_index=True)
    for code in used[np.argsort(firsts)].tolist():
        numbers.setdefault(known[code], len(numbers))
    number_of: npt.NDArray[np.int32] = np.array([numbers.get(name, -1) for name in known], dtype=np.int32)
    return number_of[codes]


def _nothing_left(file: pq.ParquetFile, config: DatasetConfig) -> str:
    splits: set[str] = set()
    tasks: set[str] = set()
    for batch in file.iter_batches(_BATCH_ROWS, columns=["split", "tasks"]):
        splits.update(pc.unique(batch["split"].cast(pa.string())).to_pylist())
        tasks.update(pc.unique(pc.list_flatten(batch["tasks"])).to_pylist())
    asked = f"split {config.split!r}" + (f" and one of the tasks {', '.join(config.tasks)}" if config.tasks else "")
    return (
        f"data.mixture: {config.path} has no sample of {asked}; it has the splits {_listed(splits)} and the tasks "
        f"{_listed(tasks)}"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "(none)"
