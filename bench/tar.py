"""Writing a shard (tar, checksum, index, checks) against tarfile with the same members, and against plain files' bound.

The members are those of real samples. All three write one file and sync it.
"""

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import BinaryIO

from bench.footage import video_config, write_videos
from bench.report import Figure, seconds_of
from pipelines.driver import item_row, run_records
from pipelines.plan import make_plan, read_refs
from pipelines.recipes import build_recipe
from pipelines.shards import write_shard
from schemas.flow import EncodedSample, LedgerRow

Row = tuple[LedgerRow, EncodedSample]


def measure(scratch: Path, quick: bool) -> Iterator[Figure]:
    n, repeats = (200, 3) if quick else (2000, 7)
    rows = _rows(scratch, n)
    megabytes = sum(len(data) for _, sample in rows for _, data in sample.members) / 1e6
    out = str(scratch / "out")
    rivals: dict[str, Callable[[], object]] = {
        "shard": lambda: write_shard(out, "train-000000", rows),
        "tarfile": lambda: _synced(scratch / "tarfile.tar", lambda file: _by_tarfile(file, rows)),
        "plain": lambda: _synced(scratch / "plain.bin", lambda file: _plainly(file, rows)),
        "sha256": lambda: _hashed(rows),
    }
    times: dict[str, list[float]] = {rival: [] for rival in rivals}
    for _ in range(repeats):
        for rival, work in rivals.items():
            times[rival].append(seconds_of(work))
    speeds = {rival: f"{megabytes / min(taken):.0f} MB/s" for rival, taken in times.items()}
    for rival, bound in (("tarfile", "1.0 and the checksum"), ("plain", "1.0; disk and memory bandwidth")):
        ratios = [ours / theirs for ours, theirs in zip(times["shard"], times[rival], strict=True)]
        names = {"tarfile": "tarfile alone", "plain": "one plain file"}
        yield Figure(
            topic="tar",
            what=f"shard of {n} samples ({megabytes:.0f} MB) / {names[rival]}, time",
            shown=f"{median(ratios):.2f} ({speeds['shard']} against {speeds[rival]})",
            value=median(ratios),
            bound=f"{bound} (sha256: {speeds['sha256']})",
        )


def _rows(scratch: Path, n: int) -> list[Row]:
    """`n` samples under different keys, the bytes shared among them."""
    config = video_config(write_videos(scratch / "videos", 1), "val_share=0")
    shard = make_plan(config, str(scratch / "plan")).shard_names()[0]
    events = run_records(build_recipe(config), read_refs(str(scratch / "plan"), shard), {})
    real = [(done.ref, done.sample) for done in islice(events, 5) if done.sample]
    rows = []
    for number in range(n):
        ref, sample = real[number % len(real)]
        key = f"{number:016x}-000000000"
        renamed = replace(sample, key=key, index_row={**sample.index_row, "key": key})
        rows.append((item_row(ref, key, "kept"), renamed))
    return rows


def _synced(path: Path, write: Callable[[BinaryIO], None]) -> None:
    with path.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def _by_tarfile(file: BinaryIO, rows: Sequence[Row]) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for _, sample in rows:
            for suffix, data in sample.members:
                header = tarfile.TarInfo(f"{sample.key}.{suffix}")
                header.size = len(data)
                archive.addfile(header, io.BytesIO(data))


def _plainly(file: BinaryIO, rows: Sequence[Row]) -> None:
    for _, sample in rows:
        for _, data in sample.members:
            file.write(data)


def _hashed(rows: Sequence[Row]) -> str:
    digest = hashlib.sha256()
    for _, sample in rows:
        for _, data in sample.members:
            digest.update(data)
    return digest.hexdigest()
