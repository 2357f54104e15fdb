"""Paths of a camera, as homographies to frame 0, at any time between frames. Letters: S times."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Course = Callable[[Array], Array]
"""A smooth function of time, 0 at time 0."""

STRENGTHS = ("none", "mild", "strong", "very_strong")
KINDS = ("pan", "handheld", "zoom", "roll", "mix")


@dataclass(frozen=True, kw_only=True)
class _Most:
    """What a strength allows within the clip: shift, jitter in diagonals, zoom as a share, roll in degrees."""

    shift: tuple[float, float]
    jitter: float
    zoom: float
    roll_deg: float
    tilt: float
    """change of scale over half a diagonal, by perspective"""


_MOST = {
    "none": _Most(shift=(0, 0), jitter=0, zoom=0, roll_deg=0, tilt=0),
    "mild": _Most(shift=(0.015, 0.06), jitter=0.001, zoom=0.03, roll_deg=1.5, tilt=0.005),
    "strong": _Most(shift=(0.07, 0.20), jitter=0.002, zoom=0.12, roll_deg=6, tilt=0.02),
    "very_strong": _Most(shift=(0.22, 0.45), jitter=0.003, zoom=0.25, roll_deg=12, tilt=0.04),
}
_SHARES = {
    "pan": (1.0, 0.15, 0.1),
    "handheld": (0.5, 0.3, 0.4),
    "zoom": (0.3, 1.0, 0.2),
    "roll": (0.3, 0.3, 1.0),
    "mix": (0.8, 0.7, 0.7),
    "slide": (1.0, 0.1, 0.05),
}
"""of what the strength allows, by kind: shift, zoom, roll; a slide is a translation, which shows parallax"""
_MOST_OF_SIDE = 0.6
"""the view never shifts by more of its width or height: some of frame 0 stays in view"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Camera:
    """Values at S times; all 0 at time 0. `shift_S2`: steady pixels by which the view moves; zooming in is above 0."""

    size_wh: tuple[int, int]
    shift_S2: Array
    log_zoom_S: Array
    roll_S: Array
    tilt_S2: Array

    def homographies(self) -> Array:
        """S33, each from the frame at that time to frame 0."""
        width, height = self.size_wh
        middle_33 = np.array([(1, 0, width / 2), (0, 1, height / 2), (0, 0, 1)])
        turn_S33 = np.tile(np.eye(3), (len(self.roll_S), 1, 1))
        cos_S, sin_S = np.exp(-self.log_zoom_S) * np.cos(self.roll_S), np.exp(-self.log_zoom_S) * np.sin(self.roll_S)
        turn_S33[:, 0, 0], turn_S33[:, 0, 1] = cos_S, -sin_S
        turn_S33[:, 1, 0], turn_S33[:, 1, 1] = sin_S, cos_S
        turn_S33[:, :2, 2] = self.shift_S2
        tilt_S33 = np.tile(np.eye(3), (len(self.roll_S), 1, 1))
        tilt_S33[:, 2, :2] = self.tilt_S2
        return np.asarray(middle_33 @ turn_S33 @ tilt_S33 @ np.linalg.inv(middle_33))


def camera_path(
    rng: np.random.Generator, strength: str, kind: str, size_wh: tuple[int, int], times_S: Array, last: float
) -> Camera:
    """A path of a kind whose extent within 0..`last` is what the strength says. Times are in frames."""
    most, diagonal = _MOST[strength], float(np.hypot(*size_wh))
    shift_share, zoom_share, roll_share = _SHARES[kind]
    angle = rng.uniform(0, 2 * np.pi)
    heading_2 = np.array([np.cos(angle), 0.6 * np.sin(angle)])
    along, across = _wave(rng, kind, last), _wave(rng, "handheld", last)
    extent = rng.uniform(*most.shift) * shift_share * diagonal
    wobble = 0.6 if kind == "handheld" else 0.15

    def shift_at(times: Array) -> Array:
        path_S2 = along(times)[:, None] * heading_2 + wobble * across(times)[:, None] * heading_2[::-1] * (-1, 1)
        return np.asarray(path_S2)

    frames_T = np.arange(last + 1)
    reach_2 = np.abs(shift_at(frames_T)).max(axis=0)
    reach = np.linalg.norm(shift_at(frames_T), axis=1).max()
    fit = min([extent / reach, *(_MOST_OF_SIDE * side / way for side, way in zip(size_wh, reach_2, strict=True))])
    jitters = [_jitter(rng) for _ in range(3)]
    shake = most.jitter * diagonal * rng.uniform(0.3, 1.0) * (2.0 if kind == "handheld" else 1.0)
    shake_S2 = shake * np.stack([jitters[0](times_S), jitters[1](times_S)], axis=1)
    zoom, roll = (_wave(rng, "pan", last) for _ in range(2))
    tilts = [_wave(rng, "pan", last) for _ in range(2)]
    sign_4 = rng.choice([-1, 1], 4) * rng.uniform(0.4, 1.0, 4)
    tilt_S2 = np.stack([tilts[i](times_S) * sign_4[2 + i] for i in range(2)], axis=1)
    return Camera(
        size_wh=size_wh,
        shift_S2=fit * shift_at(times_S) + shake_S2,
        log_zoom_S=np.log1p(most.zoom) * zoom_share * sign_4[0] * zoom(times_S),
        roll_S=np.radians(most.roll_deg) * roll_share * sign_4[1] * roll(times_S)
        + 0.3 * most.jitter * jitters[2](times_S),
        tilt_S2=tilt_S2 * most.tilt * (2 / diagonal),
    )


def _wave(rng: np.random.Generator, kind: str, last: float) -> Course:
    """Onwards with changing velocity, or for `handheld` to and fro; 1 at most within 0..`last`."""
    rate, phase = rng.uniform(0.5, 1.6), rng.uniform(0, 2 * np.pi)
    rate_b, phase_b = rng.uniform(0.8, 2.4), rng.uniform(0, 2 * np.pi)
    unsteady = rng.uniform(0.2, 0.9)

    def course(times: Array) -> Array:
        turn = 2 * np.pi * np.asarray(times) / last
        to_and_fro = np.sin(rate * turn + phase) - np.sin(phase)
        if kind == "handheld":
            return np.asarray(to_and_fro + 0.5 * (np.sin(rate_b * turn + phase_b) - np.sin(phase_b)))
        return np.asarray(turn / (2 * np.pi) + unsteady / (2 * np.pi * rate) * to_and_fro)

    most = np.abs(course(np.linspace(0, last, 50))).max()
    return lambda times: course(times) / most


def _jitter(rng: np.random.Generator) -> Course:
    """A restless course with a standard deviation of about 1; time in frames of 1/8 s."""
    hertz_5, phase_5 = rng.uniform(1.5, 6, 5), rng.uniform(0, 2 * np.pi, 5)

    def course(times: Array) -> Array:
        turn_S5 = 2 * np.pi * hertz_5 * np.asarray(times)[:, None] / 8 + phase_5
        return np.asarray((np.sin(turn_S5) - np.sin(phase_5)).sum(axis=1) / np.sqrt(5))

    return course
