"""CoTracker's adapter with fake networks, which know where every point goes. Pixels are the clip's but where said."""

import sys
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import UserError
from schemas.flow import Clip
from schemas.networks import CoTrackerTracker
from tests.scenes import fake_ref
from transforms.points import grid_points, middle_points
from transforms.trackers.stretches import track_together

torch = pytest.importorskip("torch", reason="CoTracker needs torch: pip install '.[train]'")
from transforms.trackers.cotracker import CoTracker, build_cotracker, follow, queries_at  # noqa: E402

NETWORK_WH = (128, 96)
CLIP_WH = (200, 120)
STEP_2 = np.divide(np.subtract(NETWORK_WH, 1), np.subtract(CLIP_WH, 1))
"""of the network's pixels in one of the clip"""


class Planted:
    """Moves points by a path, in its own pixels, of the frame number that pixels tell; keeps what it is asked."""

    model_resolution = (NETWORK_WH[1], NETWORK_WH[0])
    window_len = 8

    def __init__(
        self, path=lambda number: (0 * number, 0 * number), visible=0.9, placed=0.9, spoil=lambda xy, sure: None
    ):
        self.path, self.visible, self.placed, self.spoil = path, visible, placed, spoil
        self.calls = []

    def __call__(self, video, queries, iters):
        self.calls.append((tuple(video.shape), queries.numpy().copy()))
        number_BT = video[:, :, 0, 0, 0].round().double()
        own_BM = torch.gather(number_BT, 1, queries[..., 0].long())
        path_BT2, own_BM2 = (torch.stack(self.path(each), dim=-1) for each in (number_BT, own_BM))
        xy_BTM2 = queries[:, None, :, 1:] + path_BT2[:, :, None] - own_BM2[:, None]
        sure_BTM = torch.full(xy_BTM2.shape[:3], self.visible)
        self.spoil(xy_BTM2, sure_BTM)
        placed = () if self.placed is None else (torch.full_like(sure_BTM, self.placed),)
        return xy_BTM2, sure_BTM, *placed, None


def loaded(network, **changes):
    device = torch.device("cpu")
    plain = CoTracker(
        network=network, feeding="whole", device=device, dtype=torch.float32, support_grid=0, min_visibility=0.6
    )
    return replace(plain, **changes)


def numbered(n_frames, size_wh=CLIP_WH):
    """Frames that are painted with their number, read-only."""
    frames_THW3 = np.broadcast_to(
        np.arange(n_frames, dtype=np.uint8)[:, None, None, None], (n_frames, *size_wh[::-1], 3)
    )
    assert not frames_THW3.flags.writeable
    return frames_THW3


def straight(x, y):
    return lambda number: (x * number, y * number)


@pytest.mark.parametrize("size_wh", [CLIP_WH, NETWORK_WH, (33, 400), (1920, 1080)])
def test_pixel_centres_of_the_corners_are_corners_of_what_the_network_sees(size_wh):
    network = Planted()
    width, height = size_wh
    corners_N2 = np.array([(0.5, 0.5), (width - 0.5, 0.5), (0.5, height - 0.5), (width - 0.5, height - 0.5)])
    (tracks,) = follow(loaded(network), [numbered(2, size_wh)], [queries_at(0, corners_N2)])
    ((_, asked_BM3),) = network.calls
    right, low = NETWORK_WH[0] - 1, NETWORK_WH[1] - 1
    np.testing.assert_allclose(asked_BM3[0], [(0, 0, 0), (0, right, 0), (0, 0, low), (0, right, low)], atol=1e-4)
    np.testing.assert_allclose(tracks.xy_TN2[1], corners_N2, atol=2e-3)
    assert tracks.visible_TN.all()


def test_tracks_are_given_in_the_pixels_of_each_clip():
    network = Planted(straight(3, 1))
    sizes = [(200, 120), (64, 128)]
    points_N2 = np.array([(10.0, 20.0), (30.5, 40.0)])
    both = follow(loaded(network), [numbered(4, size) for size in sizes], [queries_at(0, points_N2)] * 2)
    assert [shape for shape, _ in network.calls] == [(2, 4, 3, 96, 128)]
    for tracks, size_wh in zip(both, sizes, strict=True):
        way_2 = np.array([3, 1]) * np.subtract(size_wh, 1) / np.subtract(NETWORK_WH, 1)
        np.testing.assert_allclose(tracks.xy_TN2, points_N2 + np.arange(4)[:, None, None] * way_2, atol=1e-4)
        assert (tracks.xy_TN2.dtype, tracks.confidence_TN.dtype) == (np.float32, np.float16)


def test_a_point_asked_for_later_is_not_there_before_but_is_with_backward():
    queries_N3 = np.array([(0, 20, 30), (2, 60, 50), (4, 100, 60)], float)
    for backward in (False, True):
        network = Planted(straight(2, 0))
        (tracks,) = follow(loaded(network), [numbered(5)], [queries_N3], backward=backward)
        frame_T1, own_N = np.arange(5)[:, None], queries_N3[:, 0]
        np.testing.assert_array_equal(tracks.visible_TN, backward | (frame_T1 >= own_N))
        way_TN = np.where(tracks.visible_TN, frame_T1 - own_N, 0) * 2 / STEP_2[0]
        np.testing.assert_allclose(tracks.xy_TN2[..., 0], queries_N3[:, 1] + way_TN, atol=1e-4)
        assert len(network.calls) == 1 + backward
        assert (tracks.confidence_TN[own_N.astype(int), np.arange(3)] == 1).all()


def test_on_its_own_frame_a_point_is_where_it_was_asked_for_whatever_the_network_says():
    def shifted(xy_BTM2, sure_BTM):
        xy_BTM2 += 7
        sure_BTM[:] = 0

    (tracks,) = follow(loaded(Planted(spoil=shifted)), [numbered(3)], [np.array([(1, 50.25, 60.5)])])
    np.testing.assert_array_equal(tracks.xy_TN2, np.full((3, 1, 2), (50.25, 60.5), np.float32))
    assert tracks.visible_TN[:, 0].tolist() == [False, True, False]
    assert tracks.confidence_TN[:, 0].tolist() == [0, 1, 0]


def test_points_outside_the_picture_are_not_visible_and_may_come_back():
    def there_and_back(number):
        return 20 * (2 - (number - 2).abs()), 0 * number

    points_N2 = np.array([(100.0, 60.0), (150.0, 60.0), (-1.0, 60.0)])
    (tracks,) = follow(loaded(Planted(there_and_back)), [numbered(5)], [queries_at(0, points_N2)])
    np.testing.assert_array_equal(tracks.visible_TN[:, :2], [(1, 1), (1, 1), (1, 0), (1, 1), (1, 1)])
    assert tracks.xy_TN2[2, 1, 0] == tracks.xy_TN2[1, 1, 0] > 180  # held where it was seen last
    assert not tracks.visible_TN[0, 2]
    np.testing.assert_array_equal(tracks.xy_TN2[0], points_N2.astype(np.float32))
    np.testing.assert_array_equal(tracks.confidence_TN > 0, tracks.visible_TN)


def test_a_point_that_the_network_gives_nan_for_is_lost_from_there_never_zero():
    def spoil(xy_BTM2, sure_BTM):
        if xy_BTM2[0, 0, 1, 0] > xy_BTM2[0, -1, 1, 0]:  # the clip backward
            xy_BTM2[:, 5, 1] = float("nan")
        else:
            xy_BTM2[:, 4, 1] = float("nan")
        sure_BTM[:, 2, 0] = float("nan")

    queries_N3 = np.array([(0, 20, 30), (2, 60, 50), (0, 70, 80)], float)
    (tracks,) = follow(loaded(Planted(straight(1, 1), spoil=spoil)), [numbered(7)], [queries_N3], backward=True)
    assert tracks.visible_TN.T.astype(int).tolist() == [
        [1, 1, 0, 0, 0, 0, 0],
        [0, 0, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 1],
    ]
    for lost, last in ((0, 1), (1, 3)):
        np.testing.assert_array_equal(tracks.xy_TN2[last:, lost], np.tile(tracks.xy_TN2[last, lost], (7 - last, 1)))
    np.testing.assert_array_equal(tracks.xy_TN2[:2, 1], [(60, 50), (60, 50)])
    assert np.isfinite(tracks.xy_TN2).all() and (tracks.xy_TN2 > 10).all()


def test_a_network_that_gives_nothing_but_nan_is_an_error_with_a_cure():
    def spoil(xy_BTM2, sure_BTM):
        xy_BTM2[:] = float("nan")

    with pytest.raises(ValueError, match=r"NaN for every point.*precision=float32"):
        follow(loaded(Planted(spoil=spoil)), [numbered(3)], [queries_at(0, np.array([(5, 5)]))])


@pytest.mark.parametrize(
    ("visible", "placed", "seen"), [(0.9, 0.7, True), (0.9, 0.6, False), (0.7, None, True), (0.6, None, False)]
)
def test_what_is_seen_is_visibility_times_confidence_where_there_is_one(visible, placed, seen):
    # 0.6 as float32 is a little above 0.6: the limit lies at what the network can say
    network = Planted(visible=visible, placed=placed)
    limit = float(np.float32(0.6))
    (tracks,) = follow(loaded(network, min_visibility=limit), [numbered(3)], [queries_at(0, np.array([(5, 5)]))])
    assert tracks.visible_TN[1:].all() == tracks.visible_TN[1:].any() == seen
    if seen:
        np.testing.assert_allclose(tracks.confidence_TN[1:], visible * (placed or 1), atol=1e-3)


@pytest.mark.parametrize("side", [1, 2, 6])
def test_the_support_grid_is_asked_for_on_frame_0_and_not_given_back(side):
    network = Planted()
    (tracks,) = follow(loaded(network, support_grid=side), [numbered(3)], [np.array([(1, 50, 60)], float)])
    ((_, asked_BM3),) = network.calls
    assert tracks.visible_TN.shape == (3, 1)
    assert asked_BM3.shape == (1, 1 + side * side, 3)
    assert (asked_BM3[0, 1:, 0] == 0).all()
    middle_2 = np.divide(NETWORK_WH, 2)
    np.testing.assert_allclose(asked_BM3[0, 1:, 1:].mean(axis=0), middle_2, atol=1e-4)
    if side > 1:
        np.testing.assert_allclose(asked_BM3[0, [1, -1], 1:], [(2, 2), (126, 94)])  # a 64th of the width


def test_clips_of_as_many_frames_and_points_go_together_and_all_come_back_in_order():
    network = Planted(straight(1, 0))
    kinds = [(3, 2), (4, 2), (3, 2), (3, 1), (4, 2), (3, 2), (3, 0)]
    points = [grid_points(CLIP_WH, 4)[n : n + count] for n, (_, count) in enumerate(kinds)]
    queries = [queries_at(0, points_N2) for points_N2 in points]
    found = follow(loaded(network), [numbered(n_frames) for n_frames, _ in kinds], queries)
    assert [shape[:2] for shape, _ in network.calls] == [(3, 3), (2, 4), (1, 3)]
    for tracks, points_N2, (n_frames, count) in zip(found, points, kinds, strict=True):
        assert tracks.visible_TN.shape == (n_frames, count)
        np.testing.assert_allclose(
            tracks.xy_TN2[-1] - points_N2, [(n_frames - 1, 0)] / STEP_2 * np.ones((count, 1)), atol=1e-4
        )


@pytest.mark.parametrize("frame", [-1, 3, 0.5])
def test_a_query_of_no_frame_is_an_error(frame):
    with pytest.raises(ValueError, match=f"frame {frame:g} of a clip of 3"):
        follow(loaded(Planted()), [numbered(3)], [np.array([(frame, 5, 5)], float)])


def test_memory_used_up_is_a_memory_error():
    def spoil(xy_BTM2, sure_BTM):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0")

    with pytest.raises(MemoryError, match="out of memory"):
        follow(loaded(Planted(spoil=spoil)), [numbered(3)], [queries_at(0, np.array([(5, 5)]))])


def a_clip(n_frames):
    return Clip(
        key="0123456789abcdef-000000000",
        ref=fake_ref(),
        frames_THW3=numbered(n_frames),
        times_s_T=np.arange(n_frames) / 8,
        fps=8.0,
        frame_indices_T=np.arange(n_frames),
    )


def test_stretches_give_what_one_long_run_gives_within_a_hundredth_of_a_pixel():
    def swaying(number):
        return 9 * torch.sin(number / 5), 0.15 * number + 4 * torch.cos(number / 3)

    network, lengths = Planted(swaying), (100, 61)
    cotracker = loaded(network, support_grid=2)

    def tracker(clips, points):
        queries = [queries_at(0, points_N2) for points_N2 in points]
        return follow(cotracker, [clip.frames_THW3 for clip in clips], queries)

    clips = [a_clip(n_frames) for n_frames in lengths]
    place = partial(middle_points, grid=3)
    found = track_together(tracker, clips, place, stretch_s=2, overlap_s=0.5)
    assert len(network.calls) > 6
    assert network.calls[0][0][0] == 2  # both clips at once
    points_N2 = grid_points(CLIP_WH, 3)
    for tracks, clip in zip(found, clips, strict=True):
        (plain,) = tracker([clip], [points_N2])
        seen_TN = tracks.visible_TN[:, :9] & plain.visible_TN
        assert seen_TN.mean() > 0.8
        away_TN = np.linalg.norm(tracks.xy_TN2[:, :9] - plain.xy_TN2, axis=-1)
        assert away_TN[seen_TN].max() < 0.01


@pytest.fixture
def unloaded():
    """No `cotracker` is loaded, and what a test loads is forgotten after it."""

    def forget():
        return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "cotracker"}

    before = forget()
    yield
    forget()
    sys.modules.update(before)


def fake_checkout(folder: Path, *modules: str) -> str:
    inner = folder / "cotracker/models/core/cotracker"
    inner.mkdir(parents=True)
    for parent in (inner, *inner.parents[:3]):
        (parent / "__init__.py").touch()
    for name in modules:
        (inner / name).touch()
    return str(folder)


@pytest.mark.usefixtures("unloaded")
def test_without_the_package_the_error_says_how_to_install_it_and_its_licence(monkeypatch):
    monkeypatch.setitem(sys.modules, "cotracker", None)
    with pytest.raises(UserError, match=r"tracker.name.*git\+https://github.com/facebookresearch/co-tracker.*CC-BY-NC"):
        build_cotracker(CoTrackerTracker(weights="w.pth"), "w.pth", "cpu")


@pytest.mark.usefixtures("unloaded")
def test_a_folder_without_the_package_is_named_and_no_other_is_taken(tmp_path: Path):
    with pytest.raises(UserError, match=f"tracker.repository: '{tmp_path}' holds no package 'cotracker'"):
        build_cotracker(CoTrackerTracker(weights="w.pth", repository=str(tmp_path)), "w.pth", "cpu")
    assert str(tmp_path) not in sys.path


@pytest.mark.usefixtures("unloaded")
def test_a_checkout_of_an_older_version_is_an_error_that_names_what_it_lacks(tmp_path: Path):
    folder = fake_checkout(tmp_path)
    with pytest.raises(UserError, match=rf"repository: '{tmp_path}' needs the module .*cotracker3_offline"):
        build_cotracker(CoTrackerTracker(weights="w.pth", repository=folder), "w.pth", "cpu")
    assert folder not in sys.path


@pytest.mark.usefixtures("unloaded")
def test_a_checkout_beside_another_that_is_loaded_is_an_error(tmp_path: Path, monkeypatch):
    monkeypatch.syspath_prepend(fake_checkout(tmp_path / "one", "cotracker.py"))
    import_module("cotracker.models.core.cotracker.cotracker")
    other = fake_checkout(tmp_path / "two", "cotracker.py")
    with pytest.raises(UserError, match=r"is loaded from .*one"):
        build_cotracker(CoTrackerTracker(model="2", weights="w", repository=other), "w", "cpu")
