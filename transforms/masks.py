"""Masks of regions: as COCO's compressed run lengths, and the point that each is pointed at.

Letters: H, W height and width of the picture, h, w those of the piece of it that holds a mask, K runs.
"""

import cv2
import numpy as np
import numpy.typing as npt

from schemas.flow import Bool

_Ints = npt.NDArray[np.int64]

_FIRST = 48
"""the character of 0"""
_BITS = 5
"""of a number in one character; the bit above them says that more follow, the highest of the last ones is the sign"""
_LONGEST = 1 << 40
"""run, in pixels, of any picture that there can be"""


def encode_rle(piece_hw: Bool, corner_xy: tuple[int, int], size_wh: tuple[int, int]) -> str:
    """The compressed counts that pycocotools writes for a mask of the whole picture; outside the piece it is empty.

    Runs go down column by column, the first is of what is empty (it may be 0 long).
    """
    (left, top), (width, height) = corner_xy, size_wh
    edged = np.zeros((piece_hw.shape[1], piece_hw.shape[0] + 2), np.int8)
    edged[:, 1:-1] = piece_hw.T
    step = np.diff(edged, axis=1)
    start_K, end_K = (
        (column + left) * height + row + top for column, row in (np.nonzero(step == 1), np.nonzero(step == -1))
    )
    apart_K = start_K[1:] != end_K[:-1]  # a run may go on at the top of the next column
    start_K, end_K = np.r_[start_K[:1], start_K[1:][apart_K]], np.r_[end_K[:-1][apart_K], end_K[-1:]]
    counts = np.diff(np.r_[0, np.stack([start_K, end_K], axis=1).ravel(), width * height])
    return _as_text(counts if counts[-1] else counts[:-1])


def rle_counts(text: str) -> _Ints:
    """The lengths of a mask's runs, in pixels; ValueError where the text is cut off or holds what is none."""
    numbers, number, shift = list[int](), 0, 0
    for character in text:
        code = ord(character) - _FIRST
        if not 0 <= code < 1 << (_BITS + 1):
            raise ValueError(f"run lengths hold {character!r}, which is none of COCO's characters")
        number |= (code & ((1 << _BITS) - 1)) << shift
        shift += _BITS
        if code >> _BITS:
            continue
        number -= (code >> (_BITS - 1) & 1) << shift
        numbers.append(number + (numbers[-2] if len(numbers) > 2 else 0))
        number, shift = 0, 0
    if shift or any(not 0 <= count <= _LONGEST for count in numbers):
        raise ValueError(f"run lengths {text[:20]!r} are cut off, or no lengths")
    return np.array(numbers, dtype=np.int64)


def decode_rle(text: str, size_wh: tuple[int, int]) -> Bool:
    """The mask of the whole picture, HW. ValueError where the text is not of one of this size."""
    counts, (width, height) = rle_counts(text), size_wh
    if counts.sum() != width * height:
        raise ValueError(f"run lengths add up to {counts.sum()} pixels, the picture has {width} x {height}")
    is_mask_K = np.arange(len(counts)) % 2 == 1
    return np.repeat(is_mask_K, counts).reshape(width, height).T


def deepest_point(mask_hw: Bool) -> tuple[float, float]:
    """The middle of the pixel of a mask that is farthest from its edge; of several, the one nearest the mask's middle.

    The array's border is an edge too. ValueError for an empty mask.
    """
    if not mask_hw.any():
        raise ValueError("the mask is empty; a point needs at least one pixel")
    edged = np.pad(mask_hw.astype(np.uint8), 1)
    depth_hw = cv2.distanceTransform(edged, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
    y_K, x_K = np.nonzero(depth_hw == depth_hw.max())
    off_K = (x_K + 0.5 - mask_hw.shape[1] / 2) ** 2 + (y_K + 0.5 - mask_hw.shape[0] / 2) ** 2
    best = int(off_K.argmin())
    return float(x_K[best]) + 0.5, float(y_K[best]) + 0.5


def _as_text(counts: _Ints) -> str:
    """Each count less the one two before it (but for the first three), from its lowest bits up."""
    numbers = counts.copy()
    numbers[3:] -= counts[1:-2]
    codes = bytearray()
    for number in numbers.tolist():
        while True:
            low, number = number & ((1 << _BITS) - 1), number >> _BITS
            is_last = number == (-1 if low >> (_BITS - 1) else 0)
            codes.append(_FIRST + (low if is_last else low | 1 << _BITS))
            if is_last:
                break
    return codes.decode("ascii")
