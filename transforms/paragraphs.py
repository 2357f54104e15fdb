"""From lines as an OCR cuts them to words as people see them: where their ink is, what belongs together.

Lengths are in ems, the font's size, which is measured on the ink of each line. Letters: H height, W width, C
characters.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from schemas.flow import Bool, Float
from transforms.boxes import Box, IntBox, around
from transforms.ocr import Line

Pixels = npt.NDArray[np.uint8]

_INK_SHARE = 0.35
"""of the strongest contrast in a line; what has less is its ground"""
_FULL_INK_PERCENT = 94
_MIN_CONTRAST = 10.0
_FENCE_HEIGHT = 1.0
"""of the height of a line's box; parts of letters are lower"""
_DOT_GAP = 0.15
"""between the rows of ink of one line (the dot of an i), of the height of its box"""
_TALL = set("bdfhijklt|/\\()[]{}'\"!?%&@#$€£0123456789")
_DEEP = set("gjpqy()[]{}|@,;Q$/")
_ASCENT, _X_HEIGHT, _DESCENT = 0.73, 0.53, 0.21
_OVER, _UNDER = 0.92, 0.23
"""how far the box of a line of text reaches above and below its base line, as browsers lay it out"""
WIDE_SCRIPT = 0x2E80
"""from here on characters fill their square"""
_SURE_GLYPH = 0.75
"""one or two characters that the OCR is less sure of are rather a drawing"""
_MAX_GAP = 0.7
"""more white between two characters parts them, of the height of the line's box"""
_MAX_STEP = 1.1
"""from the middle of a character to that of the next; what is between is no character, but not white"""
_SEPARATORS = set("›>/|»•·")
_MAX_CRUMB_WORDS = 3
_CRUMB_GAP = 0.22

_MAX_PITCH = 1.8
"""from line to line of a paragraph"""
_MAX_INDENT = 0.5
_SAME_SIZE = 0.2
_SAME_COLOUR = 45.0
_OTHER_TINT = 30.0
_USUAL = 0.4
"""of the characters of the most usual colour"""
_MIN_FULL_WORDS = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Words:
    """Words of one line, or of the lines of one paragraph. `colour_3`: of their ink; `ground_3`: of what is below."""

    box_xyxy: Box
    text: str
    score: float
    em: float
    colour_3: Float
    ground_3: Float
    links: tuple["Words", ...] = ()
    """those among them that have a colour of their own"""


def are_drawings(texts: Sequence[str], scores: Sequence[float]) -> list[bool]:
    """Which of what was read in one picture is rather a drawing that was taken for a character or two."""
    wide = any(sum(ord(char) >= WIDE_SCRIPT for char in text) > 2 for text in texts)
    known = [all(char.isalnum() and (char.isascii() or wide) for char in text) for text in texts]
    return [
        len(text) <= 2 and not (is_known and score >= _SURE_GLYPH)
        for text, score, is_known in zip(texts, scores, known, strict=True)
    ]


def fit_lines(image_HW3: Pixels, lines: Sequence[Line], fences: Sequence[IntBox]) -> list[Words]:
    """Boxes that fit the words; lines parted at the sides of `fences` (boxes on the screen), where there is much white
    and where a separator of crumbs stands."""
    return [words for line in lines for words in _fit_line(image_HW3, line, fences)]


def join_lines(lines: Sequence[Words]) -> list[Words]:
    """Lines that are wrapped become one paragraph: one below the other, of one size and colour, aligned, and none
    ends where the first word of the next would still have had room."""
    blocks: list[list[Words]] = []
    for line in sorted(lines, key=lambda each: (each.box_xyxy[1], each.box_xyxy[0])):
        above = [block for block in blocks if _continues(block, line)]
        if above:
            max(above, key=lambda block: block[-1].box_xyxy[3]).append(line)
        else:
            blocks.append([line])
    return [_one(block) for block in blocks]


def _fit_line(image_HW3: Pixels, line: Line, fences: Sequence[IntBox]) -> Iterator[Words]:
    x1, y1, x2, y2 = (int(side) for side in line.box_xyxy)
    crop_HW3 = image_HW3[y1:y2, x1:x2].astype(np.float32)
    middle = (y1 + y2) / 2
    tall = [box for box in fences if box[1] <= middle <= box[3] and box[3] - box[1] >= _FENCE_HEIGHT * (y2 - y1)]
    edges = {side - x1 for left, _, right, _ in tall for side in (left, right)}
    x_C = line.char_x_C - x1
    cuts = [char for char in range(1, len(x_C)) if any(x_C[char - 1] < edge <= x_C[char] for edge in edges)]
    for first, last in zip([0, *cuts], [*(cut - 1 for cut in cuts), len(x_C) - 1], strict=True):
        low = max([0, *(edge + 1 for edge in edges if edge <= x_C[first])])
        high = min([x2 - x1, *(edge - 1 for edge in edges if edge > x_C[last])])
        if high - low >= 2:
            yield from _fit_part(line, crop_HW3, x_C, (first, last), (int(low), int(high)))


def _fit_part(
    line: Line, crop_HW3: Float, x_C: Float, chars: tuple[int, int], columns: tuple[int, int]
) -> Iterator[Words]:
    """The words of a line from the first to the last of `chars`, which stand between two `columns`."""
    x1, y1, _, _ = line.box_xyxy
    ground_3 = np.median(crop_HW3[:, slice(*columns)].reshape(-1, 3), axis=0)
    contrast_HW = np.abs(crop_HW3 - ground_3).max(axis=2)
    strongest = float(np.percentile(contrast_HW[:, slice(*columns)], 98))
    if strongest < _MIN_CONTRAST:
        return
    ink_HW = contrast_HW > _INK_SHARE * strongest
    ink_HW[:, : columns[0]] = ink_HW[:, columns[1] :] = False
    for first, last in _parts(line.text, x_C, ink_HW, chars):
        words = list(_words_of(line.text, first, last))
        first, last = words[0][0], words[-1][1]
        em, base, top = _measure(ink_HW, line.text[first : last + 1], x_C[first], x_C[last])
        rows = slice(max(0, round(base - top)), max(1, round(base)))
        colours = [(a, b, _colour(crop_HW3, contrast_HW, x_C[a], x_C[b], em)) for a, b in words]
        whole = Words(
            box_xyxy=(0, y1 + base - _OVER * em, 0, y1 + base + _UNDER * em),
            text=line.text[first : last + 1],
            score=line.score,
            em=em,
            colour_3=_main_colour(colours),
            ground_3=ground_3,
        )
        fitted = []
        for a, b, colour_3 in [(first, last, whole.colour_3), *_coloured_runs(colours, whole.colour_3)]:
            left, right = _ink_span(ink_HW[rows], x_C[a], x_C[b], em)
            box = (x1 + left, whole.box_xyxy[1], x1 + right, whole.box_xyxy[3])
            fitted.append(replace(whole, box_xyxy=box, text=line.text[a : b + 1], colour_3=colour_3))
        yield replace(fitted[0], links=tuple(fitted[1:]))


def _measure(ink_HW: Bool, text: str, first_x: float, last_x: float) -> tuple[float, float, float]:
    """The font's size, how far down the base line is, and how tall the ink above it is, in pixels."""
    height = len(ink_HW)
    near = height / 4
    count_H = ink_HW[:, max(0, round(first_x - near)) : round(last_x + near) + 1].sum(axis=1)
    inked = np.flatnonzero(count_H) if count_H.any() else np.arange(height)
    middle = int(inked[np.argmin(np.abs(inked - np.average(inked, weights=count_H[inked] + 1e-9)))])
    gap = max(1, round(_DOT_GAP * height))
    top = bottom = middle
    for row in inked[inked < middle][::-1].tolist():
        if top - row > gap:
            break
        top = row
    for row in inked[inked > middle].tolist():
        if row - bottom > gap:
            break
        bottom = row
    ink = float(bottom + 1 - top)
    if any(ord(char) >= WIDE_SCRIPT for char in text):
        return ink / 0.92, bottom + 1 - 0.1 * ink, 0.9 * ink
    tall = any(char in _TALL or char.isupper() for char in text)
    deep = any(char in _DEEP for char in text)
    em = ink / ((_ASCENT if tall else _X_HEIGHT) + _DESCENT * deep)
    base = bottom + 1 - _DESCENT * deep * em
    return em, base, base - top


def _parts(text: str, x_C: Float, ink_HW: Bool, chars: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """First and last character of each part of a line that holds a word."""
    height = len(ink_HW)
    inked_W: Bool = np.any(ink_HW[height // 4 : height - height // 4], axis=0)
    solid = [char for char in range(chars[0], chars[1] + 1) if not text[char].isspace()]
    first = chars[0]
    for before, char in pairwise(solid):
        white = _longest_blank(inked_W[max(0, round(x_C[before])) : max(1, round(x_C[char]))])
        if white > _MAX_GAP * height or x_C[char] - x_C[before] > _MAX_STEP * height:
            yield from _crumbs(text, x_C, inked_W, height, (first, before))
            first = char
    yield from _crumbs(text, x_C, inked_W, height, (first, chars[1]))


def _longest_blank(inked_W: Bool) -> int:
    edges = np.flatnonzero(np.concatenate([[True], inked_W, [True]]))
    return int(np.diff(edges).max()) - 1


def _crumbs(text: str, x_C: Float, inked_W: Bool, height: int, chars: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Parts a line at separators that stand alone, far from their neighbours, with only few words between them."""
    words = list(_words_of(text, *chars))
    cuts = [number for number, (a, b) in enumerate(words) if a == b and text[a] in _SEPARATORS]
    edges = [-1, *cuts, len(words)]
    apart = all(
        _longest_blank(inked_W[max(0, round(x_C[near])) : max(1, round(x_C[far]) + 1)]) > _CRUMB_GAP * height
        for cut in cuts
        for near, far in pairwise(
            [words[n][0 if n >= cut else 1] for n in range(cut - 1, cut + 2) if 0 <= n < len(words)]
        )
    )
    if not apart or max(b - a - 1 for a, b in pairwise(edges)) > _MAX_CRUMB_WORDS:
        edges = [-1, len(words)]
    for a, b in pairwise(edges):
        if b - a > 1:
            yield words[a + 1][0], words[b - 1][1]


def _words_of(text: str, first: int, last: int) -> Iterator[tuple[int, int]]:
    """First and last character of each word."""
    start = None
    for char in range(first, last + 2):
        inside = char <= last and not text[char].isspace()
        if inside and start is None:
            start = char
        elif not inside and start is not None:
            yield start, char - 1
            start = None


def _ink_span(ink_HW: Bool, first_x: float, last_x: float, em: float) -> tuple[float, float]:
    """Left and right end of the ink from one character to another, whose middles are known about."""
    low, high = max(0, round(first_x - 0.6 * em)), min(ink_HW.shape[1], round(last_x + 0.6 * em) + 1)
    inked = np.flatnonzero(ink_HW[:, low:high].any(axis=0))
    return (float(low + inked[0]), float(low + inked[-1] + 1)) if len(inked) else (float(low), float(high))


def _colour(crop_HW3: Float, contrast_HW: Float, first_x: float, last_x: float, em: float) -> Float:
    """Of the ink that stands out most: what is between it and the ground is but the edge of a stroke."""
    columns = slice(max(0, round(first_x - 0.2 * em)), max(1, round(last_x + 0.2 * em) + 1))
    contrast_HC = contrast_HW[:, columns]
    return np.median(crop_HW3[:, columns][contrast_HC >= np.percentile(contrast_HC, _FULL_INK_PERCENT)], axis=0)


def _main_colour(words: Sequence[tuple[int, int, Float]]) -> Float:
    """The greyest of those that many characters have."""
    counts = [
        sum(b - a + 1 for a, b, other_3 in words if np.abs(other_3 - colour_3).max() < _SAME_COLOUR)
        for _, _, colour_3 in words
    ]
    usual = [colour_3 for count, (_, _, colour_3) in zip(counts, words, strict=True) if count >= _USUAL * max(counts)]
    return min(usual, key=lambda colour_3: round(float(np.abs(_tint(colour_3)).max())))


def _coloured_runs(words: Sequence[tuple[int, int, Float]], main_3: Float) -> list[tuple[int, int, Float]]:
    """First and last character of each run of words of another colour than most."""
    runs: list[tuple[int, int, Float]] = []
    previous = None
    for number, (a, b, colour_3) in enumerate(words):
        paler = np.abs(_tint(colour_3)).max() < np.abs(_tint(main_3)).max()
        if paler or np.abs(_tint(colour_3) - _tint(main_3)).max() < _OTHER_TINT:
            continue
        if previous == number - 1 and np.abs(runs[-1][2] - colour_3).max() < _SAME_COLOUR:
            runs[-1] = (runs[-1][0], b, runs[-1][2])
        else:
            runs.append((a, b, colour_3))
        previous = number
    return runs


def _tint(colour_3: Float) -> Float:
    """What is left of a colour without its grey; bold or pale words have that of the others."""
    tint_3: Float = colour_3 - colour_3.mean()
    return tint_3


def _continues(block: Sequence[Words], line: Words) -> bool:
    """Whether a line is the next one of a paragraph."""
    last = block[-1]
    em = max(last.em, line.em)
    pitch = line.box_xyxy[3] - last.box_xyxy[3]
    off_size = abs(last.em - line.em) / (_SAME_SIZE * em)
    off_colour = float(np.abs(last.colour_3 - line.colour_3).max()) / _SAME_COLOUR
    off_ground = float(np.abs(last.ground_3 - line.ground_3).max()) / _SAME_COLOUR
    if not 0.6 * em < pitch < _MAX_PITCH * em or off_size + off_colour > 1 or off_ground > 1:
        return False
    left, right = min(each.box_xyxy[0] for each in block), max(each.box_xyxy[2] for each in block)
    aligned = abs(left - line.box_xyxy[0]) < _MAX_INDENT * em
    centred = abs(last.box_xyxy[0] + last.box_xyxy[2] - line.box_xyxy[0] - line.box_xyxy[2]) < 2 * _MAX_INDENT * em
    if not (aligned or centred) or len(last.text.split()) < _MIN_FULL_WORDS:
        return False
    width = line.box_xyxy[2] - line.box_xyxy[0]
    first_word = width * len(line.text.split()[0]) / len(line.text)
    room = max(right, line.box_xyxy[2]) - last.box_xyxy[2]
    if not aligned:
        room += last.box_xyxy[0] - min(left, line.box_xyxy[0])
    return room < first_word + em


def _one(block: Sequence[Words]) -> Words:
    return replace(
        block[0],
        box_xyxy=around(line.box_xyxy for line in block),
        text=" ".join(line.text for line in block),
        score=sum(line.score for line in block) / len(block),
        links=tuple(link for line in block for link in line.links),
    )
