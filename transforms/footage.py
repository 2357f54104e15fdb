"""Video files: which frames they present, when, and any of them as pixels. PyAV reader; decord is in footage_decord.

Letters: F presented frames of the file, T frames asked for, H height, W width.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from types import TracebackType
from typing import Any, BinaryIO, Protocol

import av
import av.error
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation, VideoReformatter

from transforms.footage_index import (
    Damage,
    FootageError,
    FrameIndex,
    Opened,
    build_index,
    decoded,
    open_stream,
    packets,
)

__all__ = ["Footage", "FootageError", "fitted_size_wh", "open_footage", "probe_duration_s"]

_SCALING = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_SEEK_COST_FRAMES = 8
_KEYFRAMES_BACK = (0, 1, 4)

Frame = npt.NDArray[np.uint8]


class Footage(Protocol):
    """An open video. Its frames are numbered 0..F-1 in order of presentation."""

    @property
    def times_s(self) -> npt.NDArray[np.float64]:
        """Times of all presented frames; the first is 0."""

    @property
    def size_wh(self) -> tuple[int, int]:
        """As displayed: after rotation, with square pixels."""

    @property
    def fps(self) -> float:
        """Average rate; 0 for a single frame."""

    @property
    def duration_s(self) -> float:
        """Time of the last frame and one average step."""

    @property
    def defect(self) -> str:
        """What shows that the file ends early; empty where nothing does."""

    def frames(self, first: int, last: int, size_wh: tuple[int, int]) -> Iterator[Frame]:
        """HW3: frames first..last-1, one by one.

        FootageError at one that does not decode, and after the last frame of a file that ends early.
        """

    def pick(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]], size_wh: tuple[int, int]) -> Frame:
        """THW3: the frames of nondecreasing numbers. FootageError at one that does not decode."""

    def close(self) -> None: ...

    def __enter__(self) -> "Footage": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_footage(
    file: str | BinaryIO,
    backend: str = "pyav",
    before: Footage | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Footage:
    """Opens a local path or a seekable file object (which stays open on close). FootageError, FileNotFoundError.

    `before`: the same file as it was opened before; its index is taken over, for making it reads the whole file.
    `beat`: called again and again while the index is made.
    """
    if backend == "pyav":
        return PyavFootage(file, before if isinstance(before, PyavFootage) else None, beat)
    if backend == "decord":
        from transforms.footage_decord import DecordFootage

        return DecordFootage(file)
    raise ValueError(f"decode.backend: no backend {backend!r}; it is 'pyav' or 'decord'")


def probe_duration_s(file: str | BinaryIO) -> float:
    """Duration by the container's header. FootageError where it has none, FileNotFoundError."""
    opened = open_stream(file)
    try:
        stream, container = opened.stream, opened.container
        if stream.duration:
            return float(stream.duration * stream.time_base)
        if container.duration:
            until_s, start_s = container.duration / 1e6, (container.start_time or 0) / 1e6
            return float(until_s - start_s if 0 < start_s < until_s else until_s)
    finally:
        opened.container.close()
    raise FootageError("the file's header gives no duration")


def fitted_size_wh(size_wh: tuple[int, int], long_side_px: int) -> tuple[int, int]:
    """The size shrunk (never enlarged) so that its longer side is at most `long_side_px`."""
    width, height = size_wh
    scale = min(1.0, long_side_px / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


class PyavFootage:
    """Footage through PyAV. Decodes on from where it stands if that is nearer than a keyframe, else seeks."""

    def __init__(
        self, file: str | BinaryIO, before: "PyavFootage | None" = None, beat: Callable[[], None] = lambda: None
    ) -> None:
        self._file = file
        if before:
            self._opened = open_stream(file)
            self._index: FrameIndex = before._index
            self._orientation: tuple[bool, bool, bool] = before._orientation
            self.size_wh: tuple[int, int] = before.size_wh
        else:
            self._index, frame, self._opened = build_index(file, beat)
            self._orientation = _orientation(frame)
            self.size_wh = _displayed_size_wh(frame, self._opened.stream.sample_aspect_ratio, self._orientation)
        self._reformatter = VideoReformatter()
        self._run: Iterator[tuple[int, Any]] = iter(())
        self._at = -1
        self._frame: Any = None
        self.times_s = self._index.times_s_F
        self.defect = self._index.defect
        count, last_s = len(self.times_s), float(self.times_s[-1])
        self.fps = (count - 1) / last_s if last_s > 0 else 0.0
        rate = self.fps or float(self._opened.stream.average_rate or 0)
        self.duration_s = last_s + (1 / rate if rate else 0.0)

    def frames(self, first: int, last: int, size_wh: tuple[int, int]) -> Iterator[Frame]:
        """See Footage."""
        count = len(self.times_s)
        for position in range(first, min(last, count)):
            yield self._pixels(self._frame_at(position), size_wh)
        if last >= count and self.defect:
            raise FootageError(self.defect)

    def pick(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]], size_wh: tuple[int, int]) -> Frame:
        """See Footage."""
        picked_THW3 = np.empty((len(indices), size_wh[1], size_wh[0], 3), np.uint8)
        for step, position in enumerate(indices):
            if step and position == indices[step - 1]:
                picked_THW3[step] = picked_THW3[step - 1]
            else:
                picked_THW3[step] = self._pixels(self._frame_at(int(position)), size_wh)
        return picked_THW3

    def close(self) -> None:
        self._run, self._frame = iter(()), None
        self._opened.container.close()

    def __enter__(self) -> "PyavFootage":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _frame_at(self, position: int) -> Any:
        """The decoded frame at a position. What tells frames apart is their timestamp, never a count after a seek."""
        if not 0 <= position < len(self.times_s):
            raise IndexError(f"frame {position} of a video of {len(self.times_s)} frames")
        if position == self._at and self._frame is not None:
            return self._frame
        if self._reached_onwards(position):
            return self._frame
        for keyframe in self._landings(position):
            self._start(keyframe)
            if self._advance(position):
                return self._frame
        raise FootageError(f"the video has no picture at {self.times_s[position]:.3f} s, though its packets list one")

    def _reached_onwards(self, position: int) -> bool:
        """Whether decoding on from here led to a position; False too where a seek is the shorter or the only way."""
        nearest = int(np.searchsorted(self._index.keyframe_positions_K, position, side="right")) - 1
        keyframe_position = int(self._index.keyframe_positions_K[nearest]) if nearest >= 0 else 0
        if self._frame is None or not keyframe_position - _SEEK_COST_FRAMES <= self._at < position:
            return False
        here = self._at
        try:
            return self._advance(position)
        except FootageError:
            if keyframe_position <= here:
                raise
            return False

    def _landings(self, position: int) -> Iterator[int]:
        """Keyframes (numbers, -1: the start of the file) from which to try to decode, nearest first."""
        nearest = int(np.searchsorted(self._index.keyframe_positions_K, position, side="right")) - 1
        yield from (nearest - back for back in _KEYFRAMES_BACK if nearest - back >= 0)
        yield -1

    def _start(self, keyframe: int) -> None:
        self._run, self._at, self._frame = iter(()), -1, None
        if keyframe < 0:
            self._opened.container.close()
            self._opened = open_stream(self._file)
            self._run = _run_from_start(self._opened, self._index)
        else:
            pts = int(self._index.keyframe_pts_K[keyframe])
            try:
                self._opened.container.seek(pts, stream=self._opened.stream, backward=True)
            except av.error.FFmpegError:
                return  # a container that cannot seek there: an empty run sends the search on, in the end to the start
            self._run = _run_from_keyframe(self._opened, self._index)

    def _advance(self, position: int) -> bool:
        """Decodes on until a position; False where the run passes or never reaches it."""
        for at, frame in self._run:
            self._at, self._frame = at, frame
            if at >= position:
                return at == position
        self._frame = None
        return False

    def _pixels(self, frame: Any, size_wh: tuple[int, int]) -> Frame:
        transposed, flip_rows, flip_columns = self._orientation
        width, height = reversed(size_wh) if transposed else size_wh
        scaled = self._reformatter.reformat(frame, width, height, "rgb24", interpolation=_SCALING, threads=1)
        pixels_HW3: Any = scaled.to_ndarray()
        if transposed:
            pixels_HW3 = pixels_HW3.transpose(1, 0, 2)
        return np.ascontiguousarray(pixels_HW3[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1])


def _run_from_start(opened: Opened, index: FrameIndex) -> Iterator[tuple[int, Any]]:
    """(position, frame) from the first presented frame on. FootageError at damage, after the good frames before it."""
    count, reached = 0, -1
    for frame in decoded(opened):
        if not isinstance(frame, Damage):
            position = count if index.serial else index.position(frame.pts)
            count += 1
            if position >= 0:
                reached = position
                yield position, frame
        elif count:
            yield from _last_good(opened, index, frame, reached)


def _run_from_keyframe(opened: Opened, index: FrameIndex) -> Iterator[tuple[int, Any]]:
    """As `_run_from_start`, from the first keyframe after where the container stands.

    Frames presented before that keyframe, and damage to them, do not count: they refer to what lies before it (open
    GOP). With a landing too late, or on nothing that is a keyframe, the run does not hold the frame that is sought.
    """
    source = packets(opened)
    landing = next((p for p in source if not isinstance(p, Damage) and p.is_keyframe and p.pts is not None), None)
    if landing is None:
        return
    floor_pts, reached = landing.pts, index.position_from(landing.pts) - 1
    floor = reached + 1
    for frame in decoded(opened, chain([landing], source)):
        if not isinstance(frame, Damage):
            position = index.position(frame.pts)
            if position >= floor:
                reached = position
                yield position, frame
        elif frame.pts is None or frame.pts >= floor_pts:
            yield from _last_good(opened, index, frame, reached)


def _last_good(opened: Opened, index: FrameIndex, damage: Damage, reached: int) -> Iterator[tuple[int, Any]]:
    """The frames that the decoder still holds from before the damage; then FootageError with the time of the damage."""
    damaged = len(index.times_s_F)
    if damage.pts is not None and not index.serial:
        damaged = index.position_from(damage.pts)
    try:
        held = opened.stream.codec_context.decode(None)
    except av.error.FFmpegError:
        held = []
    for frame in held:
        position = reached + 1 if index.serial else index.position(frame.pts)
        if reached < position < damaged and not frame.is_corrupt:
            reached = position
            yield position, frame
    time_s = index.times_s_F[min(damaged, reached + 1, len(index.times_s_F) - 1)]
    raise FootageError(f"the video does not decode at {time_s:.3f} s ({damage.cause})")


def _orientation(frame: Any) -> tuple[bool, bool, bool]:
    """(transposed, flip rows, flip columns), in this order, from the display matrix (ISO/IEC 14496-12, 8.3.2)."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    transposed = abs(b) > abs(a)
    return (True, b < 0, c < 0) if transposed else (False, d < 0, a < 0)


def _displayed_size_wh(frame: Any, sample_aspect_ratio: Any, orientation: tuple[bool, bool, bool]) -> tuple[int, int]:
    width, height = max(1, round(frame.width * float(sample_aspect_ratio or 1))), frame.height
    return (height, width) if orientation[0] else (width, height)
