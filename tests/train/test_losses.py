"""The loss of every sample: which it is, and in which file it lies."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from tests.model.small import small_magma, small_processor, supervised
from train.losses import LossLog, sums_by_sample
from train.packing import Prepared, Row, make_row


def prepared(number: int) -> Prepared:
    sizes = [[(60, 60)], [], [(150, 140)]][number % 3]
    sample = supervised(small_processor(), sizes, answer="To the left. " * (number + 1))
    return Prepared(key=f"key-{number}", dataset="made", task="qa", source="one", sample=sample)


def row_of(*numbers: int) -> Row:
    return make_row([prepared(number) for number in numbers])


def token_losses(row: Row) -> torch.Tensor:
    names = ("input_ids", "position_ids", "labels", "pixel_values", "image_sizes")
    with torch.no_grad():
        inputs = {name: getattr(row, name) for name in names}
        return small_magma()(**inputs, loss_reduction="none", use_cache=False).loss


def test_a_sample_in_a_row_has_the_loss_that_it_has_alone() -> None:
    row = row_of(0, 1, 2)
    sums, counts = sums_by_sample(row, token_losses(row))
    for number, (total, count) in enumerate(zip(sums, counts, strict=True)):
        alone = token_losses(row_of(number))
        assert count == len(alone)
        assert (total / count).item() == pytest.approx(alone.mean().item(), abs=1e-5)


def rows_in(run: Path) -> list[tuple[str, int, float, int]]:
    tables = [pq.read_table(file).to_pylist() for file in sorted((run / "losses").glob("*.parquet"))]
    return [(row["key"], row["step"], row["loss"], row["tokens"]) for table in tables for row in table]


def test_a_sample_and_step_has_one_row(tmp_path: Path) -> None:
    log = LossLog(tmp_path, 0)
    log.add(0, row_of(0, 1), [3.0, 0.0], [2, 0])
    log.write(1)
    log.add(1, row_of(0), [4.0], [4])
    log.write(2)
    assert rows_in(tmp_path) == [("key-0", 0, 1.5, 2), ("key-1", 0, 0.0, 0), ("key-0", 1, 1.0, 4)]


def test_a_run_that_goes_on_takes_back_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    for rank in (0, 1):  # there may be fewer ranks later
        for step in (2, 4):
            log = LossLog(tmp_path, rank)
            log.add(step - 1, row_of(rank), [step], [1])
            log.write(step)
    (tmp_path / "losses" / ".00000006-001.parquet").write_bytes(b"half")
    (tmp_path / "losses" / "mine.parquet").write_bytes(b"")
    LossLog(tmp_path, 0).begin(2)
    found = sorted(path.name for path in (tmp_path / "losses").iterdir())
    assert found == ["00000002-000.parquet", "00000002-001.parquet", "mine.parquet"]


def test_a_run_that_begins_has_nothing_to_take_back(tmp_path: Path) -> None:
    LossLog(tmp_path, 0).begin(0)
    assert not (tmp_path / "losses").exists()
