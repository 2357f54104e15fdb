"""What answers count for, against stored ones whose truth is plain."""

import math

import numpy as np
import pytest

from schemas.sample import TurnKind
from train.scores import MEASURES, Counts, Score, added, count_answer, summarise
from transforms.prompts import som_answer, tom_answer

SIZE_WH, BINS, N_MARKS = (400, 300), 100, 5
DIAGONAL_PX = 500.0
"""so a bin is 4 px wide and 3 px high, and 5 % of the diagonal are 25 px"""
PLACES = {1: (10, 10), 2: (50, 50), 3: (90, 20), 4: (20, 80)}
WAYS = {1: [(10, 10), (15, 10), (20, 10)], 2: [(50, 50), (50, 60), (50, 70)]}


def counts(kind: TurnKind, stored: str, answer: str) -> dict[str, tuple[float, float]]:
    found = count_answer(kind, stored, answer, size_wh=SIZE_WH, bins=BINS, n_marks=N_MARKS)
    assert {of for of, _ in found} == {kind}
    return {measure: count for (_, measure), count in found.items()}


@pytest.mark.parametrize(
    ("answer", "exact", "unreadable", "located", "error_bins"),
    [
        (som_answer(PLACES), 1, 0, 4, (0, 4)),
        (som_answer(PLACES).strip() + "\n ", 1, 0, 4, (0, 4)),
        (som_answer(PLACES | {2: (56, 50)}), 0, 0, 4, (6, 4)),
        (som_answer(PLACES | {2: (50, 59)}), 0, 0, 3, (9, 4)),
        (som_answer({1: (10, 10), 9: (3, 3)}), 0, 0, 1, (0, 1)),
        ("I can't see any", 0, 1, 0, (0, 0)),
        ("", 0, 1, 0, (0, 0)),
    ],
)
def test_places_of_marks(answer: str, exact: int, unreadable: int, located: int, error_bins: tuple[float, int]) -> None:
    found = counts("som", som_answer(PLACES), answer)
    assert found == {
        "exact": (exact, 1),
        "unreadable": (unreadable, 1),
        "located": (located, 4),
        "error_bins": pytest.approx(error_bins),
    }


def test_the_true_ways_are_no_distance_away_and_stand_beside_standing_still() -> None:
    found = counts("tom", tom_answer(WAYS), tom_answer(WAYS))
    assert found["ade"] == found["fde"] == (0, 2)
    still_1, still_2 = (20 + 40) / 2, (30 + 60) / 2
    assert found["baseline ade"] == pytest.approx(((still_1 + still_2) / DIAGONAL_PX, 2))
    assert found["baseline fde"] == pytest.approx(((40 + 60) / DIAGONAL_PX, 2))
    assert found["precision"] == found["recall"] == (2, 2)
    assert found["baseline precision"] == pytest.approx((2 * 2 / 5, 2))


def test_ways_are_compared_over_the_steps_that_both_tell() -> None:
    said = {1: [(10, 10), (15, 14)], 4: [(20, 80), (20, 70)], 77: [(0, 0), (1, 1)]}
    found = counts("tom", tom_answer(WAYS), tom_answer(said))
    assert found["ade"] == found["fde"] == pytest.approx((12 / DIAGONAL_PX, 1))
    assert found["baseline fde"] == pytest.approx((20 / DIAGONAL_PX, 1))
    assert (found["precision"], found["recall"]) == ((1, 3), (1, 2))


@pytest.mark.parametrize("answer", ["", "nothing moves", "Mark 1 at [10,10]. Mark 2 at [50,50]"])
def test_an_answer_without_ways_is_unreadable_and_measures_no_distance(answer: str) -> None:
    found = counts("tom", tom_answer(WAYS), answer)
    assert found["unreadable"] == (1, 1)
    assert (found["precision"], found["recall"], found["ade"], found["fde"]) == ((0, 0), (0, 2), (0, 0), (0, 0))


@pytest.mark.parametrize(
    ("stored", "answer", "unreadable", "right"),
    [
        ("Coordinate: (0.1, 0.2). Mark: 3.", "Coordinate: (0.9, 0.9). Mark: 3", 0, 1),
        ("Coordinate: (0.1, 0.2). Mark: 3.", "Coordinate: (0.1, 0.2). Mark: 4.", 0, 0),
        ("Coordinate: (0.1, 0.2). Mark: 3.", "there", 1, 0),
        ('{"TAP": {"MARK": 3}}', "{'TAP': {'MARK': 3}}", 0, 1),
        ('{"TAP": {"MARK": 3}}', '{"SWIPE": "UP"}', 1, 0),
    ],
)
def test_marks_that_are_named(stored: str, answer: str, unreadable: int, right: int) -> None:
    found = counts("grounding", stored, answer)
    assert (found["unreadable"], found["mark"], found["baseline mark"]) == ((unreadable, 1), (right, 1), (1 / 5, 1))


@pytest.mark.parametrize("kind", ["semantic", "qa", "grounding"])
def test_an_answer_that_names_no_mark_counts_as_equal_or_not(kind: TurnKind) -> None:
    assert counts(kind, "A person sits.\n", "A person sits.") == {"exact": (1, 1)}


def of(scores: tuple[Score, ...], measure: str) -> Score:
    (found,) = (score for score in scores if score.measure == measure)
    return found


def test_counts_add_up_to_shares_of_all_and_intervals_hold_them() -> None:
    rng = np.random.default_rng(0)
    samples: list[Counts] = [{("som", "located"): (float(rng.binomial(n, 0.6)), n)} for n in [2, 10] * 60]
    share = sum(one["som", "located"][0] for one in samples) / sum(one["som", "located"][1] for one in samples)
    found = of(summarise(samples, seed=0), "located")
    assert found.value == pytest.approx(share)
    assert found.n == 720
    assert found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * math.sqrt(share * (1 - share) / 720), rel=0.25)
    assert summarise(samples, seed=0) == summarise(samples, seed=0)


def test_one_sample_has_no_width_and_what_nothing_was_measured_of_has_no_value() -> None:
    (recall, ade) = summarise([{("tom", "recall"): (1, 2), ("tom", "ade"): (0, 0)}], seed=0)
    assert (recall.low, recall.value, recall.high) == (0.5, 0.5, 0.5)
    assert math.isnan(ade.value)
    assert math.isnan(ade.low)
    assert math.isnan(recall.baseline)


def test_nothing_gives_no_scores() -> None:
    assert summarise([], seed=0) == ()
    assert summarise([{}, {}], seed=0) == ()
    assert added([]) == {}


def test_scores_come_in_the_order_of_kinds_and_measures() -> None:
    one = counts("tom", tom_answer(WAYS), tom_answer(WAYS))
    scores = summarise(
        [{("tom", measure): count for measure, count in one.items()}, {("som", "exact"): (1, 1)}], seed=0
    )
    assert [score.kind for score in scores] == ["som"] + ["tom"] * 6
    assert [score.measure for score in scores[1:]] == [name for name in MEASURES if name in one]


def test_answers_of_a_sample_are_added() -> None:
    key, other = ("som", "exact"), ("som", "located")
    assert added([{key: (1, 1)}, {key: (0, 1), other: (2, 3)}]) == {key: (1, 2), other: (2, 3)}
