"""Act one: from a source's rows to one small Parquet part per shard, and `plan.json`, written last.

Rows stream through two passes over files on disk, so that memory does not grow with the number of records: by record
key (ids that come twice), then by source key (a split holds whole sources, a source's records lie side by side).
"""

import json
import math
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import sources, store
from pipelines.buckets import bucketed
from pipelines.config import config_hash, hashed_part
from pipelines.duplicates import without_copies
from pipelines.parts import libraries_of
from pipelines.tables import table_writer
from pipelines.version import code_version, library_versions
from schemas.config import VideoJob
from schemas.errors import UserError
from schemas.flow import BadRow, LedgerRow, Parser, Record, Ref, Row
from schemas.jobs import JobConfig
from schemas.tables import LEDGER, PLAN
from transforms.datasets import build_parser, build_unpacker
from transforms.footage import FootageError, probe_duration_s
from transforms.keys import record_key, source_key, split_of

_UNKNOWN_COST_S = 1.0
_ROUNDING = 1.001
"""how far a shard may exceed its cost, so that ten parts of a tenth fit"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `plan/plan.json` says: what was asked, with what, and how many shards it makes."""

    config: dict[str, Any]
    """the part of the config that the hash covers"""
    config_hash: str
    code_version: str
    versions: dict[str, str]
    dataset: str
    records: int
    bad_records: int
    parts: int
    """of the records that go to shards; a long video has several"""
    shards: dict[str, int]
    max_quarantined: float
    """as the last run allowed it; not a part of what is made"""
    cost: float
    left_out: dict[str, int] = field(default_factory=dict)
    schema_version: int = 1

    def shard_names(self) -> list[str]:
        return [shard_name(split, number) for split in sorted(self.shards) for number in range(self.shards[split])]


def shard_name(split: str, number: int) -> str:
    return f"{split}-{number:06d}"


def plan_uri(out: str) -> str:
    return store.join(out, "plan", "plan.json")


def ledger_uri(out: str) -> str:
    """The ledger rows that the plan decided: rows that are no record, ids that came before."""
    return store.join(out, "plan", "ledger.parquet")


def read_plan(out: str) -> Plan | None:
    """The plan of a dataset; None where none was finished."""
    if not store.exists(plan_uri(out)):
        return None
    try:
        return Plan(**json.loads(store.read_bytes(plan_uri(out))))
    except (ValueError, TypeError) as error:
        raise UserError(f"--out: {plan_uri(out)} is damaged ({error}); remove it to plan anew") from error


def allow(plan: Plan, out: str, max_quarantined: float) -> Plan:
    """The plan with the share of quarantined records that is allowed now."""
    if plan.max_quarantined == max_quarantined:
        return plan
    plan = replace(plan, max_quarantined=max_quarantined)
    _write_plan(out, plan)
    return plan


def _write_plan(out: str, plan: Plan) -> None:
    store.write_bytes(plan_uri(out), json.dumps(asdict(plan), indent=1, ensure_ascii=False).encode())


def read_refs(out: str, shard: str) -> list[Ref]:
    """The records of one shard, in order."""
    return [Ref(**row) for row in _read_part(store.join(out, "plan", f"{shard}.parquet"), PLAN)]


def read_bad_records(out: str) -> Iterator[dict[str, Any]]:
    """The ledger rows that the plan decided."""
    yield from _read_part(ledger_uri(out), LEDGER)


def _read_part(uri: str, schema: pa.Schema) -> Iterator[dict[str, Any]]:
    try:
        with store.reading(uri) as file, pq.ParquetFile(file) as table:
            for batch in table.iter_batches(columns=schema.names, use_threads=False):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"--out: {uri} is damaged ({' '.join(str(error).split())}); choose another --out") from error


def make_plan(
    config: JobConfig,
    out: str,
    tell: Callable[[int], None] = lambda records: None,
    say: Callable[[str], None] = lambda line: None,
) -> Plan:
    """Reads the source and writes the plan under `out`.

    `tell` hears how many records were read so far, `say` what work is ahead that takes long.
    """
    left_out: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="somtom-plan-") as scratch, table_writer(ledger_uri(out), LEDGER) as add:

        def reject(row: LedgerRow) -> None:
            counts["bad"] += 1
            add({name: None if value != value else value for name, value in asdict(row).items()})

        read = _records(config, left_out, counts, reject, tell)
        unique = _without_twins(read, Path(scratch) / "records", reject)
        parts = _parts_of(unique, config, Path(scratch), reject, say)
        shards, n_parts, cost = _write_shards(parts, Path(scratch) / "sources", out, config.output.shard_cost)
    if not counts["read"]:
        raise UserError("source: has no records; give a table with rows")
    plan = Plan(
        config=hashed_part(config),
        config_hash=config_hash(config),
        code_version=code_version(),
        versions=library_versions(libraries_of(config)),
        dataset=config.dataset,
        records=counts["read"],
        bad_records=counts["bad"],
        parts=n_parts,
        shards=shards,
        max_quarantined=config.run.max_quarantined,
        cost=round(cost, 3),
        left_out=dict(sorted(left_out.items())),
    )
    _write_plan(out, plan)
    return plan


def _records(
    config: JobConfig,
    left_out: Counter[str],
    counts: Counter[str],
    reject: Callable[[LedgerRow], None],
    tell: Callable[[int], None],
) -> Iterator[dict[str, Any]]:
    """Rows parsed to plain values with their keys; a row that is no record is rejected and counted."""
    parse = build_parser(config.source)
    rows = islice(sources.read_rows(config.source, left_out), config.limit or None)
    for ordinal, row in enumerate(rows):
        counts["read"] += 1
        tell(counts["read"])
        record = row if isinstance(row, BadRow) else _parsed(parse, config.source.root, row, f"row {ordinal + 1}")
        if isinstance(record, BadRow):
            reject(_bad_record(config.dataset, ordinal, record))
            continue
        uri = sources.relative(config.source.root, record.uri)
        plain = asdict(record)
        yield {
            **plain,
            "uri": uri,
            "record_key": record_key(config.dataset, record.record_id),
            "source_key": source_key(config.dataset, plain.pop("source") or uri),
            "ordinal": ordinal,
        }


def _parsed(parse: Parser, root: str, row: Row, where: str) -> Record | BadRow:
    """A row as a record, its URI relative to the root; what is wrong with it where it is none."""
    if isinstance(row.get("uri"), str):
        row = {**row, "uri": sources.relative(root, row["uri"].strip())}
    try:
        return _storable(parse(row))
    except KeyError as error:
        return _bad_row(row, where, f"there is no column {error}; add it")
    except (ValueError, TypeError, AttributeError, ArithmeticError) as error:
        return _bad_row(row, where, str(error))


def _storable(record: Record) -> Record:
    for name in ("record_id", "uri", "text", "licence"):
        value = getattr(record, name)
        try:
            value.encode()
        except UnicodeEncodeError as error:
            shown = value.encode("utf-8", "backslashreplace").decode()
            raise ValueError(f"{name} '{shown}' is not valid UTF-8; rename or re-encode it") from error
    return record


def _bad_row(row: Row, where: str, error: str) -> BadRow:
    """A row that is no record, named by its own id where it has one."""
    uri, name = (str(row.get(column) or "").encode("utf-8", "backslashreplace").decode() for column in ("uri", "id"))
    return BadRow(record_id=name or uri or where, uri=uri, error=f"{where}: {error}")


def _bad_record(dataset: str, ordinal: int, bad: BadRow) -> LedgerRow:
    key = record_key(dataset, f"row {ordinal}")
    return LedgerRow(
        kind="record",
        key=f"{key}-row{ordinal}",
        record_key=key,
        record_id=bad.record_id,
        uri=bad.uri,
        outcome="quarantined",
        stage="plan",
        reason="error",
        error=bad.error,
    )


def _without_twins(
    rows: Iterable[dict[str, Any]], folder: Path, reject: Callable[[LedgerRow], None]
) -> Iterator[dict[str, Any]]:
    """Keeps the first record of each id; the others get a ledger row each."""
    for bucket in bucketed(rows, "record_key", folder):
        bucket.sort(key=itemgetter("record_key", "ordinal"))
        for key, twins in groupby(bucket, key=itemgetter("record_key")):
            yield next(twins)
            for number, twin in enumerate(twins, start=2):
                reject(
                    LedgerRow(
                        kind="record",
                        key=f"{key}-twin{number}",
                        record_key=key,
                        record_id=twin["record_id"],
                        uri=twin["uri"],
                        outcome="filtered",
                        stage="plan",
                        reason="duplicate_id",
                        value=float(number),
                        threshold=1.0,
                    )
                )


def _parts_of(
    rows: Iterable[dict[str, Any]],
    config: JobConfig,
    scratch: Path,
    reject: Callable[[LedgerRow], None],
    say: Callable[[str], None],
) -> Iterator[dict[str, Any]]:
    """Rows with their split, part and cost: records of long videos in parts, pictures without their copies."""
    match config:
        case VideoJob():
            return _parts(_probed(rows, config), config)
        case _:
            rows = without_copies(rows, config, scratch / "copies", reject, say)
            # how many pictures a file holds is known only once it is read
            cost = config.output.shard_cost if build_unpacker(config.source) else 1.0
            return (
                {**row, "split": split_of(row["source_key"], config.val_share), "part": 0, "cost": cost} for row in rows
            )


def _probed(rows: Iterable[dict[str, Any]], config: VideoJob) -> Iterator[dict[str, Any]]:
    """Adds `until_s`, where a record ends by the file's header, which is read for all that may need several parts.

    NaN where the header can't tell; a short segment ends where its table says.
    """
    threads = config.run.probe_threads
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[tuple[dict[str, Any], Future[float] | None]] = deque()
        for row in rows:
            known = row["end_s"] - row["start_s"] <= config.output.shard_cost_s
            ahead.append((row, None if known else pool.submit(_duration_s, config.source.root, row["uri"])))
            if len(ahead) > 4 * threads:
                yield _with_end(*ahead.popleft())
        while ahead:
            yield _with_end(*ahead.popleft())


def _with_end(row: dict[str, Any], duration_s: Future[float] | None) -> dict[str, Any]:
    if duration_s is None:
        return {**row, "until_s": row["end_s"]}
    return {**row, "until_s": min(duration_s.result(), row["end_s"])}  # NaN stays NaN: min gives its first


def _duration_s(root: str, uri: str) -> float:
    """NaN for a file whose header can't be read: curating it will say why, at one place for all such files."""
    try:
        where = sources.locate(root, uri)
        if not store.is_remote(where):
            return probe_duration_s(where)
        with store.reading(where) as file:
            return probe_duration_s(file)
    except (FootageError, OSError, UserError):
        return math.nan


def _parts(rows: Iterable[dict[str, Any]], config: VideoJob) -> Iterator[dict[str, Any]]:
    """Cuts records longer than a shard into equal parts; only the last of a whole file is open-ended."""
    for row in rows:
        length_s = row.pop("until_s") - row["start_s"]
        n_parts = max(1, math.ceil(length_s / config.output.shard_cost_s)) if math.isfinite(length_s) else 1
        step_s = length_s / n_parts
        split = split_of(row["source_key"], config.val_share)
        for part in range(n_parts):
            last = part == n_parts - 1
            yield {
                **row,
                "split": split,
                "part": part,
                "start_s": round(row["start_s"] + part * step_s, 3) if part else row["start_s"],
                "end_s": row["end_s"] if last else round(row["start_s"] + (part + 1) * step_s, 3),
                "cost": max(step_s, _UNKNOWN_COST_S) if math.isfinite(step_s) else _UNKNOWN_COST_S,
            }


def _write_shards(
    parts: Iterable[dict[str, Any]], folder: Path, out: str, shard_cost: float
) -> tuple[dict[str, int], int, float]:
    """Fills shards up to their cost, split by split; gives the shards per split, the parts and the whole cost."""
    runs: dict[str, list[dict[str, Any]]] = {}
    costs: Counter[str] = Counter()
    shards: dict[str, int] = {}
    n_parts, total = 0, 0.0

    def close(split: str) -> None:
        number = shards.get(split, 0)
        table = pa.Table.from_pylist(runs.pop(split), schema=PLAN)
        with store.writing(store.join(out, "plan", f"{shard_name(split, number)}.parquet")) as file:
            pq.write_table(table, file)
        shards[split] = number + 1
        costs[split] = 0

    for bucket in bucketed(parts, "source_key", folder):
        bucket.sort(key=itemgetter("source_key", "ordinal", "part"))
        for row in bucket:
            del row["ordinal"]
            split, cost = row["split"], row["cost"]
            last = runs[split][-1] if split in runs else None
            full = costs[split] + cost > shard_cost * _ROUNDING
            if last and (full or last["record_key"] == row["record_key"]):  # parts of a record never share a shard
                close(split)
            runs.setdefault(split, []).append(row)
            costs[split] += cost
            total += cost
            n_parts += 1
    for split in sorted(runs):
        close(split)
    return shards, n_parts, total
