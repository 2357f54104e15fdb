"""What a camera that travels makes of things that stand still at other depths than the background.

A homography takes the motion of one plane away. What stands nearer or farther keeps a motion of its own, which is the
camera's travel seen at another scale: that is no motion of the thing, and no test of two views can tell it from one
(a car that drives along with the camera looks the same). So what can be explained that way is not called moving.

Letters: T frames, N points.
"""

import cv2
import numpy as np
import numpy.typing as npt

from schemas.flow import Bool, Float
from transforms.homography import warp

_FOCAL = 1.1
"""focal length of a common camera, in long sides of its picture (about 50 degrees)"""
_MISFIT = 0.15
"""share of a point's motion that depth may leave open"""
_NEAREST, _FARTHEST = 3.0, -0.85
"""closeness against the plane's that is still taken for depth: 0 on it, -1 infinitely far, 1 at half of its distance"""


def like_depth(steady_xy_TN2: Float, visible_TN: Bool, homographies_T33: Float, size_wh: tuple[int, int]) -> Bool:
    """Points (N) whose steady motion is that of a thing which stands still nearer or farther than the background.

    The camera's travel is read from the homographies twice: as if the camera did not turn, and as if its focal length
    were a common one (Faugeras' decomposition of the homography of a plane).
    """
    shift_TN2 = np.where(visible_TN[..., None], steady_xy_TN2 - steady_xy_TN2[0], 0.0)
    like_N = np.zeros(shift_TN2.shape[1], bool)
    for expected_TN2 in (
        _slid(homographies_T33, size_wh, shift_TN2),
        _travelled(homographies_T33, size_wh, steady_xy_TN2[0]),
    ):
        expected_TN2 = np.where(visible_TN[..., None], expected_TN2, 0.0)
        square_N = np.square(expected_TN2).sum(axis=(0, 2))
        closeness_N = (shift_TN2 * expected_TN2).sum(axis=(0, 2)) / np.maximum(square_N, 1e-9)
        left_N = np.linalg.norm(shift_TN2 - closeness_N[:, None] * expected_TN2, axis=(0, 2))
        whole_N = np.linalg.norm(shift_TN2, axis=(0, 2))
        like_N |= (left_N < _MISFIT * whole_N) & (closeness_N > _FARTHEST) & (closeness_N < _NEAREST)
    return like_N


def _slid(homographies_T33: Float, size_wh: tuple[int, int], like_TN2: Float) -> npt.NDArray[np.float64]:
    """What a camera that slides without turning adds to a thing at half the distance, TN2."""
    middle_2 = np.array(size_wh) / 2
    path_T12 = warp(homographies_T33, np.tile(middle_2, (len(like_TN2), 1, 1))) - middle_2
    return np.asarray(np.broadcast_to(-path_T12, like_TN2.shape))


def _travelled(homographies_T33: Float, size_wh: tuple[int, int], start_N2: Float) -> npt.NDArray[np.float64]:
    """The same for a camera that turns as it travels."""
    focal_px = _FOCAL * max(size_wh)
    middle_2 = np.array(size_wh) / 2
    camera_33 = np.array([(focal_px, 0, middle_2[0]), (0, focal_px, middle_2[1]), (0, 0, 1)])
    motions = [cv2.decomposeHomographyMat(h_33, camera_33)[1:] for h_33 in np.linalg.inv(homographies_T33)]
    # Two planes explain a homography; that which faces the camera more, where it is farthest, is meant in all frames.
    farthest = max(motions, key=lambda motion: float(np.linalg.norm(motion[1][0])))
    normal_3 = max((normal[:, 0] for normal in farthest[2]), key=lambda normal_3: float(normal_3[2]))
    centre_T3 = np.zeros((len(motions), 3))
    for t, (turns, travels, normals) in enumerate(motions):
        best = max(range(len(normals)), key=lambda k: float(normals[k][:, 0] @ normal_3))
        centre_T3[t] = -(turns[best].T @ travels[best])[:, 0]
    ahead_T11, aside_T12 = centre_T3[:, None, 2:], centre_T3[:, None, :2]
    return np.asarray(ahead_T11 * (start_N2 - middle_2) - focal_px * aside_T12)
