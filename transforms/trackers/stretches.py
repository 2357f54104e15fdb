"""Any tracker over clips of any length and under any camera: in stretches that overlap, with new points for lost ones.

A tracker compares with a point's first look, which ages, and follows points of the first frame, which may all leave the
picture. So a stretch ends after a while, or where too few points are left. The next one starts a little before that,
with the points that are left and with new ones where there are none.

Letters: T frames, N points, M points of a stretch.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from schemas.flow import Bool, Clip, Float, Tracker, Tracks
from transforms.tracks import held

_MIN_LEFT = 0.5
"""share of the points found on a stretch's second frame that must be left; on its first, some have no texture"""
_MIN_STEPS = 4
"""frames that a stretch goes on at least, unless it starts before a cut: more stretches add up more errors"""
_APART = 0.005
"""a point that two stretches put farther apart where they overlap is lost, in diagonals"""


Place = Callable[[npt.NDArray[np.uint8]], Float]
"""Puts points_N2 on a frame, in pixels."""


def track_together(
    tracker: Tracker, clips: Sequence[Clip], place: Place, *, stretch_s: float, overlap_s: float
) -> list[Tracks]:
    """Tracks of the points that `place` puts on frame 0, then of those put on later frames: not visible before.

    No stretch is longer than `stretch_s` (or 4 steps); where that ends one, the next goes back by `overlap_s` (at most
    half of it). A point that is hidden where a stretch starts ends there. Clips advance together, each by stretches of
    its own: a call of the tracker takes the next one of every clip that is not at its end.
    """
    running = [_stretches(clip, place, stretch_s, overlap_s) for clip in clips]
    waiting = {number: next(stretches) for number, stretches in enumerate(running)}
    tracks: dict[int, Tracks] = {}
    while waiting:
        parts = tracker([part for part, _ in waiting.values()], [points_M2 for _, points_M2 in waiting.values()])
        for number, found in zip(list(waiting), parts, strict=True):
            try:
                waiting[number] = running[number].send(found)
            except StopIteration as end:
                tracks[number] = end.value
                del waiting[number]
    return [tracks[number] for number in range(len(clips))]


def _stretches(
    clip: Clip, place: Place, stretch_s: float, overlap_s: float
) -> Generator[tuple[Clip, npt.NDArray[np.float32]], Tracks, Tracks]:
    """Gives each stretch of a clip and points_M2 of its first frame, is sent their tracks, and returns those of all."""
    n_frames = len(clip.times_s_T)
    steps = max(_MIN_STEPS, round(stretch_s * clip.fps))
    overlap = min(round(overlap_s * clip.fps), steps // 2)
    apart_px = _APART * float(np.hypot(*clip.size_wh))
    tracks = _unseen(np.zeros((0, 2), np.float32), n_frames)
    first = 0
    while True:
        left = np.flatnonzero(tracks.visible_TN[first])
        placed_N2 = np.asarray(place(clip.frames_THW3[first]), np.float32).reshape(-1, 2)
        new_M2 = _apart_from(placed_N2, tracks.xy_TN2[first, left])
        column_M = np.concatenate([left, tracks.visible_TN.shape[1] + np.arange(len(new_M2))])
        tracks = _beside(tracks, _unseen(new_M2, n_frames))
        last = min(first + steps, n_frames - 1)
        part = yield _cut(clip, first, last), tracks.xy_TN2[first, column_M]
        tracks = _joined(tracks, part, first, column_M, apart_px)
        worn = _worn(part.visible_TN, len(left))
        start = max(first + 1, first + worn - 1 if worn is not None else last - overlap)
        if last == n_frames - 1 and (worn is None or start >= n_frames - 2):
            return _held(tracks)
        first = start


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
    there = slice(first + 1, first + len(part.visible_TN))
    seen_TM, before_TM = part.visible_TN[1:], tracks.visible_TN[there, column_M]
    off_TM = np.linalg.norm(part.xy_TN2[1:] - tracks.xy_TN2[there, column_M], axis=-1)
    torn_TM = np.logical_or.accumulate(before_TM & seen_TM & (off_TM > apart_px), axis=0)
    xy_TN2, visible_TN, confidence_TN = tracks.xy_TN2.copy(), tracks.visible_TN.copy(), tracks.confidence_TN.copy()
    visible_TN[first + 1 :] = False
    xy_TN2[there, column_M] = part.xy_TN2[1:]
    visible_TN[there, column_M] = seen_TM & ~torn_TM
    confidence_TN[there, column_M] = part.confidence_TN[1:]
    # On the first frame points that are left stay as they were seen before, and the others are new.
    new_M = ~tracks.visible_TN[first, column_M]
    visible_TN[first, column_M[new_M]] = part.visible_TN[0, new_M]
    confidence_TN[first, column_M[new_M]] = part.confidence_TN[0, new_M]
    return Tracks(xy_TN2=xy_TN2, visible_TN=visible_TN, confidence_TN=confidence_TN)


def _worn(visible_TM: Bool, n_left: int) -> int | None:
    """The first frame with too few points left; None where there are enough to the end.

    It is the second one where most of the first `n_left` points, which were followed up to here, are gone: a cut.
    """
    left_T = visible_TM.sum(axis=1)
    second = min(1, len(left_T) - 1)
    if visible_TM[second, :n_left].sum() < _MIN_LEFT * n_left:
        return second
    few_T = left_T < max(1, _MIN_LEFT * left_T[second])
    few_T[:_MIN_STEPS] = False
    return int(few_T.argmax()) if few_T.any() else None


def _apart_from(placed_N2: npt.NDArray[np.float32], left_M2: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The placed points that are nearest to none of those that are left: half of their distance apart, or more."""
    if len(left_M2) == 0 or len(placed_N2) == 0:
        return placed_N2
    nearest_M = np.linalg.norm(left_M2[:, None] - placed_N2, axis=-1).argmin(axis=1)
    return np.delete(placed_N2, nearest_M, axis=0)


def _held(tracks: Tracks) -> Tracks:
    """Hidden positions at the last visible one before them, or where the point is put in; no confidence in them."""
    return Tracks(
        xy_TN2=held(tracks.xy_TN2, tracks.visible_TN),
        visible_TN=tracks.visible_TN,
        confidence_TN=np.where(tracks.visible_TN, tracks.confidence_TN, np.float16(0)),
    )
