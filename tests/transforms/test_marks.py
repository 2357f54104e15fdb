from dataclasses import astuple, replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.flow import Motion, Tracks
from tests.scenes import fake_tracks, make_scene
from transforms.groups import motion_groups
from transforms.keys import rng_for
from transforms.marks import choose_marks
from transforms.points import grid_points, texture_of

SIZE_WH = (300, 400)  # a diagonal of 500 px, cells of 20 x 26.7 px
GAP_PX = 25
ARGS = {"k": "groups", "max_moving": 5, "min_moving_points": 2, "min_gap": 0.05, "min_displacement": 0.02}
N_FRAMES = 9


def grid(jitter=0.0, seed=0):
    start_N2 = grid_points(SIZE_WH, 15).astype(np.float64)
    return start_N2 + np.random.default_rng(seed).uniform(-jitter, jitter, start_N2.shape) * (20, 26.7)


def cells(columns, rows):
    """Numbers of the grid's points in half-open ranges."""
    return np.array([15 * row + column for row in range(*rows) for column in range(*columns)])


def make_world(*things, start_N2=None, usable_N=True, visible_TN=True) -> tuple[Motion, Tracks]:
    """(points, velocity in px per frame) of what moves; the rest of the points stands still."""
    start_N2 = grid() if start_N2 is None else np.array(start_N2, np.float64).reshape(-1, 2)
    moving_N = np.zeros(len(start_N2), bool)
    steady_xy_TN2 = np.repeat(start_N2[None], N_FRAMES, axis=0)
    for points, velocity in things:
        moving_N[list(points)] = True
        steady_xy_TN2[:, list(points)] += np.arange(N_FRAMES)[:, None, None] * np.array(velocity, np.float64)
    usable_N = np.array(np.broadcast_to(usable_N, moving_N.shape))
    return as_world(steady_xy_TN2, moving_N & usable_N, usable_N, visible_TN)


def as_world(steady_xy_TN2, moving_N, usable_N=True, visible_TN=True):
    steady_xy_TN2 = steady_xy_TN2.copy()
    steady_xy_TN2.setflags(write=False)
    motion = Motion(
        steady_xy_TN2=steady_xy_TN2,
        usable_N=np.array(np.broadcast_to(usable_N, moving_N.shape)),
        moving_N=moving_N,
        speed_N=moving_N * 0.1,
    )
    return motion, fake_tracks(steady_xy_TN2, visible_TN)


def choose(world, seed=0, reference=0, texture_N=None, size_wh=SIZE_WH, **changes):
    texture_N = np.ones(len(world[0].moving_N), np.float32) if texture_N is None else texture_N
    rng = rng_for(seed, "key", "marks")
    marks = choose_marks(*world, reference, size_wh, texture_N, rng, **(ARGS | changes))
    assert_lawful(marks, world, reference, size_wh)
    return marks


def assert_lawful(marks, world, reference=0, size_wh=SIZE_WH):
    motion, tracks = world
    assert [mark.id for mark in marks] == list(range(1, len(marks) + 1))
    numbers = [mark.track for mark in marks]
    assert len(set(numbers)) == len(marks)
    xy_M2 = tracks.xy_TN2[reference, numbers].astype(np.float64)
    assert ((xy_M2 >= 0) & (xy_M2 < size_wh)).all()
    assert motion.usable_N[numbers].all() and tracks.visible_TN[reference, numbers].all()
    gaps = np.linalg.norm(xy_M2[:, None] - xy_M2, axis=-1)[~np.eye(len(marks), dtype=bool)]
    assert (gaps >= ARGS["min_gap"] * np.hypot(*size_wh) - 1e-3).all()
    moving = {mark.track for mark in marks if mark.kind == "moving"}
    assert all(motion.moving_N[track] for track in moving)
    if moving:
        assert not any(motion.moving_N[mark.track] for mark in marks if mark.kind == "static")


def tracks_of(marks, kind):
    return [mark.track for mark in marks if mark.kind == kind]


def places(marks, world, reference=0):
    return {(mark.kind, *world[1].xy_TN2[reference, mark.track].tolist()) for mark in marks}


LEFT, RIGHT = cells((2, 6), (2, 6)), cells((9, 12), (8, 12))
NEXT_TO_LEFT = cells((6, 10), (2, 6))


# What moves: every group, on a good point of it


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("second", [RIGHT, NEXT_TO_LEFT])
def test_each_of_two_things_is_marked(second, seed):
    """Also where k is 1, and where they touch. Points at the rim are not."""
    world = make_world((LEFT, (8, 0)), (second, (-3, 8)), start_N2=grid(0.2, seed))
    moving = tracks_of(choose(world, seed), "moving")
    assert set(moving) & set(LEFT.tolist()) and set(moving) & set(second.tolist())
    assert len(moving) <= 5
    assert len(tracks_of(choose(world, seed, max_moving=1), "moving")) == 2


@pytest.mark.parametrize("seed", range(10))
def test_every_one_of_seven_things_is_marked_though_k_is_at_most_five(seed):
    boxes = [cells((x, x + 3), (y, y + 3)) for x, y in ((0, 0), (4, 0), (8, 0), (12, 0), (0, 5), (4, 5), (8, 5))]
    world = make_world(*[(box, (8, 3)) for box in boxes], start_N2=grid(0.1, seed))
    moving = tracks_of(choose(world, seed), "moving")
    assert [len(set(moving) & set(box.tolist())) for box in boxes] == [1] * 7


def test_of_a_swarm_the_largest_ten_are_marked():
    small = [cells((x, x + 2), (y, y + 1)) for x in range(0, 15, 3) for y in (6, 8, 10)]
    world = make_world(*[(box, (8, 3)) for box in small], (cells((3, 6), (0, 4)), (8, 3)))
    moving = tracks_of(choose(world, min_gap=0), "moving")
    assert len(moving) == 10
    assert set(moving) & set(cells((3, 6), (0, 4)).tolist())


def test_k_is_drawn_from_all_of_its_range_and_spread_over_the_thing():
    world = make_world((cells((3, 12), (3, 12)), (8, 0)))
    counts = set()
    for seed in range(40):
        moving = tracks_of(choose(world, seed), "moving")
        counts.add(len(moving))
        if len(moving) == 4:
            xy_M2 = world[1].xy_TN2[0, moving]
            assert (np.ptp(xy_M2, axis=0) > (50, 70)).all()
    assert counts == {1, 2, 3, 4, 5}


def test_further_marks_go_where_most_points_share_one():
    small, large = cells((0, 2), (0, 3)), cells((5, 14), (4, 12))
    world = make_world((small, (8, 0)), (large, (0, 8)))
    twins = make_world((cells((0, 7), (0, 15)), (0, 8)), (cells((8, 15), (0, 14)), (0, -8)))
    for seed in range(10):
        moving = tracks_of(choose(world, seed), "moving")
        assert len(set(moving) & set(large.tolist())) == max(1, len(moving) - 1)
        columns = np.array(tracks_of(choose(twins, seed), "moving")) % 15
        assert abs((columns < 7).sum() - (columns > 7).sum()) <= 1


def test_faulty_points_are_better_than_fewer_marks():
    thing = cells((3, 12), (2, 10))
    texture_N = np.full(225, 8, np.float32)
    texture_N[thing] = np.where(thing == 15 * 6 + 6, 8, 0.1)
    world = make_world((thing, (6, 0)))
    assert max(len(tracks_of(choose(world, seed, texture_N=texture_N), "moving")) for seed in range(20)) == 5


def test_the_mark_of_a_thing_is_its_middle():
    world = make_world((cells((4, 9), (4, 9)), (6, 2)))
    for seed in range(5):
        assert tracks_of(choose(world, seed, max_moving=1), "moving") == [15 * 6 + 6]


def test_a_track_unlike_its_things_is_not_its_mark():
    """The middle point strays from its fellows a little: a neighbour that goes as they do is their mark."""
    world = make_world((cells((4, 9), (4, 9)), (6, 2)))
    xy_TN2 = world[0].steady_xy_TN2.copy()
    xy_TN2[:, 15 * 6 + 6] += np.linspace(0, 30, N_FRAMES)[:, None] * (0.0, 1.0)
    world = as_world(xy_TN2, world[0].moving_N)
    [track] = tracks_of(choose(world, max_moving=1), "moving")
    assert track in cells((5, 8), (5, 8)) and track != 15 * 6 + 6


def test_marks_of_things_are_where_they_can_be_followed():
    """MAGMA.md 2.7, 6: a random point of a cluster, hidden on the frame, without texture or soon lost."""
    thing = cells((4, 9), (4, 9))
    visible_TN = np.ones((N_FRAMES, 225), bool)
    texture_N = np.full(225, 8, np.float32)
    visible_TN[0, 15 * 6 + 6] = False
    visible_TN[3:, cells((4, 9), (7, 8))] = False
    texture_N[cells((4, 9), (4, 6))] = 0.1
    for seed in range(10):
        world = make_world((thing, (6, 2)), visible_TN=visible_TN)
        [track] = tracks_of(choose(world, seed, texture_N=texture_N, max_moving=1), "moving")
        assert track in (15 * 6 + 5, 15 * 6 + 7)
        assert texture_N[tracks_of(choose(world, seed, texture_N=texture_N, max_moving=2), "moving")].min() == 8


def test_where_a_hidden_point_is_said_to_be_does_not_count():
    visible_TN = np.ones((N_FRAMES, 225), bool)
    visible_TN[1:3, 15 * 6 + 6] = False
    world = make_world((cells((4, 9), (4, 9)), (6, 2)))
    xy_TN2 = world[0].steady_xy_TN2.copy()
    xy_TN2[1:3, 15 * 6 + 6] += 150
    world = as_world(xy_TN2, world[0].moving_N, visible_TN=visible_TN)
    assert tracks_of(choose(world, reference=4, max_moving=1), "moving") == [15 * 6 + 6]


def test_doubted_tracks_are_not_marked_if_others_are_trusted():
    world = make_world((cells((4, 9), (4, 9)), (6, 2)))
    confidence_TN = world[1].confidence_TN.copy()
    confidence_TN[1:, 15 * 6 + 6] = 0.5
    tracks = replace(world[1], confidence_TN=confidence_TN)
    [track] = tracks_of(choose((world[0], tracks), max_moving=1), "moving")
    assert track != 15 * 6 + 6


def test_marks_do_not_sit_at_the_rim_of_a_thing():
    thing = cells((4, 10), (4, 10))
    rim = set(thing.tolist()) - set(cells((5, 9), (5, 9)).tolist())
    for seed in range(20):
        moving = tracks_of(choose(make_world((thing, (6, 2)), start_N2=grid(0.2, seed)), seed), "moving")
        assert moving and not set(moving) & rim


def test_a_point_with_one_neighbour_is_not_known_to_lie_inside():
    """The middle, around which all but one point are lost, against one far out with all its neighbours."""
    middle, amid = 15 * 7 + 7, 15 * 4 + 4
    lost = set(cells((6, 9), (6, 9)).tolist()) - {middle, middle - 15}
    thing = [n for n in cells((3, 12), (3, 12)).tolist() if n not in lost]
    texture_N = np.full(225, 8, np.float32)
    texture_N[[n for n in thing if n not in (middle, amid)]] = 0.1
    world = make_world((thing, (6, 2)), usable_N=[n not in lost for n in range(225)])
    assert tracks_of(choose(world, texture_N=texture_N, max_moving=1), "moving") == [amid]


def test_a_thing_whose_best_point_is_too_near_to_another_mark_gets_its_next_best():
    """Two rows that pass one another: the middles are 15 px apart."""
    upper = [(20 + 10 * i, 100) for i in range(10)]
    lower = [(20 + 10 * i, 115) for i in range(9)]
    world = make_world((range(10), (6, 0)), (range(10, 19), (-6, 0)), start_N2=[*upper, *lower, (280, 390)])
    for seed in range(10):
        moving = tracks_of(choose(world, seed, max_moving=1), "moving")
        assert sorted(track // 10 for track in moving) == [0, 1]


def test_a_thing_whose_good_points_are_all_too_near_to_another_mark_gets_a_worse_one():
    first = [(100 + 5 * i, 80 + 4 * j) for i in range(5) for j in range(3)]
    second = [(100 + 6 * i, 116) for i in range(14)]
    texture_N = np.full(31, 8, np.float32)
    texture_N[[15, *range(20, 29)]] = 0.1  # all but four in the middle of the first thing
    world = make_world((range(15), (6, 0)), (range(15, 29), (0, 8)), start_N2=[*first, *second, (280, 390), (20, 390)])
    marks = [choose(world, seed, texture_N=texture_N, min_gap=0.1) for seed in range(20)]
    numbers = [sorted(tracks_of(found, "moving")) for found in marks]
    assert all(len(found) == 2 and found[0] < 15 and found[1] > 20 for found in numbers)


def test_a_single_point_is_no_thing_unless_there_is_no_other():
    world = make_world((LEFT, (8, 0)), ([200], (0, 8)), ([210], (8, 0)))
    for seed in range(5):
        assert not set(tracks_of(choose(world, seed), "moving")) & {200, 210}
    alone = make_world(([30], (8, 0)), ([200], (0, 8)), ([210], (8, 0)))
    assert set(tracks_of(choose(alone), "moving")) == {30, 200, 210}


# The reference frame


@pytest.mark.parametrize("k", ["groups", "paper"])
def test_what_moved_before_the_reference_frame_only_is_not_marked(k):
    world = make_world((LEFT, (8, 0)), (RIGHT, (0, 8)))
    xy_TN2 = world[0].steady_xy_TN2.copy()
    xy_TN2[:, RIGHT] = np.minimum(xy_TN2[:, RIGHT], xy_TN2[4, RIGHT])
    world = as_world(xy_TN2, world[0].moving_N)
    for seed in range(10):
        marks = choose(world, seed, reference=4, k=k)
        assert tracks_of(marks, "moving")
        assert not {mark.track for mark in marks} & set(RIGHT.tolist())
        assert set(tracks_of(choose(world, seed, reference=0), "moving")) & set(RIGHT.tolist())


def test_if_all_motion_is_before_the_reference_frame_what_stands_still_is_marked():
    xy_TN2 = make_world((LEFT, (8, 0)))[0].steady_xy_TN2
    marks = choose(as_world(np.minimum(xy_TN2, xy_TN2[3]), np.isin(np.arange(225), LEFT)), reference=4)
    assert 6 <= len(marks) <= 14
    assert not {mark.track for mark in marks} & set(LEFT.tolist())


def test_a_later_motion_that_nobody_sees_is_none():
    visible_TN = np.ones((N_FRAMES, 225), bool)
    visible_TN[5:, RIGHT] = False
    world = make_world((LEFT, (8, 0)), (RIGHT, (0, 8)), visible_TN=visible_TN)
    assert not {mark.track for mark in choose(world, reference=4)} & set(RIGHT.tolist())


def test_what_is_hidden_on_the_reference_frame_is_not_marked():
    """MAGMA.md 2.7, 6. One whole thing is hidden, of the other a half; and a part of the background."""
    visible_TN = np.ones((N_FRAMES, 225), bool)
    visible_TN[2, RIGHT] = visible_TN[2, LEFT[:8]] = visible_TN[2, 150:] = False
    world = make_world((LEFT, (3, 0)), (RIGHT, (0, 3)), visible_TN=visible_TN)
    for seed in range(10):
        assert set(tracks_of(choose(world, seed, reference=2), "moving")) & set(LEFT[8:].tolist())


def test_marks_lie_inside_the_image_on_the_reference_frame():
    """MAGMA.md 2.7, 8: tracks that lie outside were marked."""
    world = make_world((cells((8, 15), (2, 12)), (12, 0)))
    for seed in range(10):
        assert choose(world, seed, reference=6)
    gone = make_world((range(225), (60, 0)))
    assert choose(gone, reference=N_FRAMES - 1) == ()


# What stands still


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("moving", [[], [100]])
def test_a_still_scene_gets_static_marks_only(seed, moving):
    """MAGMA.md 2.7, 8: they were drawn with replacement, of all tracks."""
    marks = choose(make_world((moving, (8, 0))), seed)
    assert {mark.kind for mark in marks} == {"static"}
    assert 6 <= len(marks) <= 14
    assert not {mark.track for mark in marks} & set(moving)


def test_the_number_of_marks_of_a_still_scene_is_drawn():
    assert {len(choose(make_world(), seed)) for seed in range(80)} == set(range(6, 15))


@pytest.mark.parametrize("seed", range(10))
def test_still_marks_are_twice_as_many_and_spread_out(seed):
    world = make_world((LEFT, (8, 0)), start_N2=grid(0.2, seed))
    marks = choose(world, seed)
    static, moving = tracks_of(marks, "static"), tracks_of(marks, "moving")
    assert len(static) == 2 * len(moving)
    xy_M2 = world[1].xy_TN2[0, static].astype(np.float64)
    gaps = np.linalg.norm(xy_M2[:, None] - xy_M2, axis=-1)[~np.eye(len(static), dtype=bool)]
    assert gaps.min() > 0.5 * np.sqrt(SIZE_WH[0] * SIZE_WH[1] / len(marks))
    # Nowhere is a large empty place, and marks do not gather at the border.
    spots_N2 = grid_points(SIZE_WH, 9)
    marked_M2 = world[1].xy_TN2[0, [*static, *moving]]
    empty_N = np.linalg.norm(spots_N2[:, None] - marked_M2, axis=-1).min(axis=1)
    assert empty_N.max() < 1.7 * np.sqrt(SIZE_WH[0] * SIZE_WH[1] / len(marks))


def test_still_marks_do_not_gather_at_the_border():
    rim = set(range(225)) - set(cells((1, 14), (1, 14)).tolist())
    numbers = [mark.track for seed in range(10) for mark in choose(make_world(), seed)]
    assert len([track for track in numbers if track in rim]) < 0.2 * len(numbers)


def test_smooth_places_are_marked_only_if_there_are_no_others():
    """MAGMA.md 2.7, 6: marks on sky and walls."""
    texture_N = np.full(225, 8, np.float32)
    texture_N[:105] = 0.2
    for seed in range(10):
        marks = choose(make_world((RIGHT, (6, 0))), seed, texture_N=texture_N)
        assert all(texture_N[mark.track] == 8 for mark in marks)


def test_of_few_textured_places_all_are_marked_before_a_smooth_one():
    texture_N = np.linspace(8, 9, 225).astype(np.float32)
    texture_N[:100] = 0.2
    usable_N = np.isin(np.arange(225), [*range(0, 100, 3), 130, 220])
    numbers = {mark.track for mark in choose(make_world(usable_N=usable_N), texture_N=texture_N)}
    assert {130, 220} < numbers


def test_still_points_amid_what_moves_are_marked_only_if_there_are_no_others():
    """A point of a thing that its tracker lost to the background."""
    hole, far = 15 * 8 + 8, [15 * 6 + 12, 15 * 12 + 6, 15 * 12 + 12]
    thing = [n for n in cells((3, 10), (3, 10)) if n != hole]
    world = make_world((thing, (6, 2)), usable_N=np.isin(np.arange(225), [*thing, hole, *far]))
    for seed in range(10):
        assert hole not in tracks_of(choose(world, seed, max_moving=1), "static")
    alone = make_world((thing, (6, 2)), usable_N=np.isin(np.arange(225), [*thing, hole]))
    assert any(hole in tracks_of(choose(alone, seed), "static") for seed in range(10))


def test_moving_marks_win_over_static_ones_nearby():
    world = make_world(([0, 1], (8, 0)), start_N2=[(100, 100), (100, 104), (101, 110), (200, 300)])
    for seed in range(8):
        marks = choose(world, seed)
        assert tracks_of(marks, "static") == [3]
        assert len(tracks_of(marks, "moving")) == 1


def test_if_all_points_move_there_are_moving_marks_only():
    for seed in range(8):
        marks = choose(make_world((range(225), (8, 0))), seed)
        assert marks and not tracks_of(marks, "static")


def test_a_scene_of_one_point_that_moves():
    """Too little for traces and there is nothing else to mark."""
    [mark] = choose(make_world(([0], (8, 0)), start_N2=[(100, 100)]))
    assert (mark.track, mark.kind) == (0, "static")


# Few points


@pytest.mark.parametrize("k", ["groups", "paper"])
def test_nothing_to_mark(k):
    assert choose(make_world(usable_N=False), k=k) == ()
    assert choose(make_world(start_N2=np.zeros((0, 2))), k=k) == ()


@pytest.mark.parametrize("k", ["groups", "paper"])
@pytest.mark.parametrize("n_points", [1, 2, 3, 7])
@pytest.mark.parametrize("n_moving", [0, 1, 2, 3])
def test_fewer_points_than_marks(n_points, n_moving, k):
    """MAGMA.md 2.7, 7: an empty group of clusters was None and the demo crashed on it."""
    start_N2 = [(20 + 40 * i, 200) for i in range(n_points)]
    for seed in range(10):
        assert choose(make_world((range(min(n_moving, n_points)), (8, 0)), start_N2=start_N2), seed, k=k)


@pytest.mark.parametrize("k", ["groups", "paper"])
@pytest.mark.parametrize("moving", [[], range(30)])
def test_tracks_that_are_all_the_same_give_one_mark(moving, k):
    """MAGMA.md 2.7, 7 and 8: K-means on empty clusters, marks on top of one another."""
    for seed in range(5):
        assert len(choose(make_world((moving, (8, 0)), start_N2=[(50, 50)] * 30), seed, k=k)) == 1


@pytest.mark.parametrize("k", ["groups", "paper"])
def test_without_a_gap_no_point_is_marked_twice(k):
    """MAGMA.md 2.7, 8."""
    for seed in range(10):
        marks = choose_marks(
            *make_world(start_N2=[(50, 50), (50, 50), (60, 50)]),
            0,
            SIZE_WH,
            np.ones(3),
            rng_for(seed, "key", "marks"),
            **(ARGS | {"k": k, "min_gap": 0.0}),
        )
        assert sorted(mark.track for mark in marks) == [0, 1, 2]


# The paper's way


@pytest.mark.parametrize("seed", range(8))
def test_clusters_as_in_the_paper(seed):
    world = make_world((range(60, 120), (8, 0)))
    marks = choose(world, seed, k="paper", min_gap=0.0)
    n_moving = len(tracks_of(marks, "moving"))
    assert 1 <= n_moving <= 5
    assert len(tracks_of(marks, "static")) == 2 * n_moving


def test_the_papers_k_is_drawn_from_all_of_its_range():
    world = make_world((range(225), (8, 0)))
    assert {len(tracks_of(choose(world, seed, k="paper"), "moving")) for seed in range(40)} == {1, 2, 3, 4, 5}


def test_clusters_are_marked_in_their_middle():
    """Two objects far apart and k = 2: one mark in the middle of each, on one of its own points."""
    offsets = np.array([(0, 0), (9, 0), (-9, 0), (0, 9), (0, -9)])
    start_N2 = np.concatenate([np.add(offsets, (60, 60)), np.add(offsets, (200, 300))])
    world = make_world((range(10), (8, 0)), start_N2=start_N2)
    found = [sorted(mark.track for mark in choose(world, seed, k="paper", max_moving=2)) for seed in range(12)]
    assert [0, 5] in found and all(tracks == [0, 5] for tracks in found if len(tracks) == 2)


# Randomness


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sets(st.integers(0, 224)), st.sampled_from(["groups", "paper"]))
def test_same_random_state_same_marks(seed, moving, k):
    """MAGMA.md 2.7, 9: nothing was seeded. Neither numpy's nor OpenCV's global random state may matter."""
    world = make_world((moving, (8, 0)))
    first = [astuple(mark) for mark in choose(world, seed, k=k)]
    cv2.setRNGSeed(seed % 1000 + 1)
    assert [astuple(mark) for mark in choose(world, seed, k=k)] == first


@pytest.mark.parametrize("k", ["groups", "paper"])
def test_global_random_states_are_left_alone(k):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    cv2.setRNGSeed(5)
    expected = cv2.randu(np.zeros(4), 0.0, 1.0)
    cv2.setRNGSeed(5)
    choose(make_world((range(60, 120), (8, 0))), k=k)
    np.testing.assert_array_equal(cv2.randu(np.zeros(4), 0.0, 1.0), expected)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("k", ["groups", "paper"])
@pytest.mark.parametrize("seed", range(10))
def test_the_order_of_points_does_not_matter(seed, k):
    next_N = cells((6, 11), (2, 6))  # larger: of things as large the one with the lowest point comes first
    world = make_world((LEFT, (8, 0)), (next_N, (0, 8)), (RIGHT, (-4, 2)), start_N2=grid(0.3, seed))
    texture_N = np.random.default_rng(seed).uniform(1, 9, 225).astype(np.float32)
    order = np.random.default_rng(seed).permutation(225)
    shuffled = as_world(world[0].steady_xy_TN2[:, order], world[0].moving_N[order])
    found = places(choose(world, seed, texture_N=texture_N, k=k), world)
    assert places(choose(shuffled, seed, texture_N=texture_N[order], k=k), shuffled) == found


def test_ids_are_shuffled_over_moving_and_static():
    """An id must not give away which marks move."""
    world = make_world((range(60, 120), (8, 0)))
    assert {choose(world, seed)[0].kind for seed in range(20)} == {"moving", "static"}


# Rendered scenes


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("reference", [0, 4])
def test_every_object_of_a_rendered_scene_is_marked(seed, reference):
    scene = make_scene(objects=3, seed=seed, n_frames=13, pan_px_per_frame=(0, 0))
    size_wh = scene.clip.size_wh
    points_N2 = grid_points(size_wh, 15).astype(np.float64)
    object_N = scene.object_at(points_N2)
    xy_TN2 = scene.steady_tracks(points_N2)
    inside_TN = ((xy_TN2 >= 0) & (xy_TN2 < size_wh)).all(axis=-1)
    xy_TN2 = xy_TN2 + np.random.default_rng(seed).normal(0, 0.2, xy_TN2.shape)
    world = as_world(xy_TN2, object_N >= 0, visible_TN=inside_TN & ~scene.covered(points_N2))
    texture_N = texture_of(scene.clip.frames_THW3[reference], world[1].xy_TN2[reference])
    marks = choose(world, seed, reference, texture_N, size_wh)
    assert set(object_N[tracks_of(marks, "moving")]) == {0, 1, 2}
    assert set(object_N[tracks_of(marks, "static")]) == {-1}
    assert motion_groups(xy_TN2, inside_TN, object_N >= 0, size_wh).max() == 2
