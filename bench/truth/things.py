"""What is in a scene besides its background: cut-outs of real frames, and the paths they move on.

Letters: O things, S times, H height, W width. A thing's own pixels have their origin at its corner.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from bench.truth.frames import Pixels

Array = npt.NDArray[np.float64]

PATHS = ("steady", "faster", "late", "early", "curved", "swing")
_OVERSAMPLING = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Thing:
    """A cut-out. `alpha_HW` in 0..1 with an edge of about a pixel; `place_S33` maps its pixels to steady ones.

    `parallax` is 1 in the background's plane; a nearer thing stands still too, but seems to move as the camera does.
    `displacement` is the farthest its middle gets from its place on frame 0, in diagonals.
    """

    texture_HW3: Pixels
    alpha_HW: npt.NDArray[np.float32]
    place_S33: Array
    displacement: float
    parallax: float = 1.0


def blob_mask(rng: np.random.Generator, size_wh: tuple[int, int]) -> npt.NDArray[np.float32]:
    """An ellipse, a wavy blob or a rounded polygon that fills a box, as alpha; one pixel free around it."""
    width, height = size_wh
    angle_P = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    match rng.choice(["ellipse", "blob", "polygon"]):
        case "ellipse":
            radius_P = np.ones_like(angle_P)
        case "blob":
            radius_P = np.ones_like(angle_P)
            for wave in range(2, 6):
                radius_P += rng.uniform(0.05, 0.3) / np.sqrt(wave) * np.sin(wave * angle_P + rng.uniform(0, 2 * np.pi))
        case _:
            corners = int(rng.integers(3, 7))
            middle = (angle_P + rng.uniform(0, np.pi)) % (2 * np.pi / corners) - np.pi / corners
            radius_P = np.minimum(1 / np.cos(middle), 1 + 0.6 * (1 / np.cos(np.pi / corners) - 1))
    xy_P2 = np.maximum(radius_P, 0.3)[:, None] * np.stack([np.cos(angle_P), np.sin(angle_P)], axis=1)
    low_2, high_2 = xy_P2.min(axis=0), xy_P2.max(axis=0)
    xy_P2 = 1 + (xy_P2 - low_2) / (high_2 - low_2) * np.array([width - 2, height - 2])
    large_HW = np.zeros((height * _OVERSAMPLING, width * _OVERSAMPLING), np.uint8)
    cv2.fillPoly(large_HW, [np.round(xy_P2 * _OVERSAMPLING).astype(np.int32)], 255)
    return np.asarray(cv2.resize(large_HW, size_wh, interpolation=cv2.INTER_AREA) / np.float32(255), np.float32)


def near_mask(
    rng: np.random.Generator, size_wh: tuple[int, int], view: tuple[int, int, int, int], share: float
) -> npt.NDArray[np.float32]:
    """A ragged band or clumps, as alpha of a canvas, that cover a share of the view (x1, y1, x2, y2)."""
    width, height = size_wh
    diagonal = float(np.hypot(view[2] - view[0], view[3] - view[1]))
    cells = (max(2, round(4 * height / diagonal)), max(2, round(4 * width / diagonal)))
    rough_HW = cv2.resize(rng.normal(size=cells).astype(np.float32), size_wh, interpolation=cv2.INTER_CUBIC)
    y_HW, x_HW = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.choice([np.pi / 2, np.pi / 2, 0, np.pi]) + rng.normal(0, 0.2)
    slope_HW = (x_HW * np.cos(angle) + y_HW * np.sin(angle)) / diagonal
    field_HW = rng.uniform(1.5, 6.0) * slope_HW + 0.6 * rough_HW
    level = np.quantile(field_HW[view[1] : view[3], view[0] : view[2]], 1 - share)
    step = np.hypot(*np.gradient(field_HW)) + 1e-4
    return np.asarray(np.clip((field_HW - level) / step + 0.5, 0, 1), np.float32)


def cut_texture(rng: np.random.Generator, frame_HW3: Pixels, size_wh: tuple[int, int]) -> Pixels:
    """A patch of a frame, of the tried ones that with the most detail, resized by no more than about 2."""
    height, width = frame_HW3.shape[:2]
    scale = max(rng.uniform(0.7, 1.4), size_wh[0] / width, size_wh[1] / height)
    box = (min(width, max(2, round(size_wh[0] / scale))), min(height, max(2, round(size_wh[1] / scale))))
    patches = []
    for _ in range(4):
        x, y = rng.integers(width - box[0] + 1), rng.integers(height - box[1] + 1)
        patches.append(frame_HW3[y : y + box[1], x : x + box[0]])
    best = max(patches, key=lambda patch: float(np.abs(cv2.Laplacian(patch, cv2.CV_32F)).mean()))
    return sharper(cv2.resize(best, size_wh, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA), scale)


def sharper(image_HW3: Pixels, enlarged: float) -> Pixels:
    """Gives back some of the detail that enlarging took."""
    if enlarged <= 1.05:
        return image_HW3
    soft_HW3 = cv2.GaussianBlur(image_HW3, (0, 0), 0.6 * enlarged)
    amount = min(1.0, 0.8 * (enlarged - 1))
    return np.asarray(cv2.addWeighted(image_HW3, 1 + amount, soft_HW3, -amount, 0), np.uint8)


def progress(rng: np.random.Generator, path: str, times_S: Array, last: float) -> Array:
    """Positions along a path, S2: on the x axis for the straight ones; at most 1 from the start, which is (0, 0)."""
    start, stop = (
        (rng.uniform(0.2, 0.5) if path == "late" else 0.0),
        (rng.uniform(0.5, 0.8) if path == "early" else 1.0),
    )
    bend = rng.choice([-1, 1]) * rng.uniform(0.8, 2.0)
    power = rng.uniform(1.4, 2.2)

    def at(times: Array) -> Array:
        s_S = np.clip((np.asarray(times) / last - start) / (stop - start), 0, 1)
        match path:
            case "faster":
                s_S = s_S**power
            case "late" | "early":
                s_S = 0.5 * s_S + 0.5 * s_S * s_S * (3 - 2 * s_S)
            case "swing":
                s_S = np.sin(np.pi * (0.5 + abs(bend) / 4) * s_S)
        if path != "curved":
            return np.stack([s_S, np.zeros_like(s_S)], axis=1)
        return np.stack([np.sin(bend * s_S) / bend, (1 - np.cos(bend * s_S)) / bend], axis=1)

    return np.asarray(at(times_S) / np.linalg.norm(at(np.arange(last + 1)), axis=1).max())


def place(size_wh: tuple[int, int], middle_S2: Array, angle_S: Array, scale_S: Array) -> Array:
    """S33 from a thing's own pixels to steady ones: turned and scaled about its middle."""
    place_S33 = np.tile(np.eye(3), (len(middle_S2), 1, 1))
    place_S33[:, 0, 0], place_S33[:, 0, 1] = scale_S * np.cos(angle_S), -scale_S * np.sin(angle_S)
    place_S33[:, 1, 0], place_S33[:, 1, 1] = scale_S * np.sin(angle_S), scale_S * np.cos(angle_S)
    place_S33[:, :2, 2] = middle_S2
    from_corner_33 = np.array([(1, 0, -size_wh[0] / 2), (0, 1, -size_wh[1] / 2), (0, 0, 1)])
    return np.asarray(place_S33 @ from_corner_33)
