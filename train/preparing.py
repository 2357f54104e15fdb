"""What a worker does with a sample: reads it, makes its chat, and makes of that what the network reads."""

import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from model.processor import MagmaProcessor, TooLongError
from schemas.errors import UserError
from schemas.sample import ANNOTATION_MEMBER, Sample
from schemas.training import TrainConfig
from train.chats import Chat, chat_of
from train.mixture import Draw
from train.packing import Prepared
from train.reading import place, read_sample
from transforms.encoding import decode_sample
from transforms.redraw import RedrawSettings

BAD = (OSError, ValueError, zipfile.BadZipFile)
"""what bad bytes raise on their way to a sample (pydantic's errors are ValueErrors); all else is a bug"""

Reason = Literal["unreadable", "invalid", "too_long"]

_ENOUGH = 100
"""samples of which a share says something"""
_EXAMPLES = 3
_ERROR_LENGTH = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A sample that can't be used: `key`, or its place where that could not be read; `dataset` of the mixture.

    unreadable: its bytes are not to be had, or not those of one sample; invalid: they don't hold what they should.
    """

    key: str
    dataset: int
    reason: Reason
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOver:
    """A sample of which `drop_turns` leaves nothing."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Settings:
    """What it takes to prepare any sample of a mixture. `redraw`: of each dataset; None: its marks are as stored."""

    config: TrainConfig
    processor: MagmaProcessor
    redraw: tuple[RedrawSettings | None, ...]


def prepare(draw: Draw, settings: Settings) -> Prepared | Bad | PassedOver:
    """A sample of the mixture, ready for the network. Bad bytes are a value; what is raised is a bug."""
    where = place(draw.uri, draw.offset, draw.size)
    try:
        where, members = read_sample(draw.uri, draw.offset, draw.size)
    except BAD as error:
        return _bad(where, draw, "unreadable", error)
    try:
        sample, chat = understand(members, draw, settings)
        return PassedOver(key=sample.key) if chat is None else _prepared(sample, chat, settings)
    except TooLongError as error:
        return _bad(where, draw, "too_long", error)
    except BAD as error:
        return _bad(where, draw, "invalid", error)


def understand(members: dict[str, bytes], draw: Draw, settings: Settings) -> tuple[Sample, Chat | None]:
    """The annotation of a sample, and its chat with the pictures decoded; errors as those of `chat_of`."""
    if ANNOTATION_MEMBER not in members:
        raise ValueError(f"the sample has no member {ANNOTATION_MEMBER}, only {', '.join(members)}")
    sample = decode_sample(members[ANNOTATION_MEMBER])
    config = settings.config
    chat = chat_of(
        sample,
        members,
        config.data.mixture[draw.dataset],
        seed=config.seed,
        epoch=draw.epoch,
        redraw=settings.redraw[draw.dataset],
    )
    return sample, chat


def check_bad(n_bad: int, n_read: int, examples: Sequence[Bad], limit: float, enough: int = _ENOUGH) -> None:
    """UserError where more than `limit` of the samples read so far are bad, once `enough` have been read.

    `examples`: some of the bad ones, or all; reasons are counted among them.
    """
    if n_read < enough or n_bad <= limit * n_read:
        return
    reasons = Counter(bad.reason for bad in examples)
    raise UserError(
        f"data.max_bad_share: {n_bad} of {n_read} samples are bad, more than {limit:g} of them ("
        + ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        + "): "
        + "; ".join(f"{bad.key}: {bad.error}" for bad in examples[:_EXAMPLES])
        + "; mend the data (`somtom lint` finds what is damaged), or allow for more"
    )


def _prepared(sample: Sample, chat: Chat, settings: Settings) -> Prepared:
    config = settings.config
    made = settings.processor.supervised(
        chat.messages,
        chat.images,
        action_ids=chat.action_ids,
        num_crops=chat.num_crops,
        max_length=config.data.max_length,
    )
    return Prepared(
        key=sample.key,
        dataset=sample.source.dataset,
        task=sample.tasks[0] if sample.tasks else "",
        source=f"{sample.source.dataset} {sample.source.uri}",
        sample=replace(made, pixel_values=made.pixel_values.to(getattr(torch, config.model.compute))),
    )


def _bad(key: str, draw: Draw, reason: Reason, error: Exception) -> Bad:
    told = " ".join(str(error).split())[:_ERROR_LENGTH]
    return Bad(key=key, dataset=draw.dataset, reason=reason, error=told or type(error).__name__)
