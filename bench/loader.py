"""The data side of a training: reading and decoding against plain webdataset, tiles with it, and how full rows are.

Both read the same shards, two pictures a sample, from the page cache: ours in the order of a training, by byte ranges,
webdataset from front to back. What is decoded stays in the worker, so that moving it is not measured. The rivals take
turns; of each run the samples count that come after the first ones, when all processes are at work.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import webdataset
from torch.utils.data import DataLoader

from bench.footage import video_config, write_videos
from bench.report import Figure, seconds_of, spread
from model.config import Grid, image_tokens
from model.images import MagmaImageProcessor
from model.processor import MagmaProcessor
from model.tokenizer import train_tokenizer
from pipelines.driver import run_records
from pipelines.plan import make_plan, read_refs
from pipelines.recipes import build_recipe
from pipelines.shards import read_sidecar, tar_uri, write_shard
from schemas.flow import EncodedSample, LedgerRow
from schemas.sample import ANNOTATION_MEMBER
from schemas.tables import INDEX
from schemas.training import TrainConfig
from train.index import epoch_order, read_index
from train.loader import Loader, read_ahead
from train.mixture import Draw, make_mixture
from train.packing import best_fit
from train.preparing import Settings, understand
from train.reading import read_sample
from transforms.encoding import decode_sample

_SHARDS = 4
_PREFETCH = 16
_ROW_LENGTH = 4096


def measure(scratch: Path, quick: bool) -> Iterator[Figure]:
    per_shard, n, repeats = (40, 80, 2) if quick else (200, 400, 5)
    out = _write_dataset(scratch, per_shard)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    for workers in (0, 2):
        yield _against_webdataset(out, workers, n, repeats)
    for workers in (0, 2):
        yield _with_tiles(out, workers, n // 4)
    yield _order(2 * 10**6 if quick else 39 * 10**6)
    yield _packing(1024, 2 if quick else 50)
    yield _packing(32, 20 if quick else 1000)


def _against_webdataset(out: str, workers: int, n: int, repeats: int) -> Figure:
    rivals: dict[str, Callable[[], float]] = {
        "ours": lambda: _rate(_our_keys(out, workers), n, workers),
        "webdataset": lambda: _rate(_their_keys(out, workers), n, workers),
    }
    rates: dict[str, list[float]] = {rival: [] for rival in rivals}
    for repeat in range(repeats + 1):
        for rival, measured in rivals.items():
            rate = measured()
            if repeat:  # the first one loads code and files
                rates[rival].append(rate)
    ratios = [ours / theirs for ours, theirs in zip(rates["ours"], rates["webdataset"], strict=True)]
    return Figure(
        topic="loader",
        what=f"reading and decoding, {workers} workers: samples/s, ours / webdataset's",
        shown=f"{spread(ratios)} ({spread(rates['ours'], 0)} a second against {spread(rates['webdataset'], 0)})",
        value=sorted(ratios)[len(ratios) // 2],
        bound="target 0.9; decoding of two JPEGs",
    )


def _with_tiles(out: str, workers: int, n: int) -> Figure:
    # steps of one sample: they are counted as they come
    config = _config(out, workers).model_copy(update={"batch": 1})
    with Loader(config, _processor(), rank=0, ranks=1) as stream:
        rate = _rate((sample.key for step in stream for sample in step.samples), n, workers)
    return Figure(
        topic="loader",
        what=f"samples of two tiles of 512 pixels, ready for the network, {workers} workers",
        shown=f"{rate:.0f} a second",
        value=rate,
        bound="decoding and tiles of two pictures",
    )


def _order(n: int) -> Figure:
    seconds = seconds_of(lambda: epoch_order(n, seed=0, key="bench", epoch=0, block=32, window=128))
    return Figure(
        topic="loader",
        what=f"the order of an epoch of {n / 1e6:.0f} M samples",
        shown=f"{seconds:.1f} s",
        value=seconds,
        bound="target 10 s; once per epoch",
    )


def _packing(batch: int, steps: int) -> Figure:
    """Positions in use of those that rows have, over steps of samples of 1, 2 and 4 tiles and texts of many lengths."""
    rng = np.random.default_rng(0)
    images = [image_tokens(grid) for grid in (Grid(1, 1), Grid(1, 2), Grid(2, 2))]
    used = rows = least = 0
    for _ in range(steps):
        text = np.clip(rng.lognormal(5.3, 0.7, batch), 40, 2000).astype(int)
        lengths = (text + rng.choice(images, batch)).tolist()
        used += sum(lengths)
        rows += len(best_fit(lengths, _ROW_LENGTH))
        least += -(-sum(lengths) // _ROW_LENGTH)
    return Figure(
        topic="loader",
        what=f"packing {batch} samples of 1, 2 or 4 tiles into rows of {_ROW_LENGTH}: positions in use",
        shown=f"{used / (rows * _ROW_LENGTH):.3f} (mean sample {used / (batch * steps):.0f})",
        value=used / (rows * _ROW_LENGTH),
        bound=f"target 0.95; {used / (least * _ROW_LENGTH):.3f} if samples could be cut",
    )


def _rate(keys: Iterable[str], n: int, workers: int) -> float:
    """Samples a second, of `n` after those that were made while the processes came up."""
    found = iter(keys)
    first = 1 + 2 * _PREFETCH * workers
    assert len(list(islice(found, first))) == first
    start = time.perf_counter()
    assert len(list(islice(found, n))) == n
    return n / (time.perf_counter() - start)


def _our_keys(out: str, workers: int) -> Iterator[str]:
    config = _config(out, workers)
    mixture = make_mixture(config, [read_index(dataset) for dataset in config.data.mixture])
    draws = _Endless(mixture.draw)
    settings = Settings(config=config, processor=_processor(), redraw=(None,))
    work = partial(_decoded, settings=settings)
    return read_ahead(work, draws, workers=workers, prefetch=_PREFETCH, held=0)


class _Endless:
    """The draws of step after step."""

    def __init__(self, draw: Callable[[int], list[Draw]]) -> None:
        self.draw = draw

    def __iter__(self) -> Iterator[Draw]:
        step = 0
        while True:
            yield from self.draw(step)
            step += 1


def _decoded(draw: Draw, *, settings: Settings) -> str:
    sample, chat = understand(read_sample(draw.uri, draw.offset, draw.size)[1], draw, settings)
    assert chat is not None and len(chat.images) == 2
    return sample.key


def _their_keys(out: str, workers: int) -> Iterator[str]:
    urls = [tar_uri(out, _shard(number)) for number in range(_SHARDS)]
    samples = webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8").map(_key).repeat()
    options = {"prefetch_factor": _PREFETCH} if workers else {}
    return iter(DataLoader(samples, batch_size=None, num_workers=workers, **options))


def _key(sample: dict[str, Any]) -> str:
    assert sample["jpg"].dtype == sample["clean.jpg"].dtype == np.uint8
    return str(sample["__key__"])


def _config(out: str, workers: int) -> TrainConfig:
    fields = {"batch": 64, "data": {"mixture": [{"path": out}]}, "run": {"workers": workers, "prefetch": _PREFETCH}}
    return TrainConfig.model_validate(fields)


def _processor() -> MagmaProcessor:
    tokenizer = train_tokenizer(["Which marks are about to move, and where is each of them?"], vocab_size=560)
    return MagmaProcessor(MagmaImageProcessor(), tokenizer)


def _write_dataset(scratch: Path, per_shard: int) -> str:
    """Shards of real samples with a narration, under many keys, and their index."""
    videos = write_videos(scratch / "videos", 2)
    config = video_config(videos, "val_share=0", "source.text=a box is pushed over the floor")
    plan = make_plan(config, str(scratch / "plan"))
    recipe = build_recipe(config)
    real = [
        done.sample
        for shard in plan.shard_names()
        for done in run_records(recipe, read_refs(str(scratch / "plan"), shard), {})
        if done.sample
    ]
    out = str(scratch / "out")
    rows: list[dict[str, Any]] = []
    for shard in range(_SHARDS):
        kept = [_renamed(real[number % len(real)], shard * per_shard + number) for number in range(per_shard)]
        write_shard(out, _shard(shard), kept)
        table = read_sidecar(out, _shard(shard))[0]
        rows += table.select(INDEX.names).to_pylist()
    pq.write_table(pa.Table.from_pylist(rows, schema=INDEX), f"{out}/index.parquet")
    return out


def _renamed(sample: EncodedSample, number: int) -> tuple[LedgerRow, EncodedSample]:
    key = f"{number:016x}-000000000"
    members = dict(sample.members)
    annotation = decode_sample(members[ANNOTATION_MEMBER]).model_copy(update={"key": key})
    members[ANNOTATION_MEMBER] = annotation.model_dump_json().encode()
    row = LedgerRow(kind="item", key=key, record_key=key, record_id=key, uri="a.mp4", outcome="kept")
    index_row = {**sample.index_row, "key": key}
    return row, EncodedSample(key=key, members=tuple(members.items()), index_row=index_row)


def _shard(number: int) -> str:
    return f"train-{number:06d}"
