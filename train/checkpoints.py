"""Checkpoints of a training: written beside the work that goes on, whole or not there at all, the last few kept.

    RUN/checkpoints/step-00000100/   shards of weights and moments (torch.distributed.checkpoint), and state.json

What is frozen is not in them: it is read from where the training began. They are resharded when they are read, so any
number of ranks goes on from them.
"""

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    get_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save
from torch.optim import Optimizer

from model.stored import read_json
from schemas.errors import UserError
from train.ranks import Ranks

_NAME = re.compile(r"step-(\d{8})")
_STATE = "state.json"
_LEARNING = StateDictOptions(ignore_frozen_params=True, strict=False)
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


class Checkpoints:
    """Of one training; at most one of them is being written."""

    def __init__(self, run: Path, keep: int, ranks: Ranks) -> None:
        self._folder, self._keep, self._ranks = run / "checkpoints", keep, ranks
        # writing goes on beside the training: what its ranks agree on must not mix with what the steps agree on
        self._group: Any = dist.new_group(backend="gloo")
        self._pending: tuple[int, Any] | None = None
        if ranks.is_first:
            with explained(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)
                for leftover in self._folder.glob(".step-*"):
                    shutil.rmtree(leftover)
        ranks.wait()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        """Names a checkpoint that is whole when the training has failed; waits for one where no rank is lost."""
        if kind is not None:
            with suppress(UserError, RuntimeError):
                if issubclass(kind, UserError):
                    self.settle()
                else:
                    self.poll()

    def save(self, step: int, network: nn.Module, optimiser: Optimizer, state: Mapping[str, Any]) -> None:
        """Begins to write; the network may learn on at once. Waits for the one before, if that is still being written.

        UserError where that could not be written.
        """
        self.settle()
        weights, moments = get_state_dict(network, optimiser, options=_LEARNING)
        partial = self._partial(step)
        with explained(partial):
            if self._ranks.is_first:
                partial.mkdir(exist_ok=True)  # other ranks may be here first
                with (partial / _STATE).open("w", encoding="utf-8") as file:
                    json.dump({"step": step, **state}, file)
                    file.flush()
                    os.fsync(file.fileno())
            content = {"model": weights, "optimiser": moments}
            written = async_save(content, checkpoint_id=partial, process_group=self._group)
        self._pending = (step, written)

    def poll(self) -> None:
        """Gives the checkpoint under way its name, if all of it is written by now."""
        if self._pending and self._pending[1].done():
            self.settle()

    def settle(self) -> None:
        """Waits for the checkpoint under way and gives it its name; UserError where it could not be written."""
        if not self._pending:
            return
        (step, written), self._pending = self._pending, None
        partial = self._partial(step)
        try:
            with explained(partial):
                written.result()
                if self._ranks.is_first:
                    _synced(partial)
                    partial.replace(self._folder / f"step-{step:08d}")
                    _synced(self._folder)
                    self._remove_old()
        except UserError:
            shutil.rmtree(partial, ignore_errors=True)  # its room may be what is lacking
            raise

    def _partial(self, step: int) -> Path:
        return self._folder / f".step-{step:08d}"

    def _remove_old(self) -> None:
        for step in steps(self._folder.parent)[: -self._keep]:
            # renamed first: half of a checkpoint must not look like one
            shutil.rmtree((self._folder / f"step-{step:08d}").rename(self._partial(step)))


def latest(run: Path) -> int | None:
    """The step of the newest checkpoint of a training."""
    known = steps(run)
    return known[-1] if known else None


def steps(run: Path) -> list[int]:
    """Those of which a training has a checkpoint."""
    folder = run / "checkpoints"
    return sorted(int(found[1]) for path in folder.glob("step-*") if (found := _NAME.fullmatch(path.name)))


def read_state(run: Path, step: int) -> dict[str, Any]:
    """What `save` got as `state`, and the step."""
    file = _checkpoint(run, step) / _STATE
    try:
        return read_json(file)
    except ValueError as error:
        raise UserError(f"{error}; {_cure(file.parent)}") from error


def restore(run: Path, step: int, network: nn.Module, optimiser: Optimizer | None = None) -> None:
    """Puts a checkpoint's weights and moments into a network and its optimiser, sharded over any number of ranks."""
    folder = _checkpoint(run, step)
    content: dict[str, Any] = {"model": get_model_state_dict(network, options=_LEARNING)}
    if optimiser:
        content["optimiser"] = get_optimizer_state_dict(network, optimiser, options=_LEARNING)
    try:
        load(content, checkpoint_id=folder)
    except (CheckpointException, OSError, ValueError, RuntimeError, KeyError) as error:
        raise UserError(f"{folder}: {_first_cause(error)}; {_cure(folder)}") from error
    set_model_state_dict(network, content["model"], options=_LEARNING)
    if optimiser:
        set_optimizer_state_dict(network, optimiser, content["optimiser"], options=_LEARNING)


def whole_state(network: nn.Module) -> dict[str, Tensor]:
    """All weights of a sharded network, on the CPU of the first rank; on the others nothing."""
    state: dict[str, Any] = get_model_state_dict(network, options=_WHOLE)
    return state


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns what writing can meet into a `UserError`."""
    try:
        yield
    except (OSError, CheckpointException) as error:
        raise UserError(
            f"--out: {path} can't be written: {_first_cause(error)}; what was saved before is as it was: free space or "
            "mend the disk, then run the same command again"
        ) from error


def _first_cause(error: BaseException) -> str:
    """What went wrong on the rank where something did, in one line."""
    if isinstance(error, CheckpointException) and error.failures:
        rank, (cause, _) = min(error.failures.items())
        return f"rank {rank}: {_first_cause(cause)}"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno) if error.errno != errno.ENOENT else str(error)
    return " ".join(str(error).split())[:300] or type(error).__name__


def _cure(folder: Path) -> str:
    return f"remove {folder.name} and the same command goes on from the one before it, or from the start"


def _checkpoint(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step-{step:08d}"


def _synced(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
