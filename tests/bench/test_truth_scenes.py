"""The benchmark's clips: what is drawn is where the truth says it is."""

from functools import lru_cache

import numpy as np
import pytest

from bench.report import ROOT
from bench.truth.frames import SPLITS, Frames, find_frames
from bench.truth.known import MOVES_FROM, TruthClip
from bench.truth.published import track_plain
from bench.truth.scenes import CATALOGUE, make_clip
from transforms.points import grid_points

pytestmark = pytest.mark.slow


@lru_cache
def frames(split: str = "tune") -> Frames:
    return find_frames(ROOT / "demo", split)


def first(category: str, strength: str = "mild", moving: int = 1) -> TruthClip:
    for number, spec in enumerate(CATALOGUE):
        if (spec.category, spec.strength, spec.moving) == (category, strength, moving):
            return make_clip(frames(), number)
    raise ValueError(category)


def test_the_catalogue_is_large_enough() -> None:
    panned = [spec for spec in CATALOGUE if spec.category == "panned"]
    assert len(panned) == 60 and not any(spec.moving for spec in panned)
    assert len(CATALOGUE) - len(panned) >= 60


def test_a_clip_is_a_function_of_split_and_number() -> None:
    once, again = (make_clip(frames(), 20).clip.frames_THW3 for _ in range(2))
    assert np.array_equal(once, again)


def test_the_splits_share_no_source() -> None:
    files = [{path for source in frames(split).sources for path in source} for split in SPLITS]
    assert files[0] and files[1] and not files[0] & files[1]


def test_without_real_frames_the_painted_ones_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOMTOM_TEST_DATA", raising=False)
    assert find_frames(None, "tune").painted


@pytest.mark.parametrize("category", ["objects", "blur", "two_depth", "dense_depth"])
def test_what_is_drawn_is_where_the_truth_says(category: str) -> None:
    known = first(category)
    points_N2 = grid_points(known.size_wh, 24).astype(np.float64)
    xy_TN2, found_TN = track_plain(known.clip.frames_THW3, points_N2)
    object_N, checked = known.object_at(0, points_N2), 0
    for o in np.unique(object_N):
        on_N = (object_N == o) & ~known.near_edge(0, points_N2, 12.0)
        visible_TN = known.visible(int(o), points_N2[on_N]) & found_TN[:, on_N]
        miss_TN = np.linalg.norm(xy_TN2[:, on_N] - known.seen_path(int(o), points_N2[on_N]), axis=-1)
        if visible_TN.sum() >= 60:
            assert np.median(miss_TN[visible_TN]) < (0.4 if o < 0 else 1.0)
            checked += 1
    assert checked


@pytest.mark.parametrize("category", ["objects", "two_depth", "dense_depth"])
def test_true_paths_from_any_frame_agree(category: str) -> None:
    known = first(category, "strong")
    points_N2 = grid_points(known.size_wh, 15).astype(np.float64)
    object_N, path_TN2 = known.true_path(0, points_N2)
    for o in np.unique(object_N):
        on_N = object_N == o
        assert np.allclose(path_TN2[:, on_N], known.steady_path(int(o), points_N2[on_N]))
        seen_TN2, visible_TN = known.seen_path(int(o), points_N2[on_N]), known.visible(int(o), points_N2[on_N])
        later_N, later_TN2 = known.true_path(5, seen_TN2[5])
        assert np.array_equal(later_N[visible_TN[5]], np.full(visible_TN[5].sum(), o))
        assert np.allclose(later_TN2[5], seen_TN2[5])
        if o >= 0 and known.things[o].parallax == 1:
            homography_33 = known.homographies_T33[5]
            back_TN3 = np.insert(later_TN2[:, visible_TN[5]], 2, 1.0, axis=-1) @ homography_33.T
            assert np.allclose(back_TN3[..., :2] / back_TN3[..., 2:], path_TN2[:, on_N][:, visible_TN[5]])


def test_things_keep_out_of_the_grey_zone() -> None:
    for number in range(3, len(CATALOGUE), 23):
        known = make_clip(frames(), number)
        for o, thing in enumerate(known.things):
            height, width = thing.alpha_HW.shape
            middle_12 = (thing.place_S33[0] @ (width / 2, height / 2, 1))[None, :2]
            away = np.linalg.norm(known.steady_path(o, middle_12)[:, 0] - middle_12, axis=1).max() / known.diagonal
            assert away == pytest.approx(thing.displacement, abs=1e-6)
            assert away <= 0.012 or away >= 0.026
            assert known.moves_O[o] == (away >= MOVES_FROM)


def test_nothing_is_visible_after_a_cut() -> None:
    known = first("cut")
    points_N2 = grid_points(known.size_wh, 15).astype(np.float64)
    assert 0 < known.cut < len(known.clip.frames_THW3)
    assert not known.visible(-1, points_N2)[known.cut :].any()
