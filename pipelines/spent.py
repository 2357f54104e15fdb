"""What a job's time goes to: seconds per step beside those of the clock, told by each shard, added up for the job."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pipelines import store
from pipelines.driver import Halved, Seconds

_START = "start"
"""the step in which a worker's process and its networks are made ready"""
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """`wall_s`: seconds of the clock. Where steps run in threads beside one another these are fewer than of all steps.

    A network's seconds hold those of its GPU: a step gives its results in memory, so it waits for them. What such a
    step does on the CPU (sizes, stitching, words by OCR) counts too: the GPU is busy for no larger a share of the time.
    """

    seconds: Seconds = field(default_factory=dict)
    wall_s: float = 0.0
    halved: Halved = field(default_factory=dict)

    def shares(self) -> dict[str, float]:
        """Step -> share of the clock's time, start-up apart; the largest first: it bounds the rest."""
        work_s = self.wall_s - self.seconds.get(_START, 0.0)
        if work_s <= 0:
            return {}
        steps = sorted(self.seconds.items(), key=lambda step: -step[1])
        return {name: seconds / work_s for name, seconds in steps if name != _START}

    def plain(self, networks: Sequence[str]) -> dict[str, Any]:
        """As plain values, for job.json; `networks`: names of the steps that are some."""
        shares = self.shares()
        return {
            "seconds": {step: round(seconds, 3) for step, seconds in self.seconds.items()},
            "wall_seconds": round(self.wall_s, 3),
            "bound_by": next(iter(shares), ""),
            "networks_busy": round(sum(shares.get(name, 0.0) for name in networks), 3),
            "halved_batches": self.halved,
        }


def parse_spent(plain: Mapping[str, Any]) -> Spent:
    """What `plain` made, read back; an older job.json has only some of it."""
    return Spent(
        seconds=dict(plain.get("seconds", {})),
        wall_s=plain.get("wall_seconds", 0.0),
        halved=dict(plain.get("halved_batches", {})),
    )


def write_spent(out: str, shard: str, spent: Spent) -> None:
    store.write_bytes(_uri(out, shard), json.dumps(spent.plain([])).encode())


def read_spent(out: str, shards: Iterable[str]) -> Spent:
    """Of some shards together; of a batch that was halved several times its smallest size."""
    seconds: Counter[str] = Counter()
    wall_s, halved = 0.0, Halved()
    for shard in shards:
        with suppress(OSError, ValueError):  # lost with a crash between a shard and its times: they are no promise
            one = parse_spent(json.loads(store.read_bytes(_uri(out, shard))))
            seconds.update(one.seconds)
            wall_s += one.wall_s
            for step, batch in one.halved.items():
                halved[step] = min(batch, halved.get(step, batch))
    return Spent(seconds=dict(seconds), wall_s=wall_s, halved=halved)


def lines_on(spent: Spent, networks: Sequence[str]) -> list[str]:
    """A line or two for people: which step bounds the work, how busy the networks kept their device."""
    shares = spent.shares()
    if not shares:
        return []
    start_s = spent.seconds.get(_START, 0.0)
    largest = ", ".join(f"{step} {share:.0%}" for step, share in list(shares.items())[:_SHOWN])
    lines = [
        f"time      {spent.wall_s - start_s:.1f} s of work after {start_s:.1f} s of start-up, bound by "
        f"{next(iter(shares))} ({largest})"
    ]
    if networks:
        busy = f"{' and '.join(networks)} busy {sum(shares.get(name, 0.0) for name in networks):.0%} of it"
        cuts = [f"batch of {step} halved to {batch} for want of memory" for step, batch in spent.halved.items()]
        lines.append(f"networks  {'; '.join([busy, *cuts])}")
    return lines


def _uri(out: str, shard: str) -> str:
    return store.join(out, "plan", f"{shard}.seconds.json")
