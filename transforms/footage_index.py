"""Which frames a video presents and when, from its packets alone wherever packets can be believed.

Letters: F presented frames, in order of presentation; K keyframes.
"""

import os
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.error
import numpy as np
import numpy.typing as npt
from av.stream import Discard, Disposition

_FORMATS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,h264,hevc,m4v,ogg,flv,asf,ivf,obu,av1,mjpeg,gif,rm,mxf,dv,nut,"
    "mp3,wav,aac,flac"
)
"""Only media: ffmpeg would also "play" a text file as ANSI art, and follow the links of a playlist."""

_ONE_FRAME_PER_PACKET = {"h264", "hevc", "vp9", "av1", "libdav1d", "mjpeg", "prores", "ffv1", "rawvideo"}
"""Others hide pictures in packets or packets without a picture among them: these are decoded to be counted."""

_PROBED_FRAMES = 3
_HELD_FRAMES = 3
_ABSENT_FRAMES = 3

Int = npt.NDArray[np.int64]


class FootageError(Exception):
    """A video that can't be read; the message is for the person who has the file."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Opened:
    """A container and its video stream, ready to demux from the start."""

    container: Any
    stream: Any


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Damage:
    """Something in the stream that does not decode. `pts` None: its time is unknown."""

    pts: int | None
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Scan:
    """What the packets say. `pts_P` sorted, of packets that are not to be discarded; `stamped`: all had one."""

    pts_P: Int
    end_pts: int
    keyframe_pts_K: Int
    count: int
    stamped: bool
    broken: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameIndex:
    """Presented frames by `pts_F` (stream time base), their times, and the keyframes from which decoding may start.

    `serial`: timestamps are missing or repeated, so that a frame is known only by counting from the start.
    `defect`: what shows that the file ends early; empty where nothing does.
    """

    pts_F: Int
    times_s_F: npt.NDArray[np.float64]
    keyframe_pts_K: Int
    keyframe_positions_K: Int
    serial: bool
    defect: str
    sorter_F: Int | None = None

    def position(self, pts: int | None) -> int:
        """Position of the frame with this timestamp, -1 for a frame that is not presented."""
        if pts is None:
            return -1
        at = int(np.searchsorted(self.pts_F, pts, sorter=self.sorter_F))
        if at == len(self.pts_F):
            return -1
        found = at if self.sorter_F is None else int(self.sorter_F[at])
        return found if self.pts_F[found] == pts else -1

    def position_from(self, pts: int) -> int:
        """Position of the first frame at or after this timestamp; F where the order of stamps does not tell."""
        found = self.position(pts)
        if found < 0:
            found = int(np.searchsorted(self.pts_F, pts)) if self.sorter_F is None else len(self.pts_F)
        return found


def _unreadable(file: str | BinaryIO, reason: str) -> str:
    n_bytes = Path(file).stat().st_size if isinstance(file, str) else file.seek(0, os.SEEK_END)
    if n_bytes == 0:
        return "the file is empty (0 bytes); copy it again"
    return f"not a video, or one cut off before its index ({reason}, {n_bytes} bytes); copy it again or leave it out"


def open_stream(file: str | BinaryIO) -> Opened:
    """Opens the first video stream, all others left out. FootageError, FileNotFoundError."""
    if not isinstance(file, str):
        file.seek(0)
    try:
        container = av.open(
            f"file:{file}" if isinstance(file, str) else file,
            options={"format_whitelist": _FORMATS},
            metadata_errors="replace",
        )
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no such file: {file!r}") from error
    except av.error.FFmpegError as error:
        raise FootageError(_unreadable(file, str(error.strerror))) from error
    videos = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not videos:
        container.close()
        raise FootageError("no video stream")
    stream = videos[0]
    if stream.codec_context is None:
        container.close()
        raise FootageError("no decoder for the video stream's codec")
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    stream.codec_context.thread_count = 1
    return Opened(container=container, stream=stream)


def decoded(opened: Opened, source: Iterable[Any] | None = None) -> Iterator[Any]:
    """Frames as the decoder presents them, and a Damage where one does not decode.

    `source`: packets; by default all from where the container stands.

    Damage is what the decoder reports: VP9 and AV1 carry no checksums, and some garbage in them passes for a picture.
    With B-frames a damaged picture comes out after pictures that refer to it: the last few are held back, and fall
    with it.
    """
    held: deque[Any] = deque()
    hold = _HELD_FRAMES if opened.stream.codec_context.has_b_frames else 0
    for packet in packets(opened) if source is None else source:
        if isinstance(packet, Damage):
            yield from held
            held.clear()
            yield packet
            continue
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            yield from held
            held.clear()
            yield Damage(pts=_stamp(packet), cause=str(error.strerror))
            continue
        for frame in frames:
            held.append(frame)
            if frame.is_corrupt:
                yield from [Damage(pts=fallen.pts, cause="damaged picture") for fallen in held]
                held.clear()
            elif len(held) > hold:
                yield held.popleft()
    yield from held


def packets(opened: Opened) -> Iterator[Any]:
    """Packets of the stream, at the end an empty one; a Damage where the container is broken or a packet cut short."""
    source = opened.container.demux(opened.stream)
    while True:
        try:
            packet = next(source, None)
        except av.error.FFmpegError as error:
            yield Damage(pts=None, cause=str(error.strerror))
            return
        if packet is None:
            return
        yield Damage(pts=_stamp(packet), cause="incomplete packet") if packet.is_corrupt else packet


def build_index(file: str | BinaryIO, beat: Callable[[], None]) -> tuple[FrameIndex, Any, Opened]:
    """The index, the first frame (for size and orientation), the file left open somewhere. FootageError.

    Reads the whole file, and decodes it where packets can't be believed; calls `beat` as it goes on.
    """
    opened = open_stream(file)
    try:
        scan = _scan(opened, beat)
        believable = _believable(opened, scan)
    finally:
        opened.container.close()
    if believable:
        opened = open_stream(file)
        try:
            first = _first_frames(opened, scan.pts_P)
            pts_F = scan.pts_P[scan.pts_P >= first[0].pts]
            if [frame.pts for frame in first] == pts_F[: len(first)].tolist():
                return _index(opened, scan, pts_F), first[0], opened
        except FootageError:
            opened.container.close()
            raise
        opened.container.close()
    opened = open_stream(file)
    try:
        index, frame = _by_decoding(opened, scan, beat)
    except FootageError:
        opened.container.close()
        raise
    return index, frame, opened


def _scan(opened: Opened, beat: Callable[[], None]) -> _Scan:
    stamps, keyframes = array("q"), array("q")
    count, stamped, broken, end_pts = 0, True, "", 0
    for packet in packets(opened):
        beat()
        if isinstance(packet, Damage):
            if packet.pts is None:
                broken = f"the file is broken at its end: {packet.cause}"
                continue
            stamps.append(packet.pts)
        elif not packet.size:
            continue
        else:
            if packet.is_keyframe and packet.pts is not None:
                keyframes.append(packet.pts)
            if packet.pts is None:
                stamped = False
            elif not packet.is_discard:
                stamps.append(packet.pts)
                end_pts = max(end_pts, packet.pts + (packet.duration or 0))
        count += 1
    if not count:
        raise FootageError("no frames: the video stream is empty")
    pts_P = np.sort(np.frombuffer(stamps, np.int64))
    keyframe_pts_K = np.sort(np.frombuffer(keyframes, np.int64))
    return _Scan(
        pts_P=pts_P,
        end_pts=end_pts,
        keyframe_pts_K=keyframe_pts_K,
        count=count,
        stamped=stamped,
        broken=broken,
    )


def _believable(opened: Opened, scan: _Scan) -> bool:
    """Whether each packet is one frame at its own time. AVI gives the times of decoding for those of presentation."""
    one_each = opened.stream.codec_context.name in _ONE_FRAME_PER_PACKET and opened.container.format.name != "avi"
    return one_each and scan.stamped and len(scan.pts_P) > 0 and bool((np.diff(scan.pts_P) > 0).all())


def _first_frames(opened: Opened, pts_P: Int) -> list[Any]:
    first: list[Any] = []
    for frame in decoded(opened):
        if isinstance(frame, Damage):
            if first:
                break
        elif frame.pts is not None and pts_P[np.searchsorted(pts_P, frame.pts) % len(pts_P)] == frame.pts:
            first.append(frame)
            if len(first) == _PROBED_FRAMES:
                break
    if not first:
        raise FootageError("no frames: nothing in the video stream can be decoded")
    return first


def _by_decoding(opened: Opened, scan: _Scan, beat: Callable[[], None]) -> tuple[FrameIndex, Any]:
    """Decodes the whole file: what comes out, in the order in which it comes out, is what is presented."""
    first: Any = None
    stamps, damaged = array("q"), array("q")
    stamped = True
    for frame in decoded(opened):
        beat()
        if isinstance(frame, Damage):
            if first is not None:
                damaged.append(frame.pts if frame.pts is not None else -1)
            continue
        first = frame if first is None else first
        stamped = stamped and frame.pts is not None
        stamps.append(frame.pts if frame.pts is not None else -1)
    if first is None:
        raise FootageError("no frames: nothing in the video stream can be decoded")
    pts_F = np.frombuffer(stamps, np.int64)
    if stamped and -1 not in damaged and (np.diff(pts_F) > 0).all():
        pts_F = np.union1d(pts_F, np.frombuffer(damaged, np.int64))
    elif damaged:
        scan = replace(scan, broken=scan.broken or f"pictures of the video that do not decode: {len(damaged)}")
    if stamped and len(np.unique(pts_F)) == len(pts_F) and np.isin(pts_F, scan.pts_P).all():
        return _index(opened, scan, pts_F), first
    count = len(pts_F)
    rate = float(opened.stream.guessed_rate or 25)
    times_s_F = _seconds(np.sort(pts_F), opened.stream) if stamped else np.arange(count) / rate
    return FrameIndex(
        pts_F=np.arange(count),
        times_s_F=times_s_F,
        keyframe_pts_K=np.zeros(0, np.int64),
        keyframe_positions_K=np.zeros(0, np.int64),
        serial=True,
        defect=_defect(opened, scan),
    ), first


def _index(opened: Opened, scan: _Scan, pts_F: Int) -> FrameIndex:
    in_order = bool((np.diff(pts_F) > 0).all())
    sorter_F = None if in_order else np.argsort(pts_F)
    at_K = np.searchsorted(pts_F, scan.keyframe_pts_K, sorter=sorter_F)
    known_K = at_K < len(pts_F)
    keyframe_pts_K, positions_K = scan.keyframe_pts_K[known_K], at_K[known_K]
    if sorter_F is not None:
        positions_K = sorter_F[positions_K]
        order_K = np.argsort(positions_K, kind="stable")
        keyframe_pts_K, positions_K = keyframe_pts_K[order_K], positions_K[order_K]
    return FrameIndex(
        pts_F=pts_F,
        times_s_F=_seconds(np.sort(pts_F), opened.stream),
        keyframe_pts_K=keyframe_pts_K,
        keyframe_positions_K=positions_K,
        serial=False,
        defect=_defect(opened, scan),
        sorter_F=sorter_F,
    )


def _seconds(pts_F: Int, stream: Any) -> npt.NDArray[np.float64]:
    times_s_F: npt.NDArray[np.float64] = (pts_F - pts_F[0]) * stream.time_base.numerator / stream.time_base.denominator
    return times_s_F


def _defect(opened: Opened, scan: _Scan) -> str:
    """What shows that packets are missing at the end: the table of an MP4, the duration in other headers, or nothing.

    A transport stream declares no length: the loss of its end shows only where a packet is cut in two.
    """
    stream, format_name = opened.stream, opened.container.format.name
    listed = len(stream.index_entries) if "mp4" in format_name else 0
    if scan.broken or scan.count < listed:
        return scan.broken or f"the file ends early: {scan.count} of {listed} frames are there"
    declared_s = 0.0
    if format_name == "avi" and stream.duration:
        declared_s = float(stream.duration * stream.time_base)
    tag = stream.metadata.get("DURATION", "").split(":")
    if "matroska" in format_name and len(tag) == 3 and all(part.replace(".", "", 1).isdigit() for part in tag):
        declared_s = sum(float(part) * 60**power for part, power in zip(tag, (2, 1, 0), strict=True))
    there_s = float(scan.end_pts * stream.time_base)
    if declared_s > there_s * (1 + _ABSENT_FRAMES / scan.count):
        return f"the file ends early: {there_s:.3f} of {declared_s:.3f} s are there"
    return ""


def _stamp(packet: Any) -> int | None:
    stamp: int | None = packet.pts if packet.pts is not None else packet.dts
    return stamp
