"""The published curation code's defects, by their numbers in MAGMA.md 2.7: scenarios that it gets wrong, and we don't.

Its rules are those of `bench.truth.published`, or a few lines for what these leave out: each scenario shows its power.

Letters: T frames, N points, M marks, K points of a trace, H height, W width.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from bench.draw import draw_with_font_search
from bench.report import ROOT
from bench.truth.published import RULES, Called, call_moving, track_plain
from pipelines.config import load_config
from pipelines.video import encode, find_moving, remove_camera_motion, sample_builder, track_points
from pipelines.video_marks import mark
from schemas.flow import Bool, Clip, Float, Judged, Marked, Motion, Rejected, Tracks
from schemas.reasons import FILTERED
from schemas.sample import MARKED_MEMBER
from tests.marked import make_marked
from tests.scenes import _texture, fake_tracks, make_scene
from transforms import drawing
from transforms.camera import identity_motion
from transforms.points import grid_points, texture_of
from transforms.prompts import parse_tom_answer
from transforms.trackers import build_tracker

Frames = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""x, y, width, height"""

CONFIG = load_config("video", ["source.uris=['x']"])
RULE = {rule.name: rule for rule in RULES}
SIZE_WH = (320, 240)
DIAGONAL = 400.0
POINTS_N2 = grid_points(SIZE_WH, 15)
TIME_T11 = np.arange(17)[:, None, None]
SMALL: Box = (60, 60, 80, 80)


def film(pan_xy: tuple[int, int], *things: tuple[Box, Callable[[int], tuple[int, int]]], n_frames: int = 17) -> Frames:
    """Textured things (their box on frame 0, how far they have got by frame t) seen by a panning camera."""
    rng = np.random.default_rng(0)
    reach = 6 * n_frames
    ground_HW3 = _texture(rng, np.array(SIZE_WH) + 2 * reach)
    patches = [_texture(rng, np.array(box[2:])) for box, _ in things]
    frames_THW3 = np.empty((n_frames, SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    for t, frame_HW3 in enumerate(frames_THW3):
        view_HW3 = ground_HW3.copy()
        for ((x, y, w, h), gone), patch_HW3 in zip(things, patches, strict=True):
            view_HW3[reach + y + gone(t)[1] :, reach + x + gone(t)[0] :][:h, :w] = patch_HW3
        seen_HW3 = view_HW3[reach + pan_xy[1] * t :, reach + pan_xy[0] * t :][: SIZE_WH[1], : SIZE_WH[0]]
        frame_HW3[:] = np.clip(seen_HW3 + rng.normal(0, 2, seen_HW3.shape), 0, 255)
    return frames_THW3


def clip_of(frames_THW3: Frames, fps: float = 8.0) -> Clip:
    n_T = np.arange(len(frames_THW3))
    return replace(make_marked().clip, frames_THW3=frames_THW3, times_s_T=n_T / fps, fps=fps, frame_indices_T=n_T)


def clips_of(frames_THW3: Frames, n: int) -> list[Clip]:
    """Clips with keys, and so with draws, of their own."""
    return [replace(clip_of(frames_THW3), key=f"{number:016d}-000000000") for number in range(n)]


def steps(clip: Clip, tracks: Tracks | None = None) -> Judged | Rejected:
    """Our steps up to what moves, by our tracker or on given tracks."""
    tracker = build_tracker(CONFIG.tracker) if tracks is None else lambda clips, points: [tracks]
    found = remove_camera_motion(track_points([clip], tracker, CONFIG.points)[0], CONFIG.camera)
    return found if isinstance(found, Rejected) else find_moving(found, CONFIG.motion)


def judged(clip: Clip, tracks: Tracks | None = None) -> Judged:
    found = steps(clip, tracks)
    assert isinstance(found, Judged), found
    return found


def moving(clip: Clip, tracks: Tracks | None = None) -> Bool:
    return judged(clip, tracks).motion.moving_N


def reason(clip: Clip, tracks: Tracks | None = None) -> str:
    found = steps(clip, tracks)
    assert isinstance(found, Rejected), found
    return found.reason


def published(rule: str, clip: Clip, tracks: Tracks | None = None) -> Called:
    if tracks is None:
        tracks = fake_tracks(*track_plain(clip.frames_THW3, grid_points(clip.size_wh, 15)))
    return call_moving(RULE[rule], tracks.xy_TN2, tracks.visible_TN, clip.size_wh, np.random.default_rng(0))


def inside(box: Box, points_N2: Float = POINTS_N2, margin: int = 0) -> Bool:
    low_2, size_2 = np.array(box[:2]) - margin, np.array(box[2:]) + 2 * margin
    return np.asarray(((points_N2 >= low_2) & (points_N2 < low_2 + size_2)).all(axis=1))


def told(clip: Clip, xy_TN2: Float, visible_TN: Bool, moving_N: Bool) -> Judged:
    """What the steps before marks hand on; the camera stands still."""
    n = len(moving_N)
    motion = Motion(steady_xy_TN2=xy_TN2, usable_N=np.ones(n, bool), moving_N=moving_N, speed_N=moving_N * 0.1)
    return Judged(clip=clip, tracks=fake_tracks(xy_TN2, visible_TN), camera=identity_motion(17), motion=motion)


def tracks_of(marked: Marked | Rejected) -> tuple[int, ...]:
    assert isinstance(marked, Marked), marked
    return tuple(item.track for item in marked.marks)


def with_path(n: int, path_T2: Float, visible_T: npt.ArrayLike = True) -> Marked:
    """A marked clip of 200 x 100 pixels, its point `n` on another path; arrays are read-only."""
    marked = make_marked(camera_moves=False)
    steady_xy_TN2, visible_TN = marked.motion.steady_xy_TN2.copy(), marked.tracks.visible_TN | True
    steady_xy_TN2[:, n], visible_TN[:, n] = path_T2, visible_T
    for array in (steady_xy_TN2, marked.clip.frames_THW3):
        array.setflags(write=False)
    motion = replace(marked.motion, steady_xy_TN2=steady_xy_TN2)
    return replace(marked, motion=motion, tracks=fake_tracks(steady_xy_TN2, visible_TN))


def test_defect_01_camera_motion_leaks_into_what_moves() -> None:
    """demo.py splits tracks by their motion from before the homography: under a pan everything is foreground."""
    clip = clip_of(film((3, 1)))
    assert published("demo", clip).moving_N.mean() > 0.8
    assert not moving(clip).any()


def test_defect_02_one_frame_without_a_homography_undoes_all_stabilisation() -> None:
    """Its exception is swallowed and the clip left as it was: the camera's motion stays in all frames."""
    frames_THW3 = film((4, 1))
    frames_THW3[11] = 0
    called = published("video-seen", clip_of(frames_THW3))
    assert called.moving_N.mean() > 0.8 and np.array_equal(called.homographies_T33[-1], np.eye(3))
    assert reason(clip_of(frames_THW3)) in FILTERED


def test_defect_02_a_frame_without_a_homography_is_left_out_of_the_tracks() -> None:
    """Where None raises nothing it is skipped: tracks get shorter than their visibility, and shifted in time."""
    xy_TN2 = POINTS_N2 + TIME_T11 * np.array([-3.0, 0.0])
    broken_TN2 = np.where(TIME_T11 == 8, 100.0, xy_TN2)
    found = [cv2.findHomography(xy_N2, POINTS_N2, cv2.RANSAC, 4.0)[0] for xy_N2 in broken_TN2]
    assert len([homography_33 for homography_33 in found if homography_33 is not None]) == 16
    clip = clip_of(film((3, 0)))
    assert reason(clip, fake_tracks(broken_TN2)) in FILTERED
    assert len(judged(clip, fake_tracks(xy_TN2)).camera.homographies_T33) == 17


def test_defect_03_a_large_thing_is_taken_for_the_background() -> None:
    """The homography is fitted on all tracks, moving ones included: half of them pull it along, the ground moves."""
    box = (60, 72, 220, 168)
    clip = clip_of(film((2, 0), (box, lambda t: (0, 3 * t)), n_frames=11))
    called = published("robot", clip)
    assert called.moving_N[~inside(box, margin=8) & called.usable_N].mean() > 0.8
    ours = judged(clip)
    start_N2 = ours.tracks.xy_TN2[0]
    assert ours.motion.moving_N[inside(box, start_N2, margin=-8)].mean() > 0.8
    assert not ours.motion.moving_N[~inside(box, start_N2, margin=8)].any()


def test_defect_03_thresholds_in_pixels_depend_on_the_resolution() -> None:
    """4 px, 3 px per step, whatever the size: the same film at twice the size has another answer."""
    frames_THW3 = film((2, 0), (SMALL, lambda t: (2 * t, 0)))
    small, large = clip_of(frames_THW3), clip_of(np.stack([cv2.resize(each, (640, 480)) for each in frames_THW3]))
    assert not published("video", small).moving_N.any() and published("video", large).moving_N.sum() > 8
    assert moving(small).sum() > 8 and (moving(small) == moving(large)).mean() > 0.97


def test_defect_03_a_bad_fit_is_accepted() -> None:
    """The share of inliers is never looked at: four quarters that part are "stabilised" by one of them."""
    frames_THW3 = film((6, 2))
    for n, pan_xy in enumerate(((-6, 4), (2, -6), (-4, -4)), 1):
        y, x = 120 * (n // 2), 160 * (n % 2)
        frames_THW3[:, y : y + 120, x : x + 160] = film(pan_xy)[:, y : y + 120, x : x + 160]
    assert published("video", clip_of(frames_THW3)).marks
    assert reason(clip_of(frames_THW3)) in FILTERED


def test_defect_04_a_vibrating_point_moves() -> None:
    """Mean step length, no net displacement: what trembles by 1.3 % of the diagonal counts as moving."""
    clip = clip_of(film((0, 0), (SMALL, lambda t: (5 * (t % 2), 0))))
    assert published("video", clip).moving_N.sum() > 8
    assert not moving(clip).any()


def test_defect_04_drift_of_a_hidden_point_counts() -> None:
    """Visibility is ignored: where a tracker takes a point that nothing shows is motion."""
    since_T11 = np.maximum(TIME_T11 - 9, 0)
    xy_TN2 = POINTS_N2 + since_T11 * inside(SMALL)[:, None] * np.array([14.0, 0.0])
    clip, tracks = clip_of(film((0, 0))), fake_tracks(xy_TN2, (since_T11[..., 0] == 0) | ~inside(SMALL))
    assert published("video", clip, tracks).moving_N.sum() > 8
    assert not moving(clip, tracks).any()


def test_defect_04_thresholds_per_frame_depend_on_the_frame_rate() -> None:
    """Pixels per frame: the same film at three times the frame rate has another answer."""
    frames_THW3 = film((0, 0), (SMALL, lambda t: (4 * t // 3, 0)), n_frames=49)
    fast, slow = clip_of(frames_THW3, 24), clip_of(frames_THW3[::3])
    assert published("video", slow).moving_N.sum() > 8 and not published("video", fast).moving_N.any()
    assert moving(slow).sum() > 8 and (moving(slow) == moving(fast)).mean() > 0.97


def test_defect_05_values_of_256_and_hidden_points_in_text() -> None:
    """Points go by coordinate > 0: those beyond the right edge stay (256 and more is told), and hidden ones do."""
    path_T2 = np.array([150.0, 40.0]) + np.arange(9)[:, None] * (9.0, 0.0)
    assert int((path_T2[(path_T2 > 0).all(axis=1)] * 256 / (200, 100)).max()) >= 256
    for visible_T, steps, last_x in ((True, 5, 195), (np.arange(9) < 4, 3, 177)):
        sample = sample_builder(CONFIG)(with_path(1, path_T2, visible_T)).sample
        assert max(map(int, re.findall(r"\d+", sample.turns[-1].content))) <= 255
        assert (len(sample.traces[-1].xy) - 1, sample.traces[-1].xy[-1][0]) == (steps, last_x)


def half_good() -> Judged:
    """A thing that moves, a quarter of it without texture and another quarter hidden on frame 0."""
    frames_THW3 = film((0, 0), ((60, 40, 180, 160), lambda t: (4 * t, t)))
    for t, frame_HW3 in enumerate(frames_THW3):
        frame_HW3[40 + t :, 60 + 4 * t :][:80, :90] = 128
    points_N2 = grid_points(SIZE_WH, 32)
    moving_N, hidden_N = inside((60, 40, 180, 160), points_N2), inside((150, 40, 90, 80), points_N2)
    xy_TN2 = points_N2 + TIME_T11 * moving_N[:, None] * np.array([4.0, 1.0])
    return told(clip_of(frames_THW3), xy_TN2, (TIME_T11[..., 0] > 0) | ~hidden_N, moving_N)


def test_defect_06_marks_are_hidden_or_overlap_or_lie_on_nothing() -> None:
    """Random picks per K-means cluster: on hidden points, on one another, where there is no texture to follow."""
    found, faults = half_good(), {"theirs": Counter[str](), "ours": Counter[str]()}
    for number, clip in enumerate(clips_of(found.clip.frames_THW3, 20)):
        rng = np.random.default_rng(number)
        called = call_moving(RULE["video"], found.tracks.xy_TN2, found.tracks.visible_TN, SIZE_WH, rng)
        marked = mark(replace(found, clip=clip), CONFIG)
        assert isinstance(marked, Marked)
        for whose, t, tracks in (("theirs", 0, called.marks), ("ours", marked.reference, tracks_of(marked))):
            xy_M2 = found.tracks.xy_TN2[t, list(tracks)]
            away_MM = np.linalg.norm(xy_M2[:, None] - xy_M2, axis=-1) + DIAGONAL * np.eye(len(xy_M2))
            faults[whose]["hidden"] += (~found.tracks.visible_TN[t, list(tracks)]).sum()
            faults[whose]["near"] += (away_MM < CONFIG.marks.min_gap * DIAGONAL).sum()
            faults[whose]["smooth"] += (texture_of(found.clip.frames_THW3[t], xy_M2) < 0.5).sum()
    assert min(faults["theirs"].values()) > 0
    assert max(faults["ours"].values()) == 0


@pytest.mark.parametrize("moves", [True, False])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_defect_07_fewer_points_than_marks(n: int, moves: bool) -> None:
    """An empty group is None, and what is asked of it a crash; K-means knows no more clusters than points."""
    with pytest.raises(cv2.error):
        cv2.kmeans(np.zeros((n, 1, 2), np.float32), 6, None, (3, 100, 1e-4), 1, cv2.KMEANS_PP_CENTERS)
    xy_TN2 = POINTS_N2[::40][:n] + TIME_T11 * moves * np.array([2.0, 2.0])
    for clip in clips_of(film((0, 0)), 5):
        found = told(clip, xy_TN2, np.ones((17, n), bool), np.full(n, moves))
        assert 1 <= len(set(tracks_of(mark(found, CONFIG)))) <= n


def test_defect_08_duplicate_marks_and_marks_outside_the_image() -> None:
    """Fallback marks are drawn with replacement, from tracks that nothing has looked at."""
    xy_TN2 = np.tile(POINTS_N2[::25], (17, 1, 1))
    xy_TN2[:, :2] = ((330.0, 100.0), (100.0, -4.0))
    visible_TN, moving_N = np.ones(xy_TN2.shape[:2], bool), np.zeros(len(xy_TN2[0]), bool)
    drawn = [np.random.default_rng(number).integers(len(moving_N), size=10).tolist() for number in range(20)]
    assert any(len(set(tracks)) < len(tracks) for tracks in drawn) and any(min(tracks) < 2 for tracks in drawn)
    for clip in clips_of(film((0, 0)), 20):
        tracks = tracks_of(mark(told(clip, xy_TN2, visible_TN, moving_N), CONFIG))
        assert len(set(tracks)) == len(tracks) >= 6 and min(tracks) >= 2


def sample_checksum(seed: int) -> str:
    """Of the members of a sample, made from frames."""
    config = load_config("video", ["source.uris=['x']", f"seed={seed}"])
    marked = mark(judged(make_scene(objects=2).clip), config)
    assert isinstance(marked, Marked)
    made = encode(sample_builder(config)(marked), 90)
    return sha256(b"".join(suffix.encode() + content for suffix, content in made.members)).hexdigest()


@pytest.mark.slow
def test_defect_09_no_run_is_like_another() -> None:
    """Nothing is seeded: marks and ids differ each time. Ours are the same bytes, in any process."""
    tracks = track_plain(make_scene(objects=2).clip.frames_THW3, POINTS_N2)
    assert len({call_moving(RULE["demo"], *tracks, SIZE_WH, np.random.default_rng()).marks for _ in range(8)}) > 1
    here = sample_checksum(5)
    for hash_seed in ("1", "2"):
        code = "from tests.test_published_defects import sample_checksum; print(sample_checksum(5))"
        command, environment = [sys.executable, "-c", code], os.environ | {"PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == here
    assert len({here, *map(sample_checksum, range(3))}) > 1


def test_defect_10_tracks_change_and_text_starts_beside_the_mark() -> None:
    """Tracks are quantised in place, and the first kept point is not the drawn start. Ours are never written."""
    marked = with_path(0, np.arange(9)[:, None] * (5.0, 1.0) + (0.0, 30.0))
    theirs_TN2 = marked.motion.steady_xy_TN2.copy()
    path_T2 = theirs_TN2[:, 0]
    path_T2 *= 256 / np.array([200, 100])
    assert path_T2[(path_T2 > 0).all(axis=1)][0, 0] > 0 and theirs_TN2[1, 0, 0] != marked.tracks.xy_TN2[1, 0, 0]
    finished = sample_builder(CONFIG)(marked)
    place = {item.id: item.xy for item in finished.sample.marks}
    assert place[1][0] == 0
    assert [trace.xy[0] for trace in finished.sample.traces] == [place[1], place[3]]
    for mark_id, points in parse_tom_answer(finished.sample.turns[-1].content).items():
        assert points[0] == (int(256 * place[mark_id][0] / 200), int(256 * place[mark_id][1] / 100))
    x, y = map(int, place[3])
    red_HW = (finished.images[MARKED_MEMBER] == (255, 0, 0)).all(axis=-1)
    ends = [(each.min(), each.max()) for each in np.nonzero(red_HW[y - 12 : y + 12, x - 12 : x + 12])]
    assert np.mean(ends, axis=1) == pytest.approx([12, 12], abs=1)


def test_defect_11_the_number_of_steps_asked_for_is_not_that_told() -> None:
    """The question's N is the most of all marks, others tell fewer; points 2 bins apart are uneven in time."""
    path_T2 = np.stack([20 + np.array([0, 0.2, 0.4, 5, 10, 15, 15.3, 15.6, 25]), np.full(9, 30.0)], axis=1)
    kept = [0]
    for t in range(1, 9):
        kept += [t] if np.linalg.norm((path_T2[t] - path_T2[kept[-1]]) * 256 / (200, 100)) >= 2 else []
    assert len(kept) == 5 and len(set(np.diff(kept))) > 1  # the other mark's path keeps all 9
    sample = sample_builder(CONFIG)(with_path(0, path_T2)).sample
    asked = re.search(r"next (\d+) steps", sample.turns[-2].content)
    paths = parse_tom_answer(sample.turns[-1].content)
    assert asked and [(each, len(paths[each]) - 1) for each in paths] == [(1, int(asked[1])), (3, int(asked[1]))]
    assert all(np.allclose(np.diff(trace.times_s), CONFIG.traces.interval_s) for trace in sample.traces)


def test_defect_12_a_full_size_image_for_every_font_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The font size is looked for on images as large as the picture; the font's path is relative to somewhere."""
    for cached in vars(drawing).values():
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()
    made, new = list[int](), Image.new
    monkeypatch.setattr(Image, "new", lambda mode, size, *more: made.append(np.prod(size)) or new(mode, size, *more))
    monkeypatch.chdir(tmp_path)
    picture_HW3 = np.zeros((720, 1280, 3), np.uint8)
    marks = [(number, (90.0 * number, 300.0)) for number in range(1, 13)]
    draw_with_font_search(picture_HW3, marks)
    assert made.count(1280 * 720) > 20
    made.clear()
    assert drawing.draw_marks(picture_HW3, marks).any()
    assert 0 < max(made) < 1280 * 720 / 50
