"""Which tracked points become marks (paper, algorithm 2).

Letters: T frames, N points, M points of a group, K clusters, F features of a track.
"""

import cv2
import numpy as np
import numpy.typing as npt

from schemas.flow import Float, Motion, PointMark, Tracks

_SOM_MARKS = (6, 14)
"""fewest and most marks of a sample in which nothing moves (the release's range)"""
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-5)


def choose_marks(
    motion: Motion,
    tracks: Tracks,
    size_wh: tuple[int, int],
    rng: np.random.Generator,
    *,
    max_moving_clusters: int,
    min_moving_points: int,
    min_gap: float,
) -> tuple[PointMark, ...]:
    """Numbered marks in the order of their ids 1..n: the medoids of K-means clusters of the tracks.

    k of 1..`max_moving_clusters` clusters of what moves, 2k of what stands still; where fewer than `min_moving_points`
    move, 6 to 14 of what stands still (of all, if all move). A mark nearer than `min_gap` (diagonals, on the reference
    frame) to an earlier one is left out; moving ones come first. The same rng state gives the same marks.
    """
    diagonal = float(np.hypot(*size_wh))
    start_N2 = tracks.xy_TN2[0]
    markable_N = motion.usable_N & ((start_N2 >= 0) & (start_N2 < size_wh)).all(axis=1)
    moving_n = np.flatnonzero(markable_N & motion.moving_N)
    static_n = np.flatnonzero(markable_N & ~motion.moving_N)
    track_NF = np.concatenate(motion.steady_xy_TN2 / diagonal, axis=1)

    if len(moving_n) < min_moving_points:
        fewest, most = _SOM_MARKS
        moving: list[int] = []
        candidates = static_n if len(static_n) else moving_n
        static = _medoids(track_NF, candidates, int(rng.integers(fewest, most + 1)), rng)
    else:
        k = int(rng.integers(1, min(max_moving_clusters, len(moving_n)) + 1))
        moving = _medoids(track_NF, moving_n, k, rng)
        static = _medoids(track_NF, static_n, 2 * k, rng)

    kept = _spread([*moving, *static], start_N2, min_gap * diagonal)
    ids = rng.permutation(len(kept)) + 1
    kinds = dict.fromkeys(moving, "moving")
    marks = [
        PointMark(id=int(id_), track=track, kind=kinds.get(track, "static"))
        for id_, track in zip(ids, kept, strict=True)
    ]
    return tuple(sorted(marks, key=lambda mark: mark.id))


def _medoids(track_NF: Float, group_M: npt.NDArray[np.intp], k: int, rng: np.random.Generator) -> list[int]:
    """The track in the middle of each of k clusters of a group; the whole group where that is no larger."""
    k = min(k, len(group_M))
    if k == len(group_M):  # also keeps a single track from OpenCV, which takes a matrix of one row for many points
        return [int(n) for n in group_M]
    feature_MF = np.ascontiguousarray(track_NF[group_M], dtype=np.float32)
    # Labels of our own: OpenCV's seeding would draw from its global random state.
    label_M = _nearest(feature_MF, _seeds(feature_MF, k, rng))
    _, label_M1, centre_KF = cv2.kmeans(feature_MF, k, label_M[:, None], _STOP, 1, cv2.KMEANS_USE_INITIAL_LABELS)
    medoids = []
    for cluster in range(k):
        members = np.flatnonzero(label_M1[:, 0] == cluster)
        if len(members):
            # The member nearest to the mean has the least sum of squared distances to all members.
            away = np.square(feature_MF[members] - centre_KF[cluster]).sum(axis=1)
            medoids.append(int(group_M[members[away.argmin()]]))
    return medoids


def _seeds(feature_MF: npt.NDArray[np.float32], k: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """k-means++: k of the points, each drawn in proportion to its squared distance to those before it."""
    chosen = [int(rng.integers(len(feature_MF)))]
    away_M = np.full(len(feature_MF), np.inf)
    while len(chosen) < k:
        away_M = np.minimum(away_M, np.square(feature_MF - feature_MF[chosen[-1]]).sum(axis=1))
        total = away_M.sum()
        share_M = away_M / total if total > 0 else None
        chosen.append(int(rng.choice(len(feature_MF), p=share_M)))
    return feature_MF[chosen]


def _nearest(feature_MF: npt.NDArray[np.float32], centre_KF: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    away_KM = np.stack([np.square(feature_MF - centre_F).sum(axis=1) for centre_F in centre_KF])
    return np.asarray(away_KM.argmin(axis=0), np.int32)


def _spread(candidates: list[int], xy_N2: Float, gap_px: float) -> list[int]:
    """The candidates, in order, that are at least `gap_px` from all kept before them."""
    kept: list[int] = []
    for track in candidates:
        if all(np.linalg.norm(xy_N2[track] - xy_N2[other]) >= gap_px for other in kept):
            kept.append(track)
    return kept
