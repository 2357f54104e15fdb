"""Chats in the layout of LLaMA-3-Instruct as the released model was trained on them: text, ids and labels.

    BOS, then of every message: [start_header] role [end_header] blank line, the content without space around it, [eot]

The prompt for an answer ends with the assistant's header and its blank line. What is trained is each answer and its
[eot]. A text gets a BOS by this layout and one more by the release's tokenizer; all was trained so, so both stay.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal, TypedDict, get_args

from transformers import PreTrainedTokenizerFast

from model.actions import ACTION_BINS
from model.merge import IGNORED
from model.tokenizer import ACTION, BOS, END_HEADER, EOT, IMAGE, IMAGE_END, IMAGE_START, START_HEADER, special_ids

SYSTEM = "You are agent that can see, talk and act."

Role = Literal["system", "user", "assistant"]

_WRAPPED_IMAGE = f"{IMAGE_START}{IMAGE}{IMAGE_END}"
_IMAGE_LINE = re.compile(rf"(?:{_WRAPPED_IMAGE}|{IMAGE})\n?")
_CONTROL = re.compile("|".join(map(re.escape, (BOS, START_HEADER, END_HEADER, EOT))))


class Message(TypedDict):
    """What one side says; `<image>` in a user's content stands for a picture, `<action>` in an answer for an action."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A chat as text, and the character ranges (start, end) of it that are trained, in order."""

    text: str
    trained: list[tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A chat as ids and as many labels: the id itself where it is trained, -100 elsewhere."""

    input_ids: list[int]
    labels: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A stretch of a chat's text: an answer with its [eot], or all that is between two of them."""

    text: str
    answer: bool
    trained: bool


def place_images(content: str, *, wrap: bool) -> str:
    """`content` with its `<image>` placeholders at its front, a line each.

    `wrap` puts each between <image_start> and <image_end>; else such a pair is taken off. A placeholder leaves its
    place with the line end after it, if there is one, and nothing else: spaces stay. What is wrapped already counts as
    one, so doing it twice changes nothing.
    """
    count = len(_IMAGE_LINE.findall(content))
    line = f"{_WRAPPED_IMAGE if wrap else IMAGE}\n"
    return count * line + _IMAGE_LINE.sub("", content)


def render(
    messages: Sequence[Message], *, wrap_images: bool | None = None, generation_prompt: bool = False
) -> Rendered:
    """`messages` as text, after a system message where they start with none.

    `wrap_images`: images are placed as by `place_images`; None: placeholders stay as they are, those of actions always.
    An answer before any question is not trained. Neither is anything where a content holds a token of the layout
    itself: nobody can tell then who said what. ValueError names a message that is none.
    """
    _check(messages, generation_prompt)
    placed = messages if wrap_images is None else _placed(messages, wrap_images)
    pieces = _pieces(placed, generation_prompt)
    ends = accumulate((len(piece.text) for piece in pieces), initial=0)
    return Rendered(
        text="".join(piece.text for piece in pieces),
        trained=[span for piece, span in zip(pieces, pairwise(ends), strict=True) if piece.trained],
    )


def encode(
    tokenizer: PreTrainedTokenizerFast,
    messages: Sequence[Message],
    *,
    wrap_images: bool,
    generation_prompt: bool = False,
    action_ids: Sequence[int] = (),
    trained_tail: int | None = None,
) -> Encoded:
    """`messages` as ids and labels, images at the front of their turns and actions in place of their placeholders.

    `action_ids`: one for each `<action>` in the answers, in order, else ValueError; the tokenizer needs no such token.
    `trained_tail`: just so many ids at the end are trained, whatever they are; the release's robot data have 9, blank
    line (one token), 7 actions and [eot]. Everything else is as in `render`.
    """
    ids = special_ids(tokenizer)
    _check(messages, generation_prompt)
    placed = _placed(messages, wrap_images)
    if wrap_images and ids.image_start is None and any(IMAGE in message["content"] for message in placed):
        raise ValueError(f"the tokenizer has no {IMAGE_START}; call model.tokenizer.add_magma_tokens, or do not wrap")
    pieces = _pieces(placed, generation_prompt)
    places = sum(piece.text.count(ACTION) for piece in pieces if piece.answer)
    if places != len(action_ids):
        raise ValueError(
            f"the answers hold {places} {ACTION} but {len(action_ids)} action ids are given; give one for each"
        )
    strange = [one for one in action_ids if one != ids.action and not 0 < ids.base_vocab - one <= ACTION_BINS]
    if strange:
        raise ValueError(f"id {strange[0]} is no action; make action ids with model.actions.action_ids")
    input_ids, labels = [ids.bos], [IGNORED]
    actions = iter(action_ids)
    for piece in pieces:
        # Cut where a prompt ends, so that an answer has the ids it has when it is generated.
        piece_ids = list(_piece_ids(tokenizer, piece, actions))
        input_ids += piece_ids
        labels += piece_ids if piece.trained else [IGNORED] * len(piece_ids)
    if trained_tail is not None:
        labels = _tail_labels(input_ids, trained_tail)
    return Encoded(input_ids=input_ids, labels=labels)


def _check(messages: Sequence[Message], generation_prompt: bool) -> None:
    if not messages:
        raise ValueError("a chat without messages; give one at least")
    for number, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role not in get_args(Role):
            raise ValueError(f"message {number} has the role {role!r}; roles are {', '.join(get_args(Role))}")
        if not isinstance(content, str):
            raise ValueError(f"message {number} has the content {content!r}; give text")
    if generation_prompt and messages[-1]["role"] == "assistant":
        raise ValueError(
            f"message {len(messages) - 1}, the last one, is an answer already; a prompt ends with a question"
        )


def _placed(messages: Sequence[Message], wrap: bool) -> list[Message]:
    placed: list[Message] = []
    for number, message in enumerate(messages):
        role, content = message["role"], message["content"]
        if role == "user":
            content = place_images(content, wrap=wrap)
        elif IMAGE in content:
            raise ValueError(f"the {role} message {number} holds {IMAGE}; only a user shows pictures")
        placed.append({"role": role, "content": content})
    return placed


def _pieces(messages: Sequence[Message], generation_prompt: bool) -> list[_Piece]:
    if messages[0]["role"] != "system":
        messages = [{"role": "system", "content": SYSTEM}, *messages]
    clear = not any(_CONTROL.search(message["content"]) for message in messages)
    pieces = []
    between, asked = BOS, False
    for message in messages:
        role, said = message["role"], message["content"].strip() + EOT
        between += f"{START_HEADER}{role}{END_HEADER}\n\n"
        if role == "assistant":
            pieces.append(_Piece(text=between, answer=False, trained=False))
            pieces.append(_Piece(text=said, answer=True, trained=clear and asked))
            between = ""
        else:
            between += said
            asked = asked or role == "user"
    if generation_prompt:
        between += f"{START_HEADER}assistant{END_HEADER}\n\n"
    return [*pieces, _Piece(text=between, answer=False, trained=False)] if between else pieces


def _piece_ids(tokenizer: PreTrainedTokenizerFast, piece: _Piece, actions: Iterator[int]) -> Iterator[int]:
    parts = piece.text.split(ACTION) if piece.answer else [piece.text]
    for number, part in enumerate(parts):
        if number:
            yield next(actions)
        if part:
            yield from tokenizer.encode(part, add_special_tokens=False)


def _tail_labels(input_ids: list[int], trained_tail: int) -> list[int]:
    masked = len(input_ids) - trained_tail
    if trained_tail < 1 or masked < 1:
        raise ValueError(
            f"trained_tail is {trained_tail}; the chat has {len(input_ids)} ids, train fewer of them, but 1 at least"
        )
    return [IGNORED] * masked + input_ids[masked:]
