"""Synthetic clips whose truth is known: textured objects over a textured background, seen by a moving camera.

Letters: T frames, O objects, N points. The reference frame is frame 0; "steady" positions are in its coordinates.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from schemas.flow import Bool, Clip, Float, Ref, Tracker, Tracks

_VELOCITIES = ((5.0, 1.0), (-4.0, 2.0), (2.0, -4.0))
"""of the objects in turn, steady pixels per frame"""
_STARTS = ((0.16, 0.25), (0.62, 0.12), (0.45, 0.62))
"""top-left corners of the objects on the reference frame, in widths and heights"""
_OBJECT_SIZE = (0.22, 0.3)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """A clip and its truth. `homographies_T33` maps frame t to frame 0; the boxes are steady; `moving`: the camera."""

    clip: Clip
    homographies_T33: npt.NDArray[np.float64]
    object_boxes_TO4: npt.NDArray[np.float64]
    moving: bool

    def object_at(self, points_N2: Float, margin_px: float = 0.0) -> npt.NDArray[np.intp]:
        """Index of the object under each point of frame 0, -1 for none; boxes grown by `margin_px`, last drawn wins."""
        object_N = np.full(len(points_N2), -1)
        for o, (x1, y1, x2, y2) in enumerate(self.object_boxes_TO4[0]):
            low, high = (x1 - margin_px, y1 - margin_px), (x2 + margin_px, y2 + margin_px)
            object_N[((points_N2 >= low) & (points_N2 < high)).all(axis=1)] = o
        return object_N

    def steady_tracks(self, points_N2: Float) -> npt.NDArray[np.float64]:
        """Where points of frame 0 are at every time, TN2, as the camera of frame 0 would see them."""
        object_N = self.object_at(points_N2)
        paths_TO2 = self.object_boxes_TO4[:, :, :2] - self.object_boxes_TO4[:1, :, :2]
        still_T12 = np.zeros((len(paths_TO2), 1, 2))
        return np.asarray(points_N2 + np.concatenate([paths_TO2, still_T12], axis=1)[:, object_N])

    def tracks(self, points_N2: Float) -> npt.NDArray[np.float64]:
        """Where points of frame 0 are in every frame, TN2, in that frame's pixels (hidden ones too)."""
        return _project(np.linalg.inv(self.homographies_T33), self.steady_tracks(points_N2))

    def covered(self, points_N2: Float) -> Bool:
        """TN: points of the background that an object hides at that time."""
        inside_TON = (points_N2 >= self.object_boxes_TO4[:, :, None, :2]) & (
            points_N2 < self.object_boxes_TO4[:, :, None, 2:]
        )
        hidden_TN = np.any(inside_TON.all(axis=-1), axis=1)
        return np.asarray(hidden_TN & (self.object_at(points_N2) < 0))


def fake_ref(**overrides: Any) -> Ref:
    fields: dict[str, Any] = {
        "record_key": "0123456789abcdef",
        "record_id": "scene",
        "source_key": "fedcba9876543210",
        "split": "train",
        "uri": "scene.mp4",
        "part": 0,
        "start_s": 0.0,
        "end_s": 2.0,
        "text": "move the box",
        "licence": "CC0-1.0",
        "cost": 2.0,
    }
    return Ref(**(fields | overrides))


def fake_tracks(xy_TN2: npt.ArrayLike, visible_TN: npt.ArrayLike = True) -> Tracks:
    """Tracks of given positions, read-only: whoever writes into its input fails."""
    xy = np.array(xy_TN2, np.float32)
    visible = np.array(np.broadcast_to(visible_TN, xy.shape[:2]), bool)
    confidence = visible.astype(np.float16)
    for array in (xy, visible, confidence):
        array.setflags(write=False)
    return Tracks(xy_TN2=xy, visible_TN=visible, confidence_TN=confidence)


def alone(tracker: Tracker) -> Callable[[Clip, Float], Tracks]:
    """A tracker of one clip at a time."""
    return lambda clip, points_N2: tracker([clip], [points_N2])[0]


def make_scene(
    n_frames: int = 17,
    size_wh: tuple[int, int] = (320, 240),
    pan_px_per_frame: tuple[float, float] = (2, 1),
    objects: int = 1,
    seed: int = 0,
    fps: float = 8.0,
    *,
    zoom_per_frame: float = 1.0,
    roll_deg_per_frame: float = 0.0,
    sway_px: float = 0.0,
    noise: float = 2.0,
) -> Scene:
    """Up to 3 objects of 22 % x 30 % of the image, each with a constant velocity plus, every other frame, `sway_px`.

    `zoom_per_frame` below 1 zooms in. `noise` is the standard deviation of the camera's noise in grey levels.
    """
    rng = np.random.default_rng(seed)
    homographies_T33 = _camera_path(n_frames, size_wh, pan_px_per_frame, zoom_per_frame, roll_deg_per_frame)
    boxes_TO4 = _object_paths(n_frames, size_wh, objects, sway_px)
    corners_42 = np.array([(0, 0), (size_wh[0], 0), (0, size_wh[1]), size_wh], np.float64)
    seen_T42 = _project(homographies_T33, np.broadcast_to(corners_42, (n_frames, 4, 2)))
    low_2 = np.floor(seen_T42.min(axis=(0, 1))) - 2
    background_HW3 = _texture(rng, np.ceil(seen_T42.max(axis=(0, 1)) - low_2 + 2))
    patches = [_texture(rng, np.round(boxes_TO4[0, o, 2:] - boxes_TO4[0, o, :2])) for o in range(objects)]

    frames_THW3 = np.empty((n_frames, size_wh[1], size_wh[0], 3), np.uint8)
    for t in range(n_frames):
        view_HW3 = _look(background_HW3, low_2, homographies_T33[t], size_wh)
        for o, patch_HW3 in enumerate(patches):
            origin_2 = boxes_TO4[t, o, :2]
            alpha_HW1 = _look(np.ones_like(patch_HW3), origin_2, homographies_T33[t], size_wh)[..., :1]
            view_HW3 += alpha_HW1 * (_look(patch_HW3, origin_2, homographies_T33[t], size_wh, edge=True) - view_HW3)
        view_HW3 += rng.normal(0, noise, view_HW3.shape).astype(np.float32)
        frames_THW3[t] = np.clip(np.round(view_HW3), 0, 255)
    clip = Clip(
        key="0123456789abcdef-000000000",
        ref=fake_ref(),
        frames_THW3=frames_THW3,
        times_s_T=np.arange(n_frames) / fps,
        fps=fps,
        frame_indices_T=np.arange(n_frames),
    )
    moving = not np.allclose(homographies_T33, np.eye(3))
    return Scene(clip=clip, homographies_T33=homographies_T33, object_boxes_TO4=boxes_TO4, moving=moving)


def _camera_path(
    n_frames: int, size_wh: tuple[int, int], pan_px: tuple[float, float], zoom: float, roll_deg: float
) -> npt.NDArray[np.float64]:
    to_middle_33 = np.array([(1, 0, -size_wh[0] / 2), (0, 1, -size_wh[1] / 2), (0, 0, 1)])
    homographies_T33 = np.empty((n_frames, 3, 3))
    for t in range(n_frames):
        angle, scale = np.radians(roll_deg * t), zoom**t
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        turn_33 = np.array([(cos, -sin, pan_px[0] * t), (sin, cos, pan_px[1] * t), (0, 0, 1)])
        homographies_T33[t] = np.linalg.inv(to_middle_33) @ turn_33 @ to_middle_33
    return homographies_T33


def _object_paths(n_frames: int, size_wh: tuple[int, int], objects: int, sway_px: float) -> npt.NDArray[np.float64]:
    """Steady boxes, T O 4."""
    size_2 = np.round(np.multiply(_OBJECT_SIZE, size_wh))
    start_O2 = np.array(_STARTS[:objects]).reshape(-1, 2) * size_wh
    velocity_O2 = np.array(_VELOCITIES[:objects]).reshape(-1, 2)
    t_T11 = np.arange(n_frames)[:, None, None]
    xy_TO2 = start_O2 + velocity_O2 * t_T11 + np.array([sway_px, 0.0]) * (t_T11 % 2)
    return np.concatenate([xy_TO2, xy_TO2 + size_2], axis=-1)


def _texture(rng: np.random.Generator, size_wh: Float) -> npt.NDArray[np.float32]:
    """Smooth random colours with detail at several scales, 20..235."""
    width, height = (int(side) for side in size_wh)
    texture_HW3 = np.zeros((height, width, 3), np.float32)
    for cell_px in (4, 12, 40):
        coarse = rng.normal(size=(height // cell_px + 2, width // cell_px + 2, 3)).astype(np.float32)
        texture_HW3 += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(128 + 40 * texture_HW3, 20, 235), np.float32)


def _look(
    texture_HW3: npt.NDArray[np.float32],
    origin_2: Float,
    homography_33: npt.NDArray[np.float64],
    size_wh: tuple[int, int],
    edge: bool = False,
) -> npt.NDArray[np.float32]:
    """A frame's view of a texture whose corner lies at `origin_2` of the reference frame; 0 (or its edge) outside."""
    # OpenCV has pixel centres at whole numbers: half a pixel in, half a pixel out.
    out_33 = np.array([(1, 0, -0.5 - origin_2[0]), (0, 1, -0.5 - origin_2[1]), (0, 0, 1)])
    in_33 = np.array([(1, 0, 0.5), (0, 1, 0.5), (0, 0, 1)])
    return np.asarray(
        cv2.warpPerspective(
            texture_HW3,
            out_33 @ homography_33 @ in_33,
            size_wh,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE if edge else cv2.BORDER_CONSTANT,
        ),
        np.float32,
    )


def _project(homographies_T33: Float, xy_TN2: Float) -> npt.NDArray[np.float64]:
    """Written a second time on purpose: the truth must not come from the code under test."""
    projected = [
        cv2.perspectiveTransform(xy_N2[None], h_33)[0] for h_33, xy_N2 in zip(homographies_T33, xy_TN2, strict=True)
    ]
    return np.asarray(projected, np.float64).reshape(xy_TN2.shape)
