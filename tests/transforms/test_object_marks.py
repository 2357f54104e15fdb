"""Marks on things: regions vote by the points in them."""

from dataclasses import replace

import numpy as np
import pytest

from schemas.flow import Motion, PointMark, Regions, Tracks
from transforms.object_marks import choose_object_marks
from transforms.proposers.windows import make_regions

SIZE_WH = (320, 240)
STEP_PX = 6.0
FRAMES = 8
BALL, CUP, PLATE, HALF_BALL, ALL = (
    (20.0, 20.0, 100.0, 100.0),
    (200.0, 20.0, 280.0, 100.0),
    (20.0, 140.0, 100.0, 220.0),
    (20.0, 20.0, 60.0, 100.0),
    (0.0, 0.0, 320.0, 240.0),
)


def clip(*moving: tuple[float, float, float, float]) -> tuple[Motion, Tracks]:
    """A point every 16 px; those inside the `moving` boxes go to the right."""
    x_HW, y_HW = np.meshgrid(np.arange(8, SIZE_WH[0], 16.0), np.arange(8, SIZE_WH[1], 16.0))
    xy_N2 = np.stack([x_HW.ravel(), y_HW.ravel()], axis=1)
    moving_N = np.zeros(len(xy_N2), bool)
    for x1, y1, x2, y2 in moving:
        moving_N |= ((xy_N2 >= (x1, y1)) & (xy_N2 < (x2, y2))).all(axis=1)
    way_TN2 = np.arange(FRAMES)[:, None, None] * np.where(moving_N[:, None], (STEP_PX, 0.0), 0.0)
    xy_TN2 = xy_N2 + way_TN2
    visible_TN = np.ones(xy_TN2.shape[:2], bool)
    tracks = Tracks(
        xy_TN2=xy_TN2.astype(np.float32), visible_TN=visible_TN, confidence_TN=visible_TN.astype(np.float16)
    )
    return Motion(
        steady_xy_TN2=xy_TN2, usable_N=np.ones(len(xy_N2), bool), moving_N=moving_N, speed_N=moving_N.astype(float)
    ), tracks


def regions_of(*boxes: tuple[float, float, float, float]) -> Regions:
    n = len(boxes)
    return make_regions(boxes, [1.0] * n, [""] * n, ["segment"] * n)


def choose(regions: Regions, motion: Motion, tracks: Tracks, seed: int = 0, share: float = 0.5) -> list[PointMark]:
    marks = choose_object_marks(
        regions,
        motion,
        tracks,
        0,
        SIZE_WH,
        np.ones(tracks.visible_TN.shape[1]),
        np.random.default_rng(seed),
        min_points=2,
        min_moving_share=share,
        min_gap=0.05,
        min_displacement=0.018,
    )
    return list(marks)


def by_kind(marks: list[PointMark], kind: str) -> list[int]:
    return [mark.region for mark in marks if mark.kind == kind]


def test_each_thing_that_moves_gets_one_mark_in_its_middle_and_others_stand_still() -> None:
    motion, tracks = clip(BALL)
    marks = choose(regions_of(CUP, BALL, PLATE), motion, tracks)
    assert by_kind(marks, "moving") == [1]
    assert sorted(by_kind(marks, "static")) == [0, 2]
    assert sorted(mark.id for mark in marks) == [1, 2, 3]
    (ball,) = (mark for mark in marks if mark.kind == "moving")
    assert np.abs(tracks.xy_TN2[0, ball.track] - (60, 60)).max() <= 16


def test_two_things_that_move_get_a_mark_each() -> None:
    motion, tracks = clip(BALL, CUP)
    assert sorted(by_kind(choose(regions_of(BALL, CUP, PLATE), motion, tracks), "moving")) == [0, 1]


def test_a_part_of_a_thing_is_no_thing_of_its_own() -> None:
    motion, tracks = clip(BALL)
    assert by_kind(choose(regions_of(HALF_BALL, BALL), motion, tracks), "moving") == [1]


def test_a_region_that_holds_a_thing_and_much_else_does_not_move() -> None:
    motion, tracks = clip(BALL)
    marks = choose(regions_of(ALL, BALL), motion, tracks)
    assert by_kind(marks, "moving") == [1]
    assert by_kind(marks, "static") == [0]


@pytest.mark.parametrize(("share", "moves"), [(0.45, True), (0.55, False)])
def test_the_vote_needs_its_share(share: float, moves: bool) -> None:
    motion, tracks = clip(HALF_BALL)  # two or three of the five columns of points in BALL
    inside = ((tracks.xy_TN2[0] >= BALL[:2]) & (tracks.xy_TN2[0] < BALL[2:])).all(axis=1)
    voted = motion.moving_N[inside].mean()
    share = voted - 0.01 if moves else voted + 0.01
    assert (by_kind(choose(regions_of(BALL), motion, tracks, share=share), "moving") == [0]) == moves


def test_where_nothing_moves_only_still_things_are_marked() -> None:
    motion, tracks = clip()
    marks = choose(regions_of(BALL, CUP, PLATE), motion, tracks)
    assert sorted(by_kind(marks, "static")) == [0, 1, 2]
    assert by_kind(marks, "moving") == []


def test_regions_that_can_not_be_marked_and_no_regions_give_no_marks() -> None:
    motion, tracks = clip(BALL)
    barred = replace(regions_of(BALL), reason_R=np.array(["blank"]))
    assert choose(barred, motion, tracks) == []
    assert choose(regions_of(), motion, tracks) == []


def test_the_order_of_the_points_does_not_matter() -> None:
    motion, tracks = clip(BALL, CUP)
    regions = regions_of(BALL, CUP, PLATE, HALF_BALL)
    turned = np.random.default_rng(1).permutation(tracks.visible_TN.shape[1])
    other = replace(
        motion,
        steady_xy_TN2=motion.steady_xy_TN2[:, turned],
        usable_N=motion.usable_N[turned],
        moving_N=motion.moving_N[turned],
        speed_N=motion.speed_N[turned],
    )
    shuffled = replace(tracks, xy_TN2=tracks.xy_TN2[:, turned])
    for seed in range(5):
        places = {(one.id, one.kind, *tracks.xy_TN2[0, one.track]) for one in choose(regions, motion, tracks, seed)}
        assert places == {
            (one.id, one.kind, *shuffled.xy_TN2[0, one.track]) for one in choose(regions, other, shuffled, seed)
        }
