"""The index of a dataset: what is chosen of it, what is said where nothing is, and the order of an epoch."""

from pathlib import Path

import numpy as np
import pytest

from schemas.errors import UserError
from schemas.training import DatasetConfig
from tests.train.data import write_index
from train.index import epoch_order, read_index


def rows(n: int) -> list[dict[str, object]]:
    """Two of three in train; every second is som, every fourth tom as well; shards of five."""
    return [
        {
            "key": f"key-{number}",
            "split": "val" if number % 3 == 2 else "train",
            "shard": f"train-{number // 5:06d}",
            "offset": 1000 * (number % 5),
            "size": number + 1,
            "tasks": ["som", "tom"] if number % 4 == 0 else ["som"] if number % 2 == 0 else ["qa"],
            "dataset": "b" if number < 10 else "a",
        }
        for number in range(n)
    ]


@pytest.mark.parametrize(
    ("fields", "want"),
    [
        ({}, [n for n in range(40) if n % 3 != 2]),
        ({"split": "val"}, [n for n in range(40) if n % 3 == 2]),
        ({"tasks": ["tom"]}, [n for n in range(40) if n % 3 != 2 and n % 4 == 0]),
        ({"tasks": ["tom", "qa"]}, [n for n in range(40) if n % 3 != 2 and (n % 4 == 0 or n % 2)]),
        ({"limit": 5}, [0, 1, 3, 4, 6]),
        ({"tasks": ["qa"], "limit": 2}, [1, 3]),
        ({"limit": 1000}, [n for n in range(40) if n % 3 != 2]),
    ],
)
def test_what_a_config_chooses_is_found_with_its_place(tmp_path: Path, fields: dict, want: list[int]) -> None:
    table = rows(40)
    index = read_index(DatasetConfig(path=write_index(tmp_path / "out", table), **fields))
    found = [
        (index.shards[shard], offset, size)
        for shard, offset, size in zip(index.shard_N, index.offset_N, index.size_N, strict=True)
    ]
    assert found == [(table[n]["shard"], table[n]["offset"], table[n]["size"]) for n in want]
    assert len(index) == len(want)


def test_an_index_is_read_from_a_url_with_a_slash_at_its_end(tmp_path: Path) -> None:
    path = write_index(tmp_path / "out", rows(10))
    assert len(read_index(DatasetConfig(path=f"file://{path}/"))) == len(read_index(DatasetConfig(path=path))) == 7


def test_a_row_takes_at_most_25_bytes_with_its_place_in_the_order(tmp_path: Path) -> None:
    index = read_index(DatasetConfig(path=write_index(tmp_path / "out", rows(30))))
    order = epoch_order(len(index), seed=0, key="a", epoch=0, block=2, window=2)
    columns = (index.shard_N, index.offset_N, index.size_N, order)
    assert sum(column.nbytes for column in columns) <= 25 * len(index)


def test_no_index_tells_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"data.mixture: {tmp_path} has no index.parquet.*somtom finish {tmp_path}"):
        read_index(DatasetConfig(path=str(tmp_path)))


def test_a_broken_index_and_an_unknown_kind_of_url_are_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "index.parquet").write_bytes(b"PAR1 no more")
    for path in (str(tmp_path), "nothing://bucket/out"):
        with pytest.raises(UserError, match=r"data.mixture: .*index.parquet can't be read"):
            read_index(DatasetConfig(path=path))


def test_nothing_left_tells_what_there_is(tmp_path: Path) -> None:
    path = write_index(tmp_path / "out", rows(20))
    with pytest.raises(
        UserError, match="no sample of split 'test'; it has the splits train, val and the tasks qa, som"
    ):
        read_index(DatasetConfig(path=path, split="test"))
    with pytest.raises(UserError, match="split 'train' and one of the tasks action, grounding; it has"):
        read_index(DatasetConfig(path=path, tasks=["action", "grounding"]))


SIZES = [(1, 4, 4), (7, 4, 1), (1000, 8, 4), (1003, 8, 4), (1024, 8, 4), (1025, 1, 1), (50, 100, 100), (1030, 8, 1000)]


@pytest.mark.parametrize(("n", "block", "window"), SIZES)
def test_an_order_is_a_permutation_and_the_same_for_the_same_arguments(n: int, block: int, window: int) -> None:
    orders = [epoch_order(n, seed=3, key="a", epoch=1, block=block, window=window) for _ in range(2)]
    assert sorted(orders[0].tolist()) == list(range(n))
    assert orders[0].tolist() == orders[1].tolist()


def test_epochs_seeds_and_datasets_differ() -> None:
    given = [(0, "a", 0), (0, "a", 1), (1, "a", 0), (0, "b", 0)]
    orders = [
        epoch_order(500, seed=seed, key=key, epoch=epoch, block=4, window=8).tolist() for seed, key, epoch in given
    ]
    assert len({tuple(order) for order in orders}) == len(orders)


def test_a_window_holds_whole_blocks_of_the_index() -> None:
    n, block, window = 10_000, 8, 16
    order = epoch_order(n, seed=0, key="a", epoch=0, block=block, window=window)
    for start in range(0, n, block * window):
        held = np.unique(order[start : start + block * window] // block, return_counts=True)
        assert set(held[1]) == {block}
        assert len(held[0]) == min(window, (n - start) // block)


def test_neighbours_in_an_order_lie_far_apart_in_the_index() -> None:
    n = 100_000
    order = epoch_order(n, seed=0, key="a", epoch=0, block=32, window=128)
    apart = np.abs(np.diff(order))
    assert np.median(apart) > n / 5
    assert (apart < 32).mean() < 0.02


@pytest.mark.slow
def test_many_rows_take_whole_numbers_of_eight_bytes_only_where_they_must() -> None:
    assert epoch_order(1000, seed=0, key="a", epoch=0, block=32, window=2**20).dtype == np.int32
