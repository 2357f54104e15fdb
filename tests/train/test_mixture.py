"""Mixtures: exact shares, each dataset's own epochs, and a step that is the same however one came to it."""

import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.data import config
from train.index import Index
from train.mixture import counts, make_mixture, split_shares, total_steps


def index(n: int) -> Index:
    """Offsets tell which sample it is."""
    return Index(
        shards=("train-000000", "train-000001"),
        shard_N=(np.arange(n) % 2).astype(np.int32),
        offset_N=np.arange(n),
        size_N=np.ones(n, np.int64),
    )


def mixture(*sizes: int, weights: tuple[float, ...] | None = None, **fields):
    datasets = [{"path": f"/data/{number}/"} for number in range(len(sizes))]
    if weights:
        datasets = [{**dataset, "weight": weight} for dataset, weight in zip(datasets, weights, strict=True)]
    return make_mixture(config(*datasets, **fields), [index(n) for n in sizes])


WEIGHTS = st.lists(st.integers(1, 1000), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(WEIGHTS, st.integers(0, 10**7), st.integers(0, 2000))
def test_counts_add_up_never_fall_and_stay_near_their_shares(weights: list[int], total: int, more: int) -> None:
    shares = split_shares(weights)
    before, after = counts(shares, len(weights), total), counts(shares, len(weights), total + more)
    assert sum(before) == total
    assert all(one <= other for one, other in zip(before, after, strict=True))
    for number, weight in enumerate(weights):
        assert abs(before[number] - total * weight / sum(weights)) < 1.5
    whole = counts(shares, len(weights), 7 * sum(weights))
    assert whole == [7 * weight for weight in weights]


def test_every_step_has_each_share_within_one_sample() -> None:
    made = mixture(500, 300, 40, 8, weights=(0.1, 0.2, 0.3, 0.4), batch=32)
    for step in range(60):
        found = Counter(draw.dataset for draw in made.draw(step))
        assert sum(found.values()) == 32
        assert all(abs(found[number] - 3.2 * (number + 1)) <= 1 for number in range(4))


def test_without_weights_an_epoch_has_every_sample_once() -> None:
    sizes = (100, 37, 3)
    made = mixture(*sizes, batch=20)
    for epoch in range(3):
        draws = [draw for step in range(7 * epoch, 7 * epoch + 7) for draw in made.draw(step)]
        assert {draw.epoch for draw in draws} == {epoch}
        found = {(draw.dataset, draw.offset) for draw in draws}
        assert found == {(number, offset) for number, size in enumerate(sizes) for offset in range(size)}


def test_a_dataset_goes_on_with_its_next_epoch_where_one_ends() -> None:
    made = mixture(5, 1000, weights=(1, 1), batch=24)
    seen = [draw for step in range(10) for draw in made.draw(step) if draw.dataset == 0]
    assert Counter((draw.epoch, draw.offset) for draw in seen) == {(n // 5, n % 5): 1 for n in range(120)}


def test_a_draw_tells_where_its_bytes_are() -> None:
    for draw in mixture(9, batch=9).draw(0):
        assert draw.uri == f"/data/0/shards/train-{draw.offset % 2:06d}.tar"
        assert (draw.size, draw.epoch, draw.dataset) == (1, 0, 0)


def test_a_resumed_mixture_goes_on_as_if_nothing_had_been() -> None:
    given = {"weights": (0.7, 0.11, 0.19), "batch": 16}
    through = mixture(50, 20, 7, **given)
    whole = [through.draw(step) for step in range(12)]
    resumed = mixture(50, 20, 7, **given)
    assert [resumed.draw(step) for step in range(5, 12)] == whole[5:]
    assert [resumed.draw(step) for step in range(3)] == whole[:3]


def test_datasets_come_mixed_and_seeds_differ() -> None:
    orders = [[draw.dataset for draw in mixture(64, 64, batch=32, seed=seed).draw(0)] for seed in (0, 1)]
    assert orders[0] != orders[1]
    assert all(sorted(order) == 16 * [0] + 16 * [1] and order != sorted(order) for order in orders)


def test_a_step_far_ahead_is_found_at_once() -> None:
    made = mixture(50, 20, weights=(1 / 3, 0.1))
    start = time.perf_counter()
    assert len(made.draw(10**12)) == 8
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("fields", "n", "want"),
    [({"epochs": 3.0}, 100, 38), ({"epochs": 0.1}, 80, 1), ({"epochs": 1.1}, 80, 11), ({"steps": 7}, 100, 7)],
)
def test_steps_of_a_training(fields: dict, n: int, want: int) -> None:
    assert total_steps(config("a", **fields), n) == want
