"""What all proposers end with: lists made into regions, and regions of a page seen from one picture of it.

Letters: R regions.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from schemas.flow import Picture, Regions

_FAR = 1e6
"""no screen is so large; what is farther out is as good as there, and every number of it can be stored"""


def make_regions(
    boxes: Sequence[tuple[float, float, float, float]],
    scores: Sequence[float],
    labels: Sequence[str],
    roles: Sequence[str],
    reasons: Sequence[str] | None = None,
    points: Sequence[tuple[float, float]] | None = None,
    masks: Sequence[str] | None = None,
) -> Regions:
    """Lists of one length to arrays, also where they are empty; without `reasons` every region can be marked.

    Raises:
        ValueError: the lists differ in length.
    """
    reasons = [""] * len(boxes) if reasons is None else reasons
    lengths = [len(each) for each in (boxes, scores, labels, roles, reasons, points, masks) if each is not None]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"boxes, scores, labels, roles, reasons, points, masks have lengths {lengths}; give one of each per region"
        )
    return Regions(
        xyxy_R4=np.clip(np.array(boxes, dtype=np.float64), -_FAR, _FAR).astype(np.float32).reshape(-1, 4),
        score_R=np.array(scores, dtype=np.float32),
        label_R=np.array(labels, dtype=np.str_),
        role_R=np.array(roles, dtype=np.str_),
        reason_R=np.array(reasons, dtype=np.str_),
        point_R2=None if points is None else np.array(points, dtype=np.float32).reshape(-1, 2),
        mask_R=None if masks is None else np.array(masks, dtype=np.str_),
    )


def in_window(regions: Regions, picture: Picture) -> Regions:
    """Boxes in pixels of the whole page to pixels of this picture; those wholly outside get the reason off_screen.

    They are not cut at the picture's edges. A region that has a reason keeps it. Points move along; masks, which are
    of the whole page, are left behind.
    """
    left, top, right, bottom = picture.window_xyxy
    width, height = picture.size_wh
    shrink_4 = np.array([width / (right - left), height / (bottom - top)] * 2)
    xyxy_R4 = ((regions.xyxy_R4 - np.array([left, top, left, top], dtype=np.float64)) * shrink_4).astype(np.float32)
    x1_R, y1_R, x2_R, y2_R = xyxy_R4.T
    outside_R = (x2_R <= 0) | (y2_R <= 0) | (x1_R >= width) | (y1_R >= height)
    reason_R = np.where(outside_R & (regions.reason_R == ""), "off_screen", regions.reason_R)
    point_R2 = regions.point_R2
    if point_R2 is not None:
        point_R2 = ((point_R2 - np.array([left, top], dtype=np.float64)) * shrink_4[:2]).astype(np.float32)
    return replace(regions, xyxy_R4=xyxy_R4, reason_R=reason_R, point_R2=point_R2, mask_R=None)
