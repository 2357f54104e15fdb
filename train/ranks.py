"""The processes that train together: torchrun's, Slurm's, or this one alone. What they agree on goes over CPUs."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from schemas.errors import UserError

_LOST_PEER = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Timed out waiting")
"""what gloo says when another rank is gone"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranks:
    """This process, `rank` of `count`, and its device; the network is sharded over `mesh`."""

    rank: int
    count: int
    device: torch.device
    mesh: DeviceMesh

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def sums(self, values: list[float]) -> list[float]:
        """Each of the values summed over all ranks."""
        return self._reduced(values, dist.ReduceOp.SUM)

    def most(self, values: list[float]) -> list[float]:
        """Each of the values where it is largest."""
        return self._reduced(values, dist.ReduceOp.MAX)

    def gathered(self, value: Any) -> list[Any]:
        """The value of every rank, in their order."""
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Until all ranks are here."""
        self.sums([0.0])

    def _reduced(self, values: list[float], operation: Any) -> list[float]:
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor, operation)
        return [float(value) for value in tensor.tolist()]


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Meets the other ranks that the environment names (RANK, WORLD_SIZE, …); alone where it names none.

    `device`: "cpu", "cuda", or "" for GPUs where there are some. UserError where there is no such device, where
    its memory does not suffice, and where another rank is lost on the way.
    """
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if kind == "cuda":
        if "LOCAL_RANK" not in os.environ and "RANK" in os.environ and torch.cuda.device_count() > 1:
            raise UserError(
                "LOCAL_RANK: is not set, so that all ranks of this machine would take its first GPU; start them with "
                "torchrun, or set it to 0, 1, … on each machine"
            )
        if local_rank >= torch.cuda.device_count():
            raise UserError(
                f"run.device: rank {local_rank} of this machine has no GPU of its own, there are "
                f"{torch.cuda.device_count()}; start fewer ranks, or set run.device=cpu"
            )
        torch.cuda.set_device(local_rank)
    backend = "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo"
    own = torch.device(kind, local_rank) if kind == "cuda" else torch.device(kind)
    _meet(backend)
    count = dist.get_world_size()
    try:
        yield Ranks(rank=dist.get_rank(), count=count, device=own, mesh=init_device_mesh(kind, (count,)))
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"run.device: the memory of {own} is full: {str(error).partition('. ')[0]}; more GPUs share more of it; or "
            "begin anew with a shorter data.row_length, model.checkpointing=true, or bfloat16 as model.weights and "
            "optimiser.state"
        ) from error
    except RuntimeError as error:
        if not any(sign in str(error) for sign in _LOST_PEER):
            raise
        raise UserError(
            "another rank has ended: its own messages say why; the same command goes on from the last checkpoint"
        ) from error
    finally:
        # after a failure others may be waiting where this one never comes: it would wait for them; the process ends
        if count == 1 or sys.exc_info()[0] is None:
            dist.destroy_process_group()


def _meet(backend: str) -> None:
    if "RANK" not in os.environ:
        alone = dist.HashStore()  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=alone, rank=0, world_size=1)
        return
    try:
        dist.init_process_group(backend)
    except (ValueError, RuntimeError) as error:
        first_line = str(error).partition("\n")[0][:300]
        raise UserError(
            f"RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT: the ranks can't meet: {first_line}; start them with "
            "torchrun, or set all four, with a port that is free; unset RANK to train in one process"
        ) from error
