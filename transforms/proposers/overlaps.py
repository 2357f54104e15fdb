"""Boxes of a detector and lines of words put together, by the rules of OmniParser (MAGMA.md 1.5).

Letters: R regions, B boxes that take part, L lines of words, I inner boxes, O outer boxes.
"""

from collections.abc import Sequence

import numpy as np

from schemas.flow import Bool, Float, Regions
from transforms.box_arrays import areas, shared_areas
from transforms.ocr import Line
from transforms.proposers.windows import make_regions
from transforms.regions import in_reading_order

_INSIDE = 0.8
"""share of a box in another one, beyond which it is a part of that"""
_Row = tuple[tuple[float, float, float, float], float, str, str]
"""box, score, label, role"""


def with_words(found: Regions, lines: Sequence[Line], *, max_overlap: float) -> Regions:
    """What a detector found, with the words in it as labels; lines that are in none of it become regions of their own.

    Only boxes without a label take part: what has a name is a thing, not a control. Of two that overlap more than
    `max_overlap` (of the smaller one) the larger is left out, and so is a box that lies in a line of words. An icon
    with words is a button. Boxes that cover no whole pixel are left out. What has no label comes last.
    """
    lines = [line for line in lines if _covers_pixels(np.array(line.box_xyxy))]
    line_L4 = np.array([line.box_xyxy for line in lines], dtype=np.float64).reshape(-1, 4)
    covers_R = _covers_pixels(found.xyxy_R4)
    named = np.flatnonzero(covers_R & (found.label_R != ""))
    plain = np.flatnonzero(covers_R & (found.label_R == ""))
    plain = plain[~_hold_smaller(found.xyxy_R4[plain], max_overlap)]

    absorbs_BL = _shares_inside(line_L4, found.xyxy_R4[plain]).T > _INSIDE
    is_in_BL = (_shares_inside(found.xyxy_R4[plain], line_L4) > _INSIDE) & ~absorbs_BL
    stays_B = ~is_in_BL.any(axis=1)
    plain, absorbs_BL = plain[stays_B], absorbs_BL[stays_B]

    rows = [_row(found, number, "") for number in named.tolist()]
    rows += [
        _row(
            found,
            number,
            " ".join(lines[line].text for line in in_reading_order(line_L4, np.flatnonzero(absorbs_L).tolist())),
        )
        for number, absorbs_L in zip(plain.tolist(), absorbs_BL, strict=True)
    ]
    free = [lines[line] for line in np.flatnonzero(~absorbs_BL.any(axis=0))]
    rows = [(line.box_xyxy, line.score, line.text, "text") for line in free] + rows
    rows.sort(key=lambda row: row[2] == "")
    return make_regions(
        [box for box, _, _, _ in rows],
        [score for _, score, _, _ in rows],
        [label for _, _, label, _ in rows],
        [role for _, _, _, role in rows],
    )


def _row(found: Regions, number: int, words: str) -> _Row:
    x1, y1, x2, y2 = found.xyxy_R4[number].tolist()
    role = str(found.role_R[number])
    role = "button" if words and role == "icon" else role
    return (x1, y1, x2, y2), float(found.score_R[number]), words or str(found.label_R[number]), role


def _covers_pixels(xyxy_4: Float) -> Bool:
    """Whether a box has an area when its corners are cut to whole numbers."""
    return np.asarray(areas(np.trunc(xyxy_4)) > 0)


def _hold_smaller(xyxy_B4: Float, max_overlap: float) -> Bool:
    """Whether a box overlaps with a smaller one more than allowed: IoU, or the share of either one in the other.

    The share of the smaller one is never less than the other two.
    """
    area_B = areas(xyxy_B4)
    overlap_BB = shared_areas(xyxy_B4[:, None], xyxy_B4) > max_overlap * np.minimum(area_B[:, None], area_B)
    return np.asarray((overlap_BB & (area_B[:, None] > area_B)).any(axis=1))


def _shares_inside(inner_I4: Float, outer_O4: Float) -> Float:
    """IO: how much of each inner box lies in each outer one, 0..1."""
    return np.asarray(shared_areas(inner_I4[:, None], outer_O4) / areas(inner_I4)[:, None])
