"""Robot actions as ids and back, and scaled by quantiles."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.actions import ACTION_BINS, ACTION_DIMS, action_ids, action_values, denormalise, normalise

VOCAB = 128_000
Q01 = [-0.1, 0.0, 2.0, 0.0]
Q99 = [0.3, 1.0, 2.0, 1.0]
MASK = [True, True, True, False]


@pytest.fixture(scope="module")
def parity() -> Path:
    if "SOMTOM_TEST_DATA" not in os.environ:
        pytest.skip("SOMTOM_TEST_DATA names no folder with parity/action")
    return Path(os.environ["SOMTOM_TEST_DATA"]) / "parity" / "action"


def test_no_actions_no_ids():
    assert action_ids([], VOCAB).shape == action_values([], VOCAB).shape == (0,)
    assert action_ids(np.zeros((0, ACTION_DIMS)), VOCAB).shape == (0, ACTION_DIMS)
    assert normalise(np.zeros((0, 4)), Q01, Q99, MASK).shape == (0, 4)
    assert denormalise(np.zeros((0, 4)), Q01, Q99, MASK).shape == (0, 4)


@pytest.mark.parametrize(
    ("value", "token"),
    [(-1, 127_999), (0, 127_872), (1, 127_744), (0.9999, 127_745), (-2, 127_999), (5, 127_744), (np.inf, 127_744)],
)
def test_ids_of_values(value, token):
    assert action_ids(value, VOCAB) == token


def test_shapes_and_types_stay():
    ids = action_ids(np.zeros((2, 3, ACTION_DIMS), np.float32), VOCAB)
    assert (ids.shape, ids.dtype) == ((2, 3, ACTION_DIMS), np.int64)
    assert (action_values(ids, VOCAB).shape, action_values(ids, VOCAB).dtype) == (ids.shape, np.float64)


@given(st.lists(st.floats(-1, 1), max_size=20), st.integers(ACTION_BINS, 200_000))
def test_encoded_then_decoded_is_near(values, base_vocab):
    ids = action_ids(values, base_vocab)
    assert ((ids >= base_vocab - ACTION_BINS) & (ids < base_vocab)).all()
    assert (np.abs(action_values(ids, base_vocab) - values) <= 1 / 255 + 1e-12).all()


def test_every_id_decodes_to_itself_but_the_last_bin():
    ids = np.arange(VOCAB - ACTION_BINS, VOCAB)
    again = action_ids(action_values(ids, VOCAB), VOCAB)
    assert (again[1:] == ids[1:]).all()
    assert again[0] == ids[0] + 1


def test_what_is_not_a_number_is_named():
    with pytest.raises(ValueError, match="not a number at row 1, dimension 2"):
        action_ids([[0, 0, 0], [0, 0, np.nan]], VOCAB)
    with pytest.raises(ValueError, match="not a number at dimension 3"):
        normalise([0, 0, 0, np.nan], Q01, Q99, MASK)


@pytest.mark.parametrize("token", [-1, 0, 127_743, 128_000, 128_009])
def test_a_foreign_id_is_named(token):
    with pytest.raises(ValueError, match=f"id {token} at dimension 1 is no action; .* are 127744..127999"):
        action_values([127_744, token], VOCAB)
    with pytest.raises(ValueError, match=f"id {token} at the only value"):
        action_values(token, VOCAB)


def test_ids_are_whole_numbers():
    with pytest.raises(ValueError, match="whole numbers; got float64"):
        action_values([127_800.0], VOCAB)


@pytest.mark.parametrize("base_vocab", [0, 255])
def test_a_vocabulary_without_room_is_an_error(base_vocab):
    with pytest.raises(ValueError, match="actions alone take 256"):
        action_ids([0.0], base_vocab)
    with pytest.raises(ValueError, match="actions alone take 256"):
        action_values([0], base_vocab)


def test_quantiles_become_minus_one_and_one():
    assert normalise([-0.1, 0.0, 2.0, 0.25], Q01, Q99, MASK).tolist() == [-1, -1, 0, 0.25]
    assert normalise([[0.3, 1.0, 9.0, 7.0]], Q01, Q99, MASK).tolist() == [[1, 1, 0, 7]]
    assert normalise([9, -9, -9, -9], Q01, Q99, MASK).tolist() == [1, -1, 0, -9]


def test_what_never_moves_gets_its_only_value_back():
    assert denormalise([0, 0, 0, 0.5], Q01, Q99, MASK).tolist() == pytest.approx([0.1, 0.5, 2.0, 0.5])


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_denormalise_is_the_inverse_within_the_quantiles(shares):
    actions = np.array(Q01) + np.array(shares) * (np.array(Q99) - Q01)
    assert denormalise(normalise(actions, Q01, Q99, MASK), Q01, Q99, MASK) == pytest.approx(actions, abs=1e-12)


@pytest.mark.parametrize(("q01", "q99"), [([1.0], [0.0]), ([np.nan], [0.0])])
def test_quantiles_that_are_no_range_are_an_error(q01, q99):
    with pytest.raises(ValueError, match="dimension 0: q01 is"):
        normalise([0.5], q01, q99, [True])
    assert normalise([0.5], q01, q99, [False]) == [0.5]


@pytest.mark.parametrize("actions", [[0.0], 0.0, [[0.0] * 5]])
def test_other_numbers_of_dimensions_are_an_error(actions):
    with pytest.raises(ValueError, match=r"as many q01, q99 and mask"):
        denormalise(actions, Q01, Q99, MASK)


def test_two_hundred_actions_of_the_reference(parity):
    rows = [line.split("\t") for line in (parity / "action_tokens.tsv").read_text().splitlines()[1:]]
    actions, ids, decoded = (np.array([row[n].split(",") for row in rows], float) for n in (1, 2, 3))
    assert (action_ids(actions, VOCAB) == ids).all()
    assert (action_ids(actions.astype(np.float32), VOCAB) == ids).all()
    np.testing.assert_allclose(action_values(ids.astype(int), VOCAB), decoded, rtol=0, atol=1e-15)


def test_edge_cases_of_the_reference(parity):
    for case in json.loads((parity / "summary.json").read_text())["edge_cases"]:
        value = float(case["value"])
        if np.isnan(value):
            with pytest.raises(ValueError, match="not a number"):
                action_ids(value, VOCAB)
            continue
        token = action_ids(value, VOCAB)
        assert (int(token), VOCAB - int(token)) == (case["token_id"], case["discrete"])
        assert action_values(token, VOCAB) == pytest.approx(case["decoded"], abs=1e-15)


def test_ids_the_reference_decodes_without_a_word(parity):
    for case in json.loads((parity / "summary.json").read_text())["decode_out_of_range"]:
        if VOCAB - ACTION_BINS <= case["id"] < VOCAB:
            assert action_values(case["id"], VOCAB) == pytest.approx(case["decoded"], abs=1e-15)
        else:
            with pytest.raises(ValueError, match="is no action"):
                action_values(case["id"], VOCAB)


def test_other_vocabularies_of_the_reference(parity):
    for base_vocab, case in json.loads((parity / "summary.json").read_text())["by_vocab"].items():
        ids = action_ids([-1, 0, 1], int(base_vocab)).tolist()
        assert ids == [case["minus1"], case["zero"], case["plus1"]]
