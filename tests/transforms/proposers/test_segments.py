"""Boxes sit on things: of synthetic pictures whose truth is known, and of real frames."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.pictures import make_picture
from transforms.proposers.segments import propose_segments
from transforms.superpixels import cut_into_patches

DATA = os.environ.get("SOMTOM_TEST_DATA")


def table(seed=0, size_wh=(640, 480)):
    """A grainy table with six things on it, and their boxes."""
    draws = np.random.default_rng(seed)
    width, height = size_wh
    image_HW3 = np.full((height, width, 3), (176, 160, 140), np.float32)
    image_HW3 += cv2.resize(draws.normal(0, 12, (height // 8, width // 8, 1)).astype(np.float32), size_wh)[..., None]
    image_HW3 += draws.normal(0, 4, image_HW3.shape)
    image_HW3 = np.clip(image_HW3, 0, 255).astype(np.uint8)
    boxes = []
    colours = ((200, 30, 40), (30, 60, 170), (20, 110, 50), (240, 220, 60), (40, 40, 45), (245, 245, 245))
    for number, colour in enumerate(colours):
        left = width * (number % 3) // 3 + width // 20 + int(draws.integers(0, width // 20))
        top = height * (number // 3) // 2 + height // 12 + int(draws.integers(0, height // 20))
        box = (left, top, left + width // 5, top + height // 4 + number * height // 100)
        if number % 2:
            cv2.rectangle(image_HW3, box[:2], (box[2] - 1, box[3] - 1), colour, cv2.FILLED)
        else:
            middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
            cv2.ellipse(image_HW3, (middle, (box[2] - box[0], box[3] - box[1]), 0), colour, cv2.FILLED)
        boxes.append(box)
    return image_HW3, np.array(boxes)


def proposed(image_HW3, most=40):
    (regions,) = propose_segments([make_picture(image_HW3)], most=most)
    return regions


def best_iou(box, xyxy_R4):
    common_R = np.prod(np.maximum(np.minimum(box[2:], xyxy_R4[:, 2:]) - np.maximum(box[:2], xyxy_R4[:, :2]), 0), axis=1)
    area_R = np.prod(xyxy_R4[:, 2:] - xyxy_R4[:, :2], axis=1)
    return (common_R / (np.prod(np.subtract(box[2:], box[:2])) + area_R - common_R)).max(initial=0)


@pytest.mark.parametrize("seed", range(2))
def test_each_thing_on_a_table_has_a_box_and_they_come_first(seed):
    image_HW3, boxes = table(seed)
    regions = proposed(image_HW3, most=6)
    assert [best_iou(box, regions.xyxy_R4) > 0.8 for box in boxes] == [True] * 6


def test_regions_are_ranked_named_and_inside_the_picture():
    image_HW3, _ = table(size_wh=(500, 301))
    regions = proposed(image_HW3)
    assert 6 <= len(regions.score_R) <= 40
    assert (np.diff(regions.score_R) <= 0).all() and regions.score_R.max() <= 1 and regions.score_R.min() > 0
    assert set(regions.role_R) == {"segment"} and set(regions.label_R) == {""} and set(regions.reason_R) == {""}
    assert regions.xyxy_R4.min() >= 0 and (regions.xyxy_R4.max(axis=0)[2:] <= (500, 301)).all()
    assert len(proposed(image_HW3, most=2).score_R) == 2


def test_the_same_picture_gives_the_same_bytes():
    image_HW3, _ = table(size_wh=(160, 120))
    one, other = proposed(image_HW3), proposed(image_HW3.copy())
    assert one.xyxy_R4.tobytes() == other.xyxy_R4.tobytes() and one.score_R.tobytes() == other.score_R.tobytes()


def test_a_larger_copy_has_the_same_regions():
    image_HW3, boxes = table()
    large = cv2.resize(image_HW3, (1920, 1440), interpolation=cv2.INTER_CUBIC)
    regions = proposed(large, most=6)
    assert all(best_iou(box * 3, regions.xyxy_R4) > 0.8 for box in boxes)


@pytest.mark.parametrize("size_wh", [(1, 1), (3, 2), (64, 64), (400, 9), (320, 180)])
def test_pictures_without_things_have_no_regions(size_wh):
    assert len(proposed(np.full((size_wh[1], size_wh[0], 3), 130, np.uint8)).score_R) == 0


def test_most_noise_is_no_thing():
    noise_HW3 = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    assert len(proposed(noise_HW3).score_R) <= 3


def test_pictures_are_told_apart():
    (image_HW3, _), (other_HW3, _) = table(0, (160, 120)), table(1, (120, 160))
    both = propose_segments([make_picture(image_HW3), make_picture(other_HW3)], most=40)
    for regions, alone in zip(both, (proposed(image_HW3), proposed(other_HW3)), strict=True):
        np.testing.assert_array_equal(regions.xyxy_R4, alone.xyxy_R4)


def test_patches_fill_the_picture_and_know_their_neighbours():
    image_HW3, _ = table(size_wh=(120, 90))
    patches = cut_into_patches(image_HW3, 10)
    count = len(patches.area_S)
    assert sorted(np.unique(patches.label_HW)) == list(range(count)) and patches.area_S.sum() == 120 * 90
    np.testing.assert_array_equal(patches.histogram_SB.sum(axis=1), patches.area_S)
    assert patches.box_S4.min() == 0 and patches.box_S4.max(axis=0)[2:].tolist() == [120, 90]
    beside = set()
    for one, other in (
        (patches.label_HW[:, :-1], patches.label_HW[:, 1:]),
        (patches.label_HW[:-1], patches.label_HW[1:]),
    ):
        beside |= {(min(pair), max(pair)) for pair in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True)}
    assert set(map(tuple, patches.pairs_E2.tolist())) == {pair for pair in beside if pair[0] != pair[1]}


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="SOMTOM_TEST_DATA is not set")
@pytest.mark.parametrize(
    ("clip", "box"),
    [
        ("apple.mp4", (324, 131, 656, 455)),
        ("dancer.avi", (209, 114, 319, 480)),
        ("paragliding-launch.mp4", (330, 165, 510, 400)),
        ("backpack.mp4", (188, 100, 288, 270)),
    ],
)
def test_the_thing_of_a_real_frame_is_among_the_first(clip, box):
    av = pytest.importorskip("av")
    with av.open(str(Path(DATA) / "data" / "videos" / clip)) as container:
        frame = next(frame for number, frame in enumerate(container.decode(video=0)) if number == 5)
    regions = proposed(frame.to_ndarray(format="rgb24"), most=3)
    assert best_iou(np.array(box), regions.xyxy_R4) > 0.6
