"""A whole job: plan, curate, finish, under the dataset's lock; and where one stands."""

import contextlib
import io
import json
import logging
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pipelines import store
from pipelines.batches import default_workers, network_steps
from pipelines.config import hashed_part
from pipelines.curate import stop_uri
from pipelines.finish import Totals, finish, remove_ends
from pipelines.lock import is_locked, locked
from pipelines.parts import libraries_of
from pipelines.plan import Plan, allow, make_plan, read_plan
from pipelines.progress import Standing, Teller, look, watching
from pipelines.shards import FOLDER, shard_is_whole, sidecar_uri
from pipelines.spent import lines_on, parse_spent, read_spent
from pipelines.version import code_version, library_versions
from pipelines.weights import check_weights
from schemas.config import VideoJob
from schemas.errors import TooMuchQuarantinedError, UserError
from schemas.jobs import JobConfig, parse_job
from schemas.loading import differences
from schemas.tables import OUTCOMES
from transforms.datasets import build_unpacker

_KNOWN_ERROR = re.compile(r"\bUserError: (.+)")


def run(
    config: JobConfig, out: str, workers: int = 0, retry_failed: bool = False, beam_flags: Sequence[str] = ()
) -> Totals:
    """Makes a dataset, or goes on with one; gives its counts.

    Args:
        workers: processes of the embedded runner; 0: one per core, or one where networks run on a GPU. Not used with a
            `--runner` of your own.
        retry_failed: make shards that hold quarantined records or items again.

    Raises:
        UserError: lines for a person.
        TooMuchQuarantinedError: with the ledger written, or, where no good end was possible any more, before it.
    """
    check_weights(config)
    with locked(out):
        for folder in ("", FOLDER, "plan"):
            store.remove_partials(store.join(out, folder))
        store.remove(stop_uri(out))
        plan = _planned(config, out)
        if retry_failed:
            _forget_failed(out)
        if not all(shard_is_whole(out, shard) for shard in plan.shard_names()):
            remove_ends(out)
        with watching(out, len(plan.shard_names()), lambda standing: _stop_early(standing, plan, config, out)) as seen:
            _curate_or_take_back(config, out, plan, workers, beam_flags)
        if store.exists(stop_uri(out)):
            failed = f"{seen.total('quarantined_records')} of the first {seen.total('records')}"
            raise TooMuchQuarantinedError(_too_much(out, failed, ""))
        return _finished(out, config.run.max_quarantined)


def finish_alone(out: str, max_quarantined: float | None = None) -> Totals:
    """The last act for a job whose launcher is gone; by default with the share that the job allowed."""
    plan = read_plan(out)
    if plan is None:
        raise UserError(f"OUT: {out} holds no plan; start with `somtom run CONFIG --out {out}`")
    with locked(out):
        return _finished(out, plan.max_quarantined if max_quarantined is None else max_quarantined)


def _finished(out: str, max_quarantined: float) -> Totals:
    totals = finish(out, max_quarantined)
    if totals.quarantined_share() > max_quarantined:
        failed = f"{totals.records['quarantined']} of {totals.records.total()}"
        planned = f"{totals.bad_rows} of them are bad rows of the table: mend it and choose another --out; "
        raise TooMuchQuarantinedError(_too_much(out, failed, planned if totals.bad_rows else ""))
    return totals


def _too_much(out: str, failed: str, planned: str) -> str:
    return (
        f"run.max_quarantined: {failed} records are quarantined; {planned}see why with `somtom explain {out}`, "
        "mend the inputs and run again with --retry-failed, or allow more with run.max_quarantined=1"
    )


def _planned(config: JobConfig, out: str) -> Plan:
    plan = read_plan(out)
    if plan:
        _check_same(plan, config, out)
        return allow(plan, out, config.run.max_quarantined)
    there = [name for name in ("shards", "README.md", "index.parquet") if store.exists(store.join(out, name))]
    if there:
        raise UserError(f"--out: {out} has {', '.join(there)} but no plan/plan.json; choose another --out, or clear it")
    teller, start_s = Teller(), time.monotonic()
    plan = make_plan(
        config,
        out,
        lambda records: teller.update(f"plan: {records} records, {time.monotonic() - start_s:.0f} s"),
        teller.say,
    )
    teller.close()
    return plan


def _check_same(plan: Plan, config: JobConfig, out: str) -> None:
    versions = library_versions(libraries_of(config))
    asked = {"config": hashed_part(config), "code_version": code_version(), "versions": versions}
    begun = {"config": plan.config, "code_version": plan.code_version, "versions": plan.versions}
    changes = [change.removeprefix("config.") for change in differences(begun, asked)]
    if changes:
        listed = "; ".join(changes)
        raise UserError(f"--out: {out} was begun otherwise ({listed}); go back to that or choose another --out")


def _forget_failed(out: str) -> None:
    """Takes the sidecars of shards with quarantined rows away: without them the shards are made again."""
    standing = Standing()
    look(out, standing)
    for shard, counts in standing.shards.items():
        if counts.quarantined or counts.quarantined_records:
            store.remove(sidecar_uri(out, shard))


def _stop_early(standing: Standing, plan: Plan, config: JobConfig, out: str) -> None:
    """Asks the workers to stop once no good end is possible any more, whatever the shards to come hold."""
    surely = standing.total("quarantined_records") - (plan.parts - (plan.records - plan.bad_records))
    if surely > config.run.max_quarantined * plan.records and len(standing.shards) < len(plan.shard_names()):
        store.write_bytes(stop_uri(out), b"")


def _curate_or_take_back(config: JobConfig, out: str, plan: Plan, workers: int, beam_flags: Sequence[str]) -> None:
    """As `_curate`. After a mistake a plan from which nothing was made goes: the command put right makes its own."""
    try:
        _curate(config, out, plan, workers, beam_flags)
    except UserError:
        if not store.exists(store.join(out, FOLDER)):
            store.remove(store.join(out, "plan", "plan.json"))
        raise


def _curate(config: JobConfig, out: str, plan: Plan, workers: int, beam_flags: Sequence[str]) -> None:
    """Runs the graph; with no `--runner` given, on the embedded one."""
    logging.disable(logging.WARNING)  # an import that warns of extras which this job does not need
    from pipelines.graph import build_graph

    logging.disable(logging.NOTSET)
    flags = list(beam_flags)
    shards = plan.shard_names()
    embedded = not any(flag.startswith("--runner") for flag in flags)
    if embedded:
        flags += _embedded_flags(min(workers or default_workers(config), len(shards)), flags)
    told = io.StringIO()
    try:
        with (
            _quiet(told) if embedded else contextlib.nullcontext(),
            _pipeline(flags) as pipeline,
        ):
            build_graph(pipeline, config, out, shards)
    except UserError as error:
        raise UserError(_without_place(str(error))) from error
    except RuntimeError as error:
        if "KeyboardInterrupt [while running" in str(error):
            raise KeyboardInterrupt from error
        known = _KNOWN_ERROR.search(told.getvalue() + str(error))  # the first to fail stops the others
        if known is None:
            raise
        raise UserError(_without_place(known.group(1))) from error


def _without_place(message: str) -> str:
    """What was raised in a graph, without the place that Beam adds."""
    return message.partition(" [while running")[0]


def _pipeline(flags: Sequence[str]) -> Any:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    try:
        return beam.Pipeline(options=PipelineOptions(list(flags)))
    except ValueError as error:
        raise UserError(f"--: {' '.join(str(error).split())}") from error


@contextlib.contextmanager
def _quiet(told: io.StringIO) -> Iterator[None]:
    """Lets the embedded runner's threads print into `told`, not to the terminal, what they also raise.

    After Ctrl-C for good: they are stopped in the middle of things, and say so until the process ends.
    """
    logger = logging.getLogger("apache_beam")
    level, stream = logger.level, sys.stderr
    logger.setLevel(logging.CRITICAL)
    sys.stderr = told
    try:
        yield
    except KeyboardInterrupt:
        stream = told
        raise
    finally:
        sys.stderr = stream
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
        *_work(plan, config),
        f"shards    {shards}",
    ]
    if plan.left_out:
        left_out = ", ".join(f"{count} {ending}" for ending, count in plan.left_out.items())
        lines.append(f"left out  {left_out} (name them outright, or add their ending to source.extensions)")
    return "\n".join(lines)


def _work(plan: Plan, config: JobConfig) -> list[str]:
    match config:
        case VideoJob():
            footage = f"footage   {plan.cost / 60:.1f} min in {plan.parts} parts"
            return [footage, f"clips     at most about {round(plan.cost / config.clips.stride_s)}"]
        case _ if build_unpacker(config.source):
            return [f"files     {plan.parts}; how many pictures they hold shows as they are read"]
        case _:
            return [f"pictures  {plan.parts}; more windows, where pages are long"]


def status(out: str) -> str:
    """Where a job stands, in words."""
    plan = read_plan(out)
    if plan is None:
        raise UserError(f"OUT: {out} holds no dataset; name the folder that a `run` wrote")
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
            *_time_lines(out, plan, standing.shards),
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
    plan = read_plan(out)
    lines += _time_lines(out, plan, plan.shard_names()) if plan else []
    lines.append(f"dataset   {out}")
    return "\n".join(lines)


def _time_lines(out: str, plan: Plan, shards: Iterable[str]) -> list[str]:
    """What the time of some shards went to; of a whole job from its job.json, one file in place of many."""
    uri = store.join(out, "job.json")
    with contextlib.suppress(KeyError, ValueError):  # a dataset of another version: its config is no config of ours
        spent = parse_spent(json.loads(store.read_bytes(uri))) if store.exists(uri) else read_spent(out, shards)
        return lines_on(spent, network_steps(parse_job(plan.config)))
    return []
