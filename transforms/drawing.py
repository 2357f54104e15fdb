"""Marks and traces drawn into pictures: the marks for models and people alike, the traces for people's eyes only.

Letters: H height, W width, T time steps. Pixels are RGB uint8; points are in pixels, (0.5, 0.5) is the centre of the
top-left pixel.
"""

import colorsys
from collections.abc import Sequence
from functools import lru_cache
from itertools import count

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from schemas.flow import Bool, Float

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

_MARK_RED: Colour = (255, 0, 0)
_WHITE: Colour = (255, 255, 255)
_DIGIT_SHARE = 0.03
"""smaller side of the text "55" as a share of the image's width (the released model's marks)"""
_MIN_DIGIT_PX = 9
_OVERSAMPLING = 4

_TRACE_HUES = (0.50, 0.14, 0.83, 0.33, 0.08, 0.60, 0.42, 0.74)
"""far from the marks' red and from one another"""
_SUBPIXEL_BITS = 4
_FAR_PX = 30_000.0
_OUTLINE: Colour = (20, 20, 20)


def draw_marks(image_HW3: Pixels, marks: Sequence[tuple[int, tuple[float, float]]]) -> Pixels:
    """Draws each (id, (x, y)) as a red disc with the id in white; returns a copy.

    Looks as in the released data (MAGMA.md 2.6); later marks lie on earlier ones. A disc that would stick out of the
    image is shifted inside, no farther than it must be: the point itself stays where it is.
    """
    marked_HW3 = np.array(image_HW3, dtype=np.uint8)
    size_px = _font_size(_digit_px(marked_HW3.shape[1]))
    for mark_id, (x, y) in marks:
        stamp_SS3, alpha_SS = _stamp(str(mark_id), size_px)
        _paste(marked_HW3, stamp_SS3, alpha_SS, x, y)
    return marked_HW3


def draw_traces(image_HW3: Pixels, traces: Sequence[tuple[int, Float, Bool]], until: int | None = None) -> Pixels:
    """Draws each (id, xy_T2, visible_T) as a line from pale (start) to full colour (end); returns a copy.

    Every id has its own colour; steps at which the point is hidden are thin. A dot sits on the last step drawn, which
    is `until` (all where it is None). Never for training images.
    """
    drawn_HW3 = np.array(image_HW3, dtype=np.uint8)
    width_px = max(2, round(min(drawn_HW3.shape[:2]) / 150))
    ranks = {mark_id: rank for rank, mark_id in enumerate(sorted({mark_id for mark_id, _, _ in traces}))}
    for mark_id, xy_T2, visible_T in traces:
        n_steps = len(xy_T2)
        n_drawn = n_steps if until is None else max(0, min(n_steps, until + 1))
        if n_drawn == 0:
            continue
        colours = [_time_colour(ranks[mark_id], step / max(1, n_steps - 1)) for step in range(n_drawn)]
        _draw_trace(drawn_HW3, np.asarray(xy_T2)[:n_drawn], visible_T[:n_drawn], colours, width_px)
    return drawn_HW3


def trace_colour(rank: int) -> Colour:
    """The full colour of the trace whose id is the `rank`-th smallest (from 0) of those drawn together."""
    return _time_colour(rank, 1.0)


def _digit_px(width: int) -> int:
    """Least height and width of the text "55" on an image that is `width` pixels wide."""
    return max(_MIN_DIGIT_PX, int(np.ceil(_DIGIT_SHARE * width)))


@lru_cache(maxsize=64)
def _font_size(digit_px: int) -> int:
    """The least font size at which "55" is `digit_px` pixels high and wide; measured, never drawn."""
    return next(size for size in count(digit_px) if min(_ink_wh("55", size)) >= digit_px)


def _ink_wh(text: str, font_size: int) -> tuple[float, float]:
    left, top, right, bottom = _font(font_size).getbbox(text, anchor="ls")
    return right - left, bottom - top


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font: the same on every machine."""
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("this Pillow was built without FreeType and can't draw marks; install a wheel of Pillow")
    return font


@lru_cache(maxsize=256)
def _stamp(text: str, font_size: int) -> tuple[Pixels, Pixels]:
    """A mark by itself: colours and opacity of a square whose middle pixel is the mark's. Read-only."""
    ink_w, ink_h = _ink_wh(text, font_size)
    radius_px = int(np.ceil(max(max(ink_w, ink_h) / 2 + 1, float(np.hypot(ink_w, ink_h)) / 2 + 0.5)))
    side = 2 * radius_px + 1
    large = side * _OVERSAMPLING
    font = _font(font_size * _OVERSAMPLING)
    stroke = max(1, font_size * _OVERSAMPLING // 50)  # survives JPEG's halved colour resolution
    left, top, right, bottom = font.getbbox(text, anchor="ls", stroke_width=stroke)
    label = Image.new("RGB", (large, large), _MARK_RED)
    origin = ((large - left - right) / 2, (large - top - bottom) / 2)
    ImageDraw.Draw(label).text(origin, text, fill=_WHITE, font=font, anchor="ls", stroke_width=stroke)
    disc = Image.new("L", (large, large), 0)
    ImageDraw.Draw(disc).ellipse((0, 0, large - 1, large - 1), fill=255)
    colours_SS3 = np.array(label.reduce(_OVERSAMPLING))
    alpha_SS = np.array(disc.reduce(_OVERSAMPLING))
    colours_SS3.setflags(write=False)
    alpha_SS.setflags(write=False)
    return colours_SS3, alpha_SS


def _paste(image_HW3: Pixels, stamp_SS3: Pixels, alpha_SS: Pixels, x: float, y: float) -> None:
    """Blends a stamp in place, its middle pixel on the pixel that holds (x, y) or as near as it fits."""
    side = len(alpha_SS)
    height, width = image_HW3.shape[:2]
    left = max(0, min(int(np.floor(x)) - side // 2, width - side))
    top = max(0, min(int(np.floor(y)) - side // 2, height - side))
    below_HW3 = image_HW3[top : top + side, left : left + side]
    rows, columns = below_HW3.shape[:2]
    alpha_HW1 = alpha_SS[:rows, :columns, None].astype(np.uint16)
    blended_HW3 = stamp_SS3[:rows, :columns] * alpha_HW1 + below_HW3 * (255 - alpha_HW1)
    below_HW3[...] = (blended_HW3 + 127) // 255


def _time_colour(rank: int, share: float) -> Colour:
    """Pale at share 0 (start of the clip), full at share 1 (its end)."""
    lap, place = divmod(rank, len(_TRACE_HUES))
    hue = (_TRACE_HUES[place] + 0.05 * lap) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.15 + 0.85 * share, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _draw_trace(image_HW3: Pixels, xy_T2: Float, visible_T: Bool, colours: Sequence[Colour], width_px: int) -> None:
    """In place: a dark line below, the coloured steps on it, a dot at the end."""
    points = [_fixed_point(xy) for xy in xy_T2]
    steps = [
        (points[step], points[step + 1], bool(visible_T[step] and visible_T[step + 1]), colours[step + 1])
        for step in range(len(points) - 1)
    ]
    for start, end, seen, _ in steps:
        _line(image_HW3, start, end, _OUTLINE, width_px + 2 if seen else 2)
    for start, end, seen, colour in steps:
        _line(image_HW3, start, end, colour, width_px if seen else 1)
    radius = (width_px + 2) << _SUBPIXEL_BITS
    border = 1 << _SUBPIXEL_BITS
    cv2.circle(image_HW3, points[-1], radius + border, _OUTLINE, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL_BITS)
    cv2.circle(image_HW3, points[-1], radius, colours[-1], cv2.FILLED, cv2.LINE_AA, _SUBPIXEL_BITS)


def _line(image_HW3: Pixels, start: tuple[int, int], end: tuple[int, int], colour: Colour, width_px: int) -> None:
    cv2.line(image_HW3, start, end, colour, width_px, cv2.LINE_AA, _SUBPIXEL_BITS)


def _fixed_point(xy: Float) -> tuple[int, int]:
    """OpenCV's coordinates: pixel centres are whole, with `_SUBPIXEL_BITS` bits of fraction."""
    x, y = np.rint((np.clip(xy, -_FAR_PX, _FAR_PX) - 0.5) * (1 << _SUBPIXEL_BITS)).astype(int)
    return int(x), int(y)
