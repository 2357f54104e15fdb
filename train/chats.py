"""A stored sample as the chat that it is in one epoch: which questions, which marks, which pictures.

Everything random is drawn from the sample's key and the epoch, so a chat does not depend on who makes it, or when.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import get_args

import cv2
import numpy as np
import numpy.typing as npt

from model.chat import Message
from model.tokenizer import ACTION, IMAGE
from schemas.sample import ARRAYS_MEMBER, CLEAN_MEMBER, MARKED_MEMBER, Image, Sample, Turn, TurnKind
from schemas.training import DatasetConfig
from transforms.encoding import decode_arrays
from transforms.keys import rng_for
from transforms.prompts import without_marks
from transforms.redraw import RedrawSettings, redrawn

Pixels = npt.NDArray[np.uint8]

_END_OF_JPEG = b"\xff\xd9"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chat:
    """What the processor makes a training sample of; the pictures are RGB, one for each `<image>`, in order."""

    messages: list[Message]
    images: list[Pixels]
    action_ids: list[int]
    num_crops: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exchange:
    """The user's turns up to and with the next answer, and the images that they show."""

    turns: tuple[Turn, ...]
    images: tuple[Image, ...]

    @property
    def kind(self) -> TurnKind:
        return self.turns[-1].kind


def chat_of(
    sample: Sample,
    members: Mapping[str, bytes],
    config: DatasetConfig,
    *,
    seed: int,
    epoch: int,
    redraw: RedrawSettings | None,
) -> Chat | None:
    """The chat of a sample in an epoch of its dataset; None where no question is left of it.

    `redraw`: how marks are drawn, where they are to be drawn anew. ValueError (zipfile.BadZipFile for arrays) where
    members are missing or are not what they should be.
    """
    drawn: dict[str, Pixels] = {}
    if redraw is not None and _can_be_redrawn(sample, members):
        clean_HW3 = decode_image(members, CLEAN_MEMBER)
        rng = rng_for(seed, sample.key, f"marks {epoch}")
        sample, marked_HW3 = redrawn(sample, decode_arrays(members[ARRAYS_MEMBER]), clean_HW3, redraw, rng)
        drawn = {CLEAN_MEMBER: clean_HW3, MARKED_MEMBER: marked_HW3}
    rng = rng_for(seed, sample.key, f"turns {epoch}")
    exchanges = drop_exchanges(exchanges_of(sample), config.drop_turns, rng)
    if config.marks == "none":
        exchanges = unmarked(exchanges)
    if sample.turns and not exchanges:
        return None
    shown = [_member(image, config) for exchange in exchanges for image in exchange.images]
    for member in shown:
        if member not in drawn:
            drawn[member] = decode_image(members, member)
    turns = [turn for exchange in exchanges for turn in exchange.turns]
    acts = any(turn.role == "assistant" and ACTION in turn.content for turn in turns)
    return Chat(
        messages=[Message(role=turn.role, content=turn.content) for turn in turns],
        images=[drawn[member] for member in shown],
        action_ids=sample.action.tokens if acts else [],
        num_crops=config.max_crops or sample.max_crops,
    )


def exchanges_of(sample: Sample) -> list[Exchange]:
    """The turns of a sample cut after every answer; a question without one is the last."""
    exchanges: list[Exchange] = []
    images = iter(sample.images)
    turns: list[Turn] = []
    for number, turn in enumerate(sample.turns, start=1):
        turns.append(turn)
        if turn.role == "assistant" or number == len(sample.turns):
            shown = sum(one.content.count(IMAGE) for one in turns)
            exchanges.append(Exchange(turns=tuple(turns), images=tuple(islice(images, shown))))
            turns = []
    return exchanges


def drop_exchanges(
    exchanges: Sequence[Exchange], shares: Mapping[TurnKind, float], rng: np.random.Generator
) -> list[Exchange]:
    """Without the kinds that are left out this time, each with the likelihood of `shares`; never a part of an exchange.

    Where all would go, the last one stays whose kind does not always go. What is kept is never about an image that is
    not shown: images that went with the exchanges before one that has none of its own are shown with it.
    """
    # a draw for every kind, whatever is asked for: other shares of one kind change nothing about the others
    goes = {kind: luck < shares.get(kind, 0) for kind, luck in zip(get_args(TurnKind), rng.random(6), strict=True)}
    gone = [goes[exchange.kind] for exchange in exchanges]
    if all(gone):
        spared = [number for number, exchange in enumerate(exchanges) if shares[exchange.kind] < 1]
        for number in spared[-1:]:
            gone[number] = False
    return list(_with_their_images(exchanges, gone))


def _with_their_images(exchanges: Sequence[Exchange], gone: Sequence[bool]) -> Iterator[Exchange]:
    unseen: tuple[Image, ...] = ()
    for exchange, left_out in zip(exchanges, gone, strict=True):
        if left_out:
            unseen += exchange.images
            continue
        if unseen and not exchange.images:
            first, *rest = exchange.turns
            asked = first.model_copy(update={"content": f"{IMAGE}\n" * len(unseen) + first.content})
            exchange = Exchange(turns=(asked, *rest), images=unseen)
        unseen = ()
        yield exchange


def unmarked(exchanges: Sequence[Exchange]) -> list[Exchange]:
    """No text names a mark beside its coordinates any more; where an answer was nothing else, the exchange goes."""
    spoken = [
        replace(
            exchange,
            turns=tuple(turn.model_copy(update={"content": without_marks(turn.content)}) for turn in exchange.turns),
        )
        for exchange in exchanges
    ]
    return list(_with_their_images(spoken, [not exchange.turns[-1].content.strip() for exchange in spoken]))


def decode_image(members: Mapping[str, bytes], member: str) -> Pixels:
    """RGB uint8 [H, W, 3] of an image member; ValueError where it is not there, or not a whole JPEG."""
    if member not in members:
        cure = "; the dataset was made with output.clean=false, make it with true" if member == CLEAN_MEMBER else ""
        raise ValueError(f"the sample has no member {member}, only {', '.join(members)}{cure}")
    data = members[member]
    # the decoder makes the rest of an image that is cut off grey, without a word
    if not data.endswith(_END_OF_JPEG):
        raise ValueError(f"{member} is no whole JPEG: its end is missing")
    try:
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        image_HW3: Pixels | None = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    except cv2.error as error:
        raise ValueError(f"{member} can't be decoded: {error}") from error
    if image_HW3 is None:
        raise ValueError(f"{member} can't be decoded: it is no image")
    return image_HW3


def _can_be_redrawn(sample: Sample, members: Mapping[str, bytes]) -> bool:
    """Marks of other kinds than those on tracks stay as they are stored."""
    return ARRAYS_MEMBER in members and any(mark.track >= 0 for mark in sample.marks)


def _member(image: Image, config: DatasetConfig) -> str:
    unmarked = config.marks == "none" and image.role == "marked"
    return CLEAN_MEMBER if unmarked else image.member
