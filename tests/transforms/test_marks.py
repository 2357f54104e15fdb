from dataclasses import astuple

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.flow import Motion, Tracks
from tests.scenes import fake_tracks
from transforms.keys import rng_for
from transforms.marks import choose_marks
from transforms.points import grid_points

SIZE_WH = (300, 400)  # a diagonal of 500 px
ARGS = {"max_moving_clusters": 5, "min_moving_points": 2, "min_gap": 0.05}


def _world(moving, n_frames=5, grid=15, usable=True, start_N2=None) -> tuple[Motion, Tracks]:
    """Points of a grid; those numbered in `moving` go 8 px right per frame."""
    start_N2 = (
        grid_points(SIZE_WH, grid).astype(np.float64)
        if start_N2 is None
        else np.array(start_N2, np.float64).reshape(-1, 2)
    )
    moving_N = np.zeros(len(start_N2), bool)
    moving_N[list(moving)] = True
    steady_xy_TN2 = np.repeat(start_N2[None], n_frames, axis=0)
    steady_xy_TN2[:, moving_N, 0] += 8.0 * np.arange(n_frames)[:, None]
    usable_N = np.array(np.broadcast_to(usable, moving_N.shape))
    steady_xy_TN2.setflags(write=False)
    motion = Motion(
        steady_xy_TN2=steady_xy_TN2,
        usable_N=usable_N,
        moving_N=moving_N & usable_N,
        speed_N=np.where(moving_N, 0.1, 0.0),
    )
    return motion, fake_tracks(steady_xy_TN2)


def _choose(world, seed=0, **changes):
    return choose_marks(*world, SIZE_WH, rng_for(seed, "key", "marks"), **(ARGS | changes))


def _assert_lawful(marks, world):
    motion, tracks = world
    assert [mark.id for mark in marks] == list(range(1, len(marks) + 1))
    assert len({mark.track for mark in marks}) == len(marks)
    start_N2 = tracks.xy_TN2[0, [mark.track for mark in marks]].astype(np.float64)
    assert ((start_N2 >= 0) & (start_N2 < SIZE_WH)).all()
    gaps = np.linalg.norm(start_N2[:, None] - start_N2, axis=-1)[~np.eye(len(marks), dtype=bool)]
    assert (gaps >= 25 - 1e-3).all()
    assert all(motion.usable_N[mark.track] for mark in marks)
    assert all(motion.moving_N[mark.track] for mark in marks if mark.kind == "moving")


def test_nothing_to_mark():
    assert _choose(_world([], usable=False)) == ()
    assert _choose(_world([], start_N2=np.zeros((0, 2)))) == ()


@pytest.mark.parametrize("seed", range(8))
def test_moving_and_static_marks(seed):
    world = _world(range(60, 120))
    marks = _choose(world, seed)
    _assert_lawful(marks, world)
    n_moving = sum(mark.kind == "moving" for mark in marks)
    assert 1 <= n_moving <= 5
    assert 1 <= len(marks) - n_moving <= 10
    assert all(mark.kind == ("moving" if 60 <= mark.track < 120 else "static") for mark in marks)


def test_k_is_drawn_from_all_of_its_range():
    counts = {sum(mark.kind == "moving" for mark in _choose(_world(range(225)), seed)) for seed in range(40)}
    assert counts == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("moving", [[], [100]])
def test_a_still_scene_gets_static_marks_only(seed, moving):
    """MAGMA.md 2.7, 8: they were drawn with replacement from tracks that may lie outside the image."""
    world = _world(moving)
    marks = _choose(world, seed)
    _assert_lawful(marks, world)
    assert {mark.kind for mark in marks} == {"static"}
    assert 4 <= len(marks) <= 14  # 6 to 14 but those too close to another


@pytest.mark.parametrize("n_points", [1, 2, 3, 7])
@pytest.mark.parametrize("n_moving", [0, 1, 2, 3])
def test_fewer_points_than_clusters(n_points, n_moving):
    """MAGMA.md 2.7, 7: an empty group of clusters was None and the demo crashed on it."""
    start_N2 = [(20 + 40 * i, 200) for i in range(n_points)]
    for seed in range(10):
        world = _world(range(min(n_moving, n_points)), start_N2=start_N2)
        marks = _choose(world, seed)
        _assert_lawful(marks, world)
        assert len(marks) >= 1


def test_tracks_that_are_all_the_same_give_one_mark():
    """MAGMA.md 2.7, 7: K-means on empty clusters."""
    for moving in ([], range(30)):
        world = _world(moving, start_N2=[(50, 50)] * 30)
        marks = _choose(world, seed=3)
        _assert_lawful(marks, world)
        assert len(marks) == 1


def test_unusable_points_and_points_outside_the_image_are_never_marked():
    """MAGMA.md 2.7, 6 and 8: marks could be hidden on the reference frame, overlap, or lie outside."""
    start_N2 = grid_points(SIZE_WH, 15).astype(np.float64)
    start_N2[:40] -= (0, 300)
    start_N2[40:80, 0] += 300
    usable_N = np.ones(225, bool)
    usable_N[80:160] = False
    for seed in range(8):
        world = _world(range(0, 225, 2), usable=usable_N, start_N2=start_N2)
        marks = _choose(world, seed)
        _assert_lawful(marks, world)
        assert min(mark.track for mark in marks) >= 160


def test_moving_marks_win_over_static_ones_nearby():
    world = _world([0, 1], start_N2=[(100, 100), (100, 104), (101, 100), (200, 300)])
    for seed in range(8):
        marks = _choose(world, seed)
        assert {mark.track for mark in marks if mark.kind == "static"} == {3}
        assert sum(mark.kind == "moving" for mark in marks) == 1


def test_separate_groups_get_a_mark_each():
    """Two objects far apart and k = 2: one mark in the middle of each, on one of its own points."""
    offsets = np.array([(0, 0), (9, 0), (-9, 0), (0, 9), (0, -9)])
    start_N2 = np.concatenate([np.add(offsets, (60, 60)), np.add(offsets, (200, 300))])
    found = set()
    for seed in range(12):
        marks = _choose(_world(range(10), start_N2=start_N2), seed, max_moving_clusters=2)
        if len(marks) == 2:
            found.add(tuple(sorted(mark.track for mark in marks)))
    assert found == {(0, 5)}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sets(st.integers(0, 48), max_size=49))
def test_same_random_state_same_marks(seed, moving):
    """MAGMA.md 2.7, 9: nothing was seeded. Neither numpy's nor OpenCV's global random state may matter."""
    world = _world(moving, grid=7)
    first = [astuple(mark) for mark in _choose(world, seed)]
    cv2.setRNGSeed(seed % 1000 + 1)
    again = _choose(world, seed)
    assert [astuple(mark) for mark in again] == first
    _assert_lawful(again, world)


def test_global_random_states_are_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    cv2.setRNGSeed(5)
    expected = cv2.randu(np.zeros(4), 0.0, 1.0)
    cv2.setRNGSeed(5)
    _choose(_world(range(60, 120)))
    np.testing.assert_array_equal(cv2.randu(np.zeros(4), 0.0, 1.0), expected)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_ids_are_shuffled_over_moving_and_static():
    """An id must not give away which marks move."""
    world = _world(range(60, 120))
    kinds_of_first = {_choose(world, seed)[0].kind for seed in range(20)}
    assert kinds_of_first == {"moving", "static"}
