"""Prepared samples, step by step: processes read ahead of the one that trains.

The order is that of the mixture, whatever the processes and their number.
"""

import json
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection, forkserver
from typing import Any, Generic, TypeVar

import cv2
import fsspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from model.processor import MagmaProcessor, Sample
from schemas.errors import UserError
from schemas.training import DatasetConfig, TrainConfig
from train.index import digest, read_index
from train.mixture import Draw, Mixture, make_mixture, total_steps
from train.packing import Prepared
from train.preparing import Bad, PassedOver, Settings, prepare
from transforms.redraw import RedrawSettings, redraw_settings

Made = TypeVar("Made")

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_SPARE_FILES = 1024
"""what else has a file open: pipes, the network's libraries, checkpoints"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepData:
    """What a rank reads in a step. `waited_s`: how long the process that trains had to wait for it."""

    step: int
    samples: list[Prepared]
    bad: list[Bad]
    passed_over: int
    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sent:
    """A prepared sample between processes. A tensor takes an open file there, so only the tiles are one."""

    key: str
    dataset: str
    task: str
    source: str
    ids_L: npt.NDArray[np.int64]
    labels_L: npt.NDArray[np.int64]
    sizes_n2: npt.NDArray[np.int64]
    pixel_values: Tensor


class Loader:
    """Iterating gives a rank's part of step after step without end, from `step` on. A context manager.

    `n_samples` of the mixture, `total_steps` of the training, `digest` of the indexes, `warnings`: lines for the user.
    UserError for data that can't be used.
    """

    def __init__(self, config: TrainConfig, processor: MagmaProcessor, *, rank: int, ranks: int, step: int = 0) -> None:
        if config.batch < ranks:
            raise UserError(f"batch: {config.batch} samples are too few for {ranks} processes; give {ranks} or more")
        indexes = [read_index(dataset) for dataset in config.data.mixture]
        self.digest = digest(indexes)
        self.n_samples = sum(len(index) for index in indexes)
        self.total_steps = total_steps(config, self.n_samples)
        self.warnings = list(_warnings(config, processor, self.n_samples))
        self._step = step
        self._n_items = len(range(rank, config.batch, ranks))
        redraw = tuple(_redraw(dataset) for dataset in config.data.mixture)
        self._items = read_ahead(
            partial(_prepare, settings=Settings(config=config, processor=processor, redraw=redraw)),
            _Draws(mixture=make_mixture(config, indexes), rank=rank, ranks=ranks, step=step),
            workers=config.run.workers,
            prefetch=config.run.prefetch,
            held=self._n_items,
        )

    def __iter__(self) -> Iterator[StepData]:
        while True:
            start = time.perf_counter()
            items = [next(self._items) for _ in range(self._n_items)]
            waited_s = time.perf_counter() - start
            yield StepData(
                step=self._step,
                samples=[_received(item) for item in items if isinstance(item, _Sent)],
                bad=[item for item in items if isinstance(item, Bad)],
                passed_over=sum(isinstance(item, PassedOver) for item in items),
                waited_s=waited_s,
            )
            self._step += 1

    def close(self) -> None:
        """Stops the processes; nothing can be read any more."""
        self._items.close()

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_ahead(
    work: Callable[[Draw], Made], draws: Iterable[Draw], *, workers: int, prefetch: int, held: int
) -> Generator[Made, None, None]:
    """What `work` makes of each draw, in their order, made by processes that work `prefetch` draws ahead.

    They begin at once and end when the generator is closed or this process is gone. `work` is pickled; an exception in
    it is raised here. `held`: how many results are in use at once, each of which may have a file open. Without workers
    everything is done here, when it is asked for.
    """
    options: dict[str, Any] = {}
    if workers:
        _allow_open_files(held + workers * prefetch + _SPARE_FILES)
        # neither CUDA nor the threads of fsspec live on in a forked process; the server's imports do
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        with _one_thread(), _not_stopped():
            forkserver.ensure_running()
        options = {"multiprocessing_context": context, "prefetch_factor": prefetch, "worker_init_fn": _begin}
    made: DataLoader[Made] = DataLoader(
        _Mapped(work=work),  # type: ignore[arg-type]
        batch_size=None,
        sampler=draws,
        num_workers=workers,
        collate_fn=_as_it_is,
        generator=torch.Generator(),  # the random numbers of the training stay untouched
        **options,
    )
    return _explained(iter(made))


def _explained(made: Iterator[Made]) -> Generator[Made, None, None]:
    try:
        yield from made
    except RuntimeError as error:
        if "exited unexpectedly" not in str(error):
            raise
        raise UserError(
            f"run.workers: a process that reads data was killed ({error}), most likely for want of memory or of shared "
            "memory (/dev/shm); give fewer run.workers or a smaller run.prefetch, or more memory"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mapped(Generic[Made]):
    """A function as the data set that DataLoader wants: it has an entry for each draw."""

    work: Callable[[Draw], Made]

    def __getitem__(self, draw: Draw) -> Made:
        return self.work(draw)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draws:
    """A rank's draws of all steps from `step` on."""

    mixture: Mixture
    rank: int
    ranks: int
    step: int

    def __iter__(self) -> Iterator[Draw]:
        step = self.step
        while True:
            yield from self.mixture.draw(step)[self.rank :: self.ranks]
            step += 1


def _prepare(draw: Draw, *, settings: Settings) -> _Sent | Bad | PassedOver:
    prepared = prepare(draw, settings)
    if not isinstance(prepared, Prepared):
        return prepared
    sample = prepared.sample
    assert sample.labels is not None
    return _Sent(
        key=prepared.key,
        dataset=prepared.dataset,
        task=prepared.task,
        source=prepared.source,
        ids_L=sample.input_ids.numpy(),
        labels_L=sample.labels.numpy(),
        sizes_n2=sample.image_sizes.numpy(),
        pixel_values=sample.pixel_values,
    )


def _received(sent: _Sent) -> Prepared:
    return Prepared(
        key=sent.key,
        dataset=sent.dataset,
        task=sent.task,
        source=sent.source,
        sample=Sample(
            input_ids=torch.from_numpy(sent.ids_L),
            labels=torch.from_numpy(sent.labels_L),
            pixel_values=sent.pixel_values,
            image_sizes=torch.from_numpy(sent.sizes_n2),
        ),
    )


def _as_it_is(made: Made) -> Made:
    return made


def _begin(worker: int) -> None:
    """What a worker does first; torch has one thread in it already."""
    for number in (signal.SIGINT, signal.SIGTERM):  # to the process that trains, which ends this one
        signal.signal(number, signal.SIG_IGN)
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker is a child of the server, so it does not see by itself that the process that trains is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Libraries that are loaded by a process which starts now use one thread each."""
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name in _ONE_THREAD:
            os.environ.pop(name)
            os.environ.update({name: before[name]} if name in before else {})


@contextmanager
def _not_stopped() -> Iterator[None]:
    """Processes that start now ignore Ctrl-C, and SIGTERM, which torchrun and Slurm send to all: this one ends them."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _allow_open_files(n: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= n:
        return
    if hard != resource.RLIM_INFINITY and hard < n:
        raise UserError(
            f"run.workers: samples on their way from process to process take up to {n} open files, the system allows "
            f"{hard}; raise that (ulimit -Hn), or give a smaller batch or prefetch, or run.workers=0"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (n, hard))


def _warnings(config: TrainConfig, processor: MagmaProcessor, n_samples: int) -> Iterator[str]:
    if config.batch > n_samples:
        yield f"batch: {config.batch} samples are more than the {n_samples} that there are: a step has some twice"
    if config.data.max_length > processor.max_length:
        yield (
            f"data.max_length: {config.data.max_length} positions are more than the {processor.max_length} that the "
            "model is made for"
        )


def _redraw(dataset: DatasetConfig) -> RedrawSettings | None:
    if dataset.marks != "redrawn":
        return None
    uri = f"{dataset.path.rstrip('/')}/job.json"
    try:
        with fsspec.open(uri, "rb") as file:
            job = json.load(file)
    except (OSError, ValueError) as error:
        raise UserError(
            f"data.mixture: {uri}, by which marks are drawn anew, can't be read ({error}); finish the job: `somtom "
            f"finish {dataset.path}`, or use marks as stored"
        ) from error
    return redraw_settings(job)
