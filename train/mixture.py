"""Which samples a step takes: a pure function of seed, step and indexes; never of ranks, workers or packing.

All counts are whole numbers, so that step k is the same whether a training came to it or was resumed at it.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.training import TrainConfig
from train.index import Index, epoch_order
from transforms.keys import rng_for


class Draw(NamedTuple):
    """A sample to be read: number of its dataset in the mixture, its place in a tar, the dataset's own epoch."""

    dataset: int
    uri: str
    offset: int
    size: int
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    """Divides samples among the datasets of its two sides by their weight; a leaf is a dataset's number."""

    weight: int
    sides: "tuple[_Split, _Split] | int"


@dataclass(kw_only=True)
class Mixture:
    """Several datasets, each of which runs through its own epochs; made by `make_mixture`."""

    config: TrainConfig
    indexes: Sequence[Index]
    shares: _Split
    orders: dict[int, tuple[int, npt.NDArray[np.integer[Any]]]] = field(default_factory=dict)
    """of each dataset the epoch it is in, and that epoch's order"""

    def draw(self, step: int) -> list[Draw]:
        """The samples of a step, in the order in which ranks take them in turn."""
        batch = self.config.batch
        before, after = (counts(self.shares, len(self.indexes), number * batch) for number in (step, step + 1))
        draws = [
            draw for dataset in range(len(self.indexes)) for draw in self._of(dataset, before[dataset], after[dataset])
        ]
        shuffled = rng_for(self.config.seed, "mixture", f"step {step}").permutation(len(draws))
        return [draws[number] for number in shuffled.tolist()]

    def _of(self, dataset: int, start: int, end: int) -> list[Draw]:
        """Samples `start` to `end` of a dataset's endless sequence of epochs."""
        index, path = self.indexes[dataset], self.config.data.mixture[dataset].path.rstrip("/")
        draws = []
        while start < end:
            epoch, place = divmod(start, len(index))
            order = self._order(dataset, epoch)
            chosen = order[place : place + end - start]
            shards, offsets, sizes = (
                column[chosen].tolist() for column in (index.shard_N, index.offset_N, index.size_N)
            )
            draws += [
                Draw(dataset, f"{path}/shards/{index.shards[shard]}.tar", offset, size, epoch)
                for shard, offset, size in zip(shards, offsets, sizes, strict=True)
            ]
            start += len(chosen)
        return draws

    def _order(self, dataset: int, epoch: int) -> npt.NDArray[np.integer[Any]]:
        known = self.orders.pop(dataset, None)  # the old one goes before the new one is made
        if known is None or known[0] != epoch:
            del known
            data = self.config.data
            order = epoch_order(
                len(self.indexes[dataset]),
                seed=self.config.seed,
                key=f"dataset {dataset}",
                epoch=epoch,
                block=data.block,
                window=data.window,
            )
            known = (epoch, order)
        self.orders[dataset] = known
        return known[1]


def make_mixture(config: TrainConfig, indexes: Sequence[Index]) -> Mixture:
    """The mixture of a config, whose datasets have these indexes: by weight, or by number of samples without."""
    weights = [dataset.weight for dataset in config.data.mixture]
    # as they are written: 0.1 is a tenth
    exact = [
        Fraction(len(index)) if weight is None else Fraction(str(weight))
        for weight, index in zip(weights, indexes, strict=True)
    ]
    whole = math.lcm(*(weight.denominator for weight in exact))
    return Mixture(config=config, indexes=indexes, shares=split_shares([int(weight * whole) for weight in exact]))


def split_shares(weights: Sequence[int]) -> _Split:
    """A tree that divides samples by weight, the lightest farthest from its root (Huffman's): errors hardly add up."""
    heap = [(weight, number, _Split(weight=weight, sides=number)) for number, weight in enumerate(weights)]
    heapq.heapify(heap)
    number = len(weights)
    while len(heap) > 1:
        left, right = heapq.heappop(heap)[2], heapq.heappop(heap)[2]
        joined = _Split(weight=left.weight + right.weight, sides=(left, right))
        heapq.heappush(heap, (joined.weight, number, joined))
        number += 1
    return heap[0][2]


def counts(shares: _Split, n_datasets: int, total: int) -> list[int]:
    """How many of the first `total` samples are of each dataset.

    They add up to `total` and none ever falls. Each stays near its share, for two datasets within half a sample, and is
    exactly its share where all shares are whole: without weights an epoch has every sample once.
    """
    found = [0] * n_datasets
    open_splits = [(shares, total)]
    while open_splits:
        split, n = open_splits.pop()
        if isinstance(split.sides, int):
            found[split.sides] = n
        else:
            left, right = split.sides
            n_left = (2 * n * left.weight + split.weight) // (2 * split.weight)  # rounded
            open_splits += [(left, n_left), (right, n - n_left)]
    return found


def total_steps(config: TrainConfig, n_samples: int) -> int:
    """Steps of a training on a mixture of `n_samples`."""
    return config.steps or math.ceil(Fraction(str(config.epochs)) * n_samples / config.batch)
