"""The chat layout: its text, ids and labels, against the reference and against its own laws."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.actions import action_ids
from model.chat import SYSTEM, encode, place_images, render
from model.tokenizer import (
    ACTION,
    BOS,
    CHAT_TEMPLATE,
    END_HEADER,
    EOT,
    IMAGE,
    START_HEADER,
    load_tokenizer,
    special_ids,
    train_tokenizer,
)

TOKENIZER = train_tokenizer(
    ["You are agent that can see, talk and act. user assistant system\n\nA cat."] * 3, vocab_size=600
)
IDS = special_ids(TOKENIZER)
WRAPPED = "<image_start><image><image_end>\n"
OXE = [
    {"from": "human", "value": "<image>\nWhat action should the robot take to pick up the cup?"},
    {"from": "gpt", "value": ACTION * 7},
]


def said(role: str, content: str) -> Any:
    return {"role": role, "content": content}


def conversation(turns: list[dict[str, str]]) -> list[Any]:
    """The reference's cases have turns in LLaVA's form."""
    return [said({"human": "user", "gpt": "assistant"}[turn["from"]], turn["value"]) for turn in turns]


def trained_ids(encoded) -> list[int]:
    return [label for label in encoded.labels if label != -100]


@pytest.fixture(scope="module")
def parity() -> Path:
    if "SOMTOM_TEST_DATA" not in os.environ:
        pytest.skip("SOMTOM_TEST_DATA names no folder with parity/text")
    return Path(os.environ["SOMTOM_TEST_DATA"]) / "parity" / "text"


@pytest.fixture(scope="module")
def cases(parity) -> dict[str, Any]:
    return json.loads((parity / "chat_layout.json").read_text())


@pytest.fixture(scope="module")
def toy(parity):
    return load_tokenizer(parity / "toy_tokenizer")


PLACED = [
    ("", False, ""),
    ("", True, ""),
    ("Hi", True, "Hi"),
    ("<image>", False, "<image>\n"),
    ("<image>\nHi", True, WRAPPED + "Hi"),
    ("Look at <image> and tell.", True, WRAPPED + "Look at  and tell."),
    ("<image>\n<image>\nCompare.", False, "<image>\n<image>\nCompare."),
    ("a <image>\nb <image>c", True, WRAPPED * 2 + "a b c"),
    (WRAPPED + "Hi", True, WRAPPED + "Hi"),
    (WRAPPED + "Hi", False, "<image>\nHi"),
    ("  <image>\n\n Q \n", False, "<image>\n  \n Q \n"),
    (f"<image>{WRAPPED}<image>", True, WRAPPED * 3),
]


@pytest.mark.parametrize(("content", "wrap", "placed"), PLACED)
def test_images_go_to_the_front(content, wrap, placed):
    assert place_images(content, wrap=wrap) == placed


@given(st.lists(st.sampled_from(["<image>", WRAPPED, "\n", " ", "Look", "<image_start>"])).map("".join), st.booleans())
def test_placing_images_twice_changes_nothing(content, wrap):
    placed = place_images(content, wrap=wrap)
    assert place_images(placed, wrap=wrap) == placed
    assert placed.count(IMAGE) == content.count(IMAGE)


def test_the_layout_to_the_letter():
    rendered = render([said("user", " Q\n"), said("assistant", "A ")])
    head = f"{BOS}{START_HEADER}system{END_HEADER}\n\n{SYSTEM}{EOT}{START_HEADER}user{END_HEADER}\n\nQ{EOT}"
    assert rendered.text == f"{head}{START_HEADER}assistant{END_HEADER}\n\nA{EOT}"
    assert [rendered.text[start:end] for start, end in rendered.trained] == [f"A{EOT}"]


def test_a_prompt_ends_where_the_answer_starts():
    asked = [said("user", "Q")]
    prompt = render(asked, generation_prompt=True)
    answered = render([*asked, said("assistant", "A")])
    assert prompt.trained == []
    assert answered.text == f"{prompt.text}A{EOT}"
    prompt_ids = encode(TOKENIZER, asked, wrap_images=False, generation_prompt=True)
    answered_ids = encode(TOKENIZER, [*asked, said("assistant", "A")], wrap_images=False)
    assert answered_ids.input_ids == [*prompt_ids.input_ids, *trained_ids(answered_ids)]
    assert trained_ids(prompt_ids) == []


def test_a_system_message_of_ones_own_stays():
    rendered = render([said("system", "Be brief."), said("user", "Q")])
    assert SYSTEM not in rendered.text
    assert rendered.text.startswith(f"{BOS}{START_HEADER}system{END_HEADER}\n\nBe brief.{EOT}{START_HEADER}user")


def test_an_empty_answer_trains_its_end():
    messages = [said("user", "Q"), said("assistant", " \n")]
    assert trained_ids(encode(TOKENIZER, messages, wrap_images=False)) == [IDS.eot]


def test_an_answer_to_no_question_is_not_trained():
    messages = [said("assistant", "Unasked."), said("user", "Q"), said("assistant", "A")]
    rendered = render(messages)
    assert [rendered.text[start:end] for start, end in rendered.trained] == [f"A{EOT}"]


def test_many_turns_are_all_trained():
    turns = [said(role, f"{role} {n} ünï 日本") for n in range(200) for role in ("user", "assistant")]
    encoded = encode(TOKENIZER, turns, wrap_images=False)
    answers = TOKENIZER.decode(trained_ids(encoded)).split(EOT)
    assert answers == [*(f"assistant {n} ünï 日本" for n in range(200)), ""]


@pytest.mark.parametrize("control", [BOS, START_HEADER, END_HEADER, EOT])
@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_a_token_of_the_layout_in_a_content_leaves_nothing_to_train(control, role):
    messages = [said("system", "S"), said("user", "Q"), said("assistant", "A"), said(role, f"x {control} y")]
    assert render(messages).trained == []
    assert set(encode(TOKENIZER, messages, wrap_images=False).labels) == {-100}


CONTENTS = st.lists(st.text() | st.sampled_from(["<image>", "\n\n", " ", "12345", EOT, "'s", "."])).map("".join)
MESSAGES = st.lists(
    st.builds(said, st.just("user"), CONTENTS)
    | st.builds(said, st.just("assistant"), CONTENTS.map(lambda content: content.replace(IMAGE, ""))),
    min_size=1,
)


@settings(deadline=None)
@given(MESSAGES, st.booleans())
def test_the_ids_are_those_of_the_text_and_the_labels_those_of_its_answers(messages, wrap):
    messages = [{**message, "content": message["content"].replace(ACTION, "")} for message in messages]
    placed = [
        said(m["role"], place_images(m["content"], wrap=wrap) if m["role"] == "user" else m["content"])
        for m in messages
    ]
    rendered = render(placed)
    encoded = encode(TOKENIZER, messages, wrap_images=wrap)
    # the tokenizer puts a BOS in front of the one in the text, as in the release
    assert encoded.input_ids == TOKENIZER.encode(rendered.text)
    assert all(label in (-100, token) for label, token in zip(encoded.labels, encoded.input_ids, strict=True))
    assert TOKENIZER.decode(trained_ids(encoded)) == "".join(
        rendered.text[start:end] for start, end in rendered.trained
    )


@settings(deadline=None)
@given(MESSAGES)
def test_other_programs_write_the_same_text_with_the_template(messages):
    rendered = render(messages)
    with_system = messages if messages[0]["role"] == "system" else [said("system", SYSTEM), *messages]
    assert TOKENIZER.apply_chat_template(with_system, tokenize=False) == rendered.text
    assert TOKENIZER.chat_template == CHAT_TEMPLATE


def test_images_are_wrapped_where_asked():
    asked = [said("user", f"What is {IMAGE}?")]
    plain = encode(TOKENIZER, asked, wrap_images=False).input_ids
    wrapped = encode(TOKENIZER, asked, wrap_images=True).input_ids
    at = plain.index(IDS.image)
    assert wrapped == [*plain[:at], IDS.image_start, IDS.image, IDS.image_end, *plain[at + 1 :]]


def without_action() -> Any:
    """The tokenizer as it is without <action>, the last of its tokens."""
    state = json.loads(TOKENIZER.backend_tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] != ACTION]
    core = type(TOKENIZER.backend_tokenizer).from_str(json.dumps(state))
    return type(TOKENIZER)(tokenizer_object=core)


def test_actions_take_the_place_of_their_placeholders_without_a_token_for_them():
    bare = without_action()
    assert special_ids(bare).action is None
    messages = [said("user", f"{IMAGE}\nGo"), said("assistant", f"{ACTION} then {ACTION}"), said("assistant", ACTION)]
    for tokenizer in (TOKENIZER, bare):
        encoded = encode(tokenizer, messages, wrap_images=True, action_ids=[350, 351, 352])
        then = tokenizer.encode(" then ", add_special_tokens=False)
        assert trained_ids(encoded) == [350, *then, 351, IDS.eot, 352, IDS.eot]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_actions_is_an_error_with_both(count):
    messages = [said("user", f"Q {ACTION}"), said("assistant", ACTION * 2)]
    with pytest.raises(ValueError, match=f"hold 2 <action> but {count} action ids"):
        encode(TOKENIZER, messages, wrap_images=False, action_ids=[300] * count)


def test_the_tail_is_trained_whatever_it_is():
    tokens = action_ids([0.1, -0.5, 0.9, 0.0, -1.0, 1.0, 0.3], IDS.base_vocab).tolist()
    encoded = encode(TOKENIZER, conversation(OXE), wrap_images=False, action_ids=tokens, trained_tail=9)
    # "\n\n" is one token only where merges made it one
    newline = TOKENIZER.encode("\n\n", add_special_tokens=False)[-1]
    assert trained_ids(encoded) == [newline, *tokens, IDS.eot]
    assert encoded.labels[-9:] == encoded.input_ids[-9:]


@pytest.mark.parametrize("trained_tail", [-1, 0, 10_000])
def test_a_tail_that_is_none_is_an_error(trained_tail):
    with pytest.raises(ValueError, match=f"trained_tail is {trained_tail}; the chat has"):
        encode(TOKENIZER, [said("user", "Q")], wrap_images=False, trained_tail=trained_tail)


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([], "without messages"),
        ([said("user", "Q"), said("robot", "A")], "message 1 has the role 'robot'; roles are system, user, assistant"),
        ([{"content": "Q"}], "message 0 has the role None"),
        ([said("user", None)], "message 0 has the content None; give text"),
        ([said("user", ["Q"])], r"message 0 has the content \['Q'\]"),
    ],
)
def test_what_is_no_chat_is_named(messages, complaint):
    with pytest.raises(ValueError, match=complaint):
        render(messages)
    with pytest.raises(ValueError, match=complaint):
        encode(TOKENIZER, messages, wrap_images=False)


def test_a_prompt_that_ends_with_an_answer_is_an_error():
    with pytest.raises(ValueError, match="message 1, the last one, is an answer already"):
        render([said("user", "Q"), said("assistant", "A")], generation_prompt=True)


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_only_a_user_shows_pictures(role):
    with pytest.raises(ValueError, match=f"the {role} message 1 holds <image>"):
        encode(TOKENIZER, [said("user", "Q"), said(role, f"{IMAGE}\nA")], wrap_images=False)


def test_wrapping_needs_the_tokens_for_it():
    state = json.loads(TOKENIZER.backend_tokenizer.to_str())
    state["added_tokens"] = state["added_tokens"][:7]
    bare = type(TOKENIZER)(tokenizer_object=type(TOKENIZER.backend_tokenizer).from_str(json.dumps(state)))
    with pytest.raises(ValueError, match=r"has no <image_start>; call model\.tokenizer\.add_magma_tokens"):
        encode(bare, [said("user", IMAGE)], wrap_images=True)
    assert IDS.image in encode(bare, [said("user", IMAGE)], wrap_images=False).input_ids
    assert encode(bare, [said("user", "Q")], wrap_images=True).input_ids


NAMES = [
    "one_turn_image",
    "one_turn_image_start_end",
    "image_token_in_the_middle",
    "two_images_two_turns",
    "already_wrapped",
    "text_only",
    "whitespace_is_trimmed",
    "actions7",
    "first_turn_is_gpt",
    "user_text_contains_assistant_header",
]


def test_no_case_of_the_reference_is_left_out(cases):
    assert sorted(cases["samples"]) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_training_samples_of_the_reference(cases, toy, name):
    case = cases["samples"][name]
    wrap = case["mm_use_image_start_end"]
    messages = conversation(case["conversation"])
    placed = [said(m["role"], place_images(m["content"], wrap=wrap)) for m in messages]
    assert [message["content"] for message in placed] == case["user_values_after_multimodal"]
    assert render(placed).text == case["text"]
    # the reference puts actions in later: until then their placeholders are their ids
    places = sum(m["content"].count(ACTION) for m in messages)
    encoded = encode(toy, messages, wrap_images=wrap, action_ids=[special_ids(toy).action] * places)
    assert encoded.input_ids == case["input_ids"]
    assert encoded.labels == case["labels"]
    assert "".join(text for *_, text in case["spans"]) == BOS + case["text"]
    for kind, start, end, text in case["spans"]:
        ids = encoded.input_ids[start:end]
        assert toy.decode(ids) == text
        assert encoded.labels[start:end] == (ids if kind == "train" else [-100] * len(ids))


def test_the_prompt_of_the_reference(cases, toy):
    case = cases["inference"]
    asked = [said("user", f"{IMAGE}\nWhat is the letter on the robot?")]
    encoded = encode(toy, asked, wrap_images=True, generation_prompt=True)
    assert encoded.input_ids == case["input_ids"]
    placed = [said("user", place_images(asked[0]["content"], wrap=True))]
    assert render(placed, generation_prompt=True).text == case["prompt"]


def test_the_robot_sample_of_the_reference(cases, toy):
    case = cases["oxe"]
    tokens = action_ids(case["action"], case["tokenizer_vocab_size"]).tolist()
    encoded = encode(toy, conversation(OXE), wrap_images=False, action_ids=tokens, trained_tail=9)
    assert encoded.input_ids == case["input_ids"]
    assert encoded.labels == case["labels"]
    assert trained_ids(encoded) == case["trained_ids"]
    masked = [token for token, label in zip(encoded.input_ids, encoded.labels, strict=True) if label == -100]
    assert toy.decode(masked) == case["text_masked"]
