"""Which tracked points become marks (paper, algorithm 2).

Letters: T frames, N points, M points of a group, K clusters, F features of a track.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from schemas.flow import Bool, Float, Motion, PointMark, Tracks
from transforms.groups import motion_groups, neighbours, spacing

Indices = npt.NDArray[np.intp]

_SOM_MARKS = (6, 14)
"""fewest and most marks of a sample in which nothing moves (the release's range)"""
_MOST_GROUPS = 10
"""more things than this are a flock, or a tracker gone wrong; the largest are marked"""
_MIN_GROUP = (2, 0.005)
"""points, and share of all points, of a group worth a mark: fewer are as likely a slip of the tracker as a thing"""
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-5)
_REACH = 1.6
"""neighbours on the reference frame, in grid spacings: those across the corner too"""
_LOW_TEXTURE = 0.25
"""of the median of all points: too smooth to follow. Also the share of a group's points that others are better than"""
_TRUSTED = 0.9
"""of the group's median confidence"""
_INSIDE = 0.8
"""of the group's best share of neighbours that are of the group: not at its rim"""
_WAY_WEIGHT = 4.0
"""of a difference in motion against one in place, both squared: a mark stands for its thing's motion"""
_CALM = 0.25
"""a still point with a larger share of moving neighbours may be a part of what moves beside it"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Points:
    """What choosing looks at.

    `shown_N`: usable and seen on the reference frame; `xy_N2`: there; `way_TN2`: from there, in diagonals; `trust_N`:
    mean confidence from there on, 0 where hidden; `alike_N`, `strange_N`: shares of neighbours there that are of the
    same group (still points count as one) and that are not; `roomy_N`: twice the distance to the image's border.
    """

    shown_N: Bool
    xy_N2: npt.NDArray[np.float64]
    way_TN2: Float
    visible_TN: Bool
    group_N: Indices
    texture_N: Float
    low_texture: float
    trust_N: Float
    alike_N: Float
    strange_N: Float
    roomy_N: Float
    diagonal_px: float
    gap_px: float


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
    points = _look(motion, tracks, reference, size_wh, texture_N, min_gap)
    goes_on_N = _later_reach(motion, tracks, reference) >= min_displacement / 2 * points.diagonal_px
    by_place_N = np.lexsort(points.xy_N2.T)  # draws and ties go by place, not by number
    moving_M = by_place_N[(points.shown_N & motion.moving_N & goes_on_N)[by_place_N]]
    static_M = by_place_N[(points.shown_N & ~motion.moving_N)[by_place_N]]

    if len(moving_M) < min_moving_points:
        fewest, most = _SOM_MARKS
        moving: list[int] = []
        candidates_M = static_M if len(static_M) else moving_M
        kept = _spread_out(points, candidates_M, [], int(rng.integers(fewest, most + 1)), rng)
    else:
        n_moving = int(rng.integers(1, min(max_moving, len(moving_M)) + 1))
        if k == "paper":
            moving = _apart(points, _medoids(points, moving_M, n_moving, rng), [])
            kept = _apart(points, _medoids(points, static_M, 2 * n_moving, rng), moving)
        else:
            moving = _mark_groups(
                points, _worth_marking(points.group_N, moving_M, int(tracks.visible_TN[0].sum())), n_moving
            )
            kept = _spread_out(points, static_M, moving, 2 * len(moving), rng)

    ids = rng.permutation(len(kept)) + 1
    marks = [
        PointMark(id=int(id_), track=track, kind="moving" if track in moving else "static")
        for id_, track in zip(ids, kept, strict=True)
    ]
    return tuple(sorted(marks, key=lambda mark: mark.id))


def _later_reach(motion: Motion, tracks: Tracks, reference: int) -> Float:
    """Farthest that each point is seen from its place on the reference frame afterwards, in pixels."""
    way_TN2 = motion.steady_xy_TN2[reference:] - motion.steady_xy_TN2[reference]
    return np.asarray((np.linalg.norm(way_TN2, axis=-1) * tracks.visible_TN[reference:]).max(axis=0))


def _look(
    motion: Motion, tracks: Tracks, reference: int, size_wh: tuple[int, int], texture_N: Float, min_gap: float
) -> _Points:
    diagonal_px = float(np.hypot(*size_wh))
    xy_N2 = tracks.xy_TN2[reference].astype(np.float64)
    shown_N = motion.usable_N & tracks.visible_TN[reference] & ((xy_N2 >= 0) & (xy_N2 < size_wh)).all(axis=1)
    group_N = motion_groups(motion.steady_xy_TN2, tracks.visible_TN, motion.moving_N, size_wh)
    shown_M = np.flatnonzero(shown_N)
    reach = _REACH * spacing(xy_N2[shown_M], size_wh)
    pairs_E2 = shown_M[neighbours(xy_N2[shown_M], size_wh, reach)]
    other_E = group_N[pairs_E2[:, 0]] != group_N[pairs_E2[:, 1]]
    n_other_N = np.bincount(pairs_E2[other_E].ravel(), minlength=len(xy_N2))
    n_all_N = np.bincount(pairs_E2.ravel(), minlength=len(xy_N2))
    confidence_TN = np.where(tracks.visible_TN, tracks.confidence_TN, 0).astype(np.float64)
    return _Points(
        shown_N=shown_N,
        xy_N2=xy_N2,
        way_TN2=(motion.steady_xy_TN2 - motion.steady_xy_TN2[reference]) / diagonal_px,
        visible_TN=tracks.visible_TN,
        group_N=group_N,
        texture_N=texture_N,
        low_texture=_LOW_TEXTURE * float(np.median(texture_N)) if len(texture_N) else 0.0,
        trust_N=confidence_TN[reference:].mean(axis=0),
        alike_N=(n_all_N - n_other_N + 1) / (n_all_N + 2),  # few neighbours prove less, either way
        strange_N=n_other_N / (n_all_N + 2),
        roomy_N=2 * np.minimum(xy_N2, size_wh - xy_N2).min(axis=1),
        diagonal_px=diagonal_px,
        gap_px=min_gap * diagonal_px,
    )


def _worth_marking(group_N: Indices, moving_M: Indices, n_points: int) -> list[Indices]:
    """The points to choose from in each group that gets a mark, largest group first."""
    size_G = np.bincount(group_N[group_N >= 0])
    present_G = np.unique(group_N[moving_M])
    fewest = min(max(_MIN_GROUP[0], round(_MIN_GROUP[1] * n_points)), size_G[present_G].max())
    worthy_G = present_G[size_G[present_G] >= fewest][:_MOST_GROUPS]
    return [moving_M[group_N[moving_M] == group] for group in worthy_G]


def _mark_groups(points: _Points, groups: list[Indices], n_marks: int) -> list[int]:
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
                kept = _apart(points, choices[turn], kept, most=1)
    return kept


def _choices(points: _Points, group_M: Indices, n_marks: int) -> list[Indices]:
    """What each of a group's marks may sit on, best first: the middles of its parts; any point for the first mark."""
    faults_M = _faults(points, group_M)
    all_M = group_M[np.lexsort((_off_centre(points, group_M), faults_M))]
    if n_marks == 1:
        return [all_M]
    fit_M = faults_M <= np.sort(faults_M)[: 2 * n_marks][-1]
    parts = [
        part_M[np.lexsort((_off_centre(points, part_M), faults_M[np.isin(group_M, part_M)]))]
        for part_M in _parts(points, group_M[fit_M], n_marks)
    ]
    return [np.concatenate([parts[0], all_M]), *parts[1:]]


def _faults(points: _Points, group_M: Indices) -> Indices:
    """How many of these hold for each point of a group: it is smooth, badly seen, at the rim."""
    texture_M, trust_M, alike_M = points.texture_N[group_M], points.trust_N[group_M], points.alike_N[group_M]
    enough_texture = max(float(np.quantile(texture_M, _LOW_TEXTURE)), points.low_texture)
    wrong_3M = [
        texture_M < enough_texture,
        trust_M < _TRUSTED * np.median(trust_M),
        alike_M < _INSIDE * alike_M.max(),
    ]
    return np.asarray(np.sum(wrong_3M, axis=0))


def _parts(points: _Points, group_M: Indices, n_parts: int) -> list[Indices]:
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


def _off_centre(points: _Points, group_M: Indices) -> Float:
    """Mean squared difference of each track from the group's, in place and (where both are seen) in motion."""
    xy_M2 = points.xy_N2[group_M] / points.diagonal_px
    way_TM2 = np.asarray(points.way_TN2[:, group_M], np.float64)
    seen_TM = points.visible_TN[:, group_M].astype(np.float64)
    # Sums over all pairs of tracks, without the pairs: sum_j |a - b_j|^2 = n |a|^2 - 2 a . sum_j b_j + sum_j |b_j|^2.
    n_T1 = seen_TM.sum(axis=1, keepdims=True)
    sum_T12 = (seen_TM[..., None] * way_TM2).sum(axis=1, keepdims=True)
    square_TM = np.square(way_TM2).sum(axis=2)
    square_T1 = (seen_TM * square_TM).sum(axis=1, keepdims=True)
    off_TM = n_T1 * square_TM - 2 * (way_TM2 * sum_T12).sum(axis=2) + square_T1
    off_M = (seen_TM * off_TM).sum(axis=0) / (seen_TM * n_T1).sum(axis=0)
    return np.asarray(_WAY_WEIGHT * off_M + np.square(xy_M2 - xy_M2.mean(axis=0)).sum(axis=1))


def _spread_out(
    points: _Points, candidates_M: Indices, kept: list[int], most: int, rng: np.random.Generator
) -> list[int]:
    """`kept` and up to `most` candidates: a random one, then ever the one farthest from all others and the border."""
    smooth_M = points.texture_N[candidates_M] < points.low_texture
    faults_M = smooth_M.astype(int) + (points.strange_N[candidates_M] > _CALM)
    xy_M2, roomy_M = points.xy_N2[candidates_M], points.roomy_N[candidates_M]
    away_M = np.full(len(candidates_M), np.inf)
    for track in kept:
        away_M = np.minimum(away_M, np.linalg.norm(xy_M2 - points.xy_N2[track], axis=1))
    chosen: list[int] = []
    free_M = np.ones(len(candidates_M), bool)
    while len(chosen) < most and (free_M := free_M & (away_M >= points.gap_px)).any():
        best_M = free_M & (faults_M == faults_M[free_M].min())
        room_M = np.where(best_M, np.minimum(away_M, roomy_M), -1)
        index = int(room_M.argmax()) if chosen else int(rng.choice(np.flatnonzero(best_M)))
        chosen.append(int(candidates_M[index]))
        free_M[index] = False
        away_M = np.minimum(away_M, np.linalg.norm(xy_M2 - xy_M2[index], axis=1))
    return [*kept, *chosen]


def _apart(points: _Points, candidates: Indices, kept: list[int], most: int | None = None) -> list[int]:
    """`kept` and the first `most` of the candidates that are at least the gap from all before them."""
    chosen = list(kept)
    for track in candidates.tolist():
        if most is not None and len(chosen) == len(kept) + most:
            break
        away_K = np.linalg.norm(points.xy_N2[chosen] - points.xy_N2[track], axis=1)
        if (away_K >= points.gap_px).all():
            chosen.append(track)
    return chosen


def _medoids(points: _Points, group_M: Indices, k: int, rng: np.random.Generator) -> Indices:
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
