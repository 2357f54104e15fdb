"""The story of one record or item, and why it was kept or dropped. Imports neither Beam nor torch."""

from collections.abc import Iterator
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import store
from schemas.errors import UserError
from schemas.reasons import MEANING
from schemas.tables import LEDGER

_EXAMPLES = 3


def explain(out: str, wanted: str = "") -> str:
    """In words: what became of what `wanted` names (a key, record id or URI); without it, every reason with examples.

    Works on a dataset whose job has not ended too: then it reads the sidecars.
    """
    if not wanted:
        return _overview(out)
    rows = list(_rows(out, wanted))
    if not rows:
        raise UserError(f"KEY: {out} has no {wanted!r}; give a key, a record id or a URI as in {out}/ledger.parquet")
    keys = {row["record_key"] for row in rows}
    exact = [row for row in rows if row["key"] == wanted and row["kind"] == "item"]
    story = exact or [row for key in sorted(keys) for row in _family(out, key)]
    return "\n".join(line for row in story for line in _told(row))


def _overview(out: str) -> str:
    counts: dict[tuple[str, str, str], int] = {}
    examples: dict[tuple[str, str, str], list[str]] = {}
    for batch in _batches(out):
        for row in batch.to_pylist():
            group = (row["kind"], row["outcome"], row["reason"])
            counts[group] = counts.get(group, 0) + 1
            shown = examples.setdefault(group, [])
            if row["reason"] and len(shown) < _EXAMPLES:
                shown.append(f"    {next(_told(row))}{f': {error}' if (error := row['error']) else ''}")
    lines = []
    for group in sorted(counts):
        kind, outcome, reason = group
        lines.append(f"{counts[group]} {kind}s {outcome}{f': {reason}' if reason else ''}")
        lines += [f"  {MEANING[reason]}"] if reason in MEANING else []
        lines += examples[group]
    return "\n".join(lines)


def _told(row: dict[str, Any]) -> Iterator[str]:
    name = f"{row['kind']} {row['key']}"
    where = f" ({row['uri']})" if row["uri"] else ""
    if row["outcome"] == "kept" or not row["reason"]:
        yield f"{name}{where}: {row['outcome']}"
        return
    measured = ""
    if row["value"] is not None:
        measured = f", measured {row['value']:g} against {row['threshold']:g}"
    yield f"{name}{where}: {row['outcome']} in step {row['stage']}: {row['reason']}{measured}"
    yield f"  {row['error'] or MEANING.get(row['reason'], '')}"


def _family(out: str, record_key: str) -> list[dict[str, Any]]:
    rows = [row for batch in _batches(out) for row in _where(batch, "record_key", record_key)]
    return sorted(rows, key=lambda row: (row["kind"] != "record", row["key"]))


def _rows(out: str, wanted: str) -> Iterator[dict[str, Any]]:
    for batch in _batches(out):
        for column in ("key", "record_key", "record_id", "uri"):
            yield from _where(batch, column, wanted)


def _where(batch: Any, column: str, value: str) -> list[dict[str, Any]]:
    return list(batch.filter(pc.equal(batch[column], value)).to_pylist())


def _batches(out: str) -> Iterator[Any]:
    """The ledger's rows in batches; of an unfinished dataset, those of the shards that are done and of the plan."""
    if store.exists(store.join(out, "ledger.parquet")):
        files = ["ledger.parquet"]
    else:
        if not store.exists(store.join(out, "plan", "plan.json")):
            raise UserError(f"OUT: {out} holds no dataset; name the folder that a `run` wrote")
        shards = store.names(store.join(out, "shards"), ".parquet")
        files = [*(store.join("shards", name) for name in shards), "plan/ledger.parquet"]
    for name in files:
        with store.reading(store.join(out, name)) as source, pq.ParquetFile(source) as file:
            yield from file.iter_batches(columns=LEDGER.names, use_threads=False)
