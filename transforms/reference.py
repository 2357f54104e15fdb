"""The frame of a clip that is marked, and the clip as seen from it.

Letters: T frames, S steps from one to the next, N points.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from schemas.flow import CameraMotion, Float, Motion, Tracks
from transforms.homography import warp

_TOLERANCE_S = 1e-6
_MIN_VISIBLE = 0.5
"""a mark must be visible where it is drawn: of the moving points visible on frame 0, this share has to be left"""


def choose_reference(
    motion: Motion,
    tracks: Tracks,
    times_s_T: Float,
    rng: np.random.Generator,
    *,
    start_share: float,
    room_s: float = 0.0,
) -> int:
    """A frame drawn from those before `start_share` of the clip's motion (MAGMA.md 2.4 d); the first is always one.

    Motion is the mean way of the moving points from frame to frame, in steady coordinates. Of the frames before that
    share those count that show half of the moving points that frame 0 shows, and after which the clip goes on: by one
    frame, and by `room_s`. Where nothing moves it is frame 0: the sum of what is left over, noise, tells no time at
    which something begins, and frame 0 shows the points that tracking started from.
    """
    share_T = _motion_share(motion, tracks)
    if share_T is None:
        return 0
    visible_T = (tracks.visible_TN & motion.moving_N).sum(axis=1)
    left_s_T = times_s_T[-1] - times_s_T
    allowed_T = (
        (share_T < start_share)
        & (visible_T >= _MIN_VISIBLE * visible_T[0])
        & (left_s_T > _TOLERANCE_S)
        & (left_s_T >= room_s - _TOLERANCE_S)
    )
    allowed_T[0] = True
    return int(rng.choice(np.flatnonzero(allowed_T)))


def _motion_share(motion: Motion, tracks: Tracks) -> npt.NDArray[np.float64] | None:
    """How much of the clip's motion has happened by each frame, 0 to 1; None where nothing moves."""
    way_SN = np.linalg.norm(np.diff(motion.steady_xy_TN2, axis=0), axis=-1)
    seen_SN = tracks.visible_TN[1:] & tracks.visible_TN[:-1] & motion.moving_N
    way_S = np.where(seen_SN, way_SN, 0.0).sum(axis=1) / np.maximum(1, seen_SN.sum(axis=1))
    total = way_S.sum()
    return np.r_[0.0, np.cumsum(way_S) / total] if total > 0 else None


def rebase(camera: CameraMotion, motion: Motion, reference: int) -> tuple[CameraMotion, Motion]:
    """Camera and motion that refer to frame 0, turned to refer to frame `reference`.

    Its homography is the identity to the last bit; a camera without a model stays as it is. How well the camera was
    fitted, what moves, and how fast, stay as judged.
    """
    if reference == 0 or camera.model == "none":
        return camera, motion
    back_33 = np.linalg.inv(camera.homographies_T33[reference])
    homographies_T33 = back_33 @ camera.homographies_T33
    homographies_T33 /= homographies_T33[:, 2:, 2:]
    homographies_T33[reference] = np.eye(3)
    steady_xy_TN2 = warp(back_33[None], motion.steady_xy_TN2)
    return replace(camera, homographies_T33=homographies_T33), replace(motion, steady_xy_TN2=steady_xy_TN2)
