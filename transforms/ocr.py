"""Lines of words in a picture: the networks that come in the package rapidocr, run by onnxruntime on one thread.

Rendered text stands upright and level, so boxes stand upright too and nothing asks which way up a line is.

Letters: H height, W width, T steps along a line, C characters, N lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from schemas.errors import UserError
from schemas.flow import Bool, Float

Pixels = npt.NDArray[np.uint8]

_MOST_PIXELS = 950_000
"""that the finding network sees; larger pictures are shrunk for it, never for the reading one"""
_STRIDE = 32
_INK = 0.3
_MIN_SURE = 0.5
_MIN_KERNEL_PX = 3
_GROWN = 0.95
"""the network marks the inner part of a line; the line is this much of (area / outline) larger on every side"""
_LINE_PX = 48
_STEP_PX = 8
_MIN_LINE_PX = 32
_MAX_LINE_PX = 8192
"""longer ones are squeezed: each pixel takes 9 kB while it is read"""
_WIDTH_UNIT_PX = 16
"""the reading network sees few different widths, for each new one costs time"""
_CURE = "pip install '.[ui]'"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """Words in a row. `char_x_C`: where the middle of each character of `text` is, in pixels of the picture."""

    box_xyxy: tuple[float, float, float, float]
    text: str
    score: float
    char_x_C: Float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reader:
    """The loaded networks: one that finds lines, one that reads them. `characters[0]` is none."""

    find: Any
    read: Any
    characters: tuple[str, ...]


def load_reader(part: str = "proposer.name=pixels") -> Reader:
    """Loads both networks from the installed package; never from anywhere else. `part`: what asks for them.

    Raises:
        UserError: rapidocr or onnxruntime is not installed, or its package holds no networks.
    """
    try:
        import onnxruntime

        folder = resources.files("rapidocr") / "models"
    except ImportError as error:
        raise UserError(f"{part} needs {error.name}: {_CURE}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    sessions = {}
    for kind in ("det", "rec"):
        files = sorted((file for file in folder.iterdir() if f"_{kind}_" in file.name), key=lambda file: file.name)
        if not files:
            raise UserError(f"{part}: the package rapidocr holds no model '*_{kind}_*.onnx': {_CURE}")
        sessions[kind] = onnxruntime.InferenceSession(files[-1].read_bytes(), options, ["CPUExecutionProvider"])
    characters = sessions["rec"].get_modelmeta().custom_metadata_map["character"].splitlines()
    return Reader(find=sessions["det"], read=sessions["rec"], characters=("", *characters, " "))


def read_lines(reader: Reader, image_HW3: Pixels, *, min_score: float) -> list[Line]:
    """The lines of words, from top to bottom; those that are read with less than `min_score` (0..1) are left out."""
    lines = (read_line(reader, image_HW3, box) for box in find_lines(reader, image_HW3))
    return [line for line in lines if line.text and line.score >= min_score]


def find_lines(reader: Reader, image_HW3: Pixels) -> list[tuple[int, int, int, int]]:
    """Boxes (x1, y1, x2, y2 in whole pixels, inside the picture) of what looks like lines of words, top to bottom."""
    height, width = image_HW3.shape[:2]
    scale = min(1.0, (_MOST_PIXELS / (width * height)) ** 0.5)
    size_wh = tuple(max(_STRIDE, round(side * scale / _STRIDE) * _STRIDE) for side in (width, height))
    small_HW3 = cv2.resize(image_HW3, size_wh, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    (chance_11HW,) = reader.find.run(None, {"x": _as_input(small_HW3)[None]})
    boxes_N4 = _boxes_of(chance_11HW[0, 0]) * (np.array([width, height] * 2) / np.array([*size_wh] * 2))
    low_N2 = np.maximum(0, np.floor(boxes_N4[:, :2])).astype(int)
    high_N2 = np.minimum([width, height], np.ceil(boxes_N4[:, 2:])).astype(int)
    found = sorted((y1, x1, y2, x2) for (x1, y1), (x2, y2) in zip(low_N2.tolist(), high_N2.tolist(), strict=True))
    return [(x1, y1, x2, y2) for y1, x1, y2, x2 in found if x2 > x1 and y2 > y1]


def read_line(reader: Reader, image_HW3: Pixels, box: tuple[int, int, int, int]) -> Line:
    """What stands in a box. `score` is the mean over its characters, 0 where there are none."""
    x1, y1, x2, y2 = box
    line_px = min(_MAX_LINE_PX, max(_MIN_LINE_PX, round((x2 - x1) * _LINE_PX / (y2 - y1))))
    crop_HW3 = cv2.resize(image_HW3[y1:y2, x1:x2], (line_px, _LINE_PX), interpolation=cv2.INTER_LINEAR)
    padded_px = -(-line_px // _WIDTH_UNIT_PX) * _WIDTH_UNIT_PX
    input_3HW = np.zeros((3, _LINE_PX, padded_px), dtype=np.float32)
    input_3HW[..., :line_px] = _as_input(crop_HW3)
    (chance_1TC,) = reader.read.run(None, {"x": input_3HW[None]})
    text, score, step_C = _decode(chance_1TC[0], reader.characters)
    char_x_C = x1 + (step_C + 0.5) * _STEP_PX * (x2 - x1) / line_px
    return Line(box_xyxy=(x1, y1, x2, y2), text=text, score=score, char_x_C=char_x_C)


def _as_input(image_HW3: Pixels) -> npt.NDArray[np.float32]:
    """3HW, blue first, -1..1: what both networks were trained on."""
    bgr_3HW = image_HW3[..., ::-1].transpose(2, 0, 1)
    return np.ascontiguousarray(bgr_3HW, dtype=np.float32) / np.float32(127.5) - np.float32(1.0)


def _boxes_of(chance_HW: Float) -> Float:
    """Boxes N4 of the connected parts of what is probably a line, grown to the whole line."""
    ink_HW = cv2.dilate((chance_HW > _INK).astype(np.uint8), np.ones((2, 2), dtype=np.uint8))
    n, label_HW, stats_N5, _ = cv2.connectedComponentsWithStats(ink_HW, connectivity=4)
    sum_N = np.bincount(label_HW.ravel(), weights=chance_HW.ravel(), minlength=n)[1:]
    x_N, y_N, w_N, h_N, area_N = stats_N5[1:].T.astype(np.float64)
    good_N = (np.minimum(w_N, h_N) >= _MIN_KERNEL_PX) & (sum_N >= _MIN_SURE * area_N)
    grow_N = _GROWN * w_N * h_N / (2 * (w_N + h_N))
    box_4N = np.stack([x_N - grow_N, y_N - grow_N, x_N + w_N + grow_N, y_N + h_N + grow_N])
    good_N4: Float = box_4N[:, good_N].T
    return good_N4


def _decode(chance_TC: Float, characters: Sequence[str]) -> tuple[str, float, Float]:
    """The likeliest character of each step, repetitions taken as one: the text, how sure, the step of each character.

    Spaces around the text are left out.
    """
    best_T = chance_TC.argmax(axis=1)
    new_T: Bool = (best_T > 0) & (np.diff(best_T, prepend=-1) != 0)
    step_C = np.flatnonzero(new_T)
    read = [(characters[best_T[step]], float(chance_TC[step, best_T[step]]), step) for step in step_C.tolist()]
    while read and read[0][0].isspace():
        read = read[1:]
    while read and read[-1][0].isspace():
        read = read[:-1]
    score = sum(each for _, each, _ in read) / max(1, len(read))
    return "".join(char for char, _, _ in read), score, np.array([step for _, _, step in read], dtype=np.float64)
