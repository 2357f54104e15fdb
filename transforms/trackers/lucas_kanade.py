"""Pyramidal Lucas-Kanade tracking with two checks: the way back, and the point's own first look.

Letters: T frames, N points, M some of them.
"""

import numpy as np

from schemas.flow import Bool, Clip, Float, Tracks
from transforms.trackers.first_look import FirstLook
from transforms.trackers.pyramid_flow import Flow, gray_frames
from transforms.tracks import held, inside

_SURE = 0.8
"""confidence of the last step that counts before a point is lost"""


def track_lucas_kanade(
    clip: Clip,
    points_N2: Float,
    *,
    window: float,
    levels: int,
    max_forward_backward: float,
    min_similarity: float,
) -> Tracks:
    """Follows points of frame 0 through the clip; a point that is lost may be found again.

    `window` (side of the search window) and `max_forward_backward` are in image diagonals. A point is lost where the
    way back misses its start by more, where its surroundings look less like those on frame 0 than `min_similarity`
    (a correlation), or outside the image. Confidence is that similarity, times 1 falling to 0.5 as the way back misses
    by the limit; 0 where lost.
    """
    frames = gray_frames(clip.frames_THW3)
    size_wh = frames[0].size_wh
    scale_2 = np.array(size_wh) / clip.size_wh
    start_N2 = np.asarray(points_N2, np.float32).reshape(-1, 2)
    xy_TN2 = np.repeat((start_N2 * scale_2).astype(np.float32)[None], len(frames), axis=0)
    visible_TN = np.zeros(xy_TN2.shape[:2], bool)
    visible_TN[0] = inside(xy_TN2[0], size_wh)
    confidence_TN = visible_TN.astype(np.float64)
    flow = Flow(
        window_px=window * frames[0].diagonal, levels=levels, limit_px=max_forward_backward * frames[0].diagonal
    )
    look = FirstLook(frames[0], xy_TN2[0], flow)
    for t in range(1, len(frames)):
        alive = np.flatnonzero(visible_TN[t - 1])
        there_M2, found_M, miss_M = flow.step(frames[t - 1], frames[t], xy_TN2[t - 1, alive])
        xy_N2, found_N, trust_N = xy_TN2[t - 1].copy(), np.zeros(len(start_N2), bool), np.ones(len(start_N2))
        xy_N2[alive], found_N[alive], trust_N[alive] = there_M2, found_M & inside(there_M2, size_wh), 1 - miss_M / 2
        xy_N2, similar_N = look.judge(frames[t], xy_N2, found_N)
        alike_N = (similar_N >= min_similarity) & (similar_N > 0)
        visible_TN[t] = visible_TN[0] & alike_N & inside(xy_N2, size_wh)
        xy_TN2[t] = np.where(visible_TN[t, :, None], xy_N2, xy_TN2[t - 1])
        confidence_TN[t] = np.where(visible_TN[t], similar_N * np.where(found_N, trust_N, 1.0), 0.0)
    visible_TN = _without_doubtful_ends(visible_TN, confidence_TN)
    xy_TN2 = np.concatenate([start_N2[None], held(xy_TN2 / scale_2, visible_TN)[1:].astype(np.float32)])
    return Tracks(
        xy_TN2=xy_TN2,
        visible_TN=visible_TN,
        confidence_TN=np.where(visible_TN, confidence_TN.clip(0, 1), 0).astype(np.float16),
    )


def _without_doubtful_ends(visible_TN: Bool, confidence_TN: Float) -> Bool:
    """Takes the steps before a loss away at which the point was no longer sure: it was leaving its surface."""
    visible_TN = visible_TN.copy()
    for t in range(len(visible_TN) - 2, 0, -1):
        visible_TN[t] &= visible_TN[t + 1] | (confidence_TN[t] >= _SURE)
    return visible_TN
