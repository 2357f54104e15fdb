"""Chats: which questions are left out, that no text is about an image not shown, and which pictures are shown."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from schemas.sample import Image, Turn
from schemas.training import DatasetConfig
from tests import fixtures
from tests.train.data import conversation, image
from train import chats
from train.chats import chat_of, decode_image, drop_exchanges, exchanges_of

CLEAN, MARKED = image("clean.jpg", "clean"), image("jpg")
NARRATED = conversation(("semantic", "<image>\nWhat?"), ("tom", "<image>\nWhere to?"), images=[CLEAN, MARKED])
ONE_IMAGE = conversation(("semantic", "<image>\nWhat?"), ("tom", "Where to?"), images=[MARKED])


def chat(made, *, epoch: int = 0, seed: int = 0, redraw=None, **fields):
    members = dict(fixtures.encoded(made).members)
    config = DatasetConfig(path="out", **fields)
    return chat_of(made.sample, members, config, seed=seed, epoch=epoch, redraw=redraw)


def shown(made, **fields) -> tuple[str, int]:
    """The questions, and the number of pictures."""
    found = chat(made, **fields)
    asked = "|".join(message["content"] for message in found.messages if message["role"] == "user")
    assert asked.count("<image>") == len(found.images)
    return asked, len(found.images)


def test_a_sample_is_its_turns_and_its_pictures_in_order() -> None:
    found = chat(NARRATED)
    assert [message["role"] for message in found.messages] == ["user", "assistant"] * 2
    assert [message["content"] for message in found.messages] == [turn.content for turn in NARRATED.sample.turns]
    for picture, member in zip(found.images, ("clean.jpg", "jpg"), strict=True):
        assert picture.dtype == np.uint8
        assert np.abs(picture.astype(int) - NARRATED.images[member]).mean() < 6


def test_a_picture_that_is_shown_twice_is_decoded_once(monkeypatch) -> None:
    decoded = []
    real = chats.decode_image
    monkeypatch.setattr(chats, "decode_image", lambda members, name: decoded.append(name) or real(members, name))
    found = chat(fixtures.multi_image(1))
    assert len(found.images) == 4
    assert decoded == ["clean.jpg", "jpg", "img01.jpg"]


def test_pictures_of_questions_left_out_are_not_decoded(monkeypatch) -> None:
    decoded = []
    real = chats.decode_image
    monkeypatch.setattr(chats, "decode_image", lambda members, name: decoded.append(name) or real(members, name))
    chat(NARRATED, drop_turns={"tom": 1})
    assert decoded == ["clean.jpg"]


@pytest.mark.parametrize(
    ("made", "drop", "want"),
    [
        (NARRATED, {"tom": 1}, ("<image>\nWhat?", 1)),
        (NARRATED, {"semantic": 1}, ("<image>\nWhere to?", 1)),
        (ONE_IMAGE, {"tom": 1}, ("<image>\nWhat?", 1)),
        (ONE_IMAGE, {"semantic": 1}, ("<image>\nWhere to?", 1)),
        (ONE_IMAGE, {"som": 1}, ("<image>\nWhat?|Where to?", 1)),
    ],
)
def test_a_question_goes_with_its_answer_and_its_image_but_none_is_asked_blindly(made, drop, want) -> None:
    assert shown(made, drop_turns=drop) == want


def test_all_images_that_went_before_a_question_without_one_are_shown_with_it() -> None:
    made = conversation(
        ("semantic", "<image>What?"), ("tom", "<image>Where to?"), ("qa", "Why?"), ("qa", "So?"), images=[CLEAN, MARKED]
    )
    assert shown(made, drop_turns={"semantic": 1, "tom": 1}) == ("<image>\n<image>\nWhy?|So?", 2)
    # here one that is about the clean image is shown: nothing moves
    assert shown(made, drop_turns={"tom": 1}) == ("<image>What?|<image>\nWhy?|So?", 2)


def test_turns_are_cut_after_answers() -> None:
    sample = fixtures.chat(0).sample
    turns = [sample.turns[0], *sample.turns, sample.turns[2]]
    images = [sample.images[0], sample.images[0]]
    cut = exchanges_of(sample.model_copy(update={"turns": turns, "images": images}))
    assert [[turn.role for turn in one.turns] for one in cut] == [
        ["user", "user", "assistant"],
        ["user", "assistant"],
        ["user"],
    ]
    assert [len(one.images) for one in cut] == [2, 0, 0]


def test_a_share_of_one_leaves_nothing_of_a_sample_that_has_nothing_else() -> None:
    assert chat(fixtures.video_tom(1), drop_turns={"tom": 1, "som": 1}) is None
    assert chat(fixtures.video_tom(1), drop_turns={"tom": 1, "semantic": 0.5}) is None


def test_below_one_the_last_question_stays() -> None:
    kept = Counter(shown(NARRATED, epoch=epoch, drop_turns={"tom": 0.999, "semantic": 0.999}) for epoch in range(50))
    assert set(kept) <= {("<image>\nWhat?", 1), ("<image>\nWhere to?", 1)}
    assert shown(fixtures.video_tom(1), drop_turns={"tom": 0.999})[1] == 1
    # the kind that always goes is not the one that is spared
    kept = Counter(shown(NARRATED, epoch=epoch, drop_turns={"tom": 1, "semantic": 0.999}) for epoch in range(20))
    assert set(kept) == {("<image>\nWhat?", 1)}


def test_a_fifth_is_semantic_only_as_in_the_paper() -> None:
    exchanges = exchanges_of(NARRATED.sample)
    rng = np.random.default_rng(0)
    n = 4000
    found = Counter(
        tuple(one.kind for one in drop_exchanges(exchanges, {"som": 0.2, "tom": 0.2}, rng)) for _ in range(n)
    )
    assert set(found) == {("semantic",), ("semantic", "tom")}
    assert abs(found[("semantic",)] / n - 0.2) < 0.02


def test_what_is_left_out_is_of_the_key_the_seed_and_the_epoch_alone() -> None:
    def asked(seed: int, drop: dict) -> list[str]:
        return [shown(NARRATED, epoch=epoch, seed=seed, drop_turns=drop)[0] for epoch in range(40)]

    assert asked(0, {"tom": 0.5}) == asked(0, {"tom": 0.5})
    assert len(set(asked(0, {"tom": 0.5}))) == 2
    assert asked(0, {"tom": 0.5}) != asked(1, {"tom": 0.5})
    # other kinds' shares change nothing
    assert asked(0, {"tom": 0.5}) == asked(0, {"som": 0.3, "qa": 0.9, "tom": 0.5})


def test_without_marks_the_clean_image_stands_in_for_the_marked_one() -> None:
    found = chat(NARRATED, marks="none")
    np.testing.assert_array_equal(found.images[0], found.images[1])
    np.testing.assert_array_equal(found.images[1], chat(NARRATED).images[0])


def test_without_marks_no_text_names_one_and_what_says_nothing_else_goes() -> None:
    said = ("Coordinate: (0.12, 0.34). Mark: 7.", "Mark: 7.", "Search box")
    asked = ("<image>\nWhere is it?", "Which mark is it?", "What is at (0.5, 0.2) (Mark 7)?")
    turns = [
        Turn(role=role, kind="grounding", content=content)
        for pair in zip(asked, said, strict=True)
        for role, content in zip(("user", "assistant"), pair, strict=True)
    ]
    made = conversation(("grounding", "<image>\nWhere?"), images=[MARKED])
    made = replace(made, sample=made.sample.model_copy(update={"turns": turns}))
    assert [message["content"] for message in chat(made, marks="none").messages] == [
        "<image>\nWhere is it?",
        "Coordinate: (0.12, 0.34).",
        "What is at (0.5, 0.2)?",
        "Search box",
    ]
    assert len(chat(made).messages) == 6
    only = replace(
        made, images={}, sample=made.sample.model_copy(update={"turns": turns[2:4], "images": [], "marks": []})
    )
    assert chat(only, marks="none") is None


def test_without_marks_a_dataset_without_clean_images_is_told() -> None:
    bare = replace(fixtures.video_tom(1), images={"jpg": fixtures.picture(1)})
    with pytest.raises(ValueError, match=r"no member clean.jpg, only json, jpg, npz.*output.clean=false"):
        chat(bare, marks="none")


def test_redrawn_marks_bring_their_image_and_their_text(monkeypatch) -> None:
    drawn_HW3 = np.full((fixtures.HEIGHT, fixtures.WIDTH, 3), 7, np.uint8)

    def redrawn(sample, arrays, clean_HW3, settings, rng):
        assert settings == "settings" and "tracks_xy_TN2" in arrays
        assert np.abs(clean_HW3.astype(int) - fixtures.picture(1001)).mean() < 6
        turns = [sample.turns[0], sample.turns[1].model_copy(update={"content": f"new {rng.integers(10**9)}"})]
        return sample.model_copy(update={"turns": turns}), drawn_HW3

    monkeypatch.setattr(chats, "redrawn", redrawn)
    found = [chat(fixtures.video_tom(1), redraw="settings", epoch=epoch) for epoch in (0, 0, 1)]
    np.testing.assert_array_equal(found[0].images[0], drawn_HW3)
    answers = [one.messages[1]["content"] for one in found]
    assert answers[0] == answers[1] != answers[2]


def test_samples_without_tracks_keep_their_marks(monkeypatch) -> None:
    monkeypatch.setattr(chats, "redrawn", lambda *_: pytest.fail("not to be redrawn"))
    for make in (fixtures.ui, fixtures.chat, fixtures.text_only):
        given, stored = chat(make(1), redraw="settings"), chat(make(1))
        assert given.messages == stored.messages
        for one, other in zip(given.images, stored.images, strict=True):
            np.testing.assert_array_equal(one, other)


def test_actions_are_given_where_an_answer_has_a_place_for_them() -> None:
    tokens = fixtures.robot(1).sample.action.tokens
    assert chat(fixtures.robot(1)).action_ids == tokens
    assert chat(fixtures.robot(1), drop_turns={"action": 1}).action_ids == []


def test_tiles_are_those_of_the_sample_unless_the_config_has_a_number() -> None:
    assert chat(fixtures.multi_image(1)).num_crops == 4
    assert chat(fixtures.multi_image(1), max_crops=2).num_crops == 2


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda data: data[: len(data) // 2], "its end is missing"),
        (lambda data: b"", "its end is missing"),
        (lambda data: b"no image\xff\xd9", "can't be decoded"),
    ],
)
def test_a_damaged_picture_is_told(damage, told: str) -> None:
    members = dict(fixtures.encoded(fixtures.chat(1)).members)
    with pytest.raises(ValueError, match=f"jpg .*{told}"):
        decode_image({"jpg": damage(members["jpg"])}, "jpg")


def test_a_picture_that_is_not_there_is_told() -> None:
    missing = Image(member="img07.jpg", role="frame", width=1, height=1)
    made = fixtures.chat(1)
    sample = made.sample.model_copy(update={"images": [missing]})
    with pytest.raises(ValueError, match=r"no member img07.jpg, only json, jpg$"):
        chat_of(
            sample,
            dict(fixtures.encoded(made).members),
            DatasetConfig(path="out"),
            seed=0,
            epoch=0,
            redraw=None,
        )
