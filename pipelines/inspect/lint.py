"""Checks every promise that a dataset's files can show: one line per finding, none where all hold.

Streams; memory holds one shard's rows and one sample. What can't be read is one finding, and what depends on it is not
checked.
"""

import hashlib
import tarfile
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import pyarrow as pa
import yaml

from pipelines import store
from pipelines.card import front_matter, parse_front_matter
from pipelines.inspect.dataset import (
    HashingReader,
    StoredSample,
    gathered,
    index_by_shard,
    read_json,
    read_through,
    stored_samples,
    table_rows,
    table_shape,
)
from pipelines.inspect.lint_sample import check_sample
from pipelines.shards import FOLDER, ShardCounts, read_sidecar, tar_uri
from schemas.errors import UserError
from schemas.sample import SCHEMA_VERSION
from schemas.tables import INDEX, LEDGER, OUTCOMES
from transforms.encoding import index_row

_UNREADABLE = (OSError, ValueError, KeyError, TypeError, yaml.YAMLError)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What lint needs of plan.json; `bins`: what texts count in, None where the recipe has no such thing."""

    config_hash: str
    records: int
    shards: dict[str, int]
    bins: int | None


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What the walk over the shards adds up, to be compared with the files that cover the whole dataset."""

    complete: bool = True
    tars: list[str] = field(default_factory=list)
    members: set[str] = field(default_factory=set)
    item_rows: int = 0
    item_digest: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, Counter[str]] | None = None


def lint(out: str) -> Iterator[str]:
    """Findings of the dataset at `out`, a line each, as they are found. UserError where there is none."""
    if not any(store.exists(store.join(out, name)) for name in ("plan", "shards", "job.json")):
        raise UserError(f"OUT: {out} holds no dataset; name the folder that a `run` wrote")
    for finding in _findings(out):
        yield " ".join(finding.encode(errors="backslashreplace").decode().split())


def _findings(out: str) -> Iterator[str]:
    try:
        plan = _read_plan(out)
        shards = [f"{split}-{number:06d}" for split in sorted(plan.shards) for number in range(plan.shards[split])]
    except _UNREADABLE as error:
        yield f"plan/plan.json: can't be read ({error}); nothing else can be checked without it"
        return
    seen = _Seen()
    index_is_fine = yield from _check_table(out, "index.parquet", INDEX)
    yield from _check_shards(out, shards, plan, index_is_fine, seen)
    if index_is_fine:
        yield from _check_index(out)
    if (yield from _check_table(out, "ledger.parquet", LEDGER)):
        for finding in _check_ledger(out, plan, seen):
            seen.outcomes = None  # counts of a ledger that is wrong would only repeat it
            yield finding
    yield from _check_card(out, seen)
    yield from _check_job(out, plan, seen)


def _read_plan(out: str) -> _Plan:
    content = _read_versioned(store.join(out, "plan", "plan.json"))
    bins = dict(dict(content["config"]).get("text") or {}).get("bins")
    return _Plan(
        config_hash=content["config_hash"],
        records=content["records"],
        shards=dict(content["shards"]),
        bins=bins if isinstance(bins, int) else None,
    )


def _read_versioned(uri: str) -> dict[str, Any]:
    content = read_json(uri)
    if content["schema_version"] != SCHEMA_VERSION:
        raise ValueError(f"schema_version {content['schema_version']}, want {SCHEMA_VERSION}")
    return content


def _check_table(out: str, name: str, wanted: pa.Schema) -> Generator[str, None, bool]:
    """Returns whether the file can be read and has the columns wanted."""
    try:
        schema, _ = table_shape(store.join(out, name))
        read_through(store.join(out, name))
    except _UNREADABLE as error:
        yield f"{name}: can't be read ({error}); run `somtom finish`"
        return False
    if not schema.equals(wanted, check_metadata=False):
        differing = sorted({entry.name for entry in set(schema) ^ set(wanted)})
        yield f"{name}: columns {', '.join(differing) or 'in another order'} are not as in schemas/tables.py"
        return False
    return True


def _check_shards(out: str, shards: Sequence[str], plan: _Plan, has_index: bool, seen: _Seen) -> Iterator[str]:
    planned = {f"{shard}{suffix}" for shard in shards for suffix in (".tar", ".parquet")}
    for name in store.names(store.join(out, FOLDER)):
        if name not in planned:
            yield f"{FOLDER}/{name}: not in the plan"
    # rows of the index lie in the order of the plan's shards; a row that does not is missed here, and found there
    runs = index_by_shard(out) if has_index else iter(())
    ahead = next(runs, None)
    for shard in shards:
        rows: list[dict[str, Any]] | None = None
        if has_index:
            rows = []
            if ahead and ahead[0] == shard:
                rows, ahead = ahead[1], next(runs, None)
        yield from _check_shard(out, shard, rows, plan, seen)
    if ahead:
        yield f"index.parquet: rows of shard {ahead[0]} are not where the order of the plan has them"


def _check_shard(out: str, shard: str, indexed: list[dict[str, Any]] | None, plan: _Plan, seen: _Seen) -> Iterator[str]:
    try:
        table, counts = read_sidecar(out, shard)
        rows = table.to_pylist()
    except _UNREADABLE as error:
        seen.complete = False
        yield f"{FOLDER}/{shard}.parquet: can't be read ({error}); run the job again, it redoes this shard"
        return
    items = [row for row in rows if row["kind"] == "item"]
    for row in items:
        seen.item_digest += _digest(row)
    seen.item_rows += len(items)
    seen.members.update(counts.members)
    kept = [{name: row[name] for name in INDEX.names} for row in items if row["outcome"] == "kept"]
    if len(kept) != counts.kept:
        yield f"{FOLDER}/{shard}.parquet: {len(kept)} rows are kept, its metadata says {counts.kept}"
    seen.splits.update(row["split"] for row in kept)
    if indexed is not None and indexed != kept:
        pairs = zip_longest(indexed, kept)
        keys = [(mine or theirs)["key"] for mine, theirs in pairs if mine != theirs]
        yield f"index.parquet: rows of {shard} are not those of its sidecar: {_some(keys)}"
    if not counts.tar_size:
        if store.exists(tar_uri(out, shard)):
            yield f"{FOLDER}/{shard}.tar: should not be there, its sidecar says that nothing was kept"
        return
    seen.tars.append(f"{shard}.tar")
    yield from _check_tar(out, shard, {row["key"]: row for row in kept}, counts, plan)


def _check_tar(
    out: str, shard: str, kept: dict[str, dict[str, Any]], counts: ShardCounts, plan: _Plan
) -> Iterator[str]:
    place = f"{FOLDER}/{shard}.tar"
    if not store.exists(tar_uri(out, shard)):
        yield f"{place}: missing; run the job again, it redoes this shard"
        return
    findings: list[str] = []
    with store.reading(tar_uri(out, shard)) as file:
        reader = HashingReader(file)
        try:
            for sample in stored_samples(reader):
                findings += [f"{place}: {sample.key}: {line}" for line in _check_stored(sample, shard, kept, plan)]
        except (tarfile.TarError, EOFError) as error:
            findings.append(f"{place}: not a tar of plain files ({error})")
        reader.drain()
    if (reader.size, reader.sha256.hexdigest()) != (counts.tar_size, counts.tar_sha256):
        # other bytes than were written: what else is wrong with them says nothing
        yield f"{place}: size or sha256 is not that of the sidecar; run the job again, it redoes this shard"
        return
    yield from findings
    missing = [key for key, row in kept.items() if row]
    if missing:
        yield f"{place}: lacks the kept samples {_some(missing)}"


def _check_stored(stored: StoredSample, shard: str, kept: dict[str, dict[str, Any]], plan: _Plan) -> Iterator[str]:
    """Empties the sample's entry in `kept`, so that one which comes again, or never, shows."""
    row = kept.get(stored.key)
    if row is None:
        yield "in no row of the sidecar"
        return
    if not row:
        yield "its members are not adjacent, or it is there twice"
        return
    kept[stored.key] = {}
    if row["split"] != shard.rpartition("-")[0]:
        yield f"split {row['split']} in shard {shard}"
    sample, findings = check_sample(stored.key, stored.members, plan.bins)
    yield from findings
    wanted: dict[str, Any] = {"shard": shard, "offset": stored.offset, "size": stored.size}
    if sample:
        wanted |= index_row(sample, row["source_key"]) | {"key": stored.key}
        if sample.provenance.config_hash != plan.config_hash:
            yield f"made with config {sample.provenance.config_hash}, the plan's is {plan.config_hash}"
    differing = [name for name, value in wanted.items() if row[name] != value]
    if differing:
        yield f"the sidecar's {_some(differing)} is not that of the sample"


def _check_index(out: str) -> Iterator[str]:
    uri = store.join(out, "index.parquet")
    _, n_rows = table_shape(uri)
    sources = ((row["source_key"], row["split"]) for row in table_rows(uri, ["source_key", "split"]))
    for pairs in gathered(sources, n_rows):
        split_of: dict[str, str] = {}
        torn = [source for source, split in pairs if split_of.setdefault(source, split) != split]
        if torn:
            yield f"index.parquet: sources in two splits: {_some(torn)}"


def _check_ledger(out: str, plan: _Plan, seen: _Seen) -> Iterator[str]:
    uri = store.join(out, "ledger.parquet")
    _, n_rows = table_shape(uri)
    seen.outcomes = outcomes = {"record": Counter[str](), "item": Counter[str]()}
    digest = 0
    for row in table_rows(uri):
        outcomes.setdefault(row["kind"], Counter())[row["outcome"]] += 1
        digest += _digest(row) if row["kind"] == "item" else 0
        yield from (f"ledger.parquet: {row['kind']} {row['key']}: {line}" for line in _check_ledger_row(row))
    n_records, n_items = outcomes["record"].total(), outcomes["item"].total()
    if n_records != plan.records:
        yield f"ledger.parquet: {n_records} rows of records, the plan read {plan.records}"
    if not seen.complete:
        return
    if (n_items, digest) != (seen.item_rows, seen.item_digest):
        yield f"ledger.parquet: its {n_items} rows of items are not the {seen.item_rows} of the sidecars"
        return
    named = ["record_key", "kind", "key", "outcome"]
    for rows in gathered((tuple(row[name] for name in named) for row in table_rows(uri, named)), n_rows):
        yield from _check_records(rows)


def _check_ledger_row(row: Mapping[str, Any]) -> Iterator[str]:
    if row["kind"] not in ("record", "item") or row["outcome"] not in OUTCOMES:
        yield f"kind {row['kind']!r} or outcome {row['outcome']!r} is unknown"
    elif row["kind"] == "item" and bool(row["reason"]) == (row["outcome"] == "kept"):
        yield f"{row['outcome']} with reason {row['reason']!r}"


def _check_records(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Rows (record_key, kind, key, outcome), all of each record. Twins of a record have a key of their own."""
    times = Counter((kind, key) for _, kind, key, _ in rows)
    twice = [key for (_, key), number in times.items() if number > 1]
    if twice:
        yield f"ledger.parquet: keys with more than one row: {_some(twice)}"
    best: dict[str, str] = {}
    for record, kind, _, outcome in rows:
        if kind == "item" and outcome in OUTCOMES:
            best[record] = min(outcome, best.get(record, outcome), key=OUTCOMES.index)
    outcome_of = {record: outcome for record, kind, key, outcome in rows if kind == "record" and key == record}
    for record, outcome in best.items():
        if record not in outcome_of:
            yield f"ledger.parquet: record {record} has items but no row"
        elif outcome_of[record] != outcome:
            yield f"ledger.parquet: record {record} is {outcome_of[record]}, its best item is {outcome}"
    idle = [record for record, outcome in outcome_of.items() if outcome == "kept" and record not in best]
    if idle:
        yield f"ledger.parquet: records kept without an item: {_some(idle)}"


def _digest(row: Mapping[str, Any]) -> int:
    """Adding these up compares two piles of rows whatever their order."""
    text = repr([row[name] for name in LEDGER.names])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest())


def _check_card(out: str, seen: _Seen) -> Iterator[str]:
    try:
        stated = parse_front_matter(store.read_bytes(store.join(out, "README.md")).decode())
    except _UNREADABLE as error:
        yield f"README.md: can't be read ({error}); run `somtom finish`"
        return
    splits: dict[str, list[str]] = {}
    for tar in seen.tars:
        splits.setdefault(tar.rpartition("-")[0], []).append(tar)
    wanted = front_matter(splits, seen.members)
    if seen.complete and stated != wanted:
        differing = [
            name
            for name in ("configs", "dataset_info")
            if not isinstance(stated, dict) or stated.get(name) != wanted.get(name)
        ]
        yield f"README.md: {_some(differing)} is not what the shards hold; run `somtom finish`"


def _check_job(out: str, plan: _Plan, seen: _Seen) -> Iterator[str]:
    try:
        job = _read_versioned(store.join(out, "job.json"))
        shards, config_hash, counts = list(job["shards"]), job["config_hash"], dict(job["counts"])
    except _UNREADABLE as error:
        yield f"job.json: can't be read ({error}): the job is not done; run it again or run `somtom finish`"
        return
    if config_hash != plan.config_hash:
        yield f"job.json: config {config_hash}, the plan's is {plan.config_hash}"
    if not seen.complete or seen.outcomes is None:
        return
    if shards != seen.tars:
        yield f"job.json: its tars are not those of the sidecars: {_some(sorted(set(shards) ^ set(seen.tars)))}"
    found = {f"{kind}s": {outcome: numbers[outcome] for outcome in OUTCOMES} for kind, numbers in seen.outcomes.items()}
    found["samples per split"] = dict(seen.splits)
    differing = [name for name in found if counts.get(name) != found[name]]
    if differing:
        yield f"job.json: counts of {_some(differing)} are not those of the files"


def _some(names: Sequence[str], limit: int = 5) -> str:
    unique = list(dict.fromkeys(names))
    return ", ".join(unique[:limit]) + (f" and {len(unique) - limit} more" if len(unique) > limit else "")
