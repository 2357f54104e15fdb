"""What the pictures say of a point: is its surface still where it was, or has it gone where its track says?

Tracks alone can't tell: what lies just outside of a moving edge is carried along with it. But the few pixels right at
the point differ: those of the background are still there, or at least not where the track says.

Letters: T frames, N points, C candidates, M candidates of a frame, S side of a patch.
"""

import cv2
import numpy as np
import numpy.typing as npt

from schemas.flow import Bool, Clip, Float, Tracks
from transforms.patches import patches_at, weighted_rms

_SIDE = 5
_STEP = 0.0017
"""side of a patch in samples, and their distance in diagonals"""
_NOISE = 2.0
"""of a camera, in grey levels"""
_LOOKS = 8
"""frames that are compared"""
_WORSE_HERE = 1.25
_QUARTER = 0.25
"""the first place must look worse than the new one by this factor, on all but a quarter of the frames"""
_MIN_STILL = 8


def gone_from_start(
    clip: Clip,
    tracks: Tracks,
    homographies_T33: Float,
    which_C: npt.NDArray[np.intp],
    away_TC: Bool,
    still: npt.NDArray[np.intp],
) -> Bool:
    """Candidates (numbers of tracks) whose look on frame 0 is found at their tracks rather than at their first place.

    `away_TC`: frames on which the two places can be told apart; `still`: tracks that stand still, for the exposure.
    """
    step_px = max(1.0, _STEP * float(np.hypot(*clip.size_wh)))
    start_N2 = tracks.xy_TN2[0].astype(np.float64)
    first_NSS = patches_at(_soft(clip.frames_THW3[0], step_px), start_N2, _SIDE, step_px)
    ratio_TC = np.full(away_TC.shape, np.nan)
    looked_TC = away_TC & tracks.visible_TN[:, which_C]
    frames = np.flatnonzero(looked_TC.any(axis=1))
    for t in frames[np.unique(np.linspace(0, len(frames) - 1, _LOOKS).round().astype(int))] if len(frames) else []:
        gray_HW = _soft(clip.frames_THW3[t], step_px)
        shown = np.flatnonzero(looked_TC[t])
        which_M = which_C[shown]
        here_M2, turn_M22 = _through(np.linalg.inv(homographies_T33[t]), start_N2[which_M])
        seen = still[tracks.visible_TN[t, still]]
        gain = 1.0
        if len(seen) >= _MIN_STILL:
            now_K = patches_at(gray_HW, tracks.xy_TN2[t, seen], _SIDE, step_px).mean(axis=(1, 2))
            gain = float(np.median((first_NSS[seen].mean(axis=(1, 2)) + 1) / (now_K + 1)))
        here_MSS = gain * patches_at(gray_HW, here_M2, _SIDE, step_px, turn_M22) - first_NSS[which_M]
        there_MSS = gain * patches_at(gray_HW, tracks.xy_TN2[t, which_M], _SIDE, step_px, turn_M22) - first_NSS[which_M]
        ratio_M = np.hypot(weighted_rms(here_MSS), _NOISE) / np.hypot(weighted_rms(there_MSS), _NOISE)
        inside_M = ((here_M2 >= 0) & (here_M2 < clip.size_wh)).all(axis=1)
        ratio_TC[t, shown] = np.where(inside_M, ratio_M, np.nan)
    unseen_C = np.isnan(ratio_TC).all(axis=0)
    low_C = np.nanquantile(np.where(unseen_C, _WORSE_HERE + 1, ratio_TC), _QUARTER, axis=0)
    return np.asarray(low_C > _WORSE_HERE)


def _soft(frame_HW3: npt.NDArray[np.uint8], step_px: float) -> npt.NDArray[np.uint8]:
    gray_HW = cv2.cvtColor(frame_HW3, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.GaussianBlur(gray_HW, (0, 0), 0.7 * step_px), np.uint8)


def _through(homography_33: Float, xy_M2: Float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Points through a homography, and how it turns and stretches the picture at each (its Jacobian, M22)."""
    mapped_M3 = np.c_[xy_M2, np.ones(len(xy_M2))] @ homography_33.T
    depth_M11 = mapped_M3[:, 2, None, None]
    there_M2 = mapped_M3[:, :2] / mapped_M3[:, 2:]
    return there_M2, (homography_33[:2, :2] - there_M2[:, :, None] * homography_33[2, :2]) / depth_M11
