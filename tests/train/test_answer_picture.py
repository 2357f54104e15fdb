"""Predictions as pictures: what must be seen in them."""

from typing import Any

import numpy as np
import pytest

from model.answers import parse_som
from schemas.flow import Question, Scene
from tests.train.test_predict import MARKS, WAY_K2, scene
from train.answer_picture import draw_prediction
from train.predict import DIMENSIONS, Prediction, read_answer
from transforms.drawing import Colour, Pixels, trace_colour
from transforms.prompts import som_answer, tom_answer

CYAN: Colour = (0, 225, 255)


def dark(task: Question, **fields: Any) -> Scene:
    """A scene that is black, so that colours in its picture are drawn ones."""
    black_HW3 = np.zeros((100, 200, 3), np.uint8)
    return scene(task, clean_HW3=black_HW3, marked_HW3=black_HW3, shown=(black_HW3,), **fields)


def share_of(colour: Colour, picture_HW3: Pixels) -> float:
    return float((np.abs(picture_HW3.astype(int) - colour).max(axis=2) < 12).mean())


def test_said_and_true_ways_have_one_colour_for_each_mark_in_two_pictures() -> None:
    true = {1: WAY_K2, 3: np.add(WAY_K2, (60, 20))}
    said = tom_answer({3: [(50, 50), (60, 60), (90, 90)]})
    both = draw_prediction(read_answer(dark("tom", traces=true), said))
    alone = draw_prediction(read_answer(dark("tom"), said))
    assert both.shape[0] > 1.5 * (alone.shape[0] - 60)
    middle = both.shape[0] // 2
    picture_W = both.shape[1] - 500
    upper, lower = both[:middle, :picture_W], both[middle:, :picture_W]
    assert share_of(trace_colour(1), upper) > 0
    assert share_of(trace_colour(0), upper) == 0, "mark 1 is not said to move"
    assert share_of(trace_colour(0), lower) > 0
    assert share_of(trace_colour(1), lower) > 0


def test_places_that_are_told_are_crossed() -> None:
    answer = som_answer({1: (60, 20), 2: (75, 80)})
    assert parse_som(answer)
    assert share_of(CYAN, draw_prediction(read_answer(dark("som"), answer))) > 1e-4
    nothing = draw_prediction(read_answer(dark("som"), "no"))
    assert share_of(CYAN, nothing) == 0
    assert share_of((176, 58, 32), nothing) > 0, "the warning is not seen"


@pytest.mark.parametrize(
    "answer",
    [
        "Coordinate: (0.75, 0.80). Mark: 2.",
        "Mark: 1",
        "Coordinate: (0.0, 1.0)",
        "Coordinate: (0.7, 0.7, 0.8, 0.9)",
    ],
)
def test_a_click_is_drawn_wherever_it_goes(answer: str) -> None:
    drawn = draw_prediction(read_answer(dark("click"), answer))
    assert share_of(CYAN, drawn[:, : drawn.shape[1] - 460]) > 2e-4


def test_a_click_on_a_mark_that_is_not_there_draws_none() -> None:
    drawn = draw_prediction(read_answer(dark("click"), "Mark: 9"))
    assert share_of(CYAN, drawn[:, : drawn.shape[1] - 460]) == 0


def test_bars_are_as_long_as_the_values() -> None:
    def blue(value: float) -> float:
        action = tuple((name, value, value) for name in DIMENSIONS)
        return share_of(
            (58, 96, 158), draw_prediction(Prediction(scene=dark("action"), answer="", facts=(), action=action))
        )

    none, half, full = blue(0.0), blue(0.5), blue(-1.0)
    assert full - none == pytest.approx(2 * (half - none), rel=0.1)
    assert blue(-7.0) == full


@pytest.mark.slow
@pytest.mark.parametrize("size_hw", [(1, 1), (3, 900), (900, 3), (1200, 500)])
@pytest.mark.parametrize("task", ["caption", "tom", "som", "click"])
def test_any_size_and_any_answer_gives_a_page(task: Question, size_hw: tuple[int, int]) -> None:
    image_HW3 = np.zeros((*size_hw, 3), np.uint8)
    odd = scene(task, clean_HW3=image_HW3, marked_HW3=image_HW3, marks=MARKS[:1], traces={1: WAY_K2})
    for answer in ("", "x" * 3000, "Mark 1 at [99999,3]\n\n" * 90 + '"Mark 1": "[[999999,0]]" Mark: 1'):
        page = draw_prediction(read_answer(odd, answer))
        assert page.dtype == np.uint8
        assert max(page.shape[:2]) < 3000
