"""The camera's motion as a homography per frame, agreed upon by whole tracks.

A track belongs to the background in all frames or in none: so no single frame can mistake an object for it, and the
noise of single frames does not become motion. Every frame is fitted or the clip is rejected: a frame is never skipped.

Letters: T frames, N points, S guesses, K key frames. Positions and lengths inside are in diagonals from the middle.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.flow import Bool, CameraMotion, Rejected, Tracks
from transforms.homography import fit_homographies, is_sane, warp

Array = npt.NDArray[np.float64]

_MIN_POINTS = 8
_TOLERANCES = (1.0, 2.0)
"""of `max_residual`: scenes that are not quite flat get a second chance, and with it a higher noise floor"""
_GUESSES = 300
_KEY_FRAMES = 6
_CANDIDATES = 6
_GUESS_RESIDUALS = (0.012, 0.004)
"""a guess from three points is coarse, so agreement is judged wide, in diagonals; and narrowly too: what moves slowly
agrees widely with a guess halfway between it and the background, which no later round leaves"""
_ROUNDS = 4
_MIN_TRIANGLE = 0.004
_MIN_DETERMINANT = 0.0005
"""three points nearly on a line tell no motion"""
_STILL_SUPPORT = ((1.0, 0.85), (0.5, 0.7))
"""a camera that stands still must explain a share of what the best moving one explains, within a part of the limit:
nearly as much, or less but closer; a camera that follows something leaves that where it was, as closely"""
_FEW, _STILL_OF_FEW = 16, 0.3
"""so few tracks fit a moving camera by chance, say those of a dancer before a plain wall; then this share is enough"""
_STILL_NEEDS = 0.5
"""of `min_inlier_ratio`: a still camera is no free fit, fewer points prove it"""
_BORDER = 0.15
"""width of the picture's border, in its sides"""
_SEED = 0
_TRUSTED = 4.0
"""weight of what was background in the stretch before; what was not has the inverse"""
_CARRIED = 0.5
"""share of the background that must stay background from one stretch to the next, of what is mostly seen in it"""
_FEWER, _MORE = 0.4, 1.5
"""a stretch of frames ends where fewer points of its first frame are left, if another frame shares so many more"""


def identity_motion(n_frames: int) -> CameraMotion:
    """The motion of a camera known to stand still."""
    return CameraMotion(
        moving=False,
        model="none",
        homographies_T33=np.tile(np.eye(3), (n_frames, 1, 1)),
        inlier_ratio_T=np.ones(n_frames),
        residual_px=0.0,
    )


def estimate_camera(
    tracks: Tracks, size_wh: tuple[int, int], *, max_residual: float, min_inlier_ratio: float
) -> CameraMotion | Rejected:
    """One homography from each frame to frame 0 that as much of the picture as possible follows through the clip.

    `max_residual` is in image diagonals. Inlier ratios are shares of the visible points; the residual is the median
    over those of the background. Where few points of the first frame are left, frames are fitted to one in between.
    """
    diagonal = float(np.hypot(*size_wh))
    to_unit_33 = np.array([(1, 0, -size_wh[0] / 2), (0, 1, -size_wh[1] / 2), (0, 0, diagonal)]) / diagonal
    xy_TN2 = (tracks.xy_TN2.astype(np.float64) - np.array(size_wh) / 2) / diagonal
    homographies_T33 = np.tile(np.eye(3), (len(xy_TN2), 1, 1))
    inlier_ratio_T = np.ones(len(xy_TN2))
    residuals, still = [np.zeros(0)], True
    trust_N = np.ones(xy_TN2.shape[1])
    for first, last in _stretches(tracks.visible_TN):
        there = slice(first, last + 1)
        fit = _fit(xy_TN2[there], tracks.visible_TN[there], trust_N, size_wh, max_residual, min_inlier_ratio)
        if isinstance(fit, Rejected):
            return fit
        carried_N = (trust_N > 1) & (tracks.visible_TN[first + 1 : last + 1].mean(axis=0) > _CARRIED)
        if carried_N.any() and fit.background_N[carried_N].mean() < _CARRIED:
            return Rejected(reason="camera_fit", value=float(fit.background_N[carried_N].mean()), threshold=_CARRIED)
        homographies_T33[there] = homographies_T33[first] @ fit.homographies_T33
        inlier_ratio_T[first + 1 : last + 1] = fit.inlier_ratio_T[1:]
        residuals.append(fit.residuals * diagonal)
        still &= fit.still
        # The next stretch must follow the same plane, not another that has come to fill the picture.
        trust_N = np.where(fit.background_N, _TRUSTED, np.where(tracks.visible_TN[first], 1 / _TRUSTED, trust_N))
    homographies_T33 = np.linalg.inv(to_unit_33) @ homographies_T33 @ to_unit_33
    homographies_T33 /= homographies_T33[:, 2:, 2:]
    homographies_T33[:1] = np.eye(3)
    if not all(is_sane(homography_33, size_wh) for homography_33 in homographies_T33):
        return Rejected(reason="camera_fit", value=0.0, threshold=min_inlier_ratio)
    return CameraMotion(
        moving=not still,
        model="none" if still else "homography",
        homographies_T33=np.tile(np.eye(3), (len(xy_TN2), 1, 1)) if still else homographies_T33,
        inlier_ratio_T=inlier_ratio_T,
        residual_px=float(np.median(np.concatenate(residuals))) if len(residuals) > 1 else 0.0,
    )


def _stretches(visible_TN: Bool) -> Iterator[tuple[int, int]]:
    """(first, last) frame of runs of frames that share enough points with their first one; the next starts at last."""
    first = 0
    while first < len(visible_TN) - 1:
        shared_T = (visible_TN & visible_TN[first]).sum(axis=1)
        last = len(visible_TN) - 1
        for t in range(first + 2, len(visible_TN)):
            with_last = (visible_TN[t - 1] & visible_TN[t]).sum()
            if shared_T[t] < _FEWER * shared_T[first] and with_last > _MORE * shared_T[t]:
                last = t - 1
                break
        yield first, last
        first = last


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Fit:
    """Homographies of a stretch to its first frame; `residuals` of the visible points of the background."""

    homographies_T33: Array
    inlier_ratio_T: Array
    residuals: Array
    background_N: Bool
    still: bool


def _fit(
    xy_TN2: Array,
    visible_TN: Bool,
    trust_N: Array,
    size_wh: tuple[int, int],
    max_residual: float,
    min_inlier_ratio: float,
) -> _Fit | Rejected:
    visible_TN = visible_TN & visible_TN[0]
    fewest = int(visible_TN.sum(axis=1).min())
    if fewest < _MIN_POINTS:
        return Rejected(reason="too_few_points", value=fewest, threshold=_MIN_POINTS)
    weight_N = trust_N * _weights(xy_TN2[0], size_wh, visible_TN)
    worst = 0.0
    for tolerance in _TOLERANCES:
        limit = tolerance * max_residual
        homographies_T33, still = _consensus(xy_TN2, visible_TN, weight_N, limit)
        residual_TN = _residuals(homographies_T33, xy_TN2)
        inlier_ratio_T = (visible_TN & (residual_TN <= limit)).sum(axis=1) / visible_TN.sum(axis=1)
        worst = float(inlier_ratio_T.min())
        if worst >= min_inlier_ratio * (_STILL_NEEDS if still else 1.0):
            background_N = _misfit(residual_TN, visible_TN) <= limit
            background_TN = visible_TN & background_N
            return _Fit(
                homographies_T33=homographies_T33,
                inlier_ratio_T=inlier_ratio_T,
                residuals=residual_TN[1:][background_TN[1:]],
                background_N=background_N,
                still=still,
            )
    return Rejected(reason="camera_fit", value=worst, threshold=min_inlier_ratio)


def _weights(start_N2: Array, size_wh: tuple[int, int], visible_TN: Bool) -> Array:
    """What lies at the border of the picture counts thrice: objects seldom do. What is seldom seen counts less."""
    half_2 = np.array(size_wh) / np.hypot(*size_wh) / 2
    border_N = (np.abs(start_N2) > half_2 * (1 - 2 * _BORDER)).any(axis=1)
    return np.asarray((1.0 + 2.0 * border_N) * np.minimum(1.0, 2 * visible_TN.mean(axis=0)) * visible_TN[0])


def _consensus(xy_TN2: Array, visible_TN: Bool, weight_N: Array, limit: float) -> tuple[Array, bool]:
    """The homographies with the most support; identities if a camera that stands still has nearly as much."""
    still_T33 = np.tile(np.eye(3), (len(xy_TN2), 1, 1))
    best_T33, best = still_T33, 0.0
    for candidate_T33 in _candidates(xy_TN2, visible_TN, weight_N):
        refined_T33 = _refined(candidate_T33, xy_TN2, visible_TN, limit)
        support = _support(refined_T33, xy_TN2, visible_TN, weight_N, limit)
        if support > best:
            best_T33, best = refined_T33, support
    few = int((_misfit(_residuals(best_T33, xy_TN2), visible_TN) <= limit).sum()) < _FEW
    is_still = any(
        _support(still_T33, xy_TN2, visible_TN, weight_N, part * limit) >= share * best
        for part, share in (*_STILL_SUPPORT, *([(1.0, _STILL_OF_FEW)] if few else []))
    )
    return (still_T33 if is_still else best_T33), is_still


def _candidates(xy_TN2: Array, visible_TN: Bool, weight_N: Array) -> Iterator[Array]:
    """Homographies from the points that agree with the best guesses, and with the best that others agree with."""
    yield np.tile(np.eye(3), (len(xy_TN2), 1, 1))
    key_K = np.unique(np.linspace(1, len(xy_TN2) - 1, _KEY_FRAMES).round().astype(int))
    whole = np.flatnonzero(visible_TN[key_K].all(axis=0))
    square_SM = _guesses(xy_TN2[key_K][:, whole], xy_TN2[0, whole])
    for width in _GUESS_RESIDUALS:
        support_SM = np.clip(1 - square_SM / width**2, 0, None)
        left_M = weight_N[whole]
        for _ in range(_CANDIDATES if len(support_SM) else 0):
            agree_M = support_SM[int((support_SM @ left_M).argmax())] > 0
            weight_TN = np.zeros(visible_TN.shape)
            weight_TN[:, whole[agree_M]] = visible_TN[:, whole[agree_M]]
            if (weight_TN.sum(axis=1) >= 4).all():
                yield fit_homographies(xy_TN2, np.broadcast_to(xy_TN2[0], xy_TN2.shape), weight_TN)
            left_M = np.where(agree_M, 0.0, left_M)
            if np.count_nonzero(left_M) < 3:
                break


def _guesses(xy_KM2: Array, start_M2: Array) -> Array:
    """Mean square by which each point misses each of many guesses: affine motions of three points, SM."""
    rng = np.random.default_rng(_SEED)
    if len(start_M2) < 3:
        return np.zeros((0, len(start_M2)))
    triple_S3 = rng.integers(0, len(start_M2), (_GUESSES, 3))
    edge_S22 = start_M2[triple_S3[:, 1:]] - start_M2[triple_S3[:, :1]]
    triple_S3 = triple_S3[np.abs(np.linalg.det(edge_S22)) > _MIN_TRIANGLE]
    xy1_KM3 = np.concatenate([xy_KM2, np.ones((*xy_KM2.shape[:2], 1))], axis=-1)
    seen_SK33 = np.swapaxes(xy1_KM3[:, triple_S3], 0, 1)
    wide_S = (np.abs(np.linalg.det(seen_SK33)) > _MIN_DETERMINANT).all(axis=1)
    start_SK32 = np.broadcast_to(start_M2[triple_S3[wide_S]][:, None], (*seen_SK33[wide_S].shape[:3], 2))
    affine_SK32 = np.linalg.solve(seen_SK33[wide_S], start_SK32)
    square_SM = np.square(np.einsum("kmc,skcd->skmd", xy1_KM3, affine_SK32) - start_M2).sum(axis=-1).mean(axis=1)
    return np.asarray(square_SM)


def _refined(homographies_T33: Array, xy_TN2: Array, visible_TN: Bool, limit: float) -> Array:
    """Fitted again to the tracks that agree, in a few rounds with ever less tolerance."""
    to_TN2 = np.broadcast_to(xy_TN2[0], xy_TN2.shape)
    for tolerance in np.geomspace(max(_GUESS_RESIDUALS[0], limit), limit, _ROUNDS):
        residual_TN = _residuals(homographies_T33, xy_TN2)
        track_N = np.clip(1 - np.square(_misfit(residual_TN, visible_TN) / tolerance), 0, None)
        weight_TN = visible_TN * track_N / (1 + np.square(residual_TN / (0.25 * limit)))
        if ((weight_TN > 0).sum(axis=1) < _MIN_POINTS).any():
            break
        homographies_T33 = fit_homographies(xy_TN2, to_TN2, weight_TN)
    return homographies_T33


def _residuals(homographies_T33: Array, xy_TN2: Array) -> Array:
    return np.asarray(np.linalg.norm(warp(homographies_T33, xy_TN2) - xy_TN2[0], axis=-1))


def _misfit(residual_TN: Array, visible_TN: Bool) -> Array:
    """Root mean square of a track's residuals where it is visible; infinite where it never is after the first frame."""
    count_N = visible_TN[1:].sum(axis=0)
    square_N = np.where(visible_TN[1:], np.square(residual_TN[1:]), 0.0).sum(axis=0)
    return np.asarray(np.sqrt(np.where(count_N > 0, square_N / np.maximum(count_N, 1), np.inf)))


def _support(homographies_T33: Array, xy_TN2: Array, visible_TN: Bool, weight_N: Array, limit: float) -> float:
    misfit_N = _misfit(_residuals(homographies_T33, xy_TN2), visible_TN)
    return float(np.clip(1 - np.square(misfit_N / limit), 0, None) @ weight_N)
