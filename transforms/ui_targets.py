"""Which regions a dataset's tasks are about. Letters: R regions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.flow import Float, Regions
from schemas.page import PageTask
from transforms.box_arrays import areas, shared_areas
from transforms.proposers.windows import make_regions

_SAME = 0.5
"""IoU from which on a region is what a box of the dataset means"""


def with_targets(regions: Regions, tasks: Sequence[PageTask]) -> Regions:
    """The regions and, at their end, the tasks' boxes that none of them means. A region that is meant can be marked.

    Whatever a filter thinks of it: the dataset knows better. A box without an area can't be drawn and is not added.
    """
    boxes = [(box[0], box[1], box[2], box[3]) for task in tasks if (box := task.box_xyxy)]
    boxes = [box for box in dict.fromkeys(boxes) if box[0] < box[2] and box[1] < box[3]]
    new = [box for box in boxes if not _meant(box, regions)]
    nothing, middles = [""] * len(new), [((x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in new]
    added = make_regions(new, [1.0] * len(new), nothing, nothing, points=middles, masks=nothing)
    joined: dict[str, Any] = {
        name: None if (own := getattr(regions, name)) is None else np.concatenate([own, getattr(added, name)])
        for name in Regions.__slots__
    }
    reason_R = joined["reason_R"].astype(object)
    for task in tasks:
        region = region_of(task, Regions(**joined))
        if region >= 0 and task.box_xyxy:
            reason_R[region] = ""
    return Regions(**{**joined, "reason_R": reason_R.astype(np.str_)})


def region_of(task: PageTask, regions: Regions) -> int:
    """Number of the region that a task is about, -1 where there is none.

    That which overlaps its box most; of its point, the smallest one around it that can be marked.
    """
    if task.box_xyxy:
        iou_R = _iou(task.box_xyxy, regions)
        best = int(iou_R.argmax()) if len(iou_R) else -1
        return best if best >= 0 and iou_R[best] >= _SAME else -1
    if task.xy:
        x, y = task.xy
        left_R, top_R, right_R, bottom_R = regions.xyxy_R4.T.astype(np.float64)
        around_R = (left_R <= x) & (x <= right_R) & (top_R <= y) & (y <= bottom_R) & (regions.reason_R == "")
        area_R = np.where(around_R, (right_R - left_R) * (bottom_R - top_R), np.inf)
        return int(area_R.argmin()) if around_R.any() else -1
    return -1


def _meant(box_xyxy: Sequence[float], regions: Regions) -> bool:
    return bool((_iou(box_xyxy, regions) >= _SAME).any())


def _iou(box_xyxy: Sequence[float], regions: Regions) -> Float:
    box_4: npt.NDArray[np.float64] = np.asarray(box_xyxy, np.float64)
    xyxy_R4 = regions.xyxy_R4.astype(np.float64)
    shared_R = shared_areas(xyxy_R4, box_4)
    whole_R = areas(xyxy_R4) + areas(box_4) - shared_R
    iou_R: Float = shared_R / np.maximum(whole_R, 1e-9)
    return iou_R
