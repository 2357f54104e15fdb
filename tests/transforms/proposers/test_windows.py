"""Lists to regions, and regions of a page seen from a window of it."""

import numpy as np
import pytest

from tests.pictures import make_picture
from transforms.proposers.windows import in_window, make_regions


def test_no_regions_have_the_types_of_many() -> None:
    none, one = make_regions([], [], [], []), make_regions([(1, 2, 3, 4)], [0.5], ["words"], ["text"], ["hidden"])
    assert none.xyxy_R4.shape == (0, 4)
    for name in ("xyxy_R4", "score_R", "label_R", "role_R", "reason_R"):
        assert getattr(none, name).dtype.kind == getattr(one, name).dtype.kind
        assert len(getattr(none, name)) == 0
    assert one.reason_R.tolist() == ["hidden"]


def test_lists_that_differ_in_length_are_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"\[1, 2, 1, 1, 1\]"):
        make_regions([(1, 2, 3, 4)], [0.5, 0.5], ["words"], ["text"])
    with pytest.raises(ValueError, match=r"points, masks have lengths \[1, 1, 1, 1, 1, 2, 0\]"):
        make_regions([(1, 2, 3, 4)], [0.5], ["words"], ["text"], points=[(0, 0), (1, 1)], masks=[])


def test_a_window_that_was_shrunk_moves_and_shrinks_boxes() -> None:
    picture = make_picture((100, 50), window_xyxy=(0, 300, 200, 400), page_wh=(200, 1000))
    boxes = [(20, 310, 60, 330), (20, 0, 60, 300), (0, 250, 200, 310), (0, 400, 9, 410)]
    seen = in_window(make_regions(boxes, [1.0] * 4, [""] * 4, ["text"] * 4, ["", "", "", "hidden"]), picture)
    assert seen.xyxy_R4.tolist() == [[10, 5, 30, 15], [10, -150, 30, 0], [0, -25, 100, 5], [0, 50, 4.5, 55]]
    assert seen.reason_R.tolist() == ["", "off_screen", "", "hidden"]
    assert seen.xyxy_R4.dtype == np.float32


def test_points_move_with_their_boxes_and_masks_of_the_page_are_left_behind() -> None:
    picture = make_picture((100, 50), window_xyxy=(0, 300, 200, 400), page_wh=(200, 1000))
    page = make_regions([(20, 310, 60, 330)], [1.0], [""], ["text"], points=[(22, 312)], masks=["6"])
    assert page.point_R2 is not None and page.mask_R is not None
    seen = in_window(page, picture)
    assert seen.point_R2 is not None and seen.point_R2.tolist() == [[11, 6]]
    assert seen.mask_R is None


@pytest.mark.filterwarnings("error")
def test_boxes_of_numbers_out_of_this_world_stay_finite() -> None:
    far = make_regions([(-1e300, 0, 1e300, 40)], [1.0], ["words"], ["text"])
    assert np.isfinite(far.xyxy_R4).all()
    assert in_window(far, make_picture((100, 50))).reason_R.tolist() == [""]
