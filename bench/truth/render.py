"""Scenes to frames. Letters: T frames, B sub-frames of a frame, S times (all sub-frames), H height, W width."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from bench.truth.frames import Pixels
from bench.truth.known import Array, Depth, image_of, project
from bench.truth.things import Thing, sharper

_HALF_OUT_33 = np.array([(1, 0, -0.5), (0, 1, -0.5), (0, 0, 1)])
_HALF_IN_33 = np.array([(1, 0, 0.5), (0, 1, 0.5), (0, 0, 1)])
"""OpenCV has pixel centres at whole numbers: half a pixel in, half a pixel out"""
_COARSE_PX = 4
"""divides the sides of all clips"""
_MOST_ENLARGED = 2.2


@dataclass(frozen=True, kw_only=True, eq=False)
class Background:
    """A frame, resized; `corner_2` is the steady position of its corner. Beyond its border it is mirrored."""

    image_HW3: Pixels
    corner_2: Array


def lay_background(
    rng: np.random.Generator, frame_HW3: Pixels, homographies_S33: Array, size_wh: tuple[int, int]
) -> Background:
    """Enlarges a frame so far that the camera sees nothing else, where that takes no more than `_MOST_ENLARGED`."""
    corners_42 = np.array([(0, 0), (size_wh[0], 0), (0, size_wh[1]), size_wh], np.float64)
    seen_S42 = np.stack([project(homography_33, corners_42) for homography_33 in homographies_S33])
    low_2, high_2 = seen_S42.min(axis=(0, 1)) - 4, seen_S42.max(axis=(0, 1)) + 4
    have_2 = np.array(frame_HW3.shape[1::-1], np.float64)
    need = float(((high_2 - low_2) / have_2).max())
    scale = min(max(need, 0.6) * rng.uniform(1.0, 1.25), max(_MOST_ENLARGED, 1.0))
    size_2 = np.round(have_2 * scale).astype(int)
    interpolation = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    image_HW3 = sharper(cv2.resize(frame_HW3, tuple(size_2.tolist()), interpolation=interpolation), scale)
    spare_2 = size_2 - (high_2 - low_2)
    return Background(image_HW3=image_HW3, corner_2=low_2 - rng.uniform(0, 1, 2) * spare_2)


def render(
    background: Background,
    things: Sequence[Thing],
    homographies_S33: Array,
    shift_S2: Array,
    depth: Depth | None,
    size_wh: tuple[int, int],
    subframes: int,
) -> npt.NDArray[np.float32]:
    """Frames THW3, 0..255, without noise, each the mean of its sub-frames. The things have places at S times."""
    images = [image_of(thing, homographies_S33, shift_S2) for thing in things]
    frames_THW3 = np.zeros((len(shift_S2) // subframes, size_wh[1], size_wh[0], 3), np.float32)
    for s, (homography_33, shift_2) in enumerate(zip(homographies_S33, shift_S2, strict=True)):
        view_HW3 = _look(background, homography_33, shift_2, depth, size_wh)
        for thing, image_S33 in zip(things, images, strict=True):
            _put(view_HW3, thing, image_S33[s])
        frames_THW3[s // subframes] += view_HW3
    return frames_THW3 / np.float32(subframes)


def _look(
    background: Background, homography_33: Array, shift_2: Array, depth: Depth | None, size_wh: tuple[int, int]
) -> Pixels:
    to_own_33 = np.array([(1, 0, -background.corner_2[0]), (0, 1, -background.corner_2[1]), (0, 0, 1)])
    if depth is None:
        return np.asarray(
            cv2.warpPerspective(
                background.image_HW3,
                _HALF_OUT_33 @ to_own_33 @ homography_33 @ _HALF_IN_33,
                size_wh,
                flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REFLECT_101,
            ),
            np.uint8,
        )
    # parallax is smooth: solved for a coarse lattice that reaches one cell beyond the image, and interpolated between
    cells_2 = [side // _COARSE_PX + 2 for side in size_wh]
    x, y = np.meshgrid(*((np.arange(cells) - 0.5) * _COARSE_PX for cells in cells_2))
    seen_HW2 = project(homography_33, np.stack([x, y], axis=-1))
    away_HW2 = (depth.surface_under(seen_HW2, shift_2) - seen_HW2).astype(np.float32)
    away_HW2 = cv2.resize(away_HW2, None, fx=_COARSE_PX, fy=_COARSE_PX, interpolation=cv2.INTER_LINEAR)
    away_HW2 = away_HW2[_COARSE_PX:-_COARSE_PX, _COARSE_PX:-_COARSE_PX]
    x, y = np.meshgrid(np.arange(size_wh[0]) + 0.5, np.arange(size_wh[1]) + 0.5)
    own_HW2 = project(to_own_33 @ homography_33, np.stack([x, y], axis=-1)) + away_HW2 - 0.5
    own_HW2 = own_HW2.astype(np.float32)
    return np.asarray(
        cv2.remap(background.image_HW3, own_HW2, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101), np.uint8
    )


def _put(view_HW3: Pixels, thing: Thing, image_33: Array) -> None:
    """Lays a thing over a view, in place."""
    height, width = thing.alpha_HW.shape
    corners_42 = project(image_33, np.array([(0, 0), (width, 0), (0, height), (width, height)], np.float64))
    low_2 = np.maximum(np.floor(corners_42.min(axis=0)) - 1, 0).astype(int)
    high_2 = np.minimum(np.ceil(corners_42.max(axis=0)) + 1, view_HW3.shape[1::-1]).astype(int)
    if (high_2 <= low_2).any():
        return
    to_box_33 = np.array([(1, 0, -low_2[0]), (0, 1, -low_2[1]), (0, 0, 1)])
    warp_33 = _HALF_OUT_33 @ to_box_33 @ image_33 @ _HALF_IN_33
    box_wh = tuple((high_2 - low_2).tolist())
    texture_HW3 = cv2.warpPerspective(
        thing.texture_HW3, warp_33, box_wh, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    alpha_HW1 = cv2.warpPerspective(thing.alpha_HW, warp_33, box_wh, flags=cv2.INTER_LINEAR)[..., None]
    box_HW3 = view_HW3[low_2[1] : high_2[1], low_2[0] : high_2[0]]
    box_HW3[:] = np.round(box_HW3 + alpha_HW1 * (texture_HW3 - box_HW3.astype(np.float32)))


def develop(
    rng: np.random.Generator, frames_THW3: npt.NDArray[np.float32], gain_T: Array, noise: float, jpeg_quality: int
) -> npt.NDArray[np.uint8]:
    """Exposure, the camera's noise (standard deviation in grey levels) and, below quality 100, compression."""
    bank_HW3 = rng.standard_normal((frames_THW3.shape[1] + 64, frames_THW3.shape[2] + 64, 3), np.float32) * noise
    developed_THW3 = np.empty(frames_THW3.shape, np.uint8)
    for t, (frame_HW3, gain) in enumerate(zip(frames_THW3, gain_T, strict=True)):
        y, x = rng.integers(64, size=2)
        noise_HW3 = bank_HW3[y : y + frame_HW3.shape[0], x : x + frame_HW3.shape[1]] * rng.choice([-1, 1])
        developed_THW3[t] = np.clip(np.round(frame_HW3 * np.float32(gain) + noise_HW3), 0, 255)
        if jpeg_quality < 100:
            _, packed = cv2.imencode(".jpg", developed_THW3[t, ..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
            developed_THW3[t] = cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1]
    return developed_THW3
