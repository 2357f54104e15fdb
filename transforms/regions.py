"""Which regions can be marked, why the others can't, and which are marked.

Letters: R regions, L those that still can be marked, H height, W width.
"""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from schemas.flow import Bool, Float, Regions
from schemas.proposers import RegionsConfig
from schemas.roles import CLICKABLE
from transforms.box_arrays import areas, shared_areas

Pixels = npt.NDArray[np.uint8]
_Ints = npt.NDArray[np.int64]

_PICTURE_PARTS = ("segment", "cell")
"""regions of pictures that are no screens: things with parts, not containers"""
_HELD = 2
"""other regions that make a container of what holds them"""
_SLACK_PX = 1.0
"""how far what is held may stick out"""
_NOISE_PX = 3
"""side of the patches whose mean grey levels are compared"""
_EDGE_PX = 2
"""around what can be clicked: an empty field of one colour is seen by its edge"""


def filtered(regions: Regions, image_HW3: Pixels, config: RegionsConfig) -> Regions:
    """Gives a reason to each region that can't be marked; those that have one keep it. Boxes are cut to the image.

    In this order: zero_area, off_screen, container (too large, without words), same_box, container (holds two others,
    is not clickable and has no words), blank. A segment or cell may hold others.
    """
    height, width = image_HW3.shape[:2]
    raw_R4 = regions.xyxy_R4.astype(np.float64)
    cut_R4 = np.clip(np.nan_to_num(raw_R4), 0, [width, height, width, height])
    least_px = config.min_side * min(width, height)
    worded_R = regions.label_R != ""
    reason_R = _because(regions.reason_R, _too_thin(raw_R4, least_px), "zero_area")
    reason_R = _because(reason_R, _too_thin(cut_R4, least_px), "off_screen")
    large_R = areas(cut_R4) > config.max_share * width * height
    reason_R = _because(reason_R, large_R & ~worded_R, "container")
    rank_R = _by_what_it_says(regions)
    reason_R = _because(reason_R, _said_better(cut_R4, reason_R == "", rank_R, config.max_iou), "same_box")
    functionless_R = ~worded_R & ~np.isin(regions.role_R, CLICKABLE + _PICTURE_PARTS)
    reason_R = _because(reason_R, _holds_others(cut_R4, reason_R == "", functionless_R), "container")
    clickable_R = np.isin(regions.role_R, CLICKABLE)
    seen_R4 = cut_R4 + np.where(clickable_R, _EDGE_PX, 0)[:, None] * (-1, -1, 1, 1)
    reason_R = _because(reason_R, _blank(seen_R4, reason_R == "", image_HW3, config.min_contrast), "blank")
    return replace(regions, xyxy_R4=cut_R4.astype(np.float32), reason_R=reason_R)


def chosen(regions: Regions, *, most: int, wanted: Sequence[int], rng: np.random.Generator) -> list[int]:
    """Numbers of the at most `most` regions to be marked, in reading order; only of those without a reason.

    First those that are `wanted` (in that order), then fields to type into, then what can be clicked, then all else;
    among equals the highest score, then as drawn by `rng`.
    """
    asked = {number: place for place, number in reversed(list(enumerate(wanted)))}
    drawn_R = rng.permutation(len(regions.role_R))
    importance_R = np.where(regions.role_R == "input", 0, np.where(np.isin(regions.role_R, CLICKABLE), 1, 2))
    order = sorted(
        np.flatnonzero(regions.reason_R == "").tolist(),
        key=lambda number: (
            asked.get(number, len(wanted)),
            importance_R[number],
            -regions.score_R[number],
            drawn_R[number],
        ),
    )
    return in_reading_order(regions.xyxy_R4, order[:most])


def unchosen(regions: Regions, numbers: Sequence[int]) -> Regions:
    """The regions that could be marked but are not among `numbers` get the reason not_chosen."""
    left_out_R = np.ones(len(regions.reason_R), dtype=np.bool_)
    left_out_R[list(numbers)] = False
    return replace(regions, reason_R=_because(regions.reason_R, left_out_R, "not_chosen"))


def _because(reason_R: npt.NDArray[np.str_], true_R: Bool, reason: str) -> npt.NDArray[np.str_]:
    return np.where(true_R & (reason_R == ""), reason, reason_R)


def _too_thin(xyxy_R4: Float, least_px: float) -> Bool:
    shorter_R: Float = (xyxy_R4[:, 2:] - xyxy_R4[:, :2]).min(axis=1)
    thin_R: Bool = np.isnan(shorter_R) | (shorter_R <= 0) | (shorter_R < least_px)
    return thin_R


def _by_what_it_says(regions: Regions) -> _Ints:
    """Places of the regions, 0 first: words, then a function, then a high score, then an early number."""
    silent_R, idle_R = regions.label_R == "", ~np.isin(regions.role_R, CLICKABLE)
    rank_R = np.empty(len(silent_R), dtype=np.int64)
    rank_R[np.lexsort((-regions.score_R, idle_R, silent_R))] = np.arange(len(silent_R))
    return rank_R


def _said_better(xyxy_R4: Float, live_R: Bool, rank_R: _Ints, max_iou: float) -> Bool:
    """Whether a region overlaps more than `max_iou` with one that stays and comes before it in `rank_R`."""
    live = np.flatnonzero(live_R)
    live = live[np.argsort(xyxy_R4[live, 1], kind="stable")]
    xyxy_L4, area_L = xyxy_R4[live], areas(xyxy_R4[live])
    top_L = xyxy_L4[:, 1]
    # what overlaps so much starts at most so far above or below
    reach_L = (xyxy_L4[:, 3] - top_L) * (1 - max_iou) / max(max_iou, 1e-6)
    start_L, end_L = np.searchsorted(top_L, top_L - reach_L), np.searchsorted(top_L, top_L + reach_L, side="right")
    better_L = np.zeros(len(live), dtype=np.bool_)
    for place in np.argsort(rank_R[live]):
        if better_L[place] or end_L[place] - start_L[place] == 1:
            continue
        near = slice(start_L[place], end_L[place])
        common_N = shared_areas(xyxy_L4[place], xyxy_L4[near])
        found_N = common_N > max_iou * (area_L[place] + area_L[near] - common_N)
        found_N &= rank_R[live[near]] > rank_R[live[place]]
        better_L[near] |= found_N
    better_R = np.zeros(len(live_R), dtype=np.bool_)
    better_R[live] = better_L
    return better_R


def _holds_others(xyxy_R4: Float, live_R: Bool, functionless_R: Bool) -> Bool:
    """Whether a live region without function has at least two other live ones inside."""
    live = np.flatnonzero(live_R)
    live = live[np.argsort(xyxy_R4[live, 1], kind="stable")]
    x1_L, y1_L, x2_L, y2_L = xyxy_R4[live].T
    holds_R = np.zeros(len(live_R), dtype=np.bool_)
    for number in np.flatnonzero(live_R & functionless_R):
        left, top, right, bottom = xyxy_R4[number] + (-_SLACK_PX, -_SLACK_PX, _SLACK_PX, _SLACK_PX)
        low = slice(*np.searchsorted(y1_L, (top, bottom)))
        inside = (x1_L[low] >= left) & (x2_L[low] <= right) & (y2_L[low] <= bottom)
        holds_R[number] = np.count_nonzero(inside) > _HELD  # it is inside itself
    return holds_R


def _blank(xyxy_R4: Float, live_R: Bool, image_HW3: Pixels, min_contrast: float) -> Bool:
    """Whether hardly anything can be seen in a region: its darkest and its lightest patch differ too little."""
    blank_R = np.zeros(len(live_R), dtype=np.bool_)
    grey_HW = cv2.cvtColor(image_HW3, cv2.COLOR_RGB2GRAY)
    for number in np.flatnonzero(live_R):
        left, top = np.floor(np.maximum(xyxy_R4[number, :2], 0)).astype(int)
        right, bottom = np.ceil(xyxy_R4[number, 2:]).astype(int)
        smooth = cv2.blur(grey_HW[top:bottom, left:right], (_NOISE_PX, _NOISE_PX))
        dark, light, _, _ = cv2.minMaxLoc(smooth)
        blank_R[number] = light - dark < min_contrast
    return blank_R


def in_reading_order(xyxy_R4: Float, numbers: Sequence[int]) -> list[int]:
    """Row by row, each from left to right; a row is what has its middle within half a height of the row's first."""
    rows: list[list[int]] = []
    for number in sorted(numbers, key=lambda number: (xyxy_R4[number, 1] + xyxy_R4[number, 3], number)):
        _, y1, _, y2 = xyxy_R4[number]
        if rows:
            first = xyxy_R4[rows[-1][0]]
            reach = min(first[3] - first[1], y2 - y1) / 2
        if rows and (y1 + y2) / 2 - (first[1] + first[3]) / 2 < reach:
            rows[-1].append(number)
        else:
            rows.append([number])
    return [number for row in rows for number in sorted(row, key=lambda number: (xyxy_R4[number, 0], number))]
