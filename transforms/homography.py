"""The camera's motion as a homography per frame. Letters: T frames, N points.

Every frame is fitted to the reference frame or the clip is rejected: a frame is never skipped.
"""

import cv2
import numpy as np
import numpy.typing as npt

from schemas.flow import CameraMotion, Float, Rejected, Tracks

_MIN_POINTS = 8
_ITERATIONS = 2000
_CONFIDENCE = 0.9999
_FIT_LIMIT = 4.0
"""OpenCV's MAGSAC depends on the scale: with 30 % of outliers it is four times less exact where the limit is 1.6 than
where it is 4; with more than 4 it fits fewer of the points of real, not quite flat scenes (measured). So points are
scaled to this limit, which makes the fit the same at any resolution."""
_MAX_CORNER_SHIFT = 2.0
"""a corner of the image that moves by more diagonals than this is a bad fit, not a camera"""


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
    tracks: Tracks, size_wh: tuple[int, int], *, max_residual: float, min_inlier_ratio: float, static_below: float
) -> CameraMotion | Rejected:
    """One homography from each frame to frame 0, by consensus (MAGSAC) over the points visible in both.

    Lengths are in image diagonals. Inlier ratios and the residual (median over all inliers of all frames) are those of
    the fit, also where it shows a camera that stands still and the homographies become identities.
    """
    diagonal = float(np.hypot(*size_wh))
    limit_px = max_residual * diagonal
    n_frames = len(tracks.xy_TN2)
    homographies_T33 = np.tile(np.eye(3), (n_frames, 1, 1))
    inlier_ratio_T = np.ones(n_frames)
    residuals_px = []
    for t in range(1, n_frames):
        usable_N = tracks.visible_TN[t] & tracks.visible_TN[0]
        from_M2, to_M2 = tracks.xy_TN2[t, usable_N], tracks.xy_TN2[0, usable_N]
        if len(from_M2) < _MIN_POINTS:
            return Rejected(reason="too_few_points", value=len(from_M2), threshold=_MIN_POINTS)
        homography_33 = _fit(from_M2, to_M2, limit_px)
        if homography_33 is None or not _is_sane(homography_33, size_wh):
            return Rejected(reason="camera_fit", value=0.0, threshold=min_inlier_ratio)
        residual_M = np.linalg.norm(warp(homography_33[None], from_M2[None])[0] - to_M2, axis=1)
        inlier_M = residual_M <= limit_px
        homographies_T33[t] = homography_33
        inlier_ratio_T[t] = inlier_M.mean()
        residuals_px.append(residual_M[inlier_M])

    worst_ratio = float(inlier_ratio_T.min(initial=1.0))
    if worst_ratio < min_inlier_ratio:
        return Rejected(reason="camera_fit", value=worst_ratio, threshold=min_inlier_ratio)
    moving = bool(_corner_shifts(homographies_T33, size_wh).max(initial=0.0) > static_below * diagonal)
    all_residuals_px = np.concatenate([np.zeros(0), *residuals_px])
    return CameraMotion(
        moving=moving,
        model="homography" if moving else "none",
        homographies_T33=homographies_T33 if moving else np.tile(np.eye(3), (n_frames, 1, 1)),
        inlier_ratio_T=inlier_ratio_T,
        residual_px=float(np.median(all_residuals_px)) if len(all_residuals_px) else 0.0,
    )


def warp(homographies_T33: Float, xy_TN2: Float) -> npt.NDArray[np.float64]:
    """Maps the points of each frame through that frame's homography."""
    xy1_TN3 = np.concatenate([xy_TN2, np.ones_like(xy_TN2[..., :1])], axis=-1).astype(np.float64)
    mapped_TN3 = xy1_TN3 @ np.swapaxes(homographies_T33, -1, -2)
    return np.asarray(mapped_TN3[..., :2] / mapped_TN3[..., 2:], dtype=np.float64)


def _fit(from_M2: Float, to_M2: Float, limit_px: float) -> npt.NDArray[np.float64] | None:
    """None where no homography fits. OpenCV's sampler has a fixed seed."""
    scale = _FIT_LIMIT / limit_px
    scaled_33, _ = cv2.findHomography(
        from_M2 * scale, to_M2 * scale, cv2.USAC_MAGSAC, _FIT_LIMIT, maxIters=_ITERATIONS, confidence=_CONFIDENCE
    )
    if scaled_33 is None or not np.isfinite(scaled_33).all() or scaled_33[2, 2] == 0:
        return None
    homography_33 = scaled_33 / scaled_33[2, 2] * [(1, 1, 1 / scale), (1, 1, 1 / scale), (scale, scale, 1)]
    return np.asarray(homography_33, dtype=np.float64)


def _is_sane(homography_33: Float, size_wh: tuple[int, int]) -> bool:
    """Whether a camera can see this: no part of the image behind it, no flip, no corner absurdly far away."""
    depth_5 = np.c_[_corners_and_middle(size_wh), np.ones(5)] @ homography_33[2]
    if (depth_5 <= 0).any():
        return False
    # With depth above 0, the map keeps its orientation exactly where the determinant of the whole matrix is above 0.
    if np.linalg.det(homography_33) <= 0:
        return False
    return bool(_corner_shifts(homography_33[None], size_wh).max() <= _MAX_CORNER_SHIFT * np.hypot(*size_wh))


def _corner_shifts(homographies_T33: Float, size_wh: tuple[int, int]) -> npt.NDArray[np.float64]:
    """How far each homography moves the corners (and the middle) of the image, T5, in pixels."""
    xy_T52 = np.broadcast_to(_corners_and_middle(size_wh), (len(homographies_T33), 5, 2))
    return np.asarray(np.linalg.norm(warp(homographies_T33, xy_T52) - xy_T52, axis=-1))


def _corners_and_middle(size_wh: tuple[int, int]) -> npt.NDArray[np.float64]:
    width, height = size_wh
    return np.array([(0, 0), (width, 0), (0, height), (width, height), (width / 2, height / 2)], dtype=np.float64)
