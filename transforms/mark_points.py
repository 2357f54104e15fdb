"""Tracked points as choosing marks looks at them: which are seen on the frame, how good each is, how far apart.

Letters: T frames, N points, M points of a group, K points that are chosen already.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.flow import Bool, Float, Motion, Tracks
from transforms.groups import motion_groups, neighbours, spacing
from transforms.tracks import inside

Indices = npt.NDArray[np.intp]

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
class Points:
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


def look(
    motion: Motion, tracks: Tracks, reference: int, size_wh: tuple[int, int], texture_N: Float, min_gap: float
) -> Points:
    diagonal_px = float(np.hypot(*size_wh))
    xy_N2 = tracks.xy_TN2[reference].astype(np.float64)
    shown_N = motion.usable_N & tracks.visible_TN[reference] & inside(xy_N2, size_wh)
    group_N = motion_groups(motion.steady_xy_TN2, tracks.visible_TN, motion.moving_N, size_wh)
    shown_M = np.flatnonzero(shown_N)
    reach = _REACH * spacing(xy_N2[shown_M], size_wh)
    pairs_E2 = shown_M[neighbours(xy_N2[shown_M], size_wh, reach)]
    other_E = group_N[pairs_E2[:, 0]] != group_N[pairs_E2[:, 1]]
    n_other_N = np.bincount(pairs_E2[other_E].ravel(), minlength=len(xy_N2))
    n_all_N = np.bincount(pairs_E2.ravel(), minlength=len(xy_N2))
    confidence_TN = np.where(tracks.visible_TN, tracks.confidence_TN, 0).astype(np.float64)
    return Points(
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


def later_reach(motion: Motion, tracks: Tracks, reference: int) -> Float:
    """Farthest that each point is seen from its place on the reference frame afterwards, in pixels."""
    way_TN2 = motion.steady_xy_TN2[reference:] - motion.steady_xy_TN2[reference]
    return np.asarray((np.linalg.norm(way_TN2, axis=-1) * tracks.visible_TN[reference:]).max(axis=0))


def best_first(points: Points, group_M: Indices) -> Indices:
    """A group's points, those with the fewest faults first, of these the ones in the middle of the group."""
    return group_M[np.lexsort((off_centre(points, group_M), faults(points, group_M)))]


def faults(points: Points, group_M: Indices) -> Indices:
    """How many of these hold for each point of a group: it is smooth, badly seen, at the rim."""
    texture_M, trust_M, alike_M = points.texture_N[group_M], points.trust_N[group_M], points.alike_N[group_M]
    enough_texture = max(float(np.quantile(texture_M, _LOW_TEXTURE)), points.low_texture)
    wrong_3M = [
        texture_M < enough_texture,
        trust_M < _TRUSTED * np.median(trust_M),
        alike_M < _INSIDE * alike_M.max(),
    ]
    return np.asarray(np.sum(wrong_3M, axis=0))


def off_centre(points: Points, group_M: Indices) -> Float:
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


def spread_out(
    points: Points, candidates_M: Indices, kept: list[int], most: int, rng: np.random.Generator
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


def apart(points: Points, candidates: Indices, kept: list[int], most: int | None = None) -> list[int]:
    """`kept` and the first `most` of the candidates that are at least the gap from all before them."""
    chosen = list(kept)
    for track in candidates.tolist():
        if most is not None and len(chosen) == len(kept) + most:
            break
        away_K = np.linalg.norm(points.xy_N2[chosen] - points.xy_N2[track], axis=1)
        if (away_K >= points.gap_px).all():
            chosen.append(track)
    return chosen
