import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from transforms.masks import decode_rle, deepest_point, encode_rle, rle_counts

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))


def disc(size_wh, xy, radius):
    y_HW, x_HW = np.mgrid[: size_wh[1], : size_wh[0]]
    return (x_HW - xy[0]) ** 2 + (y_HW - xy[1]) ** 2 < radius**2


def whole(mask_HW):
    return encode_rle(mask_HW, (0, 0), mask_HW.shape[::-1])


STRIPES = np.zeros((480, 640), bool)
STRIPES[:, 200:300] = True
STRIPES[470:, 400] = True
STRIPES[:5, 401] = True

# written by pycocotools 2.0.11
KNOWN = {
    "nothing": (np.zeros((2, 3), bool), "6"),
    "everything": (np.ones((2, 3), bool), "06"),
    "a diagonal": (np.eye(3, dtype=bool), "013000"),
    "over the edge of columns": (STRIPES, "Phm2Pl^1fZ_1_TaNUfP2"),
    "a corner": (
        disc((640, 480), (640, 480), 30),
        "ikn87f>3M3O1N2O1N2O1O1O1O100O1O100O1O10000O10000O1000000000000",
    ),
}


@given(MASKS)
def test_a_mask_comes_back_from_its_run_lengths(mask_HW):
    back_HW = decode_rle(whole(mask_HW), mask_HW.shape[::-1])
    assert back_HW.dtype == bool and (back_HW == mask_HW).all()


@pytest.mark.parametrize("name", KNOWN)
def test_run_lengths_are_written_as_pycocotools_writes_them(name):
    mask_HW, text = KNOWN[name]
    assert whole(mask_HW) == text
    assert rle_counts(text).sum() == mask_HW.size


@given(MASKS, st.tuples(*[st.integers(0, 4)] * 4))
def test_a_piece_says_the_same_as_the_whole_picture(piece_hw, margins):
    left, top, right, bottom = margins
    mask_HW = np.pad(piece_hw, ((top, bottom), (left, right)))
    assert encode_rle(piece_hw, (left, top), mask_HW.shape[::-1]) == whole(mask_HW)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("RjW3m0n", "are cut off"),
        ("0O", "are cut off, or no lengths"),
        ("o" * 30 + "0", "are cut off, or no lengths"),
        ("0 6", "hold ' ', which is none of COCO's characters"),
        ("07", "add up to 7 pixels, the picture has 3 x 2"),
        ("", "add up to 0 pixels"),
    ],
)
def test_run_lengths_that_are_none_say_so(text, message):
    with pytest.raises(ValueError, match=message):
        decode_rle(text, (3, 2))


@pytest.mark.parametrize(
    ("mask_HW", "xy"),
    [
        (np.ones((1, 1), bool), (0.5, 0.5)),
        (np.ones((5, 31), bool), (15.5, 2.5)),
        (disc((60, 60), (20, 33), 12), (20.5, 33.5)),
        (disc((60, 60), (20, 30), 8) | disc((60, 60), (42, 30), 14), (42.5, 30.5)),
    ],
    ids=["a pixel", "a bar, at whose border the array ends", "a disc", "the larger of two discs"],
)
def test_a_region_is_pointed_at_where_it_is_deepest(mask_HW, xy):
    assert deepest_point(mask_HW) == xy


@given(MASKS.filter(np.any))
def test_the_point_lies_inside(mask_HW):
    x, y = deepest_point(mask_HW)
    assert mask_HW[int(y), int(x)]


def test_nothing_has_no_point():
    with pytest.raises(ValueError, match="the mask is empty"):
        deepest_point(np.zeros((3, 4), bool))
