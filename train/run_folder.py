"""The folder of a training: one writer at a time, one config for ever, nothing else in it."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import UserError
from schemas.training import TrainConfig
from train.checkpoints import explained
from train.config import CONFIG, config_differences, saved_config
from train.ranks import Ranks

_OWN = (
    ".lock",
    ".config.json",
    "processor",
    "checkpoints",
    "losses",
    "metrics.jsonl",
    "tensorboard",
    "wandb",
    "export",
)
"""what a training that lost its config may have left"""


@contextmanager
def held(run: Path, ranks: Ranks) -> Iterator[None]:
    """Keeps a second training out of the folder; ends with the process."""
    if not ranks.is_first:
        yield
        return
    if run.exists() and not run.is_dir():
        raise UserError(f"--out: {run} is a file; choose a folder")
    with explained(run):
        run.mkdir(parents=True, exist_ok=True)
        handle = os.open(run / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"--out: {run} is in use by another training; stop that first, or choose another"
            ) from error
        except OSError as error:  # of a shared disk that knows no locks
            said = f"--out: {run} can't be locked ({error.strerror}); let no second training write there"
            print(said, file=sys.stderr, flush=True)
        yield
    finally:
        os.close(handle)


def check_config(config: TrainConfig, run: Path) -> None:
    """UserError where the training in `run` learns something else, or where `run` holds no training."""
    if not (run / CONFIG).exists():
        strange = sorted(path.name for path in run.glob("*") if path.name not in _OWN)
        if strange:
            raise UserError(f"--out: {run} holds other things ({', '.join(strange[:3])}); choose a new folder")
        return
    if "data" not in saved_config(run):
        raise UserError(f"--out: {run / CONFIG} is not that of a training; choose a new folder")
    changed = config_differences(saved_config(run), config)
    if changed:
        raise UserError(
            "\n".join(
                [f"--out: {run} holds a training with another config; choose another --out, or take back:", *changed]
            )
        )


def write_config(config: TrainConfig, run: Path, ranks: Ranks) -> None:
    """That of a new training, once its network and its data are there: what can't begin holds no folder."""
    file = run / CONFIG
    if ranks.is_first and not file.exists():
        with explained(file):
            partial = file.with_name(f".{CONFIG}")
            partial.write_text(config.model_dump_json(indent=1), encoding="utf-8")
            partial.replace(file)
