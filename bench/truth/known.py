"""A clip whose truth is known: where every point of its surfaces is at every time, and whether it can be seen.

Letters: T frames, O things, N points, K bumps. Steady positions are in frame 0's pixels, as frame 0's camera would see
them; a thing's own pixels have their origin at its corner. (0.5, 0.5) is the centre of the top-left pixel.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.truth.things import Thing
from schemas.flow import Bool, Clip, Float

Array = npt.NDArray[np.float64]

BACKGROUND = -1
MOVES_FROM = 0.02
"""a thing moves if its middle gets at least this far from its start within the clip, in diagonals"""
_SOLVING = 16
"""steps in which an error halves at least: to below a hundredth of a pixel"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Depth:
    """Parallax of a background that is no plane: 1 plus smooth bumps; steady pixels."""

    middle_K2: Array
    width_K: Array
    height_K: Array

    def parallax(self, xy_N2: Float) -> Array:
        """How many times as far as the plane of parallax 1 each point seems to move; any leading dimensions."""
        away_NK = np.square(xy_N2[..., None, :] - self.middle_K2).sum(axis=-1)
        return np.asarray(1 + np.exp(-away_NK / (2 * self.width_K**2)) @ self.height_K)

    def steepness(self) -> float:
        """Bound of the change of parallax per pixel."""
        return float((np.abs(self.height_K) / self.width_K).sum() * np.exp(-0.5))

    def surface_under(self, xy_N2: Float, shift_2: Float) -> Array:
        """The point of frame 0 that a shift of the camera has taken to `xy_N2` (steady)."""
        found_N2 = np.asarray(xy_N2, np.float64)
        for _ in range(_SOLVING):
            found_N2 = xy_N2 + (self.parallax(found_N2) - 1)[..., None] * shift_2
        return found_N2


@dataclass(frozen=True, kw_only=True, eq=False)
class TruthClip:
    """A clip and its truth. `homographies_T33` maps frame t to frame 0, for the plane of the background.

    `things`, far ones first, have their places at the clip's frames. `cut`: number of the first frame that shows
    another scene, of which nothing is told; T where there is none. Things that differ from the background in depth
    only stand still: in truth their `steady_path` stays, though they cross the image faster than the background does.
    """

    clip: Clip
    split: str
    number: int
    category: str
    strength: str
    note: str
    homographies_T33: Array
    shift_T2: Array
    things: tuple[Thing, ...]
    depth: Depth | None
    cut: int

    @property
    def size_wh(self) -> tuple[int, int]:
        return self.clip.size_wh

    @property
    def diagonal(self) -> float:
        return float(np.hypot(*self.size_wh))

    @property
    def moves_O(self) -> Bool:
        return np.array([thing.displacement >= MOVES_FROM for thing in self.things], bool)

    def image_T33(self, o: int) -> Array:
        """From a thing's own pixels to those of each frame."""
        return image_of(self.things[o], self.homographies_T33, self.shift_T2)

    def object_at(self, t: int, xy_N2: Float) -> npt.NDArray[np.intp]:
        """Number of the topmost thing at each position of frame t, -1 for the background."""
        object_N = np.full(len(xy_N2), BACKGROUND)
        for o, thing in enumerate(self.things):
            own_N2 = project(np.linalg.inv(self.image_T33(o)[t]), xy_N2)
            height, width = thing.alpha_HW.shape
            column_N, row_N = np.floor(own_N2).astype(int).T
            inside_N = (column_N >= 0) & (column_N < width) & (row_N >= 0) & (row_N < height)
            alpha_N = thing.alpha_HW[row_N.clip(0, height - 1), column_N.clip(0, width - 1)]
            object_N[inside_N & (alpha_N > 0.5)] = o
        return object_N

    def near_edge(self, t: int, xy_N2: Float, margin_px: float = 2.0) -> Bool:
        """Points with another thing (or the background) within a margin: no one can tell what they lie on."""
        object_N = self.object_at(t, xy_N2)
        near_N = np.zeros(len(xy_N2), bool)
        for angle in np.arange(8) * np.pi / 4:
            beside_N2 = xy_N2 + margin_px * np.array([np.cos(angle), np.sin(angle)])
            near_N |= self.object_at(t, beside_N2) != object_N
        return near_N

    def steady_path(self, o: int, xy0_N2: Float) -> Array:
        """TN2: where points that lie on thing `o` in frame 0 truly are, as frame 0's camera would see them."""
        if o == BACKGROUND or self.things[o].parallax != 1:
            return np.tile(np.asarray(xy0_N2, np.float64), (len(self.homographies_T33), 1, 1))
        place_T33 = self.things[o].place_S33
        return np.stack([project(place_33 @ np.linalg.inv(place_T33[0]), xy0_N2) for place_33 in place_T33])

    def seen_path(self, o: int, xy0_N2: Float) -> Array:
        """TN2: the same points' positions in each frame's pixels, hidden ones too."""
        if o != BACKGROUND:
            image_T33 = self.image_T33(o)
            return np.stack([project(image_33 @ np.linalg.inv(image_T33[0]), xy0_N2) for image_33 in image_T33])
        steady_N2 = np.asarray(xy0_N2, np.float64)
        nearer_N1 = (self.depth.parallax(steady_N2) - 1)[:, None] if self.depth else np.zeros((len(steady_N2), 1))
        return np.stack(
            [
                project(np.linalg.inv(homography_33), steady_N2 - nearer_N1 * shift_2)
                for homography_33, shift_2 in zip(self.homographies_T33, self.shift_T2, strict=True)
            ]
        )

    def visible(self, o: int, xy0_N2: Float) -> Bool:
        """TN: the same points are in the image, nothing covers them, and no cut has come."""
        seen_TN2 = self.seen_path(o, xy0_N2)
        visible_TN = np.all((seen_TN2 >= 0) & (seen_TN2 < self.size_wh), axis=-1)
        for t, seen_N2 in enumerate(seen_TN2):
            visible_TN[t] &= (self.object_at(t, seen_N2) == o) & (t < self.cut)
        return np.asarray(visible_TN)

    def true_path(self, reference: int, xy_N2: Float) -> tuple[npt.NDArray[np.intp], Array]:
        """What lies under positions of a frame, and where it truly is at all times (TN2), for that frame's camera."""
        object_N = self.object_at(reference, xy_N2)
        path_TN2 = np.tile(np.asarray(xy_N2, np.float64), (len(self.homographies_T33), 1, 1))
        for o in np.unique(object_N[object_N >= 0]):
            thing, on_N = self.things[o], object_N == o
            if thing.parallax == 1:
                image_T33 = self.image_T33(int(o))
                xy0_M2 = project(image_T33[0] @ np.linalg.inv(image_T33[reference]), xy_N2[on_N])
                to_reference_33 = np.linalg.inv(self.homographies_T33[reference])
                path_TN2[:, on_N] = project(to_reference_33, self.steady_path(int(o), xy0_M2))
        return object_N, path_TN2


def image_of(thing: Thing, homographies_S33: Array, shift_S2: Array) -> Array:
    """S33 from a thing's own pixels to those of a frame, for times S at which the camera's motion is known."""
    behind_S33 = np.tile(np.eye(3), (len(shift_S2), 1, 1))
    behind_S33[:, :2, 2] = -(thing.parallax - 1) * shift_S2
    return np.asarray(np.linalg.inv(homographies_S33) @ behind_S33 @ thing.place_S33)


def project(homography_33: Array, xy_N2: Float) -> Array:
    """Written a second time on purpose: the truth must not come from the code under test. Any leading dimensions."""
    xy_N2 = np.asarray(xy_N2, np.float64)
    weight_N = xy_N2 @ homography_33[2, :2] + homography_33[2, 2]
    return np.asarray((xy_N2 @ homography_33[:2, :2].T + homography_33[:2, 2]) / weight_N[..., None])
