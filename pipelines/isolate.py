"""Runs records in a child process, so that one that kills or hangs its process costs only itself.

The parent feeds records and reads events; it knows what the child was at. What dies is tried once more, with records
taken one at a time; what dies again, or makes no progress within the deadline, becomes a ledger row and the rest goes
on. `python -m pipelines.isolate FD` is the child: nothing of the caller's main module is needed.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from pipelines.driver import Done, Halved, Seconds, broken_off, item_row, run_records
from pipelines.recipes import build_recipe
from schemas.errors import UserError
from schemas.flow import LedgerRow, Ref
from schemas.jobs import JobConfig

_START_S = 300.0
_STOPPED = "stopped together with another worker; run the same command again"
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class _Ready:
    """The recipe is built. `overlaps`: items may be in work together, and records with them."""

    overlaps: bool


@dataclass(frozen=True, kw_only=True)
class _Begin:
    position: int
    key: str


@dataclass(frozen=True, kw_only=True)
class _Beat:
    """Still at work on what began last."""


@dataclass(frozen=True, kw_only=True)
class _Halving:
    """What comes after this was made in these batches."""

    halved: Halved


@dataclass(frozen=True, kw_only=True)
class _End:
    seconds: Seconds


@dataclass
class _Progress:
    """Where the work on a shard stands, as far as the parent knows."""

    first: int = 0
    """position of the first record that has not ended"""
    known: dict[str, LedgerRow] = field(default_factory=dict)
    """rows of that record's items so far, by key"""
    begun: list[tuple[int, str]] = field(default_factory=list)
    """records (key "") and items, by position, that have begun and not ended"""
    deaths: Counter[tuple[int, str]] = field(default_factory=Counter)

    def end(self, row: LedgerRow) -> None:
        if row.kind == "record":
            self.begun = [begun for begun in self.begun if begun[0] != self.first]
            self.first += 1
            self.known.clear()
        else:
            self.known[row.key] = row
            self.begun = [begun for begun in self.begun if begun != (self.first, row.key)]

    def suspected(self) -> int:
        """How many records, from the first that has not ended, are taken one at a time: to the last suspected one."""
        return max((position + 1 - self.first for position, _ in self.deaths if position >= self.first), default=0)

    def in_work(self) -> list[tuple[int, str]]:
        """What a death may be due to: the items in work or, between items, the record.

        Where work overlaps it may be due to a record that is read on meanwhile; then these are tried one at a time.
        """
        return [begun for begun in self.begun if begun[1]] or self.begun


class Worker:
    """A child process and the recipe it holds; started when first needed, kept from shard to shard.

    `module` is what the child runs: one that calls `main`.
    """

    def __init__(self, config: JobConfig, module: str = "pipelines.isolate") -> None:
        self._config, self._module = config, module
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._overlaps = False
        self._halved: Halved = {}

    def run(self, refs: Sequence[Ref], seconds: Seconds, halved: Halved | None = None) -> Iterator[Done]:
        """Every record's events in order, as `run_records` gives them, whatever happens to the child.

        Args:
            seconds: counted up; the start of a child is the step "start".
            halved: gets the batches that were halved for memory, in this run or before.
        """
        progress, halved = _Progress(), {} if halved is None else halved
        halved.update(self._halved)
        while progress.first < len(refs):
            suspected = progress.suspected()
            death = yield from self._run_from(refs, progress, seconds, halved, suspected)
            if death:
                sure = bool(suspected) or not self._overlaps
                for done in _settled(refs, progress, death, sure):
                    progress.end(done.row)
                    yield done
                progress.begun.clear()

    def close(self) -> None:
        """Ends the child, from any thread."""
        self._closed = True
        self._end_child()

    def _end_child(self) -> None:
        connection, self._connection = self._connection, None
        process, self._process = self._process, None
        if connection is not None:
            connection.close()
        if process is not None:
            process.kill()
            process.communicate()

    def _run_from(
        self, refs: Sequence[Ref], progress: _Progress, seconds: Seconds, halved: Halved, suspected: int
    ) -> Generator[Done, None, str]:
        """Events until all records, or the `suspected` ones, have ended (returns ""), or how the child died or hung."""
        begun_s = time.perf_counter()
        connection = self._started()
        seconds["start"] = seconds.get("start", 0.0) + time.perf_counter() - begun_s
        start = progress.first
        try:
            rest = list(refs[start : start + suspected] if suspected else refs[start:])
            connection.send((rest, dict(progress.known), bool(suspected), dict(self._halved)))
            while connection.poll(self._config.run.deadline_s):
                match connection.recv():
                    case _Begin(position=position, key=key):
                        progress.begun.append((start + position, key))
                    case _Beat():
                        continue
                    case _Halving(halved=now):
                        self._halved = now
                        halved.update(now)
                    case Done() as done:
                        progress.end(done.row)
                        yield done
                    case _End(seconds=spent):
                        for name, value in spent.items():
                            seconds[name] = seconds.get(name, 0.0) + value
                        return ""
            self._end_child()
            return "timeout"
        except GeneratorExit:
            self._end_child()  # what the child still has to say must not reach the next shard
            raise
        except (EOFError, OSError) as error:
            if self._closed:
                raise UserError(_STOPPED) from error
            self._end_child()
            return "crashed"

    def _started(self) -> Connection:
        if self._closed:
            raise UserError(_STOPPED)
        if self._connection is not None:
            return self._connection
        ours, theirs = Pipe()
        code = str(Path(__file__).parent.parent)
        environment = dict(os.environ, **dict.fromkeys(_ONE_THREAD, "1"))
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [code, environment.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._module, str(theirs.fileno())],
            stdin=subprocess.PIPE,
            env=environment,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        self._connection = ours
        if self._closed:  # meanwhile, by another thread
            self._end_child()
            raise UserError(_STOPPED)
        try:
            ours.send(self._config)
            answer = ours.recv() if ours.poll(_START_S) else f"no answer within {_START_S:g} s"
        except (EOFError, OSError) as error:
            if self._closed:
                raise UserError(_STOPPED) from error
            answer = "the process ended at once"
        if isinstance(answer, UserError):
            self._end_child()
            raise answer
        if not isinstance(answer, _Ready):
            self._end_child()
            raise UserError(f"a worker process could not start: {answer}")
        self._overlaps = answer.overlaps
        return ours


def _settled(refs: Sequence[Ref], progress: _Progress, how: str, sure: bool) -> Iterator[Done]:
    """The rows of what the child was at, if this was its last chance; none if it is to be tried once more.

    `sure`: nothing else was in work, of which the child did not tell.
    """
    suspects = progress.in_work() or [(progress.first, "")]
    progress.deaths.update(suspects)
    (position, key), alone = suspects[0], sure and len(suspects) == 1
    if not alone or (how == "crashed" and progress.deaths[position, key] < 2):
        return
    ref = refs[position]
    why = {"stage": "worker", "reason": how, "error": f"{how} while {'working on this clip' if key else 'opening it'}"}
    if key:
        yield Done(ref=ref, row=item_row(ref, key, "quarantined", **why))
    else:
        yield from broken_off(ref, list(progress.known.values()), **why)


def main(descriptor: int) -> None:
    """The child: gets a config, then lists of records; sends events. Ends when its parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches us too; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    connection = Connection(descriptor)
    config = connection.recv()
    try:
        recipe = build_recipe(config)
    except UserError as error:
        connection.send(error)
        return
    except Exception as error:  # noqa: BLE001  told to the parent, which raises it
        connection.send(f"{type(error).__name__}: {error}")
        return
    sender = _Sender(connection)
    sender.send(_Ready(overlaps=recipe.overlaps))
    with suppress(EOFError, ConnectionError):
        while True:
            refs, known, one_at_a_time, halved = connection.recv()
            positions = {id(ref): position for position, ref in enumerate(refs)}
            seconds: Seconds = {}

            def tell(ref: Ref, key: str, positions: dict[int, int] = positions) -> None:
                sender.send(_Begin(position=positions[id(ref)], key=key))

            told = dict(halved)
            for done in run_records(recipe, refs, seconds, tell, sender.beat, known, one_at_a_time, halved):
                if halved != told:
                    told = dict(halved)
                    sender.send(_Halving(halved=told))
                sender.send(done)
            sender.send(_End(seconds=seconds))


class _Sender:
    """Sends messages from any thread, and beats, one a second at most."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._last_s = connection, 0.0
        self._lock = threading.Lock()

    def send(self, message: object) -> None:
        with self._lock:
            self._connection.send(message)

    def beat(self) -> None:
        now_s = time.monotonic()
        if now_s - self._last_s >= 1:
            self._last_s = now_s
            self.send(_Beat())


def _end_with_parent() -> None:
    """The parent holds the other end of our standard input and never writes to it: its end is the parent's end."""
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    from pipelines import isolate

    isolate.main(int(sys.argv[1]))
