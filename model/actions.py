"""Robot actions as ids of a vocabulary and back, and scaled by a data set's quantiles (MAGMA.md 4).

Letters: D dimensions of an action, xyz, rotation xyz and gripper in the released model; any axes may come before it.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

ACTION_BINS = 256
ACTION_DIMS = 7

_EDGES = np.linspace(-1, 1, ACTION_BINS)
_CENTRES = (_EDGES[:-1] + _EDGES[1:]) / 2


def action_ids(actions: npt.ArrayLike, base_vocab: int) -> npt.NDArray[np.int64]:
    """Ids of `actions`, which are cut to -1..1; their last 256 below `base_vocab`, -1 the highest and +1 the lowest.

    `base_vocab` is a tokenizer's number of entries without added tokens, or ids fall on special tokens. A value that
    is not a number is a ValueError with its place; the reference takes it for +1 without a word.
    """
    _check_vocab(base_vocab)
    values = np.asarray(actions, np.float64)
    _check_numbers(values)
    return (base_vocab - np.digitize(np.clip(values, -1, 1), _EDGES)).astype(np.int64)


def action_values(ids: npt.ArrayLike, base_vocab: int) -> npt.NDArray[np.float64]:
    """Middles of the bins of `ids`, at most 1/255 from what `action_ids` got; exactly +1 shares the bin below it.

    An id that is none of an action is a ValueError with its place; the reference takes it for nearly -1 or +1.
    """
    _check_vocab(base_vocab)
    given = np.asarray(ids)
    if given.size and given.dtype.kind not in "iu":
        raise ValueError(f"action ids are whole numbers; got {given.dtype}, give what `action_ids` returned")
    given = given.astype(np.int64)
    foreign = np.argwhere((given < base_vocab - ACTION_BINS) | (given >= base_vocab))
    if len(foreign):
        place = tuple(foreign[0].tolist())
        raise ValueError(
            f"id {given[place]} at {_named(place)} is no action; with {base_vocab} base entries actions are "
            f"{base_vocab - ACTION_BINS}..{base_vocab - 1}"
        )
    return np.asarray(_CENTRES[np.minimum(base_vocab - given - 1, len(_CENTRES) - 1)])


def normalise(
    actions: npt.ArrayLike, q01: Sequence[float], q99: Sequence[float], mask: Sequence[bool]
) -> npt.NDArray[np.float64]:
    """`actions` (..., D) with `q01`..`q99` of each dimension at -1..1 and what lies outside cut off.

    A dimension whose `mask` is False stays as it is (the gripper); one that never moves, q01 equal to q99, becomes 0.
    """
    values, low_D, high_D, scaled_D = _checked(actions, q01, q99, mask)
    moves_D = high_D > low_D
    ways_D = np.where(moves_D, high_D - low_D, 1)
    unit = np.clip(2 * (values - low_D) / ways_D - 1, -1, 1)
    return np.where(scaled_D, np.where(moves_D, unit, 0), values)


def denormalise(
    actions: npt.ArrayLike, q01: Sequence[float], q99: Sequence[float], mask: Sequence[bool]
) -> npt.NDArray[np.float64]:
    """Inverse of `normalise` within q01..q99, in the data set's units; one that never moves gets its only value."""
    values, low_D, high_D, scaled_D = _checked(actions, q01, q99, mask)
    return np.where(scaled_D, 0.5 * (values + 1) * (high_D - low_D) + low_D, values)


def _checked(
    actions: npt.ArrayLike, q01: Sequence[float], q99: Sequence[float], mask: Sequence[bool]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    values, low_D, high_D = (np.asarray(given, np.float64) for given in (actions, q01, q99))
    scaled_D = np.asarray(mask, np.bool_)
    if not low_D.shape == high_D.shape == scaled_D.shape == values.shape[-1:]:
        raise ValueError(
            f"actions of shape {values.shape} need as many q01, q99 and mask as they have dimensions; "
            f"got {low_D.shape}, {high_D.shape} and {scaled_D.shape}"
        )
    _check_numbers(values)
    # not `low > high`: a quantile that is not a number is wrong too
    wrong_D = np.flatnonzero(scaled_D & ~(low_D <= high_D))
    if len(wrong_D):
        d = int(wrong_D[0])
        raise ValueError(
            f"dimension {d}: q01 is {low_D[d]} and q99 {high_D[d]}, which is no range; read both from the data set"
        )
    return values, low_D, high_D, scaled_D


def _check_vocab(base_vocab: int) -> None:
    if base_vocab < ACTION_BINS:
        raise ValueError(f"base_vocab is {base_vocab}; actions alone take {ACTION_BINS} ids, give tokenizer.vocab_size")


def _check_numbers(values: npt.NDArray[np.float64]) -> None:
    wrong = np.argwhere(np.isnan(values))
    if len(wrong):
        raise ValueError(f"the action is not a number at {_named(tuple(wrong[0].tolist()))}; leave such a step out")


def _named(place: tuple[int, ...]) -> str:
    """Where in an array: its last index is the dimension of an action."""
    if not place:
        return "the only value"
    *rows, dimension = place
    return f"row {', '.join(map(str, rows))}, dimension {dimension}" if rows else f"dimension {dimension}"
