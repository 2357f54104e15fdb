"""Keys and random numbers are functions of what a thing is."""

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from transforms.keys import item_key, record_key, rng_for, source_key, split_of, stable_hash


def test_keys_never_change() -> None:
    """Fixed values: a change would cut every dataset off from what was made before."""
    assert record_key("videos", "a.mp4") == "c1329708d0291471"
    assert source_key("videos", "a.mp4") == "2fc8d2315c51d083"
    assert item_key("c1329708d0291471", 61.5) == "c1329708d0291471-000061500"


@given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
def test_different_parts_have_different_hashes(first: list[str], second: list[str]) -> None:
    assert (stable_hash(*first) == stable_hash(*second)) == (first == second)


@given(st.text(), st.text(), st.floats(0, 1e6))
def test_keys_hold_no_dots(dataset: str, record_id: str, start_s: float) -> None:
    assert re.fullmatch(r"[0-9a-f]{16}-\d{9,}", item_key(record_key(dataset, record_id), start_s))


def test_the_split_is_a_share_of_the_sources_and_more_validation_only_adds() -> None:
    keys = [source_key("d", str(number)) for number in range(4000)]
    few, more = ({key for key in keys if split_of(key, share) == "val"} for share in (0.05, 0.2))
    assert few < more
    assert 0.035 < len(few) / 4000 < 0.065
    assert {split_of(key, 0) for key in keys} == {"train"}
    assert {split_of(key, 1) for key in keys} == {"val"}


def test_random_numbers_follow_seed_key_and_salt() -> None:
    def draw(seed: int, key: str, salt: str) -> int:
        return int(rng_for(seed, key, salt).integers(2**60))

    assert draw(0, "k", "marks") == draw(0, "k", "marks")
    assert len({draw(0, "k", "marks"), draw(1, "k", "marks"), draw(0, "l", "marks"), draw(0, "k", "text")}) == 4
    assert isinstance(rng_for(0, "k", "s"), np.random.Generator)
