"""The last act: sums are checked, records in several shards get one row, nothing is written over an unfinished job."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines import job
from pipelines.finish import ConservationError, finish
from pipelines.shards import sidecar_uri, write_shard
from schemas.errors import TooMuchQuarantinedError, UserError
from tests.fixtures import encoded, item_row, make_dataset, record_row, rows_of, too_short, video_tom, write_plan


def test_a_missing_shard_is_told(tmp_path: Path) -> None:
    out = make_dataset(tmp_path / "out", [video_tom(number) for number in range(3)])
    Path(sidecar_uri(out, "train-000000")).unlink()
    with pytest.raises(UserError, match="1 shards are not done, the first is train-000000"):
        finish(out, 1.0)


def test_a_lost_record_is_a_bug_that_is_found(tmp_path: Path) -> None:
    out = make_dataset(tmp_path / "out", [video_tom(0)])
    plan = tmp_path / "out/plan/plan.json"
    content = json.loads(plan.read_text())
    plan.write_text(json.dumps({**content, "records": content["records"] + 1}))
    with pytest.raises(ConservationError, match="records were planned but"):
        finish(out, 1.0)
    assert not (tmp_path / "out/job.json").exists()


def test_a_record_in_several_shards_has_one_row_with_its_best_outcome(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    made = encoded(video_tom(1))
    kept = rows_of(made, "film")
    dead = record_row("film", "quarantined", stage="open", reason="error", error="gone")
    rest = item_row(dead, outcome="quarantined", stage="open", reason="error", error="gone")
    write_shard(out, "train-000000", iter([(rest, None), (dead, None)]))
    write_shard(out, "train-000001", iter(kept))
    write_shard(out, "train-000002", iter(too_short("other")))
    write_plan(out, {"train": 3}, records=3)
    totals = finish(out, 0.0)
    rows = pq.read_table(tmp_path / "out/ledger.parquet").to_pylist()
    film = [row["outcome"] for row in rows if row["record_id"] == "film" and row["kind"] == "record"]
    assert film == ["kept"]
    assert [row["outcome"] for row in rows if row["record_id"] == "film" and row["kind"] == "item"] == [
        "quarantined",
        "kept",
    ]
    assert totals.records == {"kept": 1, "filtered": 2}


def test_too_much_quarantined_writes_the_ledger_but_no_job(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    dead = record_row("a", "quarantined", stage="open", reason="error", error="gone")
    write_shard(out, "train-000000", iter([(dead, None)]))
    write_plan(out, {"train": 1}, records=2)
    assert finish(out, 0.4).quarantined_share() == 0.5
    assert (tmp_path / "out/ledger.parquet").exists()
    assert not (tmp_path / "out/job.json").exists()
    finish(out, 0.5)
    assert (tmp_path / "out/job.json").exists()


def test_a_damaged_shard_is_not_done(tmp_path: Path) -> None:
    out = make_dataset(tmp_path / "out", [video_tom(number) for number in range(3)])
    tar = next((tmp_path / "out/shards").glob("*.tar"))
    data = tar.read_bytes()
    for damage in (data[:1000], None):
        tar.unlink() if damage is None else tar.write_bytes(damage)
        with pytest.raises(UserError, match="1 shards are not done"):
            finish(out, 1.0)


def test_alone_it_keeps_to_what_the_job_allowed(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    dead = record_row("a", "quarantined", stage="open", reason="error", error="gone")
    write_shard(out, "train-000000", iter([(dead, None)]))
    write_plan(out, {"train": 1}, records=2)
    assert job.finish_alone(out).records["quarantined"] == 1
    with pytest.raises(TooMuchQuarantinedError, match="1 of 2 records"):
        job.finish_alone(out, 0.1)
