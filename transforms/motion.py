"""What moves once the camera's motion is taken away. Letters: T frames, N points."""

import numpy as np
import numpy.typing as npt

from schemas.flow import Bool, CameraMotion, Float, Motion, Rejected, Tracks
from transforms.homography import warp


def judge_motion(
    tracks: Tracks,
    camera: CameraMotion,
    times_s_T: Float,
    size_wh: tuple[int, int],
    *,
    min_visible_share: float,
    min_usable_points: int,
    min_speed: float,
    min_displacement: float,
) -> Motion | Rejected:
    """Tracks seen from the reference camera, which of them can be judged, and which move.

    Lengths are in image diagonals, speeds in diagonals per second. Only what is visible counts: a point that is not
    holds its last steady position. A point moves if it is fast AND gets away from its start: vibrating is not moving.
    """
    diagonal = float(np.hypot(*size_wh))
    visible_TN = tracks.visible_TN
    usable_N = visible_TN[0] & (visible_TN.mean(axis=0) > min_visible_share)
    if usable_N.sum() < min_usable_points:
        return Rejected(reason="too_few_points", value=float(usable_N.sum()), threshold=float(min_usable_points))

    steady_xy_TN2 = _hold(warp(camera.homographies_T33, tracks.xy_TN2), visible_TN)
    speed_N = _speed(steady_xy_TN2 / diagonal, visible_TN, times_s_T)
    away_TN = np.linalg.norm(steady_xy_TN2 - steady_xy_TN2[0], axis=-1) / diagonal
    return Motion(
        steady_xy_TN2=steady_xy_TN2,
        usable_N=usable_N,
        moving_N=usable_N & (speed_N >= min_speed) & (away_TN.max(axis=0) >= min_displacement),
        speed_N=speed_N,
    )


def _hold(xy_TN2: npt.NDArray[np.float64], visible_TN: Bool) -> npt.NDArray[np.float64]:
    """Puts every invisible position to the last visible one before it (to frame 0 where there is none)."""
    frame_T1 = np.arange(len(xy_TN2))[:, None]
    last_TN = np.maximum.accumulate(np.where(visible_TN, frame_T1, 0), axis=0)
    return np.asarray(np.take_along_axis(xy_TN2, last_TN[..., None], axis=0))


def _speed(xy_TN2: Float, visible_TN: Bool, times_s_T: Float) -> npt.NDArray[np.float64]:
    """Way between adjacent frames that both show the point, over the time between them; 0 without such frames."""
    step_SN = np.linalg.norm(np.diff(xy_TN2, axis=0), axis=-1)
    seen_SN = visible_TN[1:] & visible_TN[:-1]
    way_N = np.where(seen_SN, step_SN, 0.0).sum(axis=0)
    time_s_N = (seen_SN * np.diff(times_s_T)[:, None]).sum(axis=0)
    return np.asarray(np.divide(way_N, time_s_N, out=np.zeros(len(way_N)), where=time_s_N > 0))
