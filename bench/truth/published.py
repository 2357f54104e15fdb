"""The published rules for what moves, written anew from their description, on tracks of plain Lucas-Kanade.

The three places of the release that split tracks into moving and still ones differ in size and thresholds (arXiv
2502.13130; the code's demo.py, its training constructors for video and for robots). What they share: points seen in
more than half of the steps are kept; if more than 80 % of these move, on average, by more than a limit per step, every
frame is brought to the first by a homography of all of them (RANSAC, 4 px); what then moves by `moving_px` per step, on
average, is foreground. Visibility counts nowhere else. demo.py tests the motion from before the homography.

The release tracks with CoTracker, which goes on guessing where a hidden point is; Lucas-Kanade loses it, and a lost
point stays where it was seen last. The rules named "seen" leave the steps of lost points out, in the release's favour.

Letters: T frames, N points.
"""

from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from schemas.flow import Bool, Float

Array = npt.NDArray[np.float64]

_WINDOW_PX = 21
_LEVELS = 3
_FORWARD_BACKWARD_PX = 1.0
_GLOBAL_SHARE = 0.8
_RANSAC_PX = 4.0
_MIN_VISIBLE_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class Rule:
    """`size`: of the frames whose pixels the thresholds count; `seen`: steps of lost points count nowhere."""

    name: str
    size: str
    global_px: float
    moving_px: float
    steadied_motion: bool
    most_clusters: int
    seen: bool = False


_VIDEO = Rule(name="video", size="own", global_px=1, moving_px=3, steadied_motion=True, most_clusters=5)
_ROBOT = Rule(name="robot", size="512 x 512", global_px=1, moving_px=1, steadied_motion=True, most_clusters=4)
RULES = (
    Rule(name="demo", size="height 512", global_px=0.5, moving_px=2, steadied_motion=False, most_clusters=5),
    _VIDEO,
    _ROBOT,
    replace(_VIDEO, name="video-seen", seen=True),
    replace(_ROBOT, name="robot-seen", seen=True),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Called:
    """What a rule says of a clip; `steady_xy_TN2` and `homographies_T33` (to frame 0) in the clip's pixels."""

    moving_N: Bool
    usable_N: Bool
    marks: tuple[int, ...]
    """tracks that get a moving mark on frame 0"""
    steady_xy_TN2: Array
    homographies_T33: Array


def track_plain(frames_THW3: npt.NDArray[np.uint8], points_N2: Float) -> tuple[npt.NDArray[np.float32], Bool]:
    """Lucas-Kanade from frame to frame, with a forward-backward check: positions TN2 and visibility TN.

    A point once lost stays lost, where it was seen last.
    """
    height, width = frames_THW3.shape[1:3]
    xy_TN2 = np.repeat(np.asarray(points_N2, np.float32)[None], len(frames_THW3), axis=0)
    visible_TN = np.ones(xy_TN2.shape[:2], bool)
    gray_T = [cv2.cvtColor(frame_HW3, cv2.COLOR_RGB2GRAY) for frame_HW3 in frames_THW3]
    flow = partial(cv2.calcOpticalFlowPyrLK, winSize=(_WINDOW_PX, _WINDOW_PX), maxLevel=_LEVELS)
    for t in range(1, len(gray_T)):
        start_N12 = xy_TN2[t - 1][:, None] - np.float32(0.5)
        there_N12, found_N1, _ = flow(gray_T[t - 1], gray_T[t], start_N12, None)
        back_N12, back_N1, _ = flow(gray_T[t], gray_T[t - 1], there_N12, None)
        there_N2 = there_N12[:, 0] + np.float32(0.5)
        good_N = (found_N1[:, 0] == 1) & (back_N1[:, 0] == 1) & visible_TN[t - 1]
        good_N &= np.linalg.norm(back_N12 - start_N12, axis=-1)[:, 0] <= _FORWARD_BACKWARD_PX
        good_N &= ((there_N2 >= 0) & (there_N2 < (width, height))).all(axis=1)
        xy_TN2[t] = np.where(good_N[:, None], there_N2, xy_TN2[t - 1])
        visible_TN[t] = good_N
    return xy_TN2, visible_TN


def call_moving(
    rule: Rule, xy_TN2: Float, visible_TN: Bool, size_wh: tuple[int, int], rng: np.random.Generator
) -> Called:
    """What moves by a published rule, and which tracks get a moving mark."""
    scale_2 = _scale(rule.size, size_wh)
    scaled_TN2 = np.asarray(xy_TN2, np.float64) * scale_2
    counts_TN = visible_TN if rule.seen else np.ones_like(visible_TN)
    kept_N = visible_TN.mean(axis=0) > _MIN_VISIBLE_SHARE
    motion_N = _motion(scaled_TN2, counts_TN)
    homographies_T33 = np.tile(np.eye(3), (len(xy_TN2), 1, 1))
    steady_TN2 = scaled_TN2
    if kept_N.any() and (motion_N[kept_N] > rule.global_px).mean() > _GLOBAL_SHARE:
        found_T33 = _to_first(scaled_TN2[:, kept_N], counts_TN[:, kept_N])
        # one frame without a homography: an exception in the release, which leaves the whole clip as it was
        if found_T33 is not None:
            homographies_T33 = found_T33
            steady_TN2 = np.stack(
                [
                    cv2.perspectiveTransform(xy_N2[None], homography_33)[0]
                    for xy_N2, homography_33 in zip(scaled_TN2, found_T33, strict=True)
                ]
            )
    if rule.steadied_motion:
        motion_N = _motion(steady_TN2, counts_TN)
    moving_N = kept_N & (motion_N >= rule.moving_px)
    scaling_33 = np.diag([*scale_2, 1.0])
    return Called(
        moving_N=moving_N,
        usable_N=kept_N,
        marks=_marks(rule, steady_TN2, np.flatnonzero(moving_N), rng),
        steady_xy_TN2=steady_TN2 / scale_2,
        homographies_T33=np.linalg.inv(scaling_33) @ homographies_T33 @ scaling_33,
    )


def _scale(size: str, size_wh: tuple[int, int]) -> Array:
    width, height = size_wh
    match size:
        case "height 512":
            return np.array([512 / height, 512 / height])
        case "512 x 512":
            return np.array([512 / width, 512 / height])
    return np.ones(2)


def _motion(xy_TN2: Array, counts_TN: Bool) -> Array:
    """Mean length of a step, of those that count at both ends."""
    step_SN = np.linalg.norm(np.diff(xy_TN2, axis=0), axis=-1)
    counts_SN = counts_TN[1:] & counts_TN[:-1]
    return np.asarray((step_SN * counts_SN).sum(axis=0) / np.maximum(counts_SN.sum(axis=0), 1))


def _to_first(xy_TN2: Array, counts_TN: Bool) -> Array | None:
    """A homography from each frame to the first by all tracks that count; None if one can't be found."""
    homographies = [np.eye(3)]
    for xy_N2, counts_N in zip(xy_TN2[1:], counts_TN[1:], strict=True):
        if counts_N.sum() < 4:
            return None
        homography_33, _ = cv2.findHomography(xy_N2[counts_N], xy_TN2[0, counts_N], cv2.RANSAC, _RANSAC_PX)
        if homography_33 is None:
            return None
        homographies.append(homography_33)
    return np.stack(homographies)


def _marks(rule: Rule, xy_TN2: Array, moving_n: npt.NDArray[np.intp], rng: np.random.Generator) -> tuple[int, ...]:
    """A random track of each of 2 to `most_clusters` clusters of whole tracks; none where one track at most moves."""
    if len(moving_n) <= 1:
        return ()
    clusters = min(int(rng.integers(2, rule.most_clusters + 1)), len(moving_n))
    feature_NF = np.concatenate(list(xy_TN2[:, moving_n]), axis=1).astype(np.float32)
    cv2.setRNGSeed(int(rng.integers(2**31 - 1)))
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 1e-4)
    _, label_N1, _ = cv2.kmeans(feature_NF, clusters, None, stop, 1, cv2.KMEANS_PP_CENTERS)
    members = [moving_n[label_N1[:, 0] == cluster] for cluster in range(clusters)]
    return tuple(int(rng.choice(tracks)) for tracks in members if len(tracks))
