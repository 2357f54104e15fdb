"""What moves once the camera's motion is taken away. Letters: T frames, N points, C candidates, E pairs of points."""

import numpy as np
import numpy.typing as npt

from schemas.flow import Bool, CameraMotion, Clip, Float, Motion, Rejected, Tracks
from transforms.evidence import gone_from_start
from transforms.groups import neighbours, spacing
from transforms.homography import warp
from transforms.parallax import like_depth
from transforms.tracks import held

_NOISE_QUANTILE = 0.9
_NOISY, _ABOVE_NOISE = 0.5, 4.0
"""where noise is more than this share of `min_displacement`, only what gets so many times as far is sure to move"""
_MAX_NOISE = 0.75
"""of `min_displacement`: where what stands still seems to move farther, nothing can be told"""
_STILL = 0.5
"""of `min_displacement`: what gets less far away stands still; what lies between is not called anything"""
_HARDLY = 0.006
"""from here on a point's old and new place can be told apart in the pictures, in diagonals"""
_NEAR_CELLS = 2.5
_AGREE, _AGREE_NOISE = 0.3, 0.003
"""neighbours on one thing keep their distance but for this share of their way, and this many diagonals"""
_AGAINST = 0.5
"""weight of a neighbour that moves otherwise, against one that moves alike"""


def judge_motion(
    clip: Clip,
    tracks: Tracks,
    camera: CameraMotion,
    *,
    min_visible_share: float,
    min_usable_points: int,
    min_displacement: float,
    max_parallax: float,
) -> Motion | Rejected:
    """Tracks seen from the camera of frame 0, and which of them move.

    A point moves if, on two frames at least, it is `min_displacement` (diagonals) away from its start and farther than
    noise gets; if the pictures agree that it is there and no longer here; if depth does not explain it; and if it moves
    as most moving points around it do. Points of which neither moving nor standing still is sure are not usable.
    """
    diagonal = float(np.hypot(*clip.size_wh))
    visible_TN = tracks.visible_TN
    seen_N = _seen_enough(visible_TN, min_visible_share)
    if seen_N.sum() < min_usable_points:
        return Rejected(reason="too_few_points", value=float(seen_N.sum()), threshold=float(min_usable_points))
    steady_xy_TN2 = steadied(camera, tracks)
    away_TN = _away(steady_xy_TN2, clip.size_wh)
    reach_N, noise = _reach_and_noise(away_TN, visible_TN, seen_N, camera.moving, min_displacement)
    if noise > _MAX_NOISE * min_displacement:
        return Rejected(reason="unsteady", value=noise, threshold=_MAX_NOISE * min_displacement)
    still_N = _still(reach_N, seen_N, noise, min_displacement)
    threshold = _ABOVE_NOISE * noise if noise > _NOISY * min_displacement else min_displacement
    moving_N = seen_N & (reach_N >= threshold)
    candidates = np.flatnonzero(moving_N)
    hardly_TC = away_TN[:, candidates] < _HARDLY
    moving_N[candidates] = gone_from_start(
        clip, tracks, camera.homographies_T33, candidates, ~hardly_TC, np.flatnonzero(still_N)
    )
    depth_N = np.zeros(len(moving_N), bool)
    if camera.moving:
        depth_N = moving_N & like_depth(steady_xy_TN2, visible_TN, camera.homographies_T33, clip.size_wh)
        if depth_N.sum() > max_parallax * seen_N.sum():
            return Rejected(reason="parallax", value=float(depth_N.sum() / seen_N.sum()), threshold=max_parallax)
    moving_N = _coherent(steady_xy_TN2, visible_TN, moving_N & ~depth_N, depth_N, clip.size_wh)
    return Motion(
        steady_xy_TN2=steady_xy_TN2,
        usable_N=moving_N | still_N,
        moving_N=moving_N,
        speed_N=_speed(steady_xy_TN2 / diagonal, visible_TN, clip.times_s_T),
    )


def standing_still(
    steady_xy_TN2: Float,
    visible_TN: Bool,
    size_wh: tuple[int, int],
    *,
    camera_moves: bool,
    min_visible_share: float,
    min_displacement: float,
) -> Bool:
    """Points that `judge_motion` finds to stand still beyond doubt; tracks alone decide that, without pictures.

    `steady_xy_TN2` is seen from the camera of frame 0.
    """
    seen_N = _seen_enough(visible_TN, min_visible_share)
    away_TN = _away(steady_xy_TN2, size_wh)
    reach_N, noise = _reach_and_noise(away_TN, visible_TN, seen_N, camera_moves, min_displacement)
    return _still(reach_N, seen_N, noise, min_displacement)


def steadied(camera: CameraMotion, tracks: Tracks) -> npt.NDArray[np.float64]:
    """Tracks as the camera's reference frame sees them, TN2; a hidden point stays where it was seen last."""
    return np.asarray(held(warp(camera.homographies_T33, tracks.xy_TN2), tracks.visible_TN))


def _seen_enough(visible_TN: Bool, min_visible_share: float) -> Bool:
    return np.asarray(visible_TN[0] & (visible_TN.mean(axis=0) > min_visible_share))


def _away(steady_xy_TN2: Float, size_wh: tuple[int, int]) -> npt.NDArray[np.float64]:
    """From the start, in diagonals."""
    away_TN = np.linalg.norm(steady_xy_TN2 - steady_xy_TN2[0], axis=-1)
    return np.asarray(away_TN / float(np.hypot(*size_wh)), np.float64)


def _reach_and_noise(
    away_TN: Float, visible_TN: Bool, seen_N: Bool, camera_moves: bool, min_displacement: float
) -> tuple[npt.NDArray[np.float64], float]:
    reach_N = _reach(away_TN, visible_TN)
    return reach_N, _noise(reach_N[seen_N], min_displacement) if camera_moves else 0.0


def _still(reach_N: Float, seen_N: Bool, noise: float, min_displacement: float) -> Bool:
    return np.asarray(seen_N & (reach_N < max(_STILL * min_displacement, noise)))


def _reach(away_TN: Float, visible_TN: Bool) -> npt.NDArray[np.float64]:
    """How far each point gets on two frames at least (on one of two frames): one bad step is no motion."""
    seen_TN = np.where(visible_TN, away_TN, 0.0)
    return np.asarray(np.sort(seen_TN, axis=0)[-min(2, len(seen_TN) - 1)])


def _noise(reach_N: Float, min_displacement: float) -> float:
    """How far nine tenths of what seems to stand still seem to get."""
    still_N = reach_N[reach_N < min_displacement]
    return float(np.quantile(still_N, _NOISE_QUANTILE)) if len(still_N) else 0.0


def _coherent(steady_xy_TN2: Float, visible_TN: Bool, moving_N: Bool, depth_N: Bool, size_wh: tuple[int, int]) -> Bool:
    """Without points that most of their moving neighbours contradict, the worst first, or that have none.

    A point of the background that something drags along stands still until it is reached, and after it has passed: so
    neighbours must agree on all frames that show both. Those that depth explains (`depth_N`) always contradict.
    """
    either_n = np.flatnonzero(moving_N | depth_N)
    start_n2 = steady_xy_TN2[0, either_n]
    reach = _NEAR_CELLS * spacing(steady_xy_TN2[0, visible_TN[0]], size_wh)
    one_E, other_E = either_n[neighbours(start_n2, size_wh, reach)].T
    both_TE = visible_TN[:, one_E] & visible_TN[:, other_E]
    shift_TE2 = steady_xy_TN2[:, one_E] - steady_xy_TN2[0, one_E]
    other_shift_TE2 = steady_xy_TN2[:, other_E] - steady_xy_TN2[0, other_E]
    way_TE = np.maximum(np.linalg.norm(shift_TE2, axis=-1), np.linalg.norm(other_shift_TE2, axis=-1))
    apart_TE = np.linalg.norm(shift_TE2 - other_shift_TE2, axis=-1)
    way_E, apart_E = (np.where(both_TE, each_TE, 0.0).max(axis=0) for each_TE in (way_TE, apart_TE))
    alike_E = apart_E <= _AGREE * way_E + _AGREE_NOISE * float(np.hypot(*size_wh))
    vote_E = np.where(depth_N[one_E] | depth_N[other_E], -1.0, np.where(alike_E, 1.0, -_AGAINST))
    votes_N = np.bincount(one_E, vote_E, len(moving_N)) + np.bincount(other_E, vote_E, len(moving_N))
    coherent_N = moving_N.copy()
    while coherent_N.any():
        worst = int(np.where(coherent_N, votes_N, np.inf).argmin())
        if votes_N[worst] > 0:
            break
        coherent_N[worst] = False
        np.subtract.at(votes_N, other_E[one_E == worst], vote_E[one_E == worst])
        np.subtract.at(votes_N, one_E[other_E == worst], vote_E[other_E == worst])
    return coherent_N


def _speed(xy_TN2: Float, visible_TN: Bool, times_s_T: Float) -> npt.NDArray[np.float64]:
    """Way between adjacent frames that both show the point, over the time between them; 0 without such frames."""
    step_SN = np.linalg.norm(np.diff(xy_TN2, axis=0), axis=-1)
    seen_SN = visible_TN[1:] & visible_TN[:-1]
    way_N = np.where(seen_SN, step_SN, 0.0).sum(axis=0)
    time_s_N = (seen_SN * np.diff(times_s_T)[:, None]).sum(axis=0)
    return np.asarray(np.divide(way_N, time_s_N, out=np.zeros(len(way_N)), where=time_s_N > 0))
