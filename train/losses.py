"""The loss of every sample by its key: `somtom preview --sort loss` shows those that are learnt worst, so bad marks.

RUN/losses/00000100-000.parquet    steps up to a checkpoint, of one rank; a row per sample and step
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from model.merge import IGNORED
from train.checkpoints import explained
from train.packing import Row

SAMPLE_LOSSES = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("step", pa.int64(), nullable=False),
        pa.field("loss", pa.float32(), nullable=False),  # mean over its supervised tokens
        pa.field("tokens", pa.int32(), nullable=False),
    ]
)

_NAME = re.compile(r"\.?(\d+)-\d+\.parquet")


def sums_by_sample(row: Row, losses_n: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the losses and number of supervised tokens of each sample of a row, from the loss of every such token."""
    supervised = row.labels[:, 1:] != IGNORED
    sample_n = row.document_ids[:, 1:][supervised].to(losses_n.device)
    zeros = torch.zeros(len(row.samples), dtype=torch.float64, device=losses_n.device)
    sums = zeros.index_add(0, sample_n, losses_n.detach().double())
    return sums.cpu(), torch.bincount(sample_n, minlength=len(row.samples)).cpu()


class LossLog:
    """Collects the rows of one rank until they are written."""

    def __init__(self, run: Path, rank: int) -> None:
        self._folder, self._rank = run / "losses", rank
        self._rows: list[dict[str, Any]] = []

    def begin(self, step: int) -> None:
        """Forgets what an earlier run wrote of `step` and later ones; its files may end elsewhere than ours will."""
        with explained(self._folder):
            for file in self._folder.glob("*.parquet"):
                if (found := _NAME.fullmatch(file.name)) and int(found[1]) > step:
                    file.unlink()

    def add(self, step: int, row: Row, sums: Sequence[float], counts: Sequence[int]) -> None:
        for sample, total, count in zip(row.samples, sums, counts, strict=True):
            self._rows.append(
                {
                    "key": sample.key,
                    "dataset": sample.dataset,
                    "task": sample.task,
                    "step": step,
                    "loss": total / max(1, count),
                    "tokens": count,
                }
            )

    def write(self, step: int) -> None:
        """Writes what came since the last time, with a checkpoint after `step` steps."""
        file = self._folder / f"{step:08d}-{self._rank:03d}.parquet"
        partial = file.with_name(f".{file.name}")
        with explained(file):
            self._folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(self._rows, schema=SAMPLE_LOSSES), partial)
            partial.replace(file)
        self._rows = []
