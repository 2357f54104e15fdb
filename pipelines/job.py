"""A whole job: plan, curate, finish, under the dataset's lock; and where one stands."""

import contextlib
import io
import logging
import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence

from pipelines import store
from pipelines.config import differences, hashed_part
from pipelines.curate import stop_uri
from pipelines.finish import Totals, finish
from pipelines.lock import is_locked, locked
from pipelines.plan import Plan, make_plan, read_plan
from pipelines.progress import Standing, Teller, look, watching
from pipelines.shards import FOLDER, sidecar_uri
from pipelines.version import code_version, library_versions
from schemas.config import JobConfig
from schemas.errors import TooMuchQuarantinedError, UserError
from schemas.tables import OUTCOMES

_KNOWN_ERROR = re.compile(r"\bUserError: (.+)")


def run(
    config: JobConfig, out: str, workers: int = 0, retry_failed: bool = False, beam_flags: Sequence[str] = ()
) -> Totals:
    """Makes a dataset, or goes on with one; gives its counts.

    Args:
        workers: processes of the embedded runner; 0: one per core. Not used with a `--runner` of your own.
        retry_failed: make shards that hold quarantined records or items again.

    Raises:
        UserError: lines for a person.
        TooMuchQuarantinedError: after ledger and index were written.
    """
    with locked(out):
        for folder in ("", FOLDER, "plan"):
            store.remove_partials(store.join(out, folder))
        store.remove(stop_uri(out))
        plan = _planned(config, out)
        if retry_failed:
            _forget_failed(out)
        with watching(out, len(plan.shard_names()), lambda standing: _stop_early(standing, plan, config, out)) as seen:
            _curate(config, out, plan, workers or os.cpu_count() or 1, beam_flags)
        if store.exists(stop_uri(out)):
            raise TooMuchQuarantinedError(_too_much(out, seen.total("quarantined_records"), plan.parts))
        return finished(out, config.run.max_quarantined)


def finish_alone(out: str, max_quarantined: float) -> Totals:
    """The last act for a job whose launcher is gone."""
    with locked(out):
        return finished(out, max_quarantined)


def finished(out: str, max_quarantined: float) -> Totals:
    """The last act: merges, checks and writes; the caller holds the lock."""
    totals = finish(out, max_quarantined)
    if totals.quarantined_share() > max_quarantined:
        raise TooMuchQuarantinedError(_too_much(out, totals.records["quarantined"], totals.records.total()))
    return totals


def _too_much(out: str, quarantined: int, total: int) -> str:
    return (
        f"run.max_quarantined: {quarantined} of {total} records are quarantined; see why with `somtom explain {out}`, "
        "mend the inputs and run again with --retry-failed, or allow more with run.max_quarantined=1"
    )


def _planned(config: JobConfig, out: str) -> Plan:
    plan = read_plan(out)
    if plan:
        _check_same(plan, config, out)
        return plan
    teller, start_s = Teller(), time.monotonic()
    plan = make_plan(
        config, out, lambda records: teller.update(f"plan: {records} records, {time.monotonic() - start_s:.0f} s")
    )
    teller.close()
    return plan


def _check_same(plan: Plan, config: JobConfig, out: str) -> None:
    asked = {"config": hashed_part(config), "code_version": code_version(), "versions": library_versions()}
    begun = {"config": plan.config, "code_version": plan.code_version, "versions": plan.versions}
    changes = [change.removeprefix("config.") for change in differences(begun, asked)]
    if changes:
        listed = "; ".join(changes)
        raise UserError(f"--out: {out} was begun otherwise ({listed}); go back to that or choose another --out")


def _forget_failed(out: str) -> None:
    """Takes the sidecars of shards with quarantined rows away: without them the shards are made again."""
    standing = Standing()
    look(out, standing)
    store.remove(store.join(out, "job.json"))
    for shard, counts in standing.shards.items():
        if counts.quarantined or counts.quarantined_records:
            store.remove(sidecar_uri(out, shard))


def _stop_early(standing: Standing, plan: Plan, config: JobConfig, out: str) -> None:
    """Asks the workers to stop once no good end is possible any more, whatever the shards to come hold."""
    surely = standing.total("quarantined_records") - (plan.parts - (plan.records - plan.bad_records))
    if surely > config.run.max_quarantined * plan.records and len(standing.shards) < len(plan.shard_names()):
        store.write_bytes(stop_uri(out), b"")


def _curate(config: JobConfig, out: str, plan: Plan, workers: int, beam_flags: Sequence[str]) -> None:
    """Runs the graph; with no `--runner` given, on the embedded one."""
    logging.disable(logging.WARNING)  # an import that warns of extras which this job does not need
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    from pipelines.graph import build_graph

    logging.disable(logging.NOTSET)
    flags = list(beam_flags)
    shards = plan.shard_names()
    embedded = not any(flag.startswith("--runner") for flag in flags)
    if embedded:
        flags += _embedded_flags(min(workers, len(shards)), flags)
    try:
        with (
            _quiet() if embedded else contextlib.nullcontext(),
            beam.Pipeline(options=PipelineOptions(flags)) as pipeline,
        ):
            build_graph(pipeline, config, out, shards)
    except RuntimeError as error:
        if "KeyboardInterrupt [while running" in str(error):
            raise KeyboardInterrupt from error
        known = _KNOWN_ERROR.search(str(error))
        if known is None:
            raise
        raise UserError(known.group(1).partition(" [while running")[0]) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences the embedded runner's threads: they print and log what they also raise."""
    logger = logging.getLogger("apache_beam")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _embedded_flags(workers: int, given: Sequence[str]) -> list[str]:
    """Flags of the embedded runner, as far as they are not given.

    Threads suffice for several workers: each holds a child process of its own, in which the records run.
    """
    mode = "multi_threading" if workers > 1 else "in_memory"
    defaults = ("--runner=FnApiRunner", f"--direct_running_mode={mode}", f"--direct_num_workers={max(1, workers)}")
    names = {flag.partition("=")[0] for flag in given}
    return [flag for flag in defaults if flag.partition("=")[0] not in names]


def show_plan(config: JobConfig) -> str:
    """What a job would read and make, in words; nothing is written."""
    with tempfile.TemporaryDirectory(prefix="somtom-plan-") as scratch:
        plan = make_plan(config, scratch)
    shards = ", ".join(f"{count} {split}" for split, count in sorted(plan.shards.items())) or "none"
    lines = [
        f"dataset   {plan.dataset} (config {plan.config_hash}, code {plan.code_version})",
        f"root      {config.source.root}",
        f"records   {plan.records}, {plan.bad_records} of them no use (bad rows, ids that come twice)",
        f"footage   {plan.cost_s / 60:.1f} min in {plan.parts} parts",
        f"shards    {shards}",
        f"clips     at most about {_clips(plan, config)}",
    ]
    if plan.left_out:
        left_out = ", ".join(f"{count} {ending}" for ending, count in plan.left_out.items())
        lines.append(f"left out  {left_out} (name them outright, or add their ending to source.extensions)")
    return "\n".join(lines)


def _clips(plan: Plan, config: JobConfig) -> int:
    return round(plan.cost_s / config.clips.stride_s)


def status(out: str) -> str:
    """Where a job stands, in words."""
    plan = read_plan(out)
    if plan is None:
        return f"{out}: no plan yet"
    standing = Standing()
    look(out, standing)
    n_shards = len(plan.shard_names())
    finished = store.exists(store.join(out, "job.json"))
    writer = "a process is writing to it" if is_locked(out) else "no process of this machine is writing to it"
    counts = ", ".join(f"{standing.total(outcome)} {outcome}" for outcome in OUTCOMES)
    cure = f"; `somtom finish {out}`" if len(standing.shards) == n_shards else "; run again to go on"
    return "\n".join(
        [
            f"dataset   {plan.dataset} (config {plan.config_hash}, code {plan.code_version})",
            f"shards    {len(standing.shards)} of {n_shards} done",
            f"items     {counts}",
            f"state     {'finished' if finished else f'not finished, {writer}{cure}'}",
        ]
    )


def summary(out: str, totals: Totals) -> str:
    """The end of a job, in words."""
    records = ", ".join(f"{totals.records[outcome]} {outcome}" for outcome in OUTCOMES)
    items = ", ".join(f"{totals.items[outcome]} {outcome}" for outcome in OUTCOMES)
    reasons = ", ".join(f"{count} {reason}" for reason, count in totals.reasons.most_common())
    lines = [f"records   {records}", f"items     {items}"]
    if reasons:
        lines.append(f"reasons   {reasons}")
    lines.append(f"dataset   {out}")
    return "\n".join(lines)
