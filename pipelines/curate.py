"""Act two, one shard: its records through the recipe, into its tar and sidecar. Knows no Beam."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipelines import store
from pipelines.driver import Done, Halved, Seconds
from pipelines.plan import read_refs
from pipelines.shards import ShardCounts, read_sidecar_counts, shard_is_done, write_shard
from pipelines.spent import Spent, write_spent
from schemas.flow import EncodedSample, LedgerRow, Ref

Run = Callable[[Sequence[Ref], Seconds, Halved], Iterator[Done]]
"""Takes records through a recipe, as `pipelines.isolate.Worker.run` does."""


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """What a worker tells of a shard; `spent` is empty where it was done before."""

    shard: str
    counts: ShardCounts
    spent: Spent


def curate_shard(out: str, shard: str, run: Run) -> ShardReport:
    """Makes a shard unless it is there, whole. What it took goes to `plan/<shard>.seconds.json`, for `finish`."""
    if shard_is_done(out, shard):
        return ShardReport(shard=shard, counts=read_sidecar_counts(out, shard), spent=Spent())
    seconds, halved = Seconds(), Halved()
    start = time.perf_counter()
    waited: Seconds = {"": 0.0}
    counts = write_shard(out, shard, _rows(run(read_refs(out, shard), seconds, halved), waited))
    wall_s = time.perf_counter() - start
    seconds["write"] = wall_s - waited[""]
    spent = Spent(seconds=seconds, wall_s=wall_s, halved=halved)
    write_spent(out, shard, spent)
    return ShardReport(shard=shard, counts=counts, spent=spent)


def stop_uri(out: str) -> str:
    """A file whose being there tells workers to begin no further shard."""
    return store.join(out, "plan", "stop")


def _rows(events: Iterator[Done], waited: Seconds) -> Iterator[tuple[LedgerRow, EncodedSample | None]]:
    """Events as rows for the writer; counts the time spent waiting for them."""
    while True:
        start = time.perf_counter()
        done = next(events, None)
        waited[""] += time.perf_counter() - start
        if done is None:
            return
        yield done.row, done.sample
