"""Regions of a bare screenshot: words by OCR, boxes and drawings by their edges, put together as people see them.

What a screen does not show has to be guessed: how far the row of a menu reaches, how much room is around an icon.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from schemas.flow import Picture, Proposer, Regions
from schemas.proposers import PixelsProposer
from transforms.boxes import Box, IntBox, grown, overlap, share_inside, whole
from transforms.controls import neighbours, role_of
from transforms.ocr import Line, Pixels, Reader, load_reader, read_lines
from transforms.paragraphs import Words, are_drawings, fit_lines, join_lines
from transforms.proposers.windows import make_regions
from transforms.rows import Item, find_items
from transforms.widgets import Parts, Widget, find_drawings, find_parts, find_photos, find_widgets

_ABSORBED = 0.8
"""share of a box of words inside another one (MAGMA.md 1.5)"""
_USUAL_EM = 0.015
"""of the picture's shorter side, where nothing is to be read"""
_EM_OF_LINE = 0.6
"""of the height of a box as the OCR finds it"""
_SMALL_ICON = 1.8
_ICON_ROOM = 0.6
"""that a drawing by itself is likely to have around it, of its larger side"""
_DRAWN_SCORE = 0.5
"""of what has no words that an OCR could be sure of"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Region:
    """One candidate; `role` is a word of schemas/roles.py."""

    box: Box
    score: float
    label: str
    role: str


def build_pixels(config: PixelsProposer) -> Proposer:
    """The proposer of bare screenshots; loads its networks once.

    Raises:
        UserError: what it needs is not installed.
    """
    return partial(propose_pixels, reader=load_reader(), min_text_score=config.min_text_score)


def propose_pixels(pictures: Sequence[Picture], *, reader: Reader, min_text_score: float) -> list[Regions]:
    """The regions of each picture; looks at nothing but its pixels."""
    return [regions_of(picture.image_HW3, reader, min_text_score) for picture in pictures]


def regions_of(image_HW3: Pixels, reader: Reader, min_text_score: float) -> Regions:
    """Buttons and fields, items of menus, paragraphs, links in them, icons and photos, in this order."""
    found = list(compose(image_HW3, read_lines(reader, image_HW3, min_score=min_text_score)))
    return make_regions(
        [region.box for region in found],
        [region.score for region in found],
        [region.label for region in found],
        [region.role for region in found],
    )


def compose(image_HW3: Pixels, lines: Sequence[Line]) -> Iterator[Region]:
    """What the words, boxes and drawings of a picture are together."""
    size_wh = (image_HW3.shape[1], image_HW3.shape[0])
    heights = [line.box_xyxy[3] - line.box_xyxy[1] for line in lines]
    em = _EM_OF_LINE * float(np.median(heights)) if lines else _USUAL_EM * min(size_wh)
    parts = find_parts(image_HW3)
    widgets = find_widgets(image_HW3, parts, em)
    words, glyphs = _without_glyphs(fit_lines(image_HW3, lines, [widget.box for widget in widgets]))
    ink = [whole(each.box_xyxy) for each in words]
    photos = find_photos(image_HW3, ink, em)
    drawings = find_drawings(image_HW3, parts, widgets, [*ink, *photos], em)
    drawings += [box for box in glyphs if not any(overlap(box, other) for other in [*drawings, *photos])]
    controls = list(_controls(widgets, words, drawings, photos, em))
    words = [each for each in words if not _is_inside(each.box_xyxy, controls)]
    drawings = [box for box in drawings if not _is_inside(box, controls)]
    items = [_item_region(item) for item in find_items(words, drawings, _panels(parts, words), size_wh)]
    rows = [item for item in items if item.role == "menuitem"]
    yield from (control for control in controls if not _is_inside(control.box, rows))
    yield from items
    yield from _texts([each for each in words if not _is_inside(each.box_xyxy, items)])
    for box in drawings:
        if not _is_inside(box, items):
            side = max(box[2] - box[0], box[3] - box[1])
            room = _ICON_ROOM * side if side < _SMALL_ICON * em else 0
            yield Region(box=grown(box, room, room, size_wh), score=_DRAWN_SCORE, label="", role="icon")
    for box in photos:
        yield Region(box=box, score=_DRAWN_SCORE, label="", role="image")


def _without_glyphs(read: Sequence[Words]) -> tuple[list[Words], list[IntBox]]:
    """Words without what is rather a drawing, and the boxes of those."""
    drawn = are_drawings([each.text for each in read], [each.score for each in read])
    words = [each for each, is_drawing in zip(read, drawn, strict=True) if not is_drawing]
    return words, [whole(each.box_xyxy) for each, is_drawing in zip(read, drawn, strict=True) if is_drawing]


def _controls(
    widgets: Sequence[Widget],
    words: Sequence[Words],
    drawings: Sequence[IntBox],
    photos: Sequence[IntBox],
    em: float,
) -> Iterator[Region]:
    """Boxes with a function. Those that form a table have none, nor have wordless ones in a photo."""
    beside, stacked = neighbours([widget.box for widget in widgets])
    for widget, is_beside, is_stacked in zip(widgets, beside, stacked, strict=True):
        inside = [each for each in words if share_inside(each.box_xyxy, widget.box) > _ABSORBED]
        drawn = sorted(box for box in drawings if share_inside(box, widget.box) > _ABSORBED)
        if (is_beside and is_stacked) or (not inside and any(share_inside(widget.box, box) > 0.5 for box in photos)):
            continue
        role = role_of(widget, inside, drawn, is_stacked, em)
        if role:
            inside.sort(key=lambda each: each.box_xyxy[0])
            score = float(np.mean([each.score for each in inside])) if inside else _DRAWN_SCORE
            yield Region(box=widget.box, score=score, label=" ".join(each.text for each in inside), role=role)


def _panels(parts: Parts, words: Sequence[Words]) -> list[IntBox]:
    """The box of the ground that each of the words stands on."""
    panels = []
    for each in words:
        x1, y1, x2, y2 = whole(each.box_xyxy)
        counts = np.bincount(parts.label_HW[y1:y2, x1:x2].ravel(), minlength=1)
        counts[0] = 0
        left, top, right, bottom = parts.box_P4[int(counts.argmax())].tolist()
        panels.append((left, top, right, bottom))
    return panels


def _item_region(item: Item) -> Region:
    role = "menuitem" if item.row else "link"
    return Region(box=item.box, score=item.words.score, label=item.words.text, role=role)


def _texts(words: Sequence[Words]) -> Iterator[Region]:
    for block in join_lines(words):
        yield Region(box=block.box_xyxy, score=block.score, label=block.text, role="text")
        for link in block.links:
            if share_inside(block.box_xyxy, link.box_xyxy) < _ABSORBED:
                yield Region(box=link.box_xyxy, score=link.score, label=link.text, role="link")


def _is_inside(box: Box, regions: Sequence[Region]) -> bool:
    return any(share_inside(box, region.box) > _ABSORBED for region in regions)
