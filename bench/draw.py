"""Marks drawn on a 1080p image against copying that image, and against looking for the font size on full-size images.

One thread. Every repetition has marks elsewhere, so that places are looked for each time.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bench.report import Figure, seconds_of
from transforms import drawing

_SIZE_WH = (1920, 1080)
_N_MARKS = 40
_DIGIT_SHARE = 0.03

Marks = list[tuple[int, tuple[float, float]]]


def measure(scratch: Path, quick: bool) -> Iterator[Figure]:
    repeats = 5 if quick else 50
    rng = np.random.default_rng(0)
    image_HW3 = rng.integers(0, 256, (_SIZE_WH[1], _SIZE_WH[0], 3), dtype=np.uint8)
    times: dict[str, list[float]] = {}
    drawing.draw_marks(image_HW3, _marks(rng.uniform((0, 0), _SIZE_WH, (_N_MARKS, 2))))
    for _ in range(repeats):
        spread = _marks(rng.uniform((0, 0), _SIZE_WH, (_N_MARKS, 2)))
        crowd = _marks(rng.normal(np.array(_SIZE_WH) / 2, 80, (_N_MARKS, 2)))
        rivals: dict[str, Callable[[], object]] = {
            "copy": lambda: np.array(image_HW3),
            "spread": lambda marks=spread: drawing.draw_marks(image_HW3, marks),
            "crowd": lambda marks=crowd: drawing.draw_marks(image_HW3, marks),
            "search": lambda marks=spread: draw_with_font_search(image_HW3, marks),
        }
        for rival, work in rivals.items():
            times.setdefault(rival, []).append(seconds_of(work))
        _forget_stamps()
        times.setdefault("first", []).append(seconds_of(rivals["spread"]))
    ms = {rival: 1000 * median(taken) for rival, taken in times.items()}
    bound = f"{ms['copy']:.2f} ms: copying the image; target 10 ms"
    for rival, where in (
        ("spread", "anywhere"),
        ("crowd", "in one crowd"),
        ("first", "anywhere, stamps yet to be rendered"),
    ):
        yield Figure(
            topic="draw",
            what=f"{_N_MARKS} marks on {_SIZE_WH[0]}x{_SIZE_WH[1]}, {where}",
            shown=f"{ms[rival]:.1f} ms (to {1000 * max(times[rival]):.1f})",
            value=ms[rival],
            bound=bound,
        )
    ratios = [theirs / ours for ours, theirs in zip(times["spread"], times["search"], strict=True)]
    yield Figure(
        topic="draw",
        what="font size looked for on full-size images / ours, time",
        shown=f"{median(ratios):.0f} ({ms['search']:.0f} ms against {ms['spread']:.1f})",
        value=median(ratios),
        bound="above 1; it neither avoids overlaps nor the border",
    )


def _marks(xy_N2: np.ndarray) -> Marks:
    return [(number, (float(x), float(y))) for number, (x, y) in enumerate(xy_N2, start=1)]


def _forget_stamps() -> None:
    for thing in vars(drawing).values():
        if hasattr(thing, "cache_clear"):
            thing.cache_clear()


def draw_with_font_search(image_HW3: np.ndarray, marks: Sequence[tuple[int, tuple[float, float]]]) -> np.ndarray:
    """As published (MAGMA.md 2.6, 2.7): every font size from 1 on is tried on an image of its own."""
    height, width = image_HW3.shape[:2]
    for size in count(1):
        font = ImageFont.load_default(size)
        trial = ImageDraw.Draw(Image.new("RGB", (width, height)))
        left, top, right, bottom = trial.textbbox((0, 0), "55", font=font)
        if min(right - left, bottom - top) >= _DIGIT_SHARE * width:
            break
    picture = Image.fromarray(image_HW3)
    draw = ImageDraw.Draw(picture)
    for mark_id, (x, y) in marks:
        left, top, right, bottom = draw.textbbox((x, y), str(mark_id), font=font, anchor="mm")
        radius = max(right - left, bottom - top) // 2 + 1
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill="red")
        draw.text((x, y), str(mark_id), fill="white", font=font, anchor="mm")
    return np.array(picture)
