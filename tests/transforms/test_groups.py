import time

import cv2
import numpy as np
import pytest

from tests.scenes import make_scene
from transforms.groups import motion_groups, neighbours, spacing
from transforms.points import grid_points

SIZE_WH = (640, 360)
DIAGONAL = float(np.hypot(*SIZE_WH))
N_FRAMES = 24
SHARE_T11 = np.linspace(0, 1, N_FRAMES)[:, None, None]


def grid(cells=15, jitter=0.0, missing=0.0, seed=0):
    """Points of a grid, shifted by up to `jitter` cells and thinned out."""
    rng = np.random.default_rng(seed)
    start_N2 = grid_points(SIZE_WH, cells).astype(np.float64)
    start_N2 += rng.uniform(-jitter, jitter, start_N2.shape) * np.divide(SIZE_WH, cells)
    return start_N2[rng.random(len(start_N2)) >= missing]


def box(start_N2, x1, y1, x2, y2):
    """Points in a box of the unit square."""
    return ((start_N2 >= np.multiply(SIZE_WH, (x1, y1))) & (start_N2 < np.multiply(SIZE_WH, (x2, y2)))).all(axis=1)


def slide(start_N2, *objects, noise_px=0.0, seed=0):
    """Tracks of (who_N, displacement_xy in diagonals) things that go evenly; the rest stands still."""
    xy_TN2 = np.repeat(start_N2[None], N_FRAMES, axis=0)
    for who_N, way in objects:
        xy_TN2[:, who_N] += SHARE_T11 * np.multiply(way, DIAGONAL)
    return xy_TN2 + np.random.default_rng(seed).normal(0, noise_px, xy_TN2.shape)


def turn(start_N2, who_N, way, degrees=0.0, scale=1.0):
    """Tracks of one thing that also turns and grows about its middle."""
    xy_TN2 = slide(start_N2)
    arm_M2 = start_N2[who_N] - start_N2[who_N].mean(axis=0)
    for t, share in enumerate(SHARE_T11[:, 0, 0]):
        cos, sin = np.cos(np.radians(degrees) * share), np.sin(np.radians(degrees) * share)
        turned_M2 = arm_M2 @ np.array([(cos, sin), (-sin, cos)]) * (1 + (scale - 1) * share)
        xy_TN2[t, who_N] += turned_M2 - arm_M2 + np.multiply(way, DIAGONAL) * share
    return xy_TN2


def groups(xy_TN2, moving_N, visible_TN=True):
    visible_TN = np.array(np.broadcast_to(visible_TN, xy_TN2.shape[:2]))
    return motion_groups(xy_TN2, visible_TN, np.asarray(moving_N), SIZE_WH)


def same_partition(found_N, wanted_N):
    return (
        len({(a, b) for a, b in zip(found_N.tolist(), wanted_N.tolist(), strict=True)})
        == len(set(wanted_N.tolist()))
        == len(set(found_N.tolist()))
    )


LEFT, RIGHT = (0.1, 0.2, 0.4, 0.6), (0.6, 0.3, 0.9, 0.7)
NEXT_TO_LEFT = (0.4, 0.2, 0.7, 0.6)


@pytest.mark.parametrize("n_points", [0, 1, 5])
def test_nothing_moves(n_points):
    xy_TN2 = slide(grid()[:n_points])
    assert groups(xy_TN2, np.zeros(n_points, bool)).tolist() == [-1] * n_points


@pytest.mark.parametrize("n_points", [1, 2, 225])
def test_one_moving_point_is_a_group_of_its_own(n_points):
    start_N2 = grid()[:n_points]
    moving_N = np.arange(n_points) == n_points // 2
    found_N = groups(slide(start_N2, (moving_N, (0.1, 0))), moving_N)
    assert found_N.tolist() == (moving_N.astype(int) - 1).tolist()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("cells", [10, 15, 32])
def test_things_that_move_differently(cells, seed):
    """Also where they touch. The grid is shaken and thinned, the tracks are noisy."""
    start_N2 = grid(cells, jitter=0.3, missing=0.15, seed=seed)
    for place in (RIGHT, NEXT_TO_LEFT):
        a_N, b_N = box(start_N2, *LEFT), box(start_N2, *place)
        xy_TN2 = slide(start_N2, (a_N, (0.12, 0.02)), (b_N, (-0.05, 0.1)), noise_px=0.4, seed=seed)
        found_N = groups(xy_TN2, a_N | b_N)
        assert same_partition(found_N, np.select([a_N, b_N], [0, 1], -1))


@pytest.mark.parametrize(
    ("first", "second"),
    [((0.1, 0), (0.2, 0)), ((0.06, 0), (0, 0.06)), ((0.03, 0), (-0.03, 0)), ((0.15, 0), (0.15, 0.08))],
)
def test_touching_things_need_not_go_opposite_ways(first, second):
    start_N2 = grid(jitter=0.2)
    a_N, b_N = box(start_N2, *LEFT), box(start_N2, *NEXT_TO_LEFT)
    found_N = groups(slide(start_N2, (a_N, first), (b_N, second), noise_px=0.3), a_N | b_N)
    assert same_partition(found_N, np.select([a_N, b_N], [0, 1], -1))


def test_touching_things_that_go_one_after_the_other():
    start_N2 = grid()
    a_N, b_N = box(start_N2, *LEFT), box(start_N2, *NEXT_TO_LEFT)
    xy_TN2 = slide(start_N2)
    xy_TN2[:, a_N, 0] += 60 * np.clip(2 * SHARE_T11[..., 0], 0, 1)
    xy_TN2[:, b_N, 0] += 60 * np.clip(2 * SHARE_T11[..., 0] - 1, 0, 1)
    assert same_partition(groups(xy_TN2, a_N | b_N), np.select([a_N, b_N], [0, 1], -1))


@pytest.mark.parametrize("seed", range(5))
def test_points_carried_half_with_one_thing_and_half_with_the_next_do_not_join_them(seed):
    """As a tracker does it whose window lies on both: every link of a chain would agree."""
    rng = np.random.default_rng(seed)
    start_N2 = grid(jitter=0.1, seed=seed)
    a_N, b_N = box(start_N2, 0.1, 0.2, 0.4, 0.8), box(start_N2, 0.467, 0.2, 0.8, 0.8)
    between_N = box(start_N2, 0.4, 0.2, 0.467, 0.8)
    mixed = [(np.arange(len(start_N2)) == n, (rng.uniform(0.02, 0.06), 0.0)) for n in np.flatnonzero(between_N)]
    xy_TN2 = slide(start_N2, (a_N, (0, 0.0)), (b_N, (0.08, 0.0)), *mixed, noise_px=0.3, seed=seed)
    xy_TN2[..., 1] += 30 * SHARE_T11[..., 0] * (a_N | b_N | between_N)
    found_N = groups(xy_TN2, a_N | b_N | between_N)
    assert not set(found_N[a_N]) & set(found_N[b_N])
    assert len(set(found_N[a_N])) == len(set(found_N[b_N])) == 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("gap", [0.1, 0.14, 0.4])
def test_things_that_move_alike_but_lie_apart(gap, seed):
    """With one column of still points between them, or more."""
    start_N2 = grid(jitter=0.15, seed=seed)
    a_N, b_N = box(start_N2, 0.1, 0.2, 0.3, 0.7), box(start_N2, 0.3 + gap, 0.2, 0.55 + gap, 0.7)
    assert not (a_N & b_N).any()
    found_N = groups(slide(start_N2, (a_N | b_N, (0.1, 0.05)), noise_px=0.3, seed=seed), a_N | b_N)
    assert same_partition(found_N, np.select([a_N, b_N], [0, 1], -1))


@pytest.mark.parametrize("degrees", [-30, 10, 30])
@pytest.mark.parametrize("scale", [0.8, 1.0, 1.25])
@pytest.mark.parametrize("jitter", [0.0, 0.3])
def test_a_thing_that_turns_and_grows_is_one(degrees, scale, jitter):
    start_N2 = grid(jitter=jitter)
    who_N = box(start_N2, 0.2, 0.2, 0.8, 0.8)
    xy_TN2 = turn(start_N2, who_N, (0.12, 0.1), degrees, scale)
    way_N = np.linalg.norm(xy_TN2[-1] - xy_TN2[0], axis=1) / DIAGONAL
    moving_N = way_N > 0.02  # there may be a place that stays where it is
    assert way_N[moving_N].max() > 1.5 * way_N[moving_N].min()
    assert groups(xy_TN2, moving_N).tolist() == (moving_N.astype(int) - 1).tolist()


def test_a_thing_that_bends_is_few():
    """A bar whose end swings by a quarter of the image's height more than its foot."""
    start_N2 = grid(jitter=0.2)
    who_N = box(start_N2, 0.1, 0.3, 0.9, 0.7)
    bend_N = np.square((start_N2[:, 0] / SIZE_WH[0] - 0.1) / 0.8)
    xy_TN2 = slide(start_N2, (who_N, (0.05, 0)), noise_px=0.3)
    xy_TN2[..., 1] += SHARE_T11[..., 0] * bend_N * 90 * who_N
    assert groups(xy_TN2, who_N).max() < 3


def test_a_whole_image_that_moves_is_one():
    xy_TN2 = slide(grid(jitter=0.4, missing=0.4), noise_px=0.3) + SHARE_T11 * (60, 20)
    assert set(groups(xy_TN2, np.ones(xy_TN2.shape[1], bool))) == {0}


def test_a_thing_whose_points_go_unevenly_is_one():
    """By up to an eighth of their way: parts nearer to the camera, or a tracker that slides."""
    start_N2 = grid(jitter=0.2)
    who_N = box(start_N2, 0.1, 0.2, 0.5, 0.8)
    xy_TN2 = slide(start_N2, (who_N, (0.5, 0)))
    uneven_N = np.random.default_rng(0).uniform(-0.125, 0.125, len(start_N2))
    xy_TN2 += uneven_N[:, None] * (xy_TN2 - start_N2)
    assert groups(xy_TN2, who_N).tolist() == (who_N.astype(int) - 1).tolist()


def test_a_dense_grid_over_noisy_tracks():
    start_N2 = grid(100)
    who_N = box(start_N2, 0.1, 0.2, 0.3, 0.5)
    found_N = groups(slide(start_N2, (who_N, (0.03, 0)), noise_px=1.4), who_N)
    assert found_N.tolist() == (who_N.astype(int) - 1).tolist()


def test_points_lost_amid_a_thing_do_not_cut_it_up():
    """A smooth stripe, in which nothing could be followed."""
    start_N2 = grid()
    who_N, stripe_N = box(start_N2, 0.1, 0.2, 0.7, 0.8), box(start_N2, 0.34, 0.2, 0.4, 0.8)
    xy_TN2 = slide(start_N2, (who_N & ~stripe_N, (0.1, 0)))
    visible_TN = np.ones(xy_TN2.shape[:2], bool)
    visible_TN[3:, stripe_N] = False
    found_N = groups(xy_TN2, who_N & ~stripe_N, visible_TN)
    assert set(found_N[who_N & ~stripe_N]) == {0}
    assert set(groups(xy_TN2, who_N & ~stripe_N)) == {-1, 0, 1}


@pytest.mark.parametrize(("jitter", "missing", "most"), [(0, 0, 1.001), (0.5, 0, 1.35), (0, 0.3, 1.5)])
def test_spacing(jitter, missing, most):
    start_N2 = grid(20, jitter, missing)
    found = spacing(start_N2, SIZE_WH)
    assert 0.999 / 20 < found < most / 20
    order = np.random.default_rng(0).permutation(len(start_N2))
    assert spacing(start_N2[order], SIZE_WH) == found


@pytest.mark.parametrize("n_points", [0, 1])
def test_no_neighbours(n_points):
    assert spacing(np.ones((n_points, 2)), SIZE_WH) == 0
    assert neighbours(np.ones((n_points, 2)), SIZE_WH, 1.0).shape == (0, 2)


def test_neighbours_are_all_pairs_within_reach():
    start_N2 = grid(12, jitter=0.5)
    away_NN = np.linalg.norm((start_N2[:, None] - start_N2) / SIZE_WH, axis=-1)
    wanted = {(i, j) for i, j in np.argwhere(away_NN <= 0.17).tolist() if i < j}
    found_E2 = neighbours(start_N2, SIZE_WH, 0.17)
    assert len(found_E2) == len(wanted)
    assert {(i, j) for i, j in found_E2.tolist()} == wanted


def test_larger_groups_come_first_and_ties_go_to_the_lowest_point():
    start_N2 = grid()
    small_N, large_N = box(start_N2, *LEFT), box(start_N2, 0.6, 0.2, 0.95, 0.9)
    found_N = groups(slide(start_N2, (small_N | large_N, (0.1, 0))), small_N | large_N)
    assert set(found_N[large_N]) == {0} and set(found_N[small_N]) == {1}

    twin_N = np.roll(small_N, 7)
    assert twin_N.sum() == small_N.sum()
    found_N = groups(slide(start_N2, (small_N | twin_N, (0.1, 0))), small_N | twin_N)
    assert found_N[np.flatnonzero(found_N >= 0)[0]] == 0


def test_what_a_point_does_while_hidden_does_not_count():
    """It holds its last place, or jumps: neither splits its group."""
    start_N2 = grid()
    who_N = box(start_N2, *LEFT)
    xy_TN2 = slide(start_N2, (who_N, (0.15, 0)))
    visible_TN = np.ones(xy_TN2.shape[:2], bool)
    for place, n in enumerate(np.flatnonzero(who_N)):
        hidden_T = (np.arange(N_FRAMES) + place) % 8 < 3 * (np.arange(N_FRAMES) > 0)
        visible_TN[hidden_T, n] = False
        xy_TN2[hidden_T, n] += (-1) ** place * 200
    assert groups(xy_TN2, who_N, visible_TN).tolist() == (who_N.astype(int) - 1).tolist()


def test_points_never_seen_together_are_not_known_to_move_together():
    start_N2 = grid()
    a_N, b_N = box(start_N2, *LEFT), box(start_N2, *NEXT_TO_LEFT)
    visible_TN = np.ones((N_FRAMES, len(start_N2)), bool)
    visible_TN[N_FRAMES // 2 :, a_N] = False
    visible_TN[: N_FRAMES // 2, b_N] = False
    found_N = groups(slide(start_N2, (a_N | b_N, (0.1, 0))), a_N | b_N, visible_TN)
    assert same_partition(found_N, np.select([a_N, b_N], [0, 1], -1))


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_points_does_not_matter(seed):
    start_N2 = grid(jitter=0.3, seed=seed)
    a_N, b_N = box(start_N2, *LEFT), box(start_N2, *NEXT_TO_LEFT)
    xy_TN2 = slide(start_N2, (a_N, (0.12, 0.02)), (b_N, (0.05, 0.04)), noise_px=1.0, seed=seed)
    order = np.random.default_rng(seed).permutation(len(start_N2))
    found_N = groups(xy_TN2, a_N | b_N)
    assert same_partition(groups(xy_TN2[:, order], (a_N | b_N)[order]), found_N[order])


def test_every_size_of_image_and_rate_of_frames_gives_the_same_groups():
    start_N2 = grid(jitter=0.2)
    a_N, b_N = box(start_N2, *LEFT), box(start_N2, *NEXT_TO_LEFT)
    xy_TN2 = slide(start_N2, (a_N, (0.1, 0)), (b_N, (0.1, 0.1)))
    found_N = groups(xy_TN2, a_N | b_N)
    visible_TN = np.ones(xy_TN2.shape[:2], bool)
    large_N = motion_groups(3 * xy_TN2, visible_TN, a_N | b_N, (3 * SIZE_WH[0], 3 * SIZE_WH[1]))
    assert (large_N == found_N).all()
    assert (groups(xy_TN2[::2], a_N | b_N) == found_N).all()


@pytest.mark.parametrize("seed", range(3))
def test_rendered_and_tracked_objects(seed):
    """The truth of a scene with a moving camera, as points with 0.5 px of noise."""
    scene = make_scene(objects=3, seed=seed, n_frames=13)
    size_wh = scene.clip.size_wh
    points_N2 = grid_points(size_wh, 20).astype(np.float64)
    object_N = scene.object_at(points_N2)
    xy_TN2 = scene.steady_tracks(points_N2)
    xy_TN2 = xy_TN2 + np.random.default_rng(seed).normal(0, 0.5, xy_TN2.shape)
    found_N = motion_groups(xy_TN2, ~scene.covered(points_N2), object_N >= 0, size_wh)
    assert same_partition(found_N, object_N)


def test_it_takes_no_time_and_leaves_the_input_and_random_states_alone():
    start_N2 = grid(32, jitter=0.3)
    xy_TN2 = np.repeat(slide(start_N2, noise_px=0.5), 2, axis=0) + 200 * np.linspace(0, 1, 2 * N_FRAMES)[:, None, None]
    xy_TN2.setflags(write=False)
    cv2.setRNGSeed(5)
    expected = cv2.randu(np.zeros(4), 0.0, 1.0)
    cv2.setRNGSeed(5)
    began_s = time.perf_counter()
    found_N = groups(xy_TN2, np.ones(len(start_N2), bool))
    assert time.perf_counter() - began_s < 2  # 0.1 s on one core
    assert found_N.max() == 0
    np.testing.assert_array_equal(cv2.randu(np.zeros(4), 0.0, 1.0), expected)
