"""Any tracker over clips of any length and under any camera: in stretches that overlap, with new points for lost ones.

A tracker compares with a point's first look, which ages, and follows points of the first frame, which may all leave the
picture. So a stretch ends after a while, or where too few points are left. The next one starts a little before that,
with the points that are left and with new ones where there are none.

Letters: T frames, N points, M points of a stretch.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from schemas.flow import Bool, Clip, Float, Tracker, Tracks

_MIN_LEFT = 0.5
"""share of the points found on a stretch's second frame that must be left; on its first, some have no texture"""
_MIN_STEPS = 4
"""frames that a stretch goes on at least: more stretches add up more errors"""
_APART = 0.005
"""a point that two stretches put farther apart where they overlap is lost, in diagonals"""
_ROOM = 0.5
"""a new point keeps this share of the points' usual distance from those that are left"""


def track_in_stretches(
    track: Tracker,
    clip: Clip,
    place: Callable[[npt.NDArray[np.uint8]], Float],
    *,
    stretch_s: float,
    overlap_s: float,
) -> Tracks:
    """Tracks of the points that `place` puts on frame 0, then of those put on later frames: not visible before.

    `place`: a frame to points_N2, in pixels. No stretch is longer than `stretch_s`; where that ends one, the next goes
    back by `overlap_s` (at most half of it).
    """
    n_frames = len(clip.times_s_T)
    steps = max(_MIN_STEPS, round(stretch_s * clip.fps))
    overlap = min(round(overlap_s * clip.fps), steps // 2)
    points_M2 = np.asarray(place(clip.frames_THW3[0]), np.float32).reshape(-1, 2)
    column_M = np.arange(len(points_M2))
    tracks = _unseen(points_M2, n_frames)
    first = 0
    while True:
        last = min(first + steps, n_frames - 1)
        part = track(_cut(clip, first, last), points_M2)
        tracks = _joined(tracks, part, first, column_M, _APART * float(np.hypot(*clip.size_wh)))
        worn = _worn(part.visible_TN)
        if worn is None and last == n_frames - 1:
            return tracks
        first += max(1, worn - 1 if worn is not None else last - first - overlap)
        if first >= n_frames - 2:
            return tracks
        left = np.flatnonzero(tracks.visible_TN[first])
        new_M2 = _apart_from(np.asarray(place(clip.frames_THW3[first]), np.float32), tracks.xy_TN2[first, left])
        column_M = np.concatenate([left, len(tracks.visible_TN[0]) + np.arange(len(new_M2))])
        points_M2 = np.concatenate([tracks.xy_TN2[first, left], new_M2])
        tracks = _beside(tracks, _unseen(new_M2, n_frames))


def _cut(clip: Clip, first: int, last: int) -> Clip:
    there = slice(first, last + 1)
    return replace(
        clip,
        frames_THW3=clip.frames_THW3[there],
        times_s_T=clip.times_s_T[there],
        frame_indices_T=clip.frame_indices_T[there],
    )


def _unseen(points_M2: npt.NDArray[np.float32], n_frames: int) -> Tracks:
    xy_TM2 = np.repeat(points_M2[None], n_frames, axis=0)
    return Tracks(
        xy_TN2=xy_TM2,
        visible_TN=np.zeros(xy_TM2.shape[:2], bool),
        confidence_TN=np.zeros(xy_TM2.shape[:2], np.float16),
    )


def _beside(one: Tracks, other: Tracks) -> Tracks:
    return Tracks(
        xy_TN2=np.concatenate([one.xy_TN2, other.xy_TN2], axis=1),
        visible_TN=np.concatenate([one.visible_TN, other.visible_TN], axis=1),
        confidence_TN=np.concatenate([one.confidence_TN, other.confidence_TN], axis=1),
    )


def _joined(tracks: Tracks, part: Tracks, first: int, column_M: npt.NDArray[np.intp], apart_px: float) -> Tracks:
    """The tracks with a stretch from frame `first` on in its columns; all others end there."""
    there = slice(first + 1 if first else 0, first + len(part.visible_TN))
    here = slice(1 if first else 0, None)
    seen_TM = part.visible_TN[here]
    before_TM = tracks.visible_TN[there, column_M]
    off_TM = np.linalg.norm(part.xy_TN2[here] - tracks.xy_TN2[there, column_M], axis=-1)
    torn_TM = np.logical_or.accumulate(before_TM & seen_TM & (off_TM > apart_px), axis=0)
    xy_TN2, visible_TN, confidence_TN = tracks.xy_TN2.copy(), tracks.visible_TN.copy(), tracks.confidence_TN.copy()
    if first:
        visible_TN[first + 1 :], confidence_TN[first + 1 :] = False, 0
        xy_TN2[first + 1 :] = xy_TN2[first]
    visible_TN[there, column_M] = seen_TM & ~torn_TM
    confidence_TN[there, column_M] = np.where(torn_TM, 0, part.confidence_TN[here])
    xy_TN2[there, column_M] = part.xy_TN2[here]
    xy_TN2[there.stop :] = xy_TN2[there.stop - 1]
    if first:  # points put in now are seen on their first frame, and were nowhere else before
        visible_TN[first, column_M] |= part.visible_TN[0]
        confidence_TN[first, column_M] = np.maximum(confidence_TN[first, column_M], part.confidence_TN[0])
    return Tracks(xy_TN2=xy_TN2, visible_TN=visible_TN, confidence_TN=confidence_TN)


def _worn(visible_TM: Bool) -> int | None:
    """The first frame with too few points left; None where there are enough to the end."""
    left_T = visible_TM.sum(axis=1)
    few_T = left_T < _MIN_LEFT * left_T[min(1, len(left_T) - 1)]
    few_T[:_MIN_STEPS] = False
    return int(few_T.argmax()) if few_T.any() else None


def _apart_from(new_M2: npt.NDArray[np.float32], left_M2: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The new points that are not near one that is left."""
    if len(left_M2) == 0 or len(new_M2) < 2:
        return new_M2
    between_MM = np.linalg.norm(new_M2[:, None] - new_M2, axis=-1)
    np.fill_diagonal(between_MM, np.inf)
    room = _ROOM * float(np.median(between_MM.min(axis=1)))
    away_M = np.linalg.norm(new_M2[:, None] - left_M2, axis=-1).min(axis=1)
    return np.asarray(new_M2[away_M >= room], np.float32)
