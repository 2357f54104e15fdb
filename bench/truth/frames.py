"""Real frames to make clips of: pictures and videos of a folder, in two splits that share no source.

Letters: H height, W width.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.report import ROOT
from transforms.keys import stable_hash

SPLITS = ("tune", "report")
_VIDEOS = {".mp4", ".avi", ".mov", ".mkv", ".webm"}
_PICTURES = {".jpg", ".jpeg", ".png", ".bmp"}
_MIN_SIDE_PX = 240
_PER_VIDEO = 12
"""frames taken of a video, at even steps of its time"""
_TRIES = 12
_EPISODE = re.compile(r"_\d+$")

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Frames:
    """The sources of one split. A source is a picture, a video, or the episodes of one camera (NAME_1.mp4, NAME_2.mp4).

    `painted`: these are the project's own demo clips, for want of real ones.
    """

    folder: Path
    split: str
    sources: tuple[tuple[Path, ...], ...]
    painted: bool

    def pick(
        self, rng: np.random.Generator, without: int | None = None, least_texture: float = 0.0
    ) -> tuple[int, Pixels]:
        """A source's number and a frame of it, as HW3 RGB; from another source than `without` if there is another.

        `least_texture` is of `textured_share`; where no tried frame has it, the one with the most is given.
        """
        others = [source for source in range(len(self.sources)) if source != without] or [0]
        best: tuple[float, int, Pixels] | None = None
        for _ in range(_TRIES):
            source = int(rng.choice(others))
            files = self.sources[source]
            frames = _load(files[int(rng.integers(len(files)))])
            frame_HW3 = frames[int(rng.integers(len(frames)))]
            share = textured_share(frame_HW3) if least_texture > 0 else 0.0
            if best is None or share > best[0]:
                best = share, source, frame_HW3
            if share >= least_texture:
                break
        assert best is not None
        return best[1:]


def textured_share(image_HW3: Pixels) -> float:
    """Share of the pixels at which something can be tracked: grey levels change by 1 per pixel in every direction."""
    gray_HW = cv2.cvtColor(image_HW3, cv2.COLOR_RGB2GRAY)
    # OpenCV's least eigenvalue is that of gradients in grey levels / 255, times a half
    least_HW = cv2.cornerMinEigenVal(gray_HW, 11, ksize=3)
    return float((2 * 255 * np.sqrt(np.maximum(least_HW, 0)) > 4).mean())


def find_frames(folder: Path | None, split: str) -> Frames:
    """Real frames of `folder`; without one, of `$SOMTOM_TEST_DATA/data`; without either, of the painted demo clips.

    The sources, in the order of their hashes, go to the two splits in turn.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; there are {', '.join(SPLITS)}")
    from_environment = os.environ.get("SOMTOM_TEST_DATA", "")
    if folder is None and from_environment and (Path(from_environment) / "data").is_dir():
        folder = Path(from_environment) / "data"
    painted = folder is None
    folder = ROOT / "demo" if folder is None else folder
    sources: dict[str, list[Path]] = {}
    for path in _usable(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        sources.setdefault(_EPISODE.sub("", name) if path.suffix.lower() in _VIDEOS else name, []).append(path)
    if len(sources) < len(SPLITS):
        raise ValueError(f"{folder} has {len(sources)} pictures and videos with sides of {_MIN_SIDE_PX} px; need 2")
    ranked = sorted(sources, key=lambda name: stable_hash("truth", name))
    chosen = ranked[SPLITS.index(split) :: len(SPLITS)]
    return Frames(folder=folder, split=split, sources=tuple(tuple(sources[name]) for name in chosen), painted=painted)


def _usable(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        suffix = path.suffix.lower()
        if suffix in _VIDEOS and path.is_file():
            yield path
        elif suffix in _PICTURES and path.is_file() and "contact_sheet" not in path.name:
            with Image.open(path) as picture:
                if min(picture.size) >= _MIN_SIDE_PX:
                    yield path


@lru_cache(maxsize=64)
def _load(path: Path) -> tuple[Pixels, ...]:
    """Frames at even steps of a video, or the picture, as RGB."""
    if path.suffix.lower() in _PICTURES:
        with Image.open(path) as picture:
            return (np.asarray(picture.convert("RGB"), np.uint8),)
    with av.open(str(path)) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    # the first and last frames of a video are the likeliest to be black
    numbers = np.linspace(0.04, 0.96, _PER_VIDEO) * (len(decoded) - 1)
    return tuple(np.asarray(decoded[round(float(number))], np.uint8) for number in numbers)
