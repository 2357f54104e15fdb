"""Stretches with fake trackers, which know where every point is, and with the real one."""

from functools import partial

import numpy as np
import pytest

from schemas.config import LucasKanadeTracker
from schemas.flow import Clip, Tracks
from tests.scenes import alone, fake_ref, fake_tracks, make_scene
from transforms.points import grid_points, middle_points, textured_points
from transforms.trackers import build_tracker, clip_by_clip
from transforms.trackers.stretches import track_together

FPS = 8.0
SIZE_WH = (320, 240)
GRID_N2 = grid_points(SIZE_WH, 8)
follow = alone(build_tracker(LucasKanadeTracker()))


def blank_clip(n_frames: int) -> Clip:
    frames_THW3 = np.zeros((n_frames, SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    frames_THW3.setflags(write=False)
    return Clip(
        key="0123456789abcdef-000000000",
        ref=fake_ref(),
        frames_THW3=frames_THW3,
        times_s_T=np.arange(n_frames) / FPS,
        fps=FPS,
        frame_indices_T=np.arange(n_frames),
    )


def perfect(clip, points_N2, velocity=(0.0, 0.0), lost=lambda t, xy_N2: np.zeros(len(xy_N2), bool)):
    """All points go straight on; lost for good outside the picture or where `lost` says so of a frame of the whole."""
    points_N2 = np.asarray(points_N2, np.float32)
    xy_TN2 = points_N2 + np.arange(len(clip.times_s_T))[:, None, None] * np.array(velocity)
    seen_TN = ((xy_TN2 >= 0) & (xy_TN2 < SIZE_WH)).all(axis=-1)
    seen_TN &= ~np.array([lost(t, xy_N2) for t, xy_N2 in zip(clip.frame_indices_T, xy_TN2, strict=True)])
    seen_TN = np.logical_and.accumulate(seen_TN, axis=0)
    last_TN = np.maximum.accumulate(np.where(seen_TN, np.arange(len(xy_TN2))[:, None], 0), axis=0)
    return fake_tracks(np.take_along_axis(xy_TN2, last_TN[..., None], axis=0), seen_TN)


def recorded(track, calls):
    """The tracker, which writes down the first and last frame and the points of every call."""

    def tracker(clip, points_N2):
        assert len(clip.frames_THW3) == len(clip.times_s_T) == len(clip.frame_indices_T)
        calls.append((int(clip.frame_indices_T[0]), int(clip.frame_indices_T[-1]), points_N2.copy()))
        return track(clip, points_N2)

    return tracker


def run(track, clip, place=lambda frame_HW3: GRID_N2, stretch_s=2.0, overlap_s=0.5):
    calls = []
    tracker = clip_by_clip(recorded(track, calls))
    (tracks,) = track_together(tracker, [clip], place, stretch_s=stretch_s, overlap_s=overlap_s)
    return tracks, calls


def birth_of(tracks):
    """The frame on which each point is seen first."""
    return tracks.visible_TN.argmax(axis=0)


def check_contract(tracks: Tracks, n_frames: int) -> None:
    shape = (n_frames, tracks.xy_TN2.shape[1])
    assert tracks.xy_TN2.shape == (*shape, 2)
    assert tracks.visible_TN.shape == tracks.confidence_TN.shape == shape
    assert (tracks.xy_TN2.dtype, tracks.visible_TN.dtype, tracks.confidence_TN.dtype) == (
        np.float32,
        np.bool_,
        np.float16,
    )
    np.testing.assert_array_equal(tracks.confidence_TN > 0, tracks.visible_TN)
    hidden_TN = ~tracks.visible_TN[1:] & np.logical_or.accumulate(tracks.visible_TN, axis=0)[:-1]
    np.testing.assert_array_equal(tracks.xy_TN2[1:][hidden_TN], tracks.xy_TN2[:-1][hidden_TN])
    for n, birth in enumerate(birth_of(tracks)):
        assert (tracks.xy_TN2[:birth, n] == tracks.xy_TN2[0, n]).all()


def check_same(one: Tracks, other: Tracks) -> None:
    for name in ("xy_TN2", "visible_TN", "confidence_TN"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("n_frames", [1, 2, 3, 5, 17])
def test_a_short_clip_gives_what_the_tracker_gives_in_one_call(n_frames):
    clip = blank_clip(n_frames)
    track = partial(perfect, velocity=(3, 1))
    tracks, calls = run(track, clip)
    assert [call[:2] for call in calls] == [(0, n_frames - 1)]
    np.testing.assert_array_equal(calls[0][2], GRID_N2)
    check_same(tracks, track(clip, GRID_N2))
    check_contract(tracks, n_frames)


def test_a_short_real_clip_gives_what_the_real_tracker_gives():
    scene = make_scene()
    place = partial(textured_points, grid=15)
    tracks, calls = run(follow, scene.clip, place, stretch_s=4)
    assert len(calls) == 1
    check_same(tracks, follow(scene.clip, place(scene.clip.frames_THW3[0])))


@pytest.mark.parametrize(
    ("n_frames", "stretch_s", "overlap_s", "stretches"),
    [
        (17, 2, 0.5, [(0, 16)]),
        (18, 2, 0.5, [(0, 16), (12, 17)]),
        (29, 2, 0.5, [(0, 16), (12, 28)]),
        (60, 2, 0.5, [(0, 16), (12, 28), (24, 40), (36, 52), (48, 59)]),
        (17, 2, 0, [(0, 16)]),
        (18, 2, 0, [(0, 16), (16, 17)]),
        (34, 2, 0, [(0, 16), (16, 32), (32, 33)]),
        (60, 2, 0, [(0, 16), (16, 32), (32, 48), (48, 59)]),
        (34, 2, 1.5, [(0, 16), (8, 24), (16, 32), (24, 33)]),
        (34, 2, 99, [(0, 16), (8, 24), (16, 32), (24, 33)]),
        (12, 0.01, 0, [(0, 4), (4, 8), (8, 11)]),
        (12, 0.01, 9, [(0, 4), (2, 6), (4, 8), (6, 10), (8, 11)]),
        (60, 1e6, 1e6, [(0, 59)]),
    ],
)
def test_stretches_cover_every_frame_and_a_perfect_tracker_loses_nothing(n_frames, stretch_s, overlap_s, stretches):
    track, clip = partial(perfect, velocity=(0.2, 0.1)), blank_clip(n_frames)
    tracks, calls = run(track, clip, stretch_s=stretch_s, overlap_s=overlap_s)
    assert [call[:2] for call in calls] == stretches
    assert tracks.visible_TN.shape == (n_frames, len(GRID_N2))  # nothing is lost, so nothing is put in anew
    assert tracks.visible_TN.all()
    way_T12 = np.arange(n_frames)[:, None, None] * np.array([0.2, 0.1])
    np.testing.assert_allclose(tracks.xy_TN2, GRID_N2 + way_T12, atol=1e-3)
    check_contract(tracks, n_frames)
    for first, _, points_N2 in calls:  # in the order of their columns, where they were left
        np.testing.assert_array_equal(points_N2, tracks.xy_TN2[first])


def test_points_keep_their_confidence_where_a_stretch_takes_over():
    def unsure(clip, points_N2):
        tracks = perfect(clip, points_N2)
        confidence_TN = np.full(tracks.visible_TN.shape, 0.5, np.float16)
        confidence_TN[0] = 1
        return Tracks(xy_TN2=tracks.xy_TN2, visible_TN=tracks.visible_TN, confidence_TN=confidence_TN)

    tracks, calls = run(unsure, blank_clip(60))
    assert len(calls) > 1
    assert (tracks.confidence_TN[0] == 1).all()
    assert (tracks.confidence_TN[1:] == 0.5).all()


def test_where_half_of_the_points_are_lost_new_ones_are_put_in():
    n_frames, velocity = 60, np.array([12.0, 0.0])
    tracks, calls = run(partial(perfect, velocity=velocity), blank_clip(n_frames))
    check_contract(tracks, n_frames)
    starts = [call[0] for call in calls]
    assert len(starts) > 3
    assert starts == sorted(set(starts))
    assert tracks.visible_TN.sum(axis=1).min() >= 0.4 * len(GRID_N2)  # never a frame without points
    birth_N = birth_of(tracks)
    assert set(birth_N) <= set(starts)
    np.testing.assert_array_equal(tracks.xy_TN2[:, : len(GRID_N2)][0], GRID_N2)
    for n in range(len(GRID_N2), tracks.visible_TN.shape[1]):
        birth = int(birth_N[n])
        place_2 = tracks.xy_TN2[birth, n]
        assert birth > 0
        assert (place_2 == GRID_N2).all(axis=1).any()
        assert (tracks.xy_TN2[:birth, n] == place_2).all()
        older_M2 = tracks.xy_TN2[birth, tracks.visible_TN[birth] & (birth_N < birth)]
        assert np.linalg.norm(older_M2 - place_2, axis=1).min() >= 0.5 * 30 - 1e-3  # cells of 40 x 30
        way_T1 = np.arange(n_frames - birth)[:, None]
        seen_T = tracks.visible_TN[birth:, n]
        assert (seen_T == np.logical_and.accumulate(seen_T)).all()  # no gaps
        np.testing.assert_allclose(tracks.xy_TN2[birth:, n][seen_T], (place_2 + way_T1 * velocity)[seen_T], atol=0.01)


@pytest.mark.parametrize("velocity", [(0.9, 0.4), (1.7, 1.3), (-2, 0.3)])
def test_points_do_not_crowd_however_often_new_ones_are_put_in(velocity):
    tracks, calls = run(partial(perfect, velocity=velocity), blank_clip(240))
    assert len(calls) > 18
    assert tracks.visible_TN.sum(axis=1).min() > 0.8 * len(GRID_N2)
    assert tracks.visible_TN.sum(axis=1).max() < 2 * len(GRID_N2)  # measured: up to 1.8, by a rule of distance 3
    for first, _, points_N2 in calls:
        between_NN = np.linalg.norm(points_N2[:, None] - points_N2, axis=-1)
        np.fill_diagonal(between_NN, np.inf)
        assert between_NN.min() >= 0.5 * 30 - 1e-3, first  # cells of 40 x 30


def test_no_new_points_where_enough_are_left():
    def loses_a_third(t, xy_N2):
        return (xy_N2[:, 0] < SIZE_WH[0] / 3) & (t >= 6)

    tracks, calls = run(partial(perfect, lost=loses_a_third), blank_clip(16))
    assert len(calls) == 1
    assert tracks.visible_TN.shape[1] == len(GRID_N2)


def test_a_stretch_starts_on_the_last_frame_that_shows_enough():
    """Points that a tracker loses because their look has aged are followed on from a new look."""
    tracks, calls = run(five_frames, blank_clip(60))
    assert [call[0] for call in calls] == list(range(0, 60, 4))[: len(calls)]
    assert tracks.visible_TN.shape == (60, len(GRID_N2))
    assert tracks.visible_TN[: calls[-1][0] + 5].all()


@pytest.mark.parametrize(
    ("lost_at", "n_calls"),
    [
        ((2, 3), 1),
        ((4,), 2),
        ((16,), 1),
        ((15, 16), 2),
    ],  # a stretch goes on for 4 steps; none is put on the last frames
)
def test_points_lost_in_the_first_or_the_last_moments(lost_at, n_calls):
    def loses_most_for_a_while(clip, points_N2):
        tracks = perfect(clip, points_N2)
        visible_TN = tracks.visible_TN.copy()
        visible_TN[np.isin(clip.frame_indices_T, lost_at), 10:] = clip.frame_indices_T[0] > 0
        return fake_tracks(tracks.xy_TN2, visible_TN)

    tracks, calls = run(loses_most_for_a_while, blank_clip(17))
    assert len(calls) == n_calls
    check_contract(tracks, 17)


def test_points_without_texture_are_not_missed():
    """A tracker sees any point on its first frame; one that nothing is found of from the second on was never there."""
    tracks, calls = run(
        lambda clip, points_N2: perfect(
            clip, points_N2, lost=lambda t, xy_N2: (xy_N2[:, 0] < 220) & (t > clip.frame_indices_T[0])
        ),
        blank_clip(17),
    )
    assert len(calls) == 1
    assert tracks.visible_TN[1:].mean() < 0.4


@pytest.mark.parametrize(("apart_px", "lost"), [(1.5, False), (3.0, True)])  # the limit: 0.005 of a diagonal of 400
def test_points_that_two_stretches_put_apart_are_lost_from_there_on(apart_px, lost):
    odd = np.arange(len(GRID_N2)) % 2 == 1

    def drifting(clip, points_N2):
        """From the second stretch on every other point is off from its third frame on."""
        tracks = perfect(clip, points_N2)
        xy_TN2 = tracks.xy_TN2.copy()
        if clip.frame_indices_T[0] == 12:
            xy_TN2[2:, odd] += (apart_px, 0)
        return Tracks(xy_TN2=xy_TN2, visible_TN=tracks.visible_TN, confidence_TN=tracks.confidence_TN)

    tracks, calls = run(drifting, blank_clip(29))
    assert [call[:2] for call in calls] == [(0, 16), (12, 28)]
    check_contract(tracks, 29)
    assert tracks.visible_TN[:14].all()
    assert tracks.visible_TN[:, ~odd].all()
    assert (tracks.visible_TN[14:, odd] == (not lost)).all()
    if lost:
        np.testing.assert_array_equal(tracks.xy_TN2[14:, odd], np.tile(GRID_N2[odd], (15, 1, 1)))


def test_points_put_apart_after_the_overlap_are_not_compared():
    """The first stretch says nothing of what comes after it."""

    def drifting(clip, points_N2):
        tracks = perfect(clip, points_N2)
        xy_TN2 = tracks.xy_TN2 + np.where(clip.frame_indices_T > 16, 50, 0)[:, None, None].astype(np.float32)
        return Tracks(xy_TN2=xy_TN2, visible_TN=tracks.visible_TN, confidence_TN=tracks.confidence_TN)

    tracks, _ = run(drifting, blank_clip(29))
    assert tracks.visible_TN.all()


def test_points_hidden_where_a_stretch_starts_end_there():
    def hides_one(clip, points_N2):
        tracks = perfect(clip, points_N2)
        hidden_T = (clip.frame_indices_T >= 10) & (clip.frame_indices_T <= 13)
        visible_TN = tracks.visible_TN.copy()
        visible_TN[hidden_T, 0] = False
        return fake_tracks(tracks.xy_TN2, visible_TN)

    tracks, _ = run(hides_one, blank_clip(29))
    check_contract(tracks, 29)
    assert tracks.visible_TN[:10, 0].all()
    assert not tracks.visible_TN[10:, 0].any()
    assert tracks.visible_TN.shape[1] == len(GRID_N2) + 1  # a new one takes its place


@pytest.mark.parametrize("cut", [8, 5, 16, 17, 40])
@pytest.mark.parametrize("by_chance", [0, 3])
def test_a_cut_is_followed_by_new_points(cut, by_chance):
    """Of 64 points a few may be found after the cut: something looks alike."""

    def loses_all(clip, points_N2):
        def lost(t, xy_N2):
            return (t >= cut > clip.frame_indices_T[0]) & (np.arange(len(xy_N2)) >= by_chance)

        return perfect(clip, points_N2, velocity=(1, 0.5), lost=lost)

    tracks, calls = run(loses_all, blank_clip(60))
    check_contract(tracks, 60)
    seen_T = tracks.visible_TN.sum(axis=1)
    assert (seen_T > 0.8 * len(GRID_N2)).all()
    assert (seen_T < 1.3 * len(GRID_N2)).all()
    assert cut in birth_of(tracks)
    assert not (tracks.visible_TN[cut - 1] & tracks.visible_TN[cut])[by_chance:].any()
    assert len(calls) < 10


def test_a_cut_that_a_new_stretch_starts_right_after():
    tracks, _ = run(partial(perfect, lost=lambda t, xy_N2: np.full(len(xy_N2), t == 1)), blank_clip(17))
    check_contract(tracks, 17)
    assert tracks.visible_TN[4:].all(axis=0).sum() == len(GRID_N2)


def never(clip, points_N2):
    return fake_tracks(np.tile(points_N2, (len(clip.times_s_T), 1, 1)), False)


def first_only(clip, points_N2):
    return perfect(clip, points_N2, lost=lambda t, xy_N2: np.full(len(xy_N2), t > clip.frame_indices_T[0]))


def second_only(clip, points_N2):
    tracks = perfect(clip, points_N2)
    return fake_tracks(
        tracks.xy_TN2,
        np.broadcast_to((np.arange(len(tracks.xy_TN2)) == 1)[:, None], (len(tracks.xy_TN2), len(points_N2))),
    )


def two_frames(clip, points_N2):
    return perfect(clip, points_N2, lost=lambda t, xy_N2: np.full(len(xy_N2), t > clip.frame_indices_T[0] + 1))


def five_frames(clip, points_N2):
    return perfect(clip, points_N2, lost=lambda t, xy_N2: np.full(len(xy_N2), t > clip.frame_indices_T[0] + 4))


def by_chance(clip, points_N2):
    rng = np.random.default_rng([len(points_N2), int(clip.frame_indices_T[0])])
    shape = len(clip.times_s_T), len(points_N2)
    xy_TN2 = rng.uniform((0, 0), SIZE_WH, (*shape, 2))
    xy_TN2[0] = points_N2
    return fake_tracks(xy_TN2, rng.random(shape) < 0.3)


TRACKERS = [never, first_only, second_only, two_frames, five_frames, by_chance, perfect]


@pytest.mark.parametrize("track", TRACKERS)
@pytest.mark.parametrize("n_frames", [1, 2, 3, 5, 6, 18, 60])
@pytest.mark.parametrize(("stretch_s", "overlap_s"), [(2, 0.5), (0.01, 0), (2, 0), (1, 99)])
@pytest.mark.parametrize("points_N2", [GRID_N2, GRID_N2[:1], GRID_N2[:0]], ids=["many", "one", "none"])
def test_any_tracker_comes_to_an_end(track, n_frames, stretch_s, overlap_s, points_N2):
    tracks, calls = run(track, blank_clip(n_frames), lambda _: points_N2, stretch_s, overlap_s)
    starts = [call[0] for call in calls]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    assert tracks.visible_TN.shape[0] == n_frames
    check_contract(tracks, n_frames)
    np.testing.assert_array_equal(tracks.xy_TN2[0, : len(points_N2)], points_N2)
    check_same(tracks, run(track, blank_clip(n_frames), lambda _: points_N2, stretch_s, overlap_s)[0])


def test_inputs_stay_as_they_are_and_points_may_be_of_any_kind():
    """The fakes give read-only arrays: whoever writes into them fails."""
    placed_N2 = GRID_N2.astype(np.float64)
    placed_N2.setflags(write=False)
    clip = blank_clip(60)
    tracks, calls = run(partial(perfect, velocity=(12, 0)), clip, lambda _: placed_N2)
    assert all(points_N2.dtype == np.float32 for *_, points_N2 in calls)
    np.testing.assert_array_equal(placed_N2, GRID_N2)
    np.testing.assert_array_equal(clip.frame_indices_T, np.arange(60))
    tracks.xy_TN2[:] = -1  # the result is its own
    np.testing.assert_array_equal(placed_N2, GRID_N2)


def test_points_are_placed_on_the_frame_on_which_they_start():
    places, clip = [], make_scene(40, pan_px_per_frame=(0, 0), objects=0).clip

    def place(frame_HW3):
        (t,) = (t for t, other_HW3 in enumerate(clip.frames_THW3) if (other_HW3 == frame_HW3).all())
        places.append(t)
        return GRID_N2

    _, calls = run(partial(perfect, velocity=(12, 0)), clip, place)
    assert places == [first for first, *_ in calls]


@pytest.fixture(scope="module")
def long_scene():
    return make_scene(60, pan_px_per_frame=(1, 0.5), objects=0)


def truth_from_birth(scene, tracks):
    """Where points are on each frame by the scene's homographies, started where and when each was put in."""
    birth_N = birth_of(tracks)
    start_N2 = tracks.xy_TN2[birth_N, np.arange(len(birth_N))].astype(np.float64)
    start_N3 = np.concatenate([start_N2, np.ones((len(start_N2), 1))], axis=1)
    steady_N3 = np.einsum("nij,nj->ni", scene.homographies_T33[birth_N], start_N3)
    there_TN3 = np.einsum("tij,nj->tni", np.linalg.inv(scene.homographies_T33), steady_N3)
    return there_TN3[..., :2] / there_TN3[..., 2:]


def test_the_real_tracker_follows_points_through_the_handovers(long_scene):
    tracks, calls = run(follow, long_scene.clip, partial(textured_points, grid=12))
    check_contract(tracks, 60)
    assert [call[:2] for call in calls] == [(0, 16), (12, 28), (24, 40), (36, 52), (48, 59)]
    through_N = tracks.visible_TN[[0, -1]].all(axis=0)
    assert through_N.sum() > 60  # a third of the picture has left
    error_TN = np.linalg.norm(tracks.xy_TN2 - truth_from_birth(long_scene, tracks), axis=-1)
    assert error_TN[:, through_N].max() < 1
    assert np.quantile(error_TN[tracks.visible_TN], 0.99) < 1
    assert tracks.visible_TN.sum(axis=1).min() > 100


def test_the_real_tracker_under_a_camera_that_pans_away():
    scene = make_scene(60, pan_px_per_frame=(9, 0), objects=0)
    place = partial(middle_points, grid=12)
    tracks, _ = run(follow, scene.clip, place, stretch_s=4)
    check_contract(tracks, 60)
    assert not tracks.visible_TN[-1, :144].any()  # what was there on frame 0 is gone
    assert tracks.visible_TN.sum(axis=1).min() > 0.45 * 144
    error_TN = np.linalg.norm(tracks.xy_TN2 - truth_from_birth(scene, tracks), axis=-1)
    assert np.quantile(error_TN[tracks.visible_TN], 0.98) < 1


def test_the_real_tracker_goes_on_after_a_cut(long_scene):
    other = make_scene(60, pan_px_per_frame=(1, 0.5), objects=0, seed=77)
    frames_THW3 = long_scene.clip.frames_THW3.copy()
    frames_THW3[20:] = other.clip.frames_THW3[20:]
    clip = Clip(
        key=other.clip.key,
        ref=other.clip.ref,
        frames_THW3=frames_THW3,
        times_s_T=other.clip.times_s_T,
        fps=other.clip.fps,
        frame_indices_T=other.clip.frame_indices_T,
    )
    tracks, calls = run(follow, clip, partial(textured_points, grid=12), stretch_s=4)
    check_contract(tracks, 60)
    assert len(calls) < 8
    assert tracks.visible_TN[:19].sum(axis=1).min() > 100
    assert tracks.visible_TN[20:].sum(axis=1).min() > 100
    assert (tracks.visible_TN[18] & tracks.visible_TN[21]).sum() < 10  # a few look alike by chance
    check_same(tracks, run(follow, clip, partial(textured_points, grid=12), stretch_s=4)[0])


def test_clips_that_advance_together_give_what_each_gives_alone_to_the_bit():
    scenes = [
        make_scene(40, pan_px_per_frame=(9, 0), objects=1),
        make_scene(9, objects=2, seed=1),
        make_scene(24, pan_px_per_frame=(1, 0.5), objects=0, seed=2),
    ]
    clips, place = [scene.clip for scene in scenes], partial(textured_points, grid=8)
    tracker, calls = build_tracker(LucasKanadeTracker()), []

    def counted(clips, points):
        calls.append(len(clips))
        return tracker(clips, points)

    together = track_together(counted, clips, place, stretch_s=2, overlap_s=0.5)
    rounds = []
    for clip, tracks in zip(clips, together, strict=True):
        single, stretches = run(follow, clip, place)
        check_same(tracks, single)
        rounds.append(len(stretches))
    assert len(set(rounds)) == 3
    assert calls == [sum(n > number for n in rounds) for number in range(max(rounds))]  # one call for all that go on


def test_no_clips_are_tracked_without_a_call():
    assert (
        track_together(lambda clips, points: pytest.fail("called"), [], middle_points, stretch_s=2, overlap_s=0) == []
    )


def test_a_tracker_that_leaves_a_clip_out_is_an_error():
    clips = [blank_clip(5), blank_clip(6)]
    tracker = clip_by_clip(perfect)
    with pytest.raises(ValueError, match="zip"):
        track_together(
            lambda clips, points: tracker(clips[:1], points[:1]), clips, lambda _: GRID_N2, stretch_s=2, overlap_s=0
        )
