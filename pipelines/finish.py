"""Act three: merges the sidecars into index and ledger, checks that nothing was lost, writes card and, last, job.json.

Streams shard by shard; memory does not grow with the number of samples.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pipelines import store
from pipelines.batches import network_steps
from pipelines.card import dataset_card
from pipelines.parts import parts_of
from pipelines.plan import Plan, read_bad_records, read_plan
from pipelines.shards import read_sidecar, shard_is_whole
from pipelines.spent import read_spent
from pipelines.tables import table_writer
from schemas.errors import UserError
from schemas.jobs import parse_job
from schemas.sample import SCHEMA_VERSION
from schemas.tables import INDEX, LEDGER, OUTCOMES


class ConservationError(Exception):
    """The sums are off: a bug, never an input's fault."""


@dataclass
class Totals:
    """Counts over a whole dataset."""

    records: Counter[str] = field(default_factory=Counter)
    items: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    bad_rows: int = 0
    """records that the plan itself quarantined"""
    licences: set[str] = field(default_factory=set)
    members: set[str] = field(default_factory=set)
    tars: dict[str, list[str]] = field(default_factory=dict)

    def plain(self) -> dict[str, dict[str, int]]:
        """The counts as plain values, every outcome named."""
        return {
            "records": {outcome: self.records[outcome] for outcome in OUTCOMES},
            "items": {outcome: self.items[outcome] for outcome in OUTCOMES},
            "reasons": dict(sorted(self.reasons.items())),
            "samples per split": dict(sorted(self.splits.items())),
            "samples per task": dict(sorted(self.tasks.items())),
        }

    def quarantined_share(self) -> float:
        return self.records["quarantined"] / max(1, self.records.total())


def finish(out: str, max_quarantined: float) -> Totals:
    """Writes ledger, index, card and, unless too much is quarantined, job.json.

    Raises:
        UserError: not every shard is there.
        ConservationError: rows are missing or come twice.
    """
    plan = read_plan(out)
    if plan is None:
        raise UserError(f"OUT: {out} holds no plan; start with `somtom run CONFIG --out {out}`")
    missing = [name for name in plan.shard_names() if not shard_is_whole(out, name)]
    if missing:
        raise UserError(f"{out}: {len(missing)} shards are not done, the first is {missing[0]}; run the job again")
    remove_ends(out)
    totals = Totals()
    with (
        table_writer(store.join(out, "ledger.parquet"), LEDGER) as ledger,
        table_writer(store.join(out, "index.parquet"), INDEX) as index,
    ):
        for row in _merged(out, plan, index, totals):
            _count(totals, row)
            ledger(row)
    if totals.records.total() != plan.records:
        raise ConservationError(f"{plan.records} records were planned but {totals.records.total()} have a ledger row")
    _write_card(out, plan, totals)
    if totals.quarantined_share() <= max_quarantined:
        _write_job(out, plan, totals)
    return totals


def remove_ends(out: str) -> None:
    """Takes away what tells of all shards, job.json first, before one of them is made again."""
    for name in ("job.json", "ledger.parquet", "index.parquet", "README.md"):
        store.remove(store.join(out, name))


def _merged(out: str, plan: Plan, index: Callable[[dict[str, Any]], None], totals: Totals) -> Iterator[dict[str, Any]]:
    """All ledger rows: items as they come, a record's row after the last shard that holds a part of it."""
    open_record: dict[str, Any] | None = None
    for split in sorted(plan.shards):
        totals.tars[split] = []
        for shard in (name for name in plan.shard_names() if name.startswith(f"{split}-")):
            table, counts = read_sidecar(out, shard)
            totals.members.update(counts.members)
            if counts.tar_size:
                totals.tars[split].append(f"{shard}.tar")
            for row in table.to_pylist():
                if row["kind"] == "item":
                    if row["outcome"] == "kept":
                        index(row)
                        _count_sample(totals, row)
                    yield row
                elif open_record and open_record["record_key"] == row["record_key"]:
                    open_record = _joined(open_record, row)
                else:
                    if open_record:
                        yield open_record
                    open_record = row
    if open_record:
        yield open_record
    yield from read_bad_records(out)


def _joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """One row for a record of which two shards hold parts: the better outcome."""
    return min(first, second, key=lambda row: OUTCOMES.index(row["outcome"]))


def _count(totals: Totals, row: dict[str, Any]) -> None:
    counter = totals.records if row["kind"] == "record" else totals.items
    counter[row["outcome"]] += 1
    totals.bad_rows += row["stage"] == "plan" and row["outcome"] == "quarantined"
    if row["reason"]:
        totals.reasons[f"{row['kind']} {row['outcome']}: {row['reason']}"] += 1


def _count_sample(totals: Totals, row: dict[str, Any]) -> None:
    totals.splits[row["split"]] += 1
    totals.tasks.update(row["tasks"])
    totals.licences.add(row["licence"])


def _write_card(out: str, plan: Plan, totals: Totals) -> None:
    card = dataset_card(
        dataset=plan.dataset,
        counts=totals.plain(),
        splits=totals.tars,
        members=totals.members,
        licences=sorted(totals.licences),
        parts=parts_of(parse_job(plan.config)),
        config_hash=plan.config_hash,
        code_version=plan.code_version,
    )
    store.write_bytes(store.join(out, "README.md"), card.encode())


def _write_job(out: str, plan: Plan, totals: Totals) -> None:
    job = {
        "schema_version": SCHEMA_VERSION,
        "dataset": plan.dataset,
        "config": plan.config,
        "config_hash": plan.config_hash,
        "code_version": plan.code_version,
        "versions": plan.versions,
        "shards": [name for split in sorted(totals.tars) for name in totals.tars[split]],
        "counts": totals.plain(),
        **read_spent(out, plan.shard_names()).plain(network_steps(parse_job(plan.config))),
    }
    store.write_bytes(store.join(out, "job.json"), json.dumps(job, indent=1, ensure_ascii=False).encode())
