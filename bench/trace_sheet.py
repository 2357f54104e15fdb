"""Pictures of traces as a network tells them, beside the true ones.

Letters: H height, W width, K positions of a way, the mark's own place first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from model.answers import parse_traces
from schemas.flow import Float
from schemas.sample import MARKED_MEMBER, TurnKind
from train.chats import Chat, Exchange, Pixels, exchanges_of
from train.evaluate import Item
from transforms.drawing import draw_traces
from transforms.traces import from_bins

_CAPTION_H = 20
_MARGIN = 8
_PAPER = (255, 255, 255)
_INK = (40, 40, 40)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ways:
    """A marked picture, and the ways xy_K2 in its pixels of marks as they were told and as they are."""

    image_HW3: Pixels
    told: Mapping[int, Float]
    true: Mapping[int, Float]


def last_question(item: Item) -> Chat:
    """The chat up to the last question of a stored sample; the answers before it are the stored ones."""
    return question_after(item, exchanges_of(item.sample))


def question_after(item: Item, exchanges: Sequence[Exchange]) -> Chat:
    """The chat of some exchanges of a stored sample, up to the question of the last one."""
    turns = [turn for exchange in exchanges for turn in exchange.turns]
    return Chat(
        messages=[{"role": turn.role, "content": turn.content} for turn in turns[:-1]],
        images=[item.images[image.member] for exchange in exchanges for image in exchange.images],
        action_ids=[],
        num_crops=item.sample.max_crops,
    )


def ways_of(item: Item, answer: str, bins: int) -> Ways:
    """What an answer to the question about traces tells, and the stored answer, both read from text."""
    image_HW3 = item.images[MARKED_MEMBER]
    size_wh = (image_HW3.shape[1], image_HW3.shape[0])
    told, true = (_ways(text, size_wh, bins) for text in (answer, stored_answer(item, "tom")))
    return Ways(image_HW3=image_HW3, told=told, true=true)


def stored_answer(item: Item, kind: TurnKind) -> str:
    """The last one of a kind."""
    return next(turn.content for turn in reversed(item.sample.turns) if turn.kind == kind)


def _ways(text: str, size_wh: tuple[int, int], bins: int) -> dict[int, Float]:
    return {
        mark: from_bins([trace.start, *trace.future], size_wh, bins)
        for mark, trace in parse_traces(text).items()
        if trace.start and trace.future
    }


def trace_sheet(shown: Sequence[Ways], *, columns: int, width: int) -> Image.Image:
    """Pairs of pictures, each `width` pixels wide: what was told, what is true. Those of a mark share a colour."""
    pairs = [_pair(ways, width) for ways in shown]
    pair_w, pair_h = pairs[0].width + _MARGIN, max(pair.height for pair in pairs) + _MARGIN
    rows = -(-len(pairs) // columns)
    sheet = Image.new("RGB", (columns * pair_w + _MARGIN, rows * pair_h + _CAPTION_H), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for column in range(columns):
        for half, caption in enumerate(("predicted", "true")):
            left = _MARGIN + column * pair_w + half * (width + 2)
            draw.text((left, 4), caption, fill=_INK, font=ImageFont.load_default(13))
    for place, pair in enumerate(pairs):
        row, column = divmod(place, columns)
        sheet.paste(pair, (_MARGIN + column * pair_w, _CAPTION_H + row * pair_h))
    return sheet


def _pair(ways: Ways, width: int) -> Image.Image:
    scale = width / ways.image_HW3.shape[1]
    height = round(scale * ways.image_HW3.shape[0])
    shrinks = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    bare_HW3 = np.asarray(cv2.resize(ways.image_HW3, (width, height), interpolation=shrinks))
    marks = ways.told.keys() | ways.true.keys()
    pair = Image.new("RGB", (2 * width + 2, height), _PAPER)
    for half, one in enumerate((ways.told, ways.true)):
        drawn_HW3 = draw_traces(bare_HW3, list(_traces(one, marks, scale)))
        pair.paste(Image.fromarray(drawn_HW3), (half * (width + 2), 0))
    return pair


def _traces(ways: Mapping[int, Float], marks: Iterable[int], scale: float) -> list[tuple[int, Float, np.ndarray]]:
    """One for each mark, empty where it has no way: colours go by the marks that are drawn together."""
    scaled = {mark: ways[mark] * scale if mark in ways else np.empty((0, 2)) for mark in sorted(marks)}
    return [(mark, way_K2, np.ones(len(way_K2), np.bool_)) for mark, way_K2 in scaled.items()]
