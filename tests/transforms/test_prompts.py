"""Questions, answers to the letter, and narrations made clean."""

from importlib.resources import files

import pytest
import yaml

from transforms.prompts import (
    clean_narration,
    parse_som_answer,
    parse_templates,
    parse_tom_answer,
    question,
    som_answer,
    tom_answer,
    without_marks,
)

MAPPING = {
    "semantic": "What?",
    "som": "Grid {bins}, marks {marks}: where?",
    "tom": "{text} | {marks} {bins} {steps}",
    "tom_without_text": "{marks} {bins} {steps}",
    "tom_with_speed": "{text} | {marks} {bins} {steps} {speed}",
    "tom_with_speed_without_text": "{marks} {bins} {steps} {speed}",
}
TEMPLATES = parse_templates(MAPPING)
TOM_TEXT = (
    "Mark 1 at [93,93], Mark 12 at [0,255] should be moved, and their future positions are:\n\n"
    '"Mark 1": "[[96,92],[98,91]]"\n\n'
    '"Mark 12": "[[3,250]]"\n\n'
)
TOM = {1: [(93, 93), (96, 92), (98, 91)], 12: [(0, 255), (3, 250)]}
SOM_TEXT = "Mark 1 at [93,93]. Mark 2 at [0,255]. Mark 10 at [7,8]\n"
SOM = {1: (93, 93), 2: (0, 255), 10: (7, 8)}


def test_tom_answer_to_the_letter():
    assert tom_answer({12: TOM[12], 1: TOM[1]}) == TOM_TEXT


def test_som_answer_to_the_letter():
    assert som_answer({10: SOM[10], 1: SOM[1], 2: SOM[2]}) == SOM_TEXT
    assert som_answer({3: (1, 2)}) == "Mark 3 at [1,2]\n"


@pytest.mark.parametrize("positions", [TOM, {1: [(1, 2)]}, {5: [(0, 0), (1, 1)], 6: [(2, 2)]}])
def test_a_tom_answer_reads_back(positions):
    assert parse_tom_answer(tom_answer(positions)) == positions


@pytest.mark.parametrize("positions", [SOM, {0: (0, 0)}])
def test_a_som_answer_reads_back(positions):
    assert parse_som_answer(som_answer(positions)) == positions


def test_space_around_an_answer_is_let_pass():
    assert parse_tom_answer(TOM_TEXT.strip()) == TOM
    assert parse_som_answer(f" {SOM_TEXT.strip()}") == SOM


@pytest.mark.parametrize("positions", [{}, {1: []}])
def test_an_answer_without_positions_is_an_error(positions):
    with pytest.raises(ValueError, match="at least one mark"):
        tom_answer(positions)


def test_a_som_answer_without_marks_is_an_error():
    with pytest.raises(ValueError, match="at least one mark"):
        som_answer({})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Mark 1 at [1,2]",
        SOM_TEXT,
        TOM_TEXT.replace("[0,255]", "[0, 255]"),
        TOM_TEXT.replace("[0,255]", "[0,-1]"),
        TOM_TEXT.replace('"Mark 12"', '"Mark 13"'),
        TOM_TEXT.replace('"Mark 12"', '"Mark 1"'),
        TOM_TEXT.replace("Mark 12 at", "Mark 1 at"),
        TOM_TEXT[:-6],
        TOM_TEXT + "x",
    ],
)
def test_a_malformed_tom_answer_is_an_error(text):
    with pytest.raises(ValueError, match=r"ToM answer|twice"):
        parse_tom_answer(text)


@pytest.mark.parametrize(
    "text", ["", "Mark 1 at [1,2],", "Mark 1 at [1,2]. Mark 1 at [3,4]\n", "Mark one at [1,2]\n", TOM_TEXT]
)
def test_a_malformed_som_answer_is_an_error(text):
    with pytest.raises(ValueError, match=r"SoM answer|twice"):
        parse_som_answer(text)


@pytest.mark.parametrize(
    ("kind", "text", "speed", "asked"),
    [
        ("semantic", "a", None, "What?"),
        ("som", "a", None, "Grid 256, marks [1, 2, 3]: where?"),
        ("tom", "a", None, "a | [1, 2, 3] 256 5"),
        ("tom", "", None, "[1, 2, 3] 256 5"),
        ("tom", "a", 0, "a | [1, 2, 3] 256 5 0"),
        ("tom", "", 4, "[1, 2, 3] 256 5 4"),
    ],
)
def test_questions(kind, text, speed, asked):
    assert question(TEMPLATES, kind, bins=256, marks=[1, 2, 3], text=text, steps=5, speed=speed) == asked


@pytest.mark.parametrize("text", ["{bins} {x} {0}", "a } b {", r"\g<0> \1", "{{steps}}"])
def test_what_a_narration_holds_is_never_a_placeholder(text):
    asked = question(TEMPLATES, "tom", bins=256, marks=[1], text=text, steps=5, speed=None)
    assert asked == f"{text} | [1] 256 5"


def test_other_braces_of_a_template_are_plain_text():
    templates = parse_templates(MAPPING | {"som": 'Answer as {"mark": [x, y]}: {marks} {}'})
    asked = question(templates, "som", bins=9, marks=[1], text="", steps=0, speed=None)
    assert asked == 'Answer as {"mark": [x, y]}: [1] {}'


def test_an_unknown_kind_is_an_error():
    with pytest.raises(ValueError, match="semantic, som, tom"):
        question(TEMPLATES, "video", bins=9, marks=[1], text="", steps=0, speed=None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"som": "{mark}"}, ["'som'", "{mark}", "{bins} {marks}"]),
        ({"semantic": "{text}"}, ["'semantic'", "{text}", "no placeholders"]),
        ({"tom_without_text": "{text} {steps}"}, ["'tom_without_text'", "{text}"]),
        ({"tom": "{steps}"}, ["'tom'", "lacks", "{text}"]),
        ({"tom_with_speed": "{text} {steps}"}, ["'tom_with_speed'", "lacks", "{speed}"]),
        ({"som": None}, ["'som'", "missing", "{bins} {marks}"]),
        ({"som": ["a"]}, ["'som'", "text"]),
        ({"som": " "}, ["'som'", "text"]),
        ({"som": "<image> where?"}, ["'som'", "<image>", "leave it out"]),
        ({"sum": "a"}, ["'sum'", "semantic, som, tom"]),
    ],
)
def test_a_bad_template_is_named_with_its_cure(change, words):
    with pytest.raises(ValueError) as caught:
        parse_templates(MAPPING | change)
    assert all(word in str(caught.value) for word in words)


def test_the_built_in_templates_are_good_and_use_what_they_know():
    templates = parse_templates(yaml.safe_load(files("pipelines.configs").joinpath("prompts.yaml").read_text()))
    for text, speed in [("cut it", None), ("cut it", 3), ("", None), ("", 3)]:
        asked = question(templates, "tom", bins=256, marks=[1, 2], text=text, steps=5, speed=speed)
        assert all(word in asked for word in ["256", "[1, 2]", "next 5 steps, evenly spaced in time", text])
        assert "None" not in asked
        assert asked == asked.strip()


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("", ""),
        (" \n", ""),
        ("pick it up", "pick it up"),
        ("you take your cup", "the person take the person's cup"),
        ("You take Your cup", "The person take The person's cup"),
        ("YOU TAKE YOUR CUP", "THE PERSON TAKE THE PERSON'S CUP"),
        ("the young man, youth, bayou, yourt", "the young man, youth, bayou, yourt"),
        ("a thank-you note", "a thank-you note"),
        ("is it yours, you?", "is it the person's, the person?"),
        ("you're cutting; You’ve cut; you'll cut", "the person is cutting; The person has cut; the person will cut"),
        ("you are here and you were there", "the person is here and the person was there"),
        ("wash yourself", "wash themselves"),
        ("The camera wearer looks", "The person looks"),
        ("Camera wearer's hand", "Person's hand"),
        ("push the cup (3) to the plate (Mark 2).", "push the cup to the plate."),
        ("(3) and (marks 1, 2 and 3) and (mark 4 and mark 5)", "and and"),
        ("in (2023) at (a) place (3 cups)", "in (2023) at (a) place (3 cups)"),
        ("a  b\tc\nd ", "a b c d"),
        ("look <image> here", "look here"),
        ("{text} 100 %", "{text} 100 %"),
    ],
)
def test_narrations_are_made_clean(text, clean):
    assert clean_narration(text) == clean
    assert clean_narration(clean) == clean


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Coordinate: (0.12, 0.34). Mark: 7.", "Coordinate: (0.12, 0.34)."),
        (
            "Coordinate: (0.1, 0.2). Mark: 0. Coordinate: (0.3, 0.4). Mark: 12.",
            "Coordinate: (0.1, 0.2). Coordinate: (0.3, 0.4).",
        ),
        ("What text is at (0.5, 0.25) (Mark 3)?", "What text is at (0.5, 0.25)?"),
        ("Mark: 4.", ""),
        ("Text: Bookmark: 3 saved. mark: 3", "Text: Bookmark: 3 saved."),
        ("Put the marker down.", "Put the marker down."),
    ],
)
def test_coordinates_are_told_without_their_marks(text: str, left: str) -> None:
    assert without_marks(text) == left
