"""Things or controls in pictures, by any detector of ultralytics (YOLO); words in them by OCR where asked for.

Letters: P pictures, R boxes, A places where the network looks for a box, H height, W width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from schemas.flow import Float, Picture, Proposer, Regions
from schemas.networks import YoloProposer
from schemas.roles import CLICKABLE
from transforms.networks import compute_type, computing, find_device
from transforms.ocr import Line, load_reader, read_lines
from transforms.paragraphs import are_drawings
from transforms.proposers.overlaps import with_words
from transforms.proposers.windows import make_regions
from transforms.proposers.yolo_weights import load_library, open_network

Pixels = npt.NDArray[np.uint8]

_PAD_GREY = 114
"""around pictures in training"""
_SCREEN_ROLES = (*CLICKABLE, "text", "heading", "image")
"""names of classes that say what an element of a screen is, not what is written on it"""
_LEAST_CANDIDATES = 300
"""that a network without suppression of its own boxes gives at least (its own default)"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detector:
    """A loaded network. `side_px`: longer side of its input, a multiple of `stride`; `names`: of its classes."""

    network: Any
    device: torch.device
    dtype: torch.dtype
    side_px: int
    stride: int
    names: tuple[str, ...]
    min_score: float
    max_iou: float
    most: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Boxes:
    """In pixels of the picture, the best first. `class_R`: numbers of the detector's classes."""

    xyxy_R4: npt.NDArray[np.float32]
    score_R: npt.NDArray[np.float32]
    class_R: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Letter:
    """A picture as the network sees it: resized, and padded to whole strides; `scale_2`, `pad_2`: x, y."""

    input_HW3: Pixels
    size_wh: tuple[int, int]
    scale_2: Float
    pad_2: Float


def build_yolo(config: YoloProposer, weights: str, device: str) -> Proposer:
    """The proposer of a checkpoint; loads its network (and those of the OCR) once.

    Networks that give each thing once by themselves (YOLOv10, YOLO26) have no use for `max_iou` but with words.

    Raises:
        UserError: the library is not installed, the device is not there, or the file is no such checkpoint.
    """
    load_library()
    detector = load_detector(config, weights, device)
    reader = load_reader("proposer.text=ocr") if config.text == "ocr" else None
    read = partial(read_lines, reader, min_score=config.min_text_score) if reader else None
    return partial(
        propose_yolo,
        detect=partial(find_boxes, detector),
        names=detector.names,
        read=read,
        max_overlap=config.max_iou,
    )


def load_detector(config: YoloProposer, weights: str, device: str) -> Detector:
    """The network of a checkpoint on its device.

    Raises:
        UserError: as `build_yolo`.
    """
    where = find_device(device)
    network = open_network(weights).to(where)
    head = network.model[-1]
    head.forward = partial(_in_float32, head.forward, where.type)
    head.max_det = max(config.most, _LEAST_CANDIDATES)
    stride = max(int(network.stride.max()), 32)
    names = network.names if isinstance(network.names, dict) else dict(enumerate(network.names))
    return Detector(
        network=network,
        device=where,
        dtype=compute_type(config.precision, where),
        side_px=-(-config.image_px // stride) * stride,
        stride=stride,
        names=tuple(str(names[number]) for number in sorted(names)),
        min_score=config.min_score,
        max_iou=config.max_iou,
        most=config.most,
    )


def propose_yolo(
    pictures: Sequence[Picture],
    *,
    detect: Callable[[Sequence[Pixels]], list[Boxes]],
    names: Sequence[str],
    read: Callable[[Pixels], list[Line]] | None,
    max_overlap: float,
) -> list[Regions]:
    """The regions of each picture, the best first; with `read`, words are put together with what was detected.

    A class that is called as an element of a screen (schemas/roles.py) becomes the role of its boxes. All others are
    segments, with the name of the class as their label, unless it is the only one.
    """
    found = [_regions(boxes, names) for boxes in detect([picture.image_HW3 for picture in pictures])]
    if read is None:
        return found
    lines = [_words(read(picture.image_HW3)) for picture in pictures]
    return [with_words(regions, words, max_overlap=max_overlap) for regions, words in zip(found, lines, strict=True)]


def find_boxes(detector: Detector, images: Sequence[Pixels]) -> list[Boxes]:
    """The boxes in each picture (HW3, RGB).

    Each picture is padded as if it were alone, and those that the network sees in one size go through it together, so
    that the boxes of a picture don't depend on which others are in the batch.

    Raises:
        ValueError: the network gives no numbers.
        MemoryError: the device's memory is used up.
    """
    letters = [_letter(image_HW3, detector.side_px, detector.stride) for image_HW3 in images]
    numbers_by_shape: dict[tuple[int, ...], list[int]] = {}
    for number, letter in enumerate(letters):
        numbers_by_shape.setdefault(letter.input_HW3.shape, []).append(number)
    found: dict[int, Boxes] = {}
    for numbers in numbers_by_shape.values():
        rows = _run(detector, np.stack([letters[number].input_HW3 for number in numbers]))
        found.update(
            (number, _unlettered(row_R6, letters[number])) for number, row_R6 in zip(numbers, rows, strict=True)
        )
    return [found[number] for number in range(len(images))]


def _run(detector: Detector, input_PHW3: Pixels) -> list[npt.NDArray[np.float32]]:
    """R6 for each picture: x1, y1, x2, y2 in pixels of the input, score, class."""
    from ultralytics.utils.nms import non_max_suppression

    with computing(detector.device, detector.dtype):
        input_P3HW = torch.from_numpy(input_PHW3).to(detector.device).permute(0, 3, 1, 2).float() / 255
        out = detector.network(input_P3HW)
        while isinstance(out, tuple):
            out = out[0]
        if not out.isfinite().all():
            raise ValueError(
                f"YOLO gives numbers that are not finite, computed in {detector.dtype}; "
                f"the weights are broken, or proposer.precision=float32 is needed"
            )
        rows = non_max_suppression(
            out,
            detector.min_score,
            detector.max_iou,
            nc=len(detector.names),
            max_det=detector.most,
            end2end=getattr(detector.network, "end2end", False),
            max_time_img=float("inf"),  # beyond its limit it would leave pictures without boxes
        )
        return [row[:, :6].float().cpu().numpy() for row in rows]


def _in_float32(forward: Callable[[list[torch.Tensor]], Any], device: str, features: list[torch.Tensor]) -> Any:
    """The last layer's work: places in bfloat16 would be off by pixels."""
    with torch.autocast(device, enabled=False):
        return forward([feature.float() for feature in features])


def _letter(image_HW3: Pixels, side_px: int, stride: int) -> _Letter:
    height, width = image_HW3.shape[:2]
    scale = min(side_px / height, side_px / width)
    inner_wh = max(round(width * scale), 1), max(round(height * scale), 1)
    pad_2 = [(side_px - inner) % stride for inner in inner_wh]
    left, top = (pad // 2 for pad in pad_2)
    inner_HW3 = image_HW3
    if inner_wh != (width, height):
        inner_HW3 = cv2.resize(image_HW3, inner_wh, interpolation=cv2.INTER_LINEAR)
    input_HW3 = cv2.copyMakeBorder(
        inner_HW3, top, pad_2[1] - top, left, pad_2[0] - left, cv2.BORDER_CONSTANT, value=(_PAD_GREY,) * 3
    )
    return _Letter(
        input_HW3=input_HW3,
        size_wh=(width, height),
        scale_2=np.divide(inner_wh, (width, height), dtype=np.float32),
        pad_2=np.array([left, top], dtype=np.float32),
    )


def _unlettered(row_R6: npt.NDArray[np.float32], letter: _Letter) -> Boxes:
    """Boxes in pixels of the picture, cut to it; among equal scores from top to bottom."""
    corner_R22 = (row_R6[:, :4].reshape(-1, 2, 2) - letter.pad_2) / letter.scale_2
    xyxy_R4 = np.clip(corner_R22, 0, np.array(letter.size_wh)).reshape(-1, 4).astype(np.float32)
    order = np.lexsort((row_R6[:, 5], xyxy_R4[:, 2], xyxy_R4[:, 3], xyxy_R4[:, 0], xyxy_R4[:, 1], -row_R6[:, 4]))
    return Boxes(xyxy_R4=xyxy_R4[order], score_R=row_R6[order, 4], class_R=row_R6[order, 5].astype(np.int64))


def _words(lines: Sequence[Line]) -> list[Line]:
    """Without the drawings on icons that look like a character."""
    drawn = are_drawings([line.text for line in lines], [line.score for line in lines])
    return [line for line, is_drawing in zip(lines, drawn, strict=True) if not is_drawing]


def _regions(boxes: Boxes, names: Sequence[str]) -> Regions:
    of_R = [names[number] for number in boxes.class_R.tolist()]
    roles = [name.lower() if name.lower() in _SCREEN_ROLES else "segment" for name in of_R]
    one = len(names) == 1
    labels = [name if role == "segment" and not one else "" for name, role in zip(of_R, roles, strict=True)]
    xyxy = [(x1, y1, x2, y2) for x1, y1, x2, y2 in boxes.xyxy_R4.tolist()]
    return make_regions(xyxy, boxes.score_R.tolist(), labels, roles)
