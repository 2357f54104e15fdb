"""A child process whose recipe works in threads and batches, on records that hold nothing but do what their name says.

Each gives three clips, one-clip one. open-kills and open-hangs do so when opened, kills, hangs and exits at their
second clip, in the network; memory runs out for more than two clips, at-most-2 is filtered in larger batches.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from pipelines import isolate
from pipelines.driver import Opening, Recipe, Split, Step
from schemas.flow import EncodedSample, Ref, Rejected

_REFUSED = Rejected(reason="too_short")


def suffer(how: str) -> None:
    if how.endswith("kills"):
        os.kill(os.getpid(), signal.SIGKILL)
    if how.endswith("hangs"):
        time.sleep(3600)
    if how.endswith("exits"):
        raise SystemExit("CUDA error: an illegal memory access was encountered")


def open_or_die(ref: Ref, beat: Any) -> Any:
    if ref.record_id.startswith("open-"):
        suffer(ref.record_id)
    return SimpleNamespace(name=ref.record_id, close=lambda: None)


def split(opened: Any, beat: Any) -> Iterator[tuple[str, str]]:
    for number in range(1 if opened.name == "one-clip" else 3):
        yield f"{opened.name}-{number}", f"{opened.name}-{number}"


def network(values: list[str]) -> list[Any]:
    if len(values) > 2 and any(value.startswith("memory") for value in values):
        raise MemoryError("CUDA out of memory")
    for value in values:
        if value.endswith("-1"):
            suffer(value.removesuffix("-1"))
    return [_REFUSED if len(values) > 2 and value.startswith("at-most-2") else value for value in values]


def recipe(config: Any) -> Recipe:
    return Recipe(
        open=Opening(name="open", run=open_or_die),
        split=Split(name="split", run=split),
        steps=(
            Step(name="decode", run=str),
            Step(name="network", run=network, batch=4, ahead=6),
            Step(name="encode", run=lambda key: EncodedSample(key=key, members=(), index_row={}), ahead=6),
        ),
    )


if __name__ == "__main__":
    isolate.build_recipe = recipe
    isolate.main(int(sys.argv[1]))
