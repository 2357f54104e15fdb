"""Which tracked points become marks (paper, algorithm 2).

Letters: T frames, N points, M points of a group, K clusters, F features of a track.
"""

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from schemas.flow import Float, Motion, PointMark, Tracks
from transforms.mark_points import Indices, Points, apart, best_first, faults, later_reach, look, off_centre, spread_out

SOM_MARKS = (6, 14)
"""fewest and most marks of a sample in which nothing moves (the release's range)"""
MOST_GROUPS = 10
"""more things than this are a flock, or a tracker gone wrong; the largest are marked"""
_MIN_GROUP = (2, 0.005)
"""points, and share of all points, of a group worth a mark: fewer are as likely a slip of the tracker as a thing"""
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-5)


def choose_marks(
    motion: Motion,
    tracks: Tracks,
    reference: int,
    size_wh: tuple[int, int],
    texture_N: Float,
    rng: np.random.Generator,
    *,
    k: Literal["groups", "paper"],
    max_moving: int,
    min_moving_points: int,
    min_gap: float,
    min_displacement: float,
) -> tuple[PointMark, ...]:
    """Numbered marks in the order of their ids 1..n, on points that the frame `reference` shows.

    groups: the middle of every motion group that is worth it (of two points at least, ten groups at most), more in the
    largest where k, drawn from 1..`max_moving`, is above their number; twice as many on what stands still, spread out.
    paper: medoids of K-means, k of what moves and 2k of what stands still. Where fewer than `min_moving_points` move on
    by half of `min_displacement` (diagonals) from the reference frame on, 6 to 14 of what stands still (of all, if all
    move), "static" by name. What moved only before is not marked. Marks are `min_gap` (diagonals) apart, moving ones
    first. The same rng state gives the same marks, whatever the order of the points.
    """
    points = look(motion, tracks, reference, size_wh, texture_N, min_gap)
    goes_on_N = later_reach(motion, tracks, reference) >= min_displacement / 2 * points.diagonal_px
    by_place_N = np.lexsort(points.xy_N2.T)  # draws and ties go by place, not by number
    moving_M = by_place_N[(points.shown_N & motion.moving_N & goes_on_N)[by_place_N]]
    static_M = by_place_N[(points.shown_N & ~motion.moving_N)[by_place_N]]

    if len(moving_M) < min_moving_points:
        fewest, most = SOM_MARKS
        moving: list[int] = []
        candidates_M = static_M if len(static_M) else moving_M
        kept = spread_out(points, candidates_M, [], int(rng.integers(fewest, most + 1)), rng)
    else:
        n_moving = int(rng.integers(1, min(max_moving, len(moving_M)) + 1))
        if k == "paper":
            moving = apart(points, _medoids(points, moving_M, n_moving, rng), [])
            kept = apart(points, _medoids(points, static_M, 2 * n_moving, rng), moving)
        else:
            moving = _mark_groups(
                points, _worth_marking(points.group_N, moving_M, int(tracks.visible_TN[0].sum())), n_moving
            )
            kept = spread_out(points, static_M, moving, 2 * len(moving), rng)

    ids = rng.permutation(len(kept)) + 1
    marks = [
        PointMark(id=int(id_), track=track, kind="moving" if track in moving else "static")
        for id_, track in zip(ids, kept, strict=True)
    ]
    return tuple(sorted(marks, key=lambda mark: mark.id))


def _worth_marking(group_N: Indices, moving_M: Indices, n_points: int) -> list[Indices]:
    """The points to choose from in each group that gets a mark, largest group first."""
    size_G = np.bincount(group_N[group_N >= 0])
    present_G = np.unique(group_N[moving_M])
    fewest = min(max(_MIN_GROUP[0], round(_MIN_GROUP[1] * n_points)), size_G[present_G].max())
    worthy_G = present_G[size_G[present_G] >= fewest][:MOST_GROUPS]
    return [moving_M[group_N[moving_M] == group] for group in worthy_G]


def _mark_groups(points: Points, groups: list[Indices], n_marks: int) -> list[int]:
    """A mark on every group, largest first, then further ones where the most points share a mark."""
    size_G = np.array([len(group_M) for group_M in groups])
    n_marks_G = np.ones(len(groups), int)
    for _ in range(n_marks - len(groups)):
        n_marks_G[(size_G / n_marks_G).argmax()] += 1
    choices_G = [_choices(points, group_M, int(n)) for group_M, n in zip(groups, n_marks_G, strict=True)]
    kept: list[int] = []
    for turn in range(n_marks_G.max()):
        for choices in choices_G:
            if turn < len(choices):
                kept = apart(points, choices[turn], kept, most=1)
    return kept


def _choices(points: Points, group_M: Indices, n_marks: int) -> list[Indices]:
    """What each of a group's marks may sit on, best first: the middles of its parts; any point for the first mark."""
    all_M = best_first(points, group_M)
    if n_marks == 1:
        return [all_M]
    faults_M = faults(points, group_M)
    fit_M = faults_M <= np.sort(faults_M)[: 2 * n_marks][-1]
    parts = [
        part_M[np.lexsort((off_centre(points, part_M), faults_M[np.isin(group_M, part_M)]))]
        for part_M in _parts(points, group_M[fit_M], n_marks)
    ]
    return [np.concatenate([parts[0], all_M]), *parts[1:]]


def _parts(points: Points, group_M: Indices, n_parts: int) -> list[Indices]:
    """A group cut into compact parts of its picture, the largest first."""
    if len(group_M) == 1:
        return [group_M]
    xy_M2 = np.asarray(points.xy_N2[group_M] / points.diagonal_px, np.float32)
    chosen = [int(np.square(xy_M2 - xy_M2.mean(axis=0)).sum(axis=1).argmin())]
    while len(chosen) < min(n_parts, len(group_M)):
        away_MK = np.linalg.norm(xy_M2[:, None] - xy_M2[chosen], axis=2)
        chosen.append(int(away_MK.min(axis=1).argmax()))
    label_M = _cluster(xy_M2, xy_M2[chosen])
    return sorted((group_M[label_M == label] for label in np.unique(label_M)), key=len, reverse=True)


def _medoids(points: Points, group_M: Indices, k: int, rng: np.random.Generator) -> Indices:
    """The track in the middle of each of k clusters of a group; the whole group where that is no larger."""
    if k >= len(group_M):
        return group_M
    track_TM2 = points.way_TN2[:, group_M] + points.xy_N2[group_M] / points.diagonal_px
    feature_MF = np.ascontiguousarray(np.concatenate(track_TM2, axis=1), dtype=np.float32)
    label_M = _cluster(feature_MF, _seeds(feature_MF, k, rng))
    medoids = []
    for label in np.unique(label_M):
        members = np.flatnonzero(label_M == label)
        # The member nearest to the mean has the least sum of squared distances to all members.
        away = np.square(feature_MF[members] - feature_MF[members].mean(axis=0)).sum(axis=1)
        medoids.append(group_M[members[away.argmin()]])
    return np.array(medoids)


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


def _cluster(feature_MF: npt.NDArray[np.float32], centre_KF: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """K-means from given centres: the cluster of each of M > 1 points (OpenCV takes a single row for many points)."""
    away_KM = np.stack([np.square(feature_MF - centre_F).sum(axis=1) for centre_F in centre_KF])
    # Labels of our own: OpenCV's seeding would draw from its global random state.
    label_M = np.asarray(away_KM.argmin(axis=0), np.int32)
    k, flag = len(centre_KF), cv2.KMEANS_USE_INITIAL_LABELS
    _, label_M1, _ = cv2.kmeans(feature_MF, k, label_M[:, None], _STOP, 1, flag)
    return np.asarray(label_M1[:, 0])
