"""Answers read against their scenes, and the verb `predict` with a network that knows nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import beam_runner
from model.checkpoint import save_magma
from schemas.errors import UserError
from schemas.flow import Question, Scene, SceneMark
from schemas.sample import Turn
from tests.jobs import FAST, write_scene
from tests.model.small import picture, small_magma, small_processor
from train.predict import DIMENSIONS, predict, read_answer, read_statistics
from transforms.prompts import som_answer, tom_answer

SIZE_WH = (200, 100)
MARKS = (
    SceneMark(id=1, xy=(21.0, 31.0)),
    SceneMark(id=2, xy=(150.0, 80.0), box_xyxy=(140.0, 70.0, 160.0, 90.0), label="OK"),
    SceneMark(id=3, xy=(100.0, 50.0)),
)
WAY_K2 = np.array([[21.0, 31.0], [31.0, 31.0], [41.0, 31.0]])


def scene(task: Question, **fields: Any) -> Scene:
    clean_HW3 = picture(SIZE_WH)
    given: dict[str, Any] = {
        "name": "scene",
        "task": task,
        "clean_HW3": clean_HW3,
        "marked_HW3": clean_HW3,
        "marks": MARKS,
        "turns": (Turn(role="user", kind="qa", content="<image>\nWhat?"),),
        "shown": (clean_HW3,),
        "max_crops": 1,
        "bins": 100,
    }
    return Scene(**given | fields)


def test_places_are_read_in_pixels_and_compared() -> None:
    found = read_answer(scene("som"), som_answer({1: (10, 31), 2: (75, 60), 9: (1, 1)}))
    assert found.readable
    assert found.places.keys() == {1, 2, 9}
    assert found.places[1].tolist() == [21.0, 31.5]
    assert found.facts == (
        "1 of 3 marks located within 5 % of the diagonal",
        "mean distance 4.5 % of the diagonal",
        "not named: mark 3",
        "not in the picture: mark 9",
    )


def test_ways_begin_at_their_marks_and_are_compared_with_the_true_ones() -> None:
    said = tom_answer({1: [(10, 31), (15, 31), (20, 41)], 8: [(0, 0), (1, 1)]})
    found = read_answer(scene("tom", steps=2, traces={1: WAY_K2, 3: WAY_K2}), said)
    assert found.ways[1].tolist() == [[21, 31], [31, 31.5], [41, 41.5]]
    assert found.ways[8].tolist() == [[3, 1.5], [3, 1.5]]
    assert found.facts == (
        "said to move: marks 1, 8",
        "not in the picture: mark 8",
        "move: marks 1, 3",
        "distance from the true way 2.5 % of the diagonal, 4.7 % at its end",
    )


@pytest.mark.parametrize(
    ("answer", "facts", "clicked", "click_xy", "click_box"),
    [
        ("Coordinate: (0.75, 0.80). Mark: 2.", ("mark 2 (OK)", "click at 150, 80 px"), 2, (150, 80), None),
        ("Coordinate: (0.70, 0.70, 0.80, 0.90).", ("click at 150, 80 px",), None, (150, 80), (140, 70, 160, 90)),
        ("Mark: 2", ("mark 2 (OK)", "click at 150, 80 px, the place of the mark"), 2, (150, 80), None),
        ("Mark: 7", ("mark 7, which is not in the picture",), None, None, None),
    ],
)
def test_a_click_is_a_mark_a_point_or_a_box(
    answer: str, facts: tuple[str, ...], clicked: int | None, click_xy: Any, click_box: Any
) -> None:
    found = read_answer(scene("click"), answer)
    assert found.facts == facts
    assert (found.clicked.id if found.clicked else None) == clicked
    assert found.click_xy == (pytest.approx(click_xy) if click_xy else None)
    assert found.click_box == (pytest.approx(click_box) if click_box else None)


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        *((task, answer) for task in ("som", "tom", "click") for answer in ("", "I can't tell.", "[[[", "Mark at")),
        ("tom", '"Mark 1": "[[]]"'),
        ("som", '"Mark 1": "[[]]"'),
    ],
)
def test_what_can_not_be_read_is_said_to_be_so(task: Question, answer: str) -> None:
    found = read_answer(scene(task), answer)
    assert not found.readable
    assert found.answer == answer
    assert found.facts[0].startswith("the answer can't be read: it gives n")


def test_captions_are_what_they_are() -> None:
    assert read_answer(scene("caption"), "A cup.").facts == ()
    assert read_answer(scene("caption"), "").facts == ("the answer is empty",)


def test_an_action_is_seven_values_of_the_robot_s_range_or_its_units(tmp_path: Path) -> None:
    network, processor = small_magma(), small_processor()
    asked = scene("action", marks=())
    plain = predict(network, processor, asked, max_new_tokens=1)
    assert [name for name, _, _ in plain.action] == list(DIMENSIONS)
    assert all(value == share and -1 < share < 1 for _, value, share in plain.action)
    assert plain.facts[0].startswith("in -1..1")
    (tmp_path / "s.json").write_text(json.dumps({"bridge": {"action": {"q01": [0] * 7, "q99": [10] * 7}}}))
    scaled = predict(network, processor, asked, max_new_tokens=1, statistics=read_statistics(str(tmp_path / "s.json")))
    for name, value, share in scaled.action:
        assert value == pytest.approx(share if name == "gripper" else 5 * (share + 1))
    assert scaled.facts == ("in the robot's units",)
    assert scaled.answer.startswith(f"x {scaled.action[0][1]:+.4f}  y ")


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"a": 1, "b": 2}', '{"q01": [1], "q99": [2]}', '{"q01": "abcdefg", "q99": [1,1,1,1,1,1,1]}'],
)
def test_statistics_that_are_none_are_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(UserError, match=r"^--statistics: .*s\.json can't be used: .*give 7 numbers") as caught:
        read_statistics(str(tmp_path / "s.json"))
    assert "\n" not in str(caught.value)


def test_a_chat_that_is_too_long_is_one_line() -> None:
    long = scene("caption", turns=(Turn(role="user", kind="qa", content="<image>\n" + "word " * 2000),))
    with pytest.raises(UserError, match=r"^FILE: the chat takes \d+ positions"):
        predict(small_magma(), small_processor(), long, max_new_tokens=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a video and a picture."""
    folder = tmp_path_factory.mktemp("predict")
    save_magma(small_magma(), small_processor(), folder / "run" / "export")
    write_scene(folder / "scene.mp4")
    Image.fromarray(picture((160, 120))).save(folder / "screen.png")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "task", "words"),
    [
        ("scene.mp4", "tom", FAST),
        ("scene.mp4", "som", ["text.bins=64", *FAST]),
        ("screen.png", "caption", []),
        ("screen.png", "click", ["--text", "open the settings", "proposer.name=grid"]),
        ("screen.png", "action", ["--text", "open the drawer"]),
    ],
)
def test_predict_ends_well_and_writes_a_picture_whatever_is_answered(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, task: str, words: list[str]
) -> None:
    out = tmp_path / "answer.png"
    asked = ["predict", str(folder / "run"), str(folder / file), "--task", task, *words]
    assert beam_runner.main([*asked, "--out", str(out), "--max-tokens", "12", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == str(out)
    assert ("can't be read" in printed[-2]) == (task in ("tom", "som", "click"))
    with Image.open(out) as drawn:
        assert drawn.width > 400


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere", "screen.png", "--task", "som"], "MODEL: nowhere: nowhere does not exist"),
        (["run", "screen.png", "--task", "tom"], "is a picture, in which nothing moves"),
        (["run", "screen.png", "--task", "click"], "--text: is missing"),
        (["run", "screen.png", "--task", "action", "--text", "a", "--statistics", "no.json"], "--statistics: no.json"),
    ],
)
def test_mistakes_end_with_code_2_and_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    monkeypatch.chdir(folder)
    assert beam_runner.main(["predict", *words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
