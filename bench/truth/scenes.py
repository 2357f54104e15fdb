"""The clips of the benchmark: every one a function of (split, number) and of the folder of real frames.

    frames = find_frames(None, "tune")
    clips = [make_clip(frames, number) for number in range(len(CATALOGUE))]

Letters: T frames, B sub-frames of a frame, S times (all sub-frames), O things.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from bench.truth.cameras import KINDS, Camera, camera_path
from bench.truth.frames import Frames, Pixels, find_frames, textured_share
from bench.truth.known import Array, Depth, TruthClip, project
from bench.truth.render import develop, lay_background, render
from bench.truth.things import PATHS, Thing, blob_mask, cut_texture, near_mask, place, progress
from schemas.flow import Clip
from tests.scenes import fake_ref
from transforms.keys import stable_hash

__all__ = ["CATALOGUE", "Spec", "TruthClip", "find_frames", "make_clip"]

FPS = 8.0
_SIZES_WH = ((512, 288), (512, 288), (512, 288), (512, 384), (288, 512), (384, 288))
_NOISE = 2.0
_WAYS = {"far": (0.04, 0.25), "short": (0.028, 0.04), "creeping": (0.003, 0.011), "standing": (0.0, 0.0)}
"""how far a thing gets, in diagonals; none between 1.2 and 2.6 %, where no one can tell"""
_MAX_TURN_DEG, _MAX_GROWTH = 20.0, 0.10
_MIN_IN_VIEW = 0.6
_LEAST_TEXTURE = 0.15
"""share of a background in which something can be tracked (a robot's bare table has 0.2); none where it is weak"""
_LEAST_TEXTURE_OF_THING = 0.3


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What a clip shows. `moving` and `standing` count things; `weak`: a background with little texture."""

    category: str
    strength: str
    moving: int = 0
    standing: int = 0
    weak: bool = False

    @property
    def note(self) -> str:
        return f"{self.moving} moving, {self.standing} standing{', weak texture' if self.weak else ''}"


def _catalogue() -> Iterator[Spec]:
    for strength in ("none", "mild", "strong", "very_strong"):
        for moving, standing in ((0, 0), (1, 0), (2, 0), (3, 0), (1, 1), (1, 2), (2, 1), (1, 0), (0, 2)):
            yield Spec(category="objects", strength=strength, moving=moving, standing=standing)
        for category, counts in (
            ("blur", ((1, 1), (2, 0))),
            ("exposure", ((1, 1), (2, 0))),
            ("large", ((1, 0), (1, 1), (1, 0))),
            ("low_texture", ((1, 1), (2, 0))),
            ("cut", ((1, 0), (0, 1), (2, 0))),
        ):
            for moving, standing in counts:
                weak = category == "low_texture"
                yield Spec(category=category, strength=strength, moving=moving, standing=standing, weak=weak)
    for strength in ("mild", "strong", "very_strong"):
        for moving in (0, 1, 0, 1, 0, 1):
            yield Spec(category="two_depth", strength=strength, moving=moving)
        for moving in (0, 1, 0, 1, 0):
            yield Spec(category="dense_depth", strength=strength, moving=moving)
    for strength in ("mild", "strong", "very_strong"):
        for number in range(20):
            standing = (0, 0, 1, 0, 2, 0, 3, 0, 0, 1)[number % 10]
            yield Spec(category="panned", strength=strength, standing=standing, weak=number % 5 == 3)


CATALOGUE = tuple(_catalogue())
"""what clip 0, 1, ... shows; the same for both splits"""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Shot:
    """A scene before its frames are developed. `things` have their places at the frames."""

    frames_THW3: npt.NDArray[np.float32]
    homographies_T33: Array
    shift_T2: Array
    things: tuple[Thing, ...]
    depth: Depth | None


def make_clip(frames: Frames, number: int) -> TruthClip:
    """Clip `number` of `CATALOGUE` for the split of `frames`."""
    spec = CATALOGUE[number]
    key = stable_hash("truth clip", frames.split, str(number))
    rng = np.random.default_rng(int(key, 16))
    size_wh = _SIZES_WH[int(rng.integers(len(_SIZES_WH)))]
    n_frames = int(rng.integers(16, 18))
    source, frame_HW3 = frames.pick(rng, least_texture=0.0 if spec.weak else _LEAST_TEXTURE)
    shot = _shoot(rng, spec, frames, source, frame_HW3, size_wh, n_frames)
    frames_THW3, cut = shot.frames_THW3, n_frames
    if spec.category == "cut":
        cut = round(rng.uniform(0.4, 0.7) * n_frames)
        other, other_HW3 = frames.pick(rng, without=source, least_texture=_LEAST_TEXTURE)
        after = replace(spec, moving=int(rng.integers(2)), standing=0)
        second = _shoot(rng, after, frames, other, other_HW3, size_wh, n_frames)
        frames_THW3 = np.concatenate([frames_THW3[:cut], second.frames_THW3[cut:]])
    jpeg_quality = int(rng.integers(70, 95)) if rng.random() < 0.5 else 100
    developed_THW3 = develop(rng, frames_THW3, _gains(rng, spec, n_frames), _NOISE, jpeg_quality)
    clip = Clip(
        key=f"{key[:16]}-000000000",
        ref=fake_ref(uri=f"{frames.split}-{number:03d}.mp4", record_key=key[:16]),
        frames_THW3=developed_THW3,
        times_s_T=np.arange(n_frames) / FPS,
        fps=FPS,
        frame_indices_T=np.arange(n_frames),
    )
    return TruthClip(
        clip=clip,
        split=frames.split,
        number=number,
        category=spec.category,
        strength=spec.strength,
        note=spec.note,
        homographies_T33=shot.homographies_T33,
        shift_T2=shot.shift_T2,
        things=shot.things,
        depth=shot.depth,
        cut=cut,
    )


def _shoot(
    rng: np.random.Generator,
    spec: Spec,
    frames: Frames,
    source: int,
    frame_HW3: Pixels,
    size_wh: tuple[int, int],
    n_frames: int,
) -> _Shot:
    shutter, subframes = _shutter(rng, spec)
    offset_B = (np.arange(subframes) - (subframes - 1) / 2) / subframes * shutter
    times_S = (np.arange(n_frames)[:, None] + offset_B).ravel()
    parallax = spec.category in ("two_depth", "dense_depth")
    kind = "slide" if parallax else str(rng.choice(KINDS))
    camera = camera_path(rng, spec.strength, kind, size_wh, times_S, n_frames - 1)
    homographies_S33 = camera.homographies()
    if spec.weak and textured_share(frame_HW3) >= _LEAST_TEXTURE:
        frame_HW3 = _weaker(rng, frame_HW3)
    background = lay_background(rng, frame_HW3, homographies_S33, size_wh)
    depth = _bumps(rng, camera) if spec.category == "dense_depth" else None

    things: list[Thing] = []
    kinds = [str(rng.choice(["far", "far", "far", "far", "far", "far", "short"])) for _ in range(spec.moving)]
    kinds += [str(rng.choice(["standing", "standing", "creeping"])) for _ in range(spec.standing)]
    if spec.category == "panned":
        kinds = ["standing"] * spec.standing
    for kind in rng.permutation(kinds) if kinds else []:
        large = spec.category == "large" and kind in ("far", "short")
        things.append(_thing(rng, str(kind), large, (frames, source), camera, times_S, n_frames, things))
    if spec.category == "two_depth":
        near = _near(rng, (frames, source), camera, homographies_S33)
        things.insert(int(rng.integers(2)) * len(things), near)

    frames_THW3 = render(background, things, homographies_S33, camera.shift_S2, depth, size_wh, subframes)
    at_frames = slice(subframes // 2, None, subframes)
    return _Shot(
        frames_THW3=frames_THW3,
        homographies_T33=homographies_S33[at_frames],
        shift_T2=camera.shift_S2[at_frames],
        things=tuple(replace(thing, place_S33=thing.place_S33[at_frames]) for thing in things),
        depth=depth,
    )


def _shutter(rng: np.random.Generator, spec: Spec) -> tuple[float, int]:
    """How long the shutter is open, in frames, and into how many sub-frames (an odd number) that is divided."""
    if spec.category == "blur":
        return rng.uniform(0.3, 0.5), 7 if spec.strength == "very_strong" else 5
    if spec.strength == "very_strong":
        return rng.uniform(0.12, 0.3), 3
    return 0.0, 1


def _gains(rng: np.random.Generator, spec: Spec, n_frames: int) -> Array:
    """Exposure by frame: a drift, a flicker or both, within 0.7 to 1.3."""
    if spec.category != "exposure":
        return np.ones(n_frames)
    drift = rng.uniform(-0.25, 0.25) * np.linspace(0, 1, n_frames)
    flicker = rng.choice([0.0, 0.08]) * rng.normal(size=n_frames)
    return np.asarray(np.clip(1 + drift + flicker, 0.7, 1.3))


def _weaker(rng: np.random.Generator, frame_HW3: Pixels) -> Pixels:
    """Defocused, with less contrast: a wall, the sky."""
    soft_HW3 = cv2.GaussianBlur(frame_HW3, (0, 0), rng.uniform(3, 7)).astype(np.float32)
    return np.asarray(
        np.clip(soft_HW3.mean() + rng.uniform(0.25, 0.6) * (soft_HW3 - soft_HW3.mean()), 0, 255), np.uint8
    )


def _bumps(rng: np.random.Generator, camera: Camera) -> Depth:
    """A relief that the camera's shift never folds: no part of it hides another."""
    diagonal = float(np.hypot(*camera.size_wh))
    depth = Depth(
        middle_K2=rng.uniform(-0.1, 1.1, (5, 2)) * camera.size_wh,
        width_K=rng.uniform(0.12, 0.4, 5) * diagonal,
        height_K=rng.choice([-0.3, 0.3, 0.5, 0.7], 5) * rng.uniform(0.5, 1.2, 5),
    )
    farthest = float(np.linalg.norm(camera.shift_S2, axis=1).max())
    return replace(depth, height_K=depth.height_K * min(1.0, 0.5 / (depth.steepness() * farthest)))


def _thing(
    rng: np.random.Generator,
    kind: str,
    large: bool,
    beside: tuple[Frames, int],
    camera: Camera,
    times_S: Array,
    n_frames: int,
    others: list[Thing],
) -> Thing:
    """A cut-out that mostly stays in view, and starts beside the others."""
    width, height = camera.size_wh
    diagonal = float(np.hypot(width, height))
    if large:
        box_wh = (round(rng.uniform(0.5, 0.75) * width), round(rng.uniform(0.5, 0.8) * height))
    else:
        across = rng.uniform(0.08, 0.25) * max(width, 0.8 * height)
        box_wh = (round(across), round(across * rng.uniform(0.7, 1.4)))
    displacement = rng.uniform(*_WAYS[kind])
    path = progress(rng, str(rng.choice(PATHS)), times_S, n_frames - 1)
    radius = 0.5 * max(box_wh)
    freely = displacement >= 0.044
    most_turn = min(np.radians(_MAX_TURN_DEG), 0.3 * displacement * diagonal / radius) if freely else 0.0
    most_growth = min(_MAX_GROWTH, 0.1 * displacement * diagonal / radius) if freely else 0.0
    turn_S = rng.uniform(-1, 1) * most_turn * times_S / (n_frames - 1)
    scale_S = 1 + rng.uniform(-1, 1) * most_growth * times_S / (n_frames - 1)

    to_frames_S33 = np.linalg.inv(camera.homographies())
    best: tuple[float, Array] = (-np.inf, np.zeros((len(times_S), 2)))
    for _ in range(60):
        heading = rng.uniform(0, 2 * np.pi)
        cos, sin = np.cos(heading), np.sin(heading)
        margin = 0.3 if large else 0.12
        start_2 = rng.uniform(margin, 1 - margin, 2) * camera.size_wh
        middle_S2 = start_2 + displacement * diagonal * path @ np.array([(cos, sin), (-sin, cos)])
        seen_S2 = np.stack([project(h_33, xy_2) for h_33, xy_2 in zip(to_frames_S33, middle_S2, strict=True)])
        in_view = float(((seen_S2 >= 0) & (seen_S2 < camera.size_wh)).all(axis=1).mean())
        gaps = [_gap(start_2, radius, other) for other in others]
        score = min(in_view, _MIN_IN_VIEW + 0.2) + min(0.0, *gaps, 0.0)
        if score > best[0]:
            best = (score, middle_S2)
        if in_view >= _MIN_IN_VIEW and min([0.0, *gaps]) >= 0:
            break
    return Thing(
        texture_HW3=_texture(rng, beside, box_wh),
        alpha_HW=blob_mask(rng, box_wh),
        place_S33=place(box_wh, best[1], turn_S, scale_S),
        displacement=displacement,
    )


def _texture(rng: np.random.Generator, beside: tuple[Frames, int], size_wh: tuple[int, int]) -> Pixels:
    """Of another source than that of the background; something to be tracked on it, if a few tries find that."""
    frames, source = beside
    patches = []
    for _ in range(6):
        patches.append(cut_texture(rng, frames.pick(rng, without=source)[1], size_wh))
        if textured_share(patches[-1]) >= _LEAST_TEXTURE_OF_THING:
            return patches[-1]
    return max(patches, key=textured_share)


def _gap(start_2: Array, radius: float, other: Thing) -> float:
    """Below 0 where a circle overlaps another thing at its start."""
    height, width = other.alpha_HW.shape
    middle_2 = project(other.place_S33[0], np.array([width / 2, height / 2]))
    reach = 0.8 * radius + 0.4 * max(width, height)
    return float(np.linalg.norm(middle_2 - start_2) / reach - 1)


def _near(rng: np.random.Generator, beside: tuple[Frames, int], camera: Camera, homographies_S33: Array) -> Thing:
    """A foreground that stands still in the world, with a canvas for everything that the camera will see of it."""
    width, height = camera.size_wh
    parallax = rng.uniform(1.3, 2.2)
    corners_42 = np.array([(0, 0), (width, 0), (0, height), (width, height)], np.float64)
    seen_S42 = np.stack([project(homography_33, corners_42) for homography_33 in homographies_S33])
    seen_S42 += (parallax - 1) * camera.shift_S2[:, None]
    low_2 = np.floor(seen_S42.min(axis=(0, 1)) - 4)
    size_2 = (np.ceil(seen_S42.max(axis=(0, 1)) + 4) - low_2).astype(int)
    left, top = (int(-value) for value in low_2)
    canvas_wh = (int(size_2[0]), int(size_2[1]))
    still_S = np.zeros(len(homographies_S33))
    middle_S2 = np.tile(low_2 + size_2 / 2, (len(still_S), 1))
    return Thing(
        texture_HW3=_texture(rng, beside, canvas_wh),
        alpha_HW=near_mask(rng, canvas_wh, (left, top, left + width, top + height), rng.uniform(0.15, 0.5)),
        place_S33=place(canvas_wh, middle_S2, still_S, still_S + 1),
        displacement=0.0,
        parallax=parallax,
    )
