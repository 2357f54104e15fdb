"""Which regions a dataset's tasks are about."""

from dataclasses import replace

import numpy as np

from schemas.page import PageTask
from tests.screens import ELEMENTS, regions
from transforms.proposers.windows import make_regions
from transforms.ui_targets import region_of, with_targets


def task(box: list[float] | None = None, xy: list[float] | None = None) -> PageTask:
    return PageTask(kind="locate", text="it", box_xyxy=box or [], xy=xy or [])


def test_a_box_means_the_region_that_it_overlaps_most() -> None:
    x1, y1, x2, y2 = ELEMENTS[3][0]
    assert region_of(task([x1 + 3, y1, x2 + 3, y2]), regions()) == 3
    assert region_of(task([x1, y1, x1 + 20, y2]), regions()) == -1


def test_a_point_means_the_smallest_region_around_it_that_can_be_marked() -> None:
    seen = with_targets(regions(), [task([0.0, 0.0, 640.0, 180.0])])
    assert region_of(task(xy=[290.0, 40.0]), seen) == 1
    assert region_of(task(xy=[400.0, 100.0]), seen) == len(ELEMENTS)
    hidden = replace(seen, reason_R=np.where(np.arange(len(seen.score_R)) == 1, "covered", seen.reason_R))
    assert region_of(task(xy=[290.0, 40.0]), hidden) == len(ELEMENTS)
    assert region_of(task(xy=[400.0, 390.0]), seen) == -1
    assert region_of(task(), seen) == -1


def test_boxes_that_no_region_means_are_added_once() -> None:
    new = [400.0, 20.0, 500.0, 60.0]
    seen = with_targets(regions(), [task(new), task(new), task(list(ELEMENTS[0][0]))])
    assert len(seen.score_R) == len(ELEMENTS) + 1
    assert seen.xyxy_R4[-1].tolist() == new
    assert region_of(task(new), seen) == len(ELEMENTS)


def test_boxes_that_are_added_have_a_point_and_no_mask_where_others_have_one() -> None:
    pointed = make_regions([(0, 0, 20, 20)], [1.0], [""], ["segment"], points=[(3, 4)], masks=["6"])
    joined = with_targets(pointed, [task([100.0, 100.0, 140.0, 120.0])])
    assert joined.point_R2 is not None and joined.point_R2.tolist() == [[3, 4], [120, 110]]
    assert joined.mask_R is not None and joined.mask_R.tolist() == ["6", ""]
    without = with_targets(replace(pointed, point_R2=None, mask_R=None), [task([100.0, 100.0, 140.0, 120.0])])
    assert without.point_R2 is None and without.mask_R is None


def test_what_is_asked_for_can_be_marked_whatever_the_filters_say() -> None:
    blank = replace(regions(), reason_R=np.array(["blank"] * len(ELEMENTS)))
    seen = with_targets(blank, [task(list(ELEMENTS[4][0]))])
    assert seen.reason_R.tolist() == ["blank"] * 4 + [""] + ["blank"]


def test_no_regions_and_no_tasks_are_no_regions() -> None:
    none = replace(
        regions(),
        xyxy_R4=np.empty((0, 4), np.float32),
        score_R=np.empty(0, np.float32),
        **{name: np.empty(0, np.str_) for name in ("label_R", "role_R", "reason_R")},
    )
    assert len(with_targets(none, []).score_R) == 0
    assert len(with_targets(none, [task([1.0, 2.0, 30.0, 40.0])]).score_R) == 1


def test_a_box_without_an_area_is_no_region() -> None:
    flat = task([400.0, 20.0, 400.0, 60.0])
    seen = with_targets(regions(), [flat])
    assert len(seen.score_R) == len(ELEMENTS)
    assert region_of(flat, seen) == -1
