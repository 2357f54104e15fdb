"""Marks on things: which regions of the reference frame move, by the vote of the tracked points in them.

Letters: N points, R regions.
"""

import numpy as np

from schemas.flow import Bool, Float, Motion, PointMark, Regions, Tracks
from transforms.box_arrays import areas
from transforms.mark_points import Points, apart, best_first, later_reach, look, spread_out
from transforms.marks import MOST_GROUPS, SOM_MARKS


def choose_object_marks(
    regions: Regions,
    motion: Motion,
    tracks: Tracks,
    reference: int,
    size_wh: tuple[int, int],
    texture_N: Float,
    rng: np.random.Generator,
    *,
    min_points: int,
    min_moving_share: float,
    min_gap: float,
    min_displacement: float,
) -> tuple[PointMark, ...]:
    """Numbered marks in the order of their ids 1..n, one on every thing that moves and on some that stand still.

    A region, of those that can be marked, with `min_points` points moves if `min_moving_share` of these move, and go on
    by half of `min_displacement` (diagonals). The region with the most of them is a thing, its mark on the track in
    their middle; what lies in it counts no more, and so on, up to ten things. Twice as many marks, spread out, are on
    regions that stand still; where nothing moves, 6 to 14. Marks are `min_gap` (diagonals) apart, moving ones first.
    The same rng state gives the same marks, whatever the order of the points.
    """
    points = look(motion, tracks, reference, size_wh, texture_N, min_gap)
    moves_N = motion.moving_N & (later_reach(motion, tracks, reference) >= min_displacement / 2 * points.diagonal_px)
    by_place_N = np.lexsort(points.xy_N2.T)  # ties go by place, not by number
    inside_RN = _inside(regions, points)
    moving = _moving_things(inside_RN, moves_N, min_points, min_moving_share)
    on_moving: list[int] = []
    region_of: dict[int, int] = {}
    for region, moving_N in moving.items():
        on_moving = apart(points, best_first(points, by_place_N[moving_N[by_place_N]]), on_moving, most=1)
        region_of |= dict.fromkeys(on_moving[len(region_of) :], region)
    still_RN = inside_RN & ~inside_RN[list(moving)].any(axis=0)
    for region, still_N in _still_things(still_RN, ~motion.moving_N, regions, min_points).items():
        region_of[int(best_first(points, by_place_N[still_N[by_place_N]])[0])] = region
    fewest, most = SOM_MARKS
    n_still = 2 * len(on_moving) if on_moving else int(rng.integers(fewest, most + 1))
    on_still = np.array([track for track in region_of if track not in on_moving], dtype=np.intp)
    kept = spread_out(points, on_still, on_moving, n_still, rng)
    ids = rng.permutation(len(kept)) + 1
    marks = [
        PointMark(
            id=int(id_),
            track=track,
            kind="moving" if track in on_moving else "static",
            region=region_of[track],
        )
        for id_, track in zip(ids, kept, strict=True)
    ]
    return tuple(sorted(marks, key=lambda mark: mark.id))


def _inside(regions: Regions, points: Points) -> Bool:
    """Which points count and lie in which region that can be marked, [R, N]."""
    x1_R1, y1_R1, x2_R1, y2_R1 = regions.xyxy_R4.T[..., None]
    x_N, y_N = points.xy_N2.T
    inside_RN: Bool = (x_N >= x1_R1) & (x_N < x2_R1) & (y_N >= y1_R1) & (y_N < y2_R1)
    inside_RN &= points.shown_N & (regions.reason_R == "")[:, None]
    return inside_RN


def _moving_things(inside_RN: Bool, moves_N: Bool, min_points: int, min_share: float) -> dict[int, Bool]:
    """The moving points [N] of each region that is a thing of its own, those with the most first."""
    things: dict[int, Bool] = {}
    left_RN = inside_RN.copy()
    while len(things) < MOST_GROUPS:
        n_R, n_moving_R = left_RN.sum(axis=1), (left_RN & moves_N).sum(axis=1)
        moves_R = (n_R >= min_points) & (n_moving_R >= np.maximum(1, min_share * n_R))
        if not moves_R.any():
            break
        # of regions with the same moving points the one with the fewest others is the thing itself
        region = int(np.lexsort((n_R, -n_moving_R, ~moves_R))[0])
        things[region] = left_RN[region] & moves_N
        left_RN &= ~left_RN[region]
    return things


def _still_things(inside_RN: Bool, still_N: Bool, regions: Regions, min_points: int) -> dict[int, Bool]:
    """The points [N] of each region that stand still; a point belongs to the smallest region that holds it."""
    area_R = areas(regions.xyxy_R4.astype(np.float64))
    smallest_N = np.where(inside_RN, area_R[:, None], np.inf).argmin(axis=0) if len(area_R) else np.zeros(0, np.intp)
    things = {region: inside_RN[region] & still_N & (smallest_N == region) for region in range(len(area_R))}
    return {region: of_N for region, of_N in things.items() if of_N.sum() >= min_points}
