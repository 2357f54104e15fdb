"""Footage through decord (optional).

Decord reads a file object into memory as a whole, ignores sample aspect ratios, and decodes neither AV1 nor whatever
else its own old ffmpeg lacks. It repeats a good frame in place of a damaged one without a word.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import cv2
import numpy as np
import numpy.typing as npt

from transforms.footage_index import FootageError

Frame = npt.NDArray[np.uint8]


class DecordFootage:
    """See transforms.footage.Footage. ImportError where the package is missing."""

    defect = ""

    def __init__(self, file: str | BinaryIO) -> None:
        try:
            import decord
        except ImportError as error:
            raise ImportError("decode.backend: 'decord' is not installed; run: pip install '.[decord]'") from error
        if isinstance(file, str) and not Path(file).exists():
            raise FileNotFoundError(f"no such file: {file!r}")
        if not isinstance(file, str):
            file.seek(0)
        self._failures = (decord.DECORDError, RuntimeError, AssertionError, IndexError)
        try:
            self._reader: Any = decord.VideoReader(file, ctx=decord.cpu(0), num_threads=1)
            spans_s = np.asarray(self._reader.get_frame_timestamp(range(len(self._reader))), np.float64)
            height, width = self._reader[0].shape[:2]
        except self._failures as error:
            raise FootageError(f"decord can't read the file ({str(error).strip().splitlines()[-1:]})") from error
        self.times_s = np.sort(spans_s[:, 0]) - spans_s[:, 0].min()
        self.size_wh = (int(width), int(height))
        count, last_s = len(self.times_s), float(self.times_s[-1])
        self.fps = (count - 1) / last_s if last_s > 0 else 0.0
        self.duration_s = last_s + (1 / self.fps if self.fps else float(spans_s[0, 1] - spans_s[0, 0]))

    def frames(self, first: int, last: int, size_wh: tuple[int, int]) -> Iterator[Frame]:
        """See Footage."""
        for position in range(first, min(last, len(self.times_s))):
            yield self._pixels(position, size_wh)

    def pick(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]], size_wh: tuple[int, int]) -> Frame:
        """See Footage."""
        picked_THW3 = np.empty((len(indices), size_wh[1], size_wh[0], 3), np.uint8)
        for step, position in enumerate(indices):
            picked_THW3[step] = self._pixels(int(position), size_wh)
        return picked_THW3

    def close(self) -> None:
        self._reader = None

    def __enter__(self) -> "DecordFootage":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _pixels(self, position: int, size_wh: tuple[int, int]) -> Frame:
        if not 0 <= position < len(self.times_s):
            raise IndexError(f"frame {position} of a video of {len(self.times_s)} frames")
        try:
            pixels_HW3 = self._reader[position].asnumpy()
        except self._failures as error:
            raise FootageError(f"the video does not decode at {self.times_s[position]:.3f} s (decord)") from error
        if (pixels_HW3.shape[1], pixels_HW3.shape[0]) == size_wh:
            return np.ascontiguousarray(pixels_HW3)
        return np.asarray(cv2.resize(pixels_HW3, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
