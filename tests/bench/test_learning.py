"""The benchmark of learning: how answers are counted, and that the whole of it runs."""

from pathlib import Path

import numpy as np
import pytest

from bench.generated import BINS, SIDE, STEPS, built_in_templates, made_sample, make_scene
from bench.learning import counted, guessed, mean_motion, measure, nearest_mark, questions
from train.evaluate import Item


def item(number: int, with_marks: bool) -> Item:
    made = made_sample(make_scene(number), "with" if with_marks else "without", "val", built_in_templates())
    return Item(sample=made.sample, images=made.images)


def stored_answers(one: Item) -> list[str]:
    """Those to the questions that are asked."""
    turns = one.sample.turns
    return [turn.content for turn in turns if turn.role == "assistant"]


def test_all_questions_are_asked_each_after_the_right_answer_to_the_first() -> None:
    one = item(3, with_marks=True)
    moves, traced, located = questions(one)
    first, answer, asks_traces, _, asks_places, _ = (turn.content for turn in one.sample.turns)
    assert [message["content"] for message in moves.messages] == [first]
    assert [message["content"] for message in traced.messages] == [first, answer, asks_traces]
    assert [message["content"] for message in located.messages] == [first, answer, asks_places]
    assert all(len(chat.images) == 1 for chat in (moves, traced, located))
    assert len(list(questions(item(3, with_marks=False)))) == 1


@pytest.mark.parametrize("with_marks", [True, False])
def test_stored_answers_are_right(with_marks: bool) -> None:
    for number in range(20):
        one, n_things = item(number, with_marks), len(make_scene(number).things)
        counts = counted(make_scene(number), one, stored_answers(one))
        assert counts["grounding", "mark"] == (1.0, 1)
        assert counts["grounding", "baseline mark"] == (1 / n_things, 1)
        if with_marks:
            assert counts["som", "located"] == (n_things, n_things)
            assert counts["tom", "recall"] == (1.0, 1)


def test_a_coordinate_stands_for_the_nearest_thing() -> None:
    number = next(n for n in range(50) if len(make_scene(n).things) > 2)
    scene = make_scene(number)
    for thing in scene.things:
        x, y = (value / SIDE for value in thing.xy)
        assert nearest_mark(scene, f"Coordinate: ({x + 0.02:.2f}, {y - 0.02:.2f}).") == thing.mark
    assert nearest_mark(scene, "It is not there.") is None
    other = scene.things[1]
    wrong = "Coordinate: ({:.2f}, {:.2f}).".format(*(value / SIDE for value in other.xy))
    for answer in (wrong, "It is not there."):
        assert counted(scene, item(number, with_marks=False), [answer])["grounding", "mark"] == (0.0, 1)


def test_who_guesses_the_true_motion_makes_no_error_but_rounding() -> None:
    number = 7
    way_K2 = mean_motion([number])
    assert way_K2.shape == (STEPS + 1, 2) and (way_K2[0] == 0).all()
    error, n = guessed(make_scene(number), item(number, with_marks=True), way_K2)["tom", "ade"]
    assert n == 1 and error < 1 / BINS
    still, _ = guessed(make_scene(number), item(number, with_marks=True), np.zeros_like(way_K2))["tom", "ade"]
    assert still > 0.03


@pytest.mark.slow
def test_the_whole_of_it_runs(tmp_path: Path) -> None:
    picture = tmp_path / "traces.jpg"
    found = measure(tmp_path, trained_on=64, held_out=8, epochs=0.5, picture=picture)
    assert picture.stat().st_size < 300_000
    assert [figure.what.partition(":")[0] for figure in found][:3] == [
        "with marks, the thing about to move",
        "without marks, the thing about to move",
        "with marks",
    ]
    assert all(figure.cells[3] == "python -m bench.learning" for figure in found)
