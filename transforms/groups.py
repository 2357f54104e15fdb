"""Which points move together: neighbours whose relative place stays the same. Letters: N points, T frames, E pairs.

Regions grow from single points, the most alike first. Two of them join where pairs across their border agree, on the
whole, about as well as those inside: points that a tracker carried half with one thing and half with the next do not
make one of the two, and a thing that turns is not cut up.
"""

import heapq

import cv2
import numpy as np
import numpy.typing as npt

from schemas.flow import Bool, Float

Pairs = npt.NDArray[np.intp]
Costs = tuple[float, int]
"""sum and number"""

_REACH = 2.3
"""points within this many grid spacings are neighbours: enough to step over one lost or mixed-up point"""
_BETWEEN = 0.35
"""a pair with a still point this near to its middle, as a share of its length, is of two things"""
_NEAREST = 4
"""the distance to the nearest-but-three is one spacing on a grid, also where points are shifted inside their cells"""
_SAMPLE = 256
"""points whose nearest are looked up"""
_NOISE = 0.0015
"""of tracking and of the camera's removal, in diagonals"""
_STRAIN = 0.2
"""what a turn by 40 degrees or a growth by 0.7 does to two points, as a share of the way between them"""
_OWN_WAY = 0.15
"""what else a thing's points may differ by, as a share of their motion"""
_JUMP_COST = 1.0
"""of a pair with a still point between, at least: things that lie apart have such pairs only, a ragged edge has some"""
_SAME_COST = 0.4
"""a border that agrees this well is none"""
_WORSE_COST = 3.0
"""a border is one where pairs agree this many times worse than inside"""


def motion_groups(
    steady_xy_TN2: Float, visible_TN: Bool, moving_N: Bool, size_wh: tuple[int, int]
) -> npt.NDArray[np.intp]:
    """The group of each point: 0, 1, ... by falling number of points (ties: lowest point first), -1 if it stands still.

    A group is connected on frame 0, by pairs of neighbours, and moves as one thing does; it may turn, grow and bend a
    little from neighbour to neighbour. Points that move alike on either side of still ones are two groups.
    """
    group_N = np.full(len(moving_N), -1, np.intp)
    moving_n = np.flatnonzero(moving_N)
    if len(moving_n) == 0:
        return group_N
    start_N2 = np.asarray(steady_xy_TN2[0], np.float64)
    reach = _REACH * spacing(start_N2[visible_TN[0]], size_wh)
    pairs_E2 = moving_n[neighbours(start_N2[moving_n], size_wh, reach)]
    still_N = ~moving_N & (visible_TN.mean(axis=0) > 0.5)
    cost_E = _disagreement(pairs_E2, steady_xy_TN2 / float(np.hypot(*size_wh)), visible_TN)
    jumps_E = _jumps(pairs_E2, start_N2, still_N, size_wh)
    cost_E = np.where(jumps_E, np.maximum(cost_E, _JUMP_COST), cost_E)
    known_E = ~np.isnan(cost_E)
    region_N = _grow(pairs_E2[known_E], cost_E[known_E], len(moving_N))

    _, first_G, member_M, size_G = np.unique(
        region_N[moving_n], return_index=True, return_inverse=True, return_counts=True
    )
    rank_G = np.empty(len(size_G), np.intp)
    rank_G[np.lexsort((first_G, -size_G))] = np.arange(len(size_G))
    group_N[moving_n] = rank_G[member_M]
    return group_N


def spacing(xy_N2: Float, size_wh: tuple[int, int]) -> float:
    """Typical distance between neighbours in the unit square that the image is scaled to."""
    unit_N2 = np.asarray(xy_N2 / size_wh, np.float32)
    if len(unit_N2) < 2:
        return 0.0
    by_place_N = np.lexsort(unit_N2.T)  # whatever the points' order
    some_M2 = unit_N2[by_place_N[:: -(-len(unit_N2) // _SAMPLE)]]
    nearest = min(_NEAREST, len(unit_N2) - 1)
    away_MK, _ = cv2.batchDistance(some_M2, unit_N2, cv2.CV_32F, normType=cv2.NORM_L2, K=nearest + 1)
    return float(np.median(away_MK[:, nearest]))


def neighbours(xy_N2: Float, size_wh: tuple[int, int], reach: float) -> Pairs:
    """All pairs E2 (smaller number first) of points within `reach` of one another in the unit square."""
    unit_N2 = np.asarray(xy_N2 / size_wh, np.float64)
    by_x_N = np.argsort(unit_N2[:, 0], kind="stable")
    sorted_N2 = unit_N2[by_x_N]
    found = [np.zeros((0, 2), np.intp)]
    for shift in range(1, len(sorted_N2)):
        offset_E2 = sorted_N2[shift:] - sorted_N2[:-shift]
        if offset_E2[:, 0].min() > reach:  # so are all further ones
            break
        first_E = np.flatnonzero(np.hypot(*offset_E2.T) <= reach)
        found.append(np.stack([by_x_N[first_E], by_x_N[first_E + shift]], axis=1))
    return np.sort(np.concatenate(found), axis=1)


def _jumps(pairs_E2: Pairs, xy_N2: Float, still_N: Bool, size_wh: tuple[int, int]) -> Bool:
    """Pairs with a still point between them."""
    if len(pairs_E2) == 0 or not still_N.any():
        return np.zeros(len(pairs_E2), bool)
    unit_N2 = np.asarray(xy_N2 / size_wh, np.float32)
    first_E2, second_E2 = unit_N2[pairs_E2[:, 0]], unit_N2[pairs_E2[:, 1]]
    middle_E2 = (first_E2 + second_E2) / 2
    away_E1, _ = cv2.batchDistance(middle_E2, unit_N2[still_N], cv2.CV_32F, normType=cv2.NORM_L2, K=1)
    return np.asarray(away_E1[:, 0] < _BETWEEN * np.linalg.norm(second_E2 - first_E2, axis=1))


def _disagreement(pairs_E2: Pairs, xy_TN2: Float, visible_TN: Bool) -> npt.NDArray[np.float64]:
    """How much two points move against one another: below 1 as one thing does, NaN where there is nothing to compare.

    Ways are spreads over the frames that show both points, in diagonals, so no single frame decides.
    """
    first_E, second_E = pairs_E2.T
    way_N2T = np.ascontiguousarray(np.moveaxis(xy_TN2 - xy_TN2[:1], 0, -1))
    common_ET = visible_TN.T[first_E] & visible_TN.T[second_E]
    first_E2T, second_E2T = way_N2T[first_E], way_N2T[second_E]
    apart_E = _spread(second_E2T - first_E2T, common_ET)
    way_E = np.minimum(_spread(first_E2T, common_ET), _spread(second_E2T, common_ET))
    distance_E = np.linalg.norm(xy_TN2[0, second_E] - xy_TN2[0, first_E], axis=1)
    # A straight way's spread is its length over the root of 12; so is that of a strain that comes evenly.
    allowed_E = _NOISE + _STRAIN * distance_E + _OWN_WAY * way_E
    return np.where(way_E > _NOISE, apart_E / allowed_E, np.nan)


def _spread(way_E2T: Float, common_ET: Bool) -> npt.NDArray[np.float64]:
    """Standard deviation of places over the frames that count."""
    weight_ET = common_ET / np.maximum(common_ET.sum(axis=1, keepdims=True), 1)
    mean_E2 = np.einsum("ect,et->ec", way_E2T, weight_ET)
    square_E = np.einsum("ect,ect,et->e", way_E2T, way_E2T, weight_ET)
    return np.asarray(np.sqrt(np.maximum(square_E - np.square(mean_E2).sum(axis=1), 0)))


def _grow(pairs_E2: Pairs, cost_E: Float, n_points: int) -> npt.NDArray[np.intp]:
    """The region of each point: a number that all of its points share."""
    borders: list[dict[int, Costs]] = [{} for _ in range(n_points)]
    inside: list[Costs] = [(0.0, 0)] * n_points
    queue: list[tuple[float, int, int]] = []
    for (one, two), cost in zip(pairs_E2.tolist(), cost_E.tolist(), strict=True):
        borders[one][two] = borders[two][one] = (cost, 1)
        queue.append((cost, one, two))
    heapq.heapify(queue)
    into_N = np.arange(n_points)
    while queue and queue[0][0] < 1:
        cost, one, two = heapq.heappop(queue)
        border = borders[one].get(two)
        if border is None or _mean(border) != cost:
            continue  # one of the two is gone, or their border has changed since
        if cost > max(_SAME_COST, _WORSE_COST * max(_mean(inside[one]), _mean(inside[two]))):
            continue
        kept, gone = (one, two) if len(borders[one]) >= len(borders[two]) else (two, one)
        into_N[gone] = kept
        inside[kept] = _sum(border, inside[one], inside[two])
        del borders[kept][gone], borders[gone][kept]
        for other, costs in borders[gone].items():
            del borders[other][gone]
            joint = _sum(costs, borders[kept].get(other, (0.0, 0)))
            borders[kept][other] = borders[other][kept] = joint
            heapq.heappush(queue, (_mean(joint), min(kept, other), max(kept, other)))
        borders[gone] = {}
    while (into_N[into_N] != into_N).any():
        into_N = into_N[into_N]
    return into_N


def _mean(costs: Costs) -> float:
    """1, the most that can be, where there are none: nothing is known of a single point's inside."""
    return costs[0] / costs[1] if costs[1] else 1.0


def _sum(*costs: Costs) -> Costs:
    return sum(cost for cost, _ in costs), sum(number for _, number in costs)
