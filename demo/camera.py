"""The virtual camera: scenery and things on one plane, seen through a homography that is known for every frame.

Homographies are 3x3 on continuous pixels (x right, y down, the first pixel covers 0..1, its centre is 0.5).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from painting import SCALE

Layers = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Thing:
    """Something that moves in the world."""

    name: str
    layers: Callable[[float], Layers]
    """at a time in s: sprites HW4 (see Canvas.sprite) and the 3x3 from sprite to world; the first is the body"""
    outline_xy: list[tuple[float, float]]
    """the silhouette in the pixels of the first sprite"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """One shot: a painted plane, what moves on it, and how the camera goes."""

    scenery: np.ndarray
    """HW3 RGB uint8, SCALE samples per world pixel"""
    camera: Callable[[float], dict[str, float]]
    """at a time in s: arguments of `camera_homography`"""
    things: list[Thing]
    length_s: float


def moved(x: float, y: float) -> np.ndarray:
    """3x3: shifts by x, y."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], float)


def turned(angle: float) -> np.ndarray:
    """3x3: turns about the origin, in radians, clockwise on screen."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], float)


def eased(share: float) -> float:
    """From 0 to 1, from rest to rest, as a hand pans."""
    return share * share * (3 - 2 * share)


def wobble(seed: int) -> Callable[[float], np.ndarray]:
    """The shake of a hand: three smooth values of about -1..1 at a time in s."""
    rng = np.random.default_rng(seed)
    rates = rng.uniform([2.0, 5.0, 9.0], [4.0, 8.0, 13.0], (3, 3))
    phases = rng.uniform(0, 2 * np.pi, (3, 3))
    weights = np.array([0.6, 0.3, 0.12])
    return lambda time_s: (weights * np.sin(rates * time_s + phases)).sum(axis=1)


def camera_homography(
    size_wh: tuple[int, int], x: float, y: float, zoom: float = 1, roll: float = 0, tilt_x: float = 0, tilt_y: float = 0
) -> np.ndarray:
    """3x3 from world to image pixels, for a camera whose centre sees the world point x, y; tilts are per pixel."""
    perspective = np.array([[1, 0, 0], [0, 1, 0], [tilt_x, tilt_y, 1]], float)
    centre = moved(size_wh[0] / 2, size_wh[1] / 2)
    return centre @ perspective @ np.diag([zoom, zoom, 1.0]) @ turned(roll) @ moved(-x, -y)


def project(homography: np.ndarray, points_xy: list[tuple[float, float]] | np.ndarray) -> np.ndarray:
    """N2 points through the homography."""
    points = np.asarray(points_xy, float) @ homography[:, :2].T + homography[:, 2]
    return points[:, :2] / points[:, 2:]


def render(
    view: View, size_wh: tuple[int, int], fps: float
) -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]]:
    """Yields per frame: RGB HW3 uint8, world-to-image 3x3, and per thing its outline N2 in image pixels.

    Raises ValueError where the camera would look past the edge of the scenery.
    """
    for index in range(round(view.length_s * fps)):
        time_s = index / fps
        world_to_image = camera_homography(size_wh, **view.camera(time_s))
        _check_covered(view.scenery, world_to_image, size_wh, time_s)
        canvas = cv2.warpPerspective(
            view.scenery, _on_samples(world_to_image), (size_wh[0] * SCALE, size_wh[1] * SCALE), flags=cv2.INTER_LINEAR
        ).astype(np.float32)
        outlines = {}
        for thing in view.things:
            layers = thing.layers(time_s)
            outlines[thing.name] = project(world_to_image @ layers[0][1], thing.outline_xy)
            for sprite, sprite_to_world in layers:
                _paste(canvas, sprite, _on_samples(world_to_image @ sprite_to_world))
        frame = cv2.resize(canvas, size_wh, interpolation=cv2.INTER_AREA)
        yield np.clip(np.rint(frame), 0, 255).astype(np.uint8), world_to_image, outlines


def _on_samples(homography: np.ndarray) -> np.ndarray:
    """The homography for arrays of SCALE samples per pixel, on OpenCV's coordinates (sample centres at integers)."""
    grow, shrink = np.diag([SCALE, SCALE, 1.0]), np.diag([1 / SCALE, 1 / SCALE, 1.0])
    return moved(-0.5, -0.5) @ grow @ homography @ shrink @ moved(0.5, 0.5)


def _paste(canvas: np.ndarray, sprite: np.ndarray, homography: np.ndarray) -> None:
    """Lays the sprite over the canvas (float32, changed in place) where the homography puts it."""
    height, width = sprite.shape[:2]
    corners = project(homography, [(-1, -1), (width, -1), (width, height), (-1, height)])
    limit = np.array([canvas.shape[1], canvas.shape[0]])
    low = np.clip(np.floor(corners.min(axis=0)), 0, limit).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + 1, 0, limit).astype(int)
    if (high <= low).any():
        return
    placed = cv2.warpPerspective(
        sprite,
        moved(*-low) @ homography,
        tuple((high - low).tolist()),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
    )
    region = canvas[low[1] : high[1], low[0] : high[0]]
    region *= 1 - placed[..., 3:]
    region += placed[..., :3]


def _check_covered(scenery: np.ndarray, world_to_image: np.ndarray, size_wh: tuple[int, int], time_s: float) -> None:
    width, height = size_wh
    corners = project(np.linalg.inv(world_to_image), [(0, 0), (width, 0), (width, height), (0, height)])
    world_wh = np.array([scenery.shape[1], scenery.shape[0]]) / SCALE
    if (corners < 1).any() or (corners > world_wh - 1).any():
        raise ValueError(
            f"at {time_s:.2f} s the camera sees past the scenery {world_wh}: corners {corners.round().tolist()}"
        )
