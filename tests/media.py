"""Makers of real video files for tests. Every frame carries its number as a barcode that survives coarse encoding."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

BITS = 8
TICKS = 12800
FASTSTART = {"movflags": "faststart"}
_DEFAULTS = {
    "libx264": {"x264-params": "mbtree=0"},
    "libx265": {"x265-params": "log-level=none"},
    "libsvtav1": {"preset": "11"},
}
"""x264 with mbtree does not give the same bytes twice."""


def numbered_frame(number: int, size_wh: tuple[int, int] = (160, 120)) -> Image:
    """HW3: a texture that moves right, under it (lower quarter) the number in black and white blocks, low bit first."""
    width, height = size_wh
    rng = np.random.default_rng(7)
    coarse = rng.integers(60, 200, (max(1, height // 16) + 1, max(1, width // 16) + 1, 3), dtype=np.uint8)
    texture = coarse.repeat(16, 0).repeat(16, 1)[:height, :width]
    frame = np.roll(texture, 2 * number, axis=1).copy()
    top = height - height // 4
    for bit in range(BITS):
        left, right = bit * width // BITS, (bit + 1) * width // BITS
        frame[top:, left:right] = 255 if number >> bit & 1 else 0
    return frame


def number_of(frame_HW3: Image) -> int:
    """The number that `numbered_frame` wrote."""
    height, width = frame_HW3.shape[:2]
    band = frame_HW3[height - height // 8 - height // 16 : height - height // 16].mean((0, 2))
    centres = [(2 * bit + 1) * width // (2 * BITS) for bit in range(BITS)]
    return sum(int(band[centre] > 127) << bit for bit, centre in enumerate(centres))


def write_video(
    path: Path,
    codec: str = "libx264",
    n_frames: int = 48,
    fps: float = 24,
    size_wh: tuple[int, int] = (160, 120),
    gop: int = 12,
    bframes: int = 2,
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    times: Sequence[float] | None = None,
    sample_aspect_ratio: Fraction | None = None,
    mux_options: dict[str, str] | None = None,
    frames: Sequence[Image] | None = None,
) -> Path:
    """Writes numbered frames (or `frames`, HW3) at `fps`, or at `times` (seconds); the suffix is the container."""
    defaults = _DEFAULTS.get(codec, {})
    with av.open(str(path), "w", options=mux_options or {}) as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream: Any = container.add_stream(codec, rate=rate, options={**defaults, **(options or {})})
        stream.width, stream.height, stream.pix_fmt = *size_wh, pix_fmt
        stream.codec_context.thread_count = 1
        stream.gop_size, stream.codec_context.max_b_frames = gop, bframes
        if times is not None:
            stream.codec_context.time_base = Fraction(1, TICKS)
        if sample_aspect_ratio is not None:
            stream.codec_context.sample_aspect_ratio = sample_aspect_ratio
        for number in range(n_frames if frames is None else len(frames)):
            pixels = numbered_frame(number, size_wh) if frames is None else frames[number]
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number if times is None else round(times[number] * TICKS)
            frame.time_base = 1 / rate if times is None else Fraction(1, TICKS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_open_gop(path: Path, codec: str = "libx264", **kwargs: Any) -> Path:
    """As `write_video`, with B-frames that refer across keyframes."""
    name, extra = {"libx264": ("x264-params", "scenecut=0"), "libx265": ("x265-params", "scenecut=0:log-level=none")}[
        codec
    ]
    return write_video(path, codec, options={name: f"open-gop=1:{extra}:keyint=12:min-keyint=12"}, **kwargs)


def write_rotated(path: Path, degrees: int, **kwargs: Any) -> Path:
    """An MP4 that is to be turned clockwise by 90, 180 or 270 degrees for display."""
    write_video(path, **kwargs)
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    return _patch_matrix(path, cos, sin, -sin, cos)


def write_mirrored(path: Path, **kwargs: Any) -> Path:
    """An MP4 that is to be mirrored left to right for display."""
    return _patch_matrix(write_video(path, **kwargs), -1, 0, 0, 1)


def _patch_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    data[at : at + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def write_trimmed(path: Path, start_s: float, **kwargs: Any) -> Path:
    """An MP4 whose edit list leaves out the first `start_s` seconds (its packets stay in the file)."""
    write_video(path, **kwargs)
    data = bytearray(path.read_bytes())
    mdhd = data.index(b"mdhd")
    (media_rate,) = struct.unpack_from(">I", data, mdhd + 4 + 12)
    mvhd = data.index(b"mvhd")
    (movie_rate,) = struct.unpack_from(">I", data, mvhd + 4 + 12)
    elst = data.index(b"elst") + 4
    duration, media_time = struct.unpack_from(">Ii", data, elst + 8)
    struct.pack_into(
        ">Ii", data, elst + 8, duration - round(start_s * movie_rate), media_time + round(start_s * media_rate)
    )
    path.write_bytes(data)
    return path


def write_truncated(path: Path, share: float = 0.6, **kwargs: Any) -> Path:
    """A file cut off at a share of its bytes; in an MP4 the table of frames stands before the cut."""
    return cut_off(write_video(path, mux_options=FASTSTART if path.suffix == ".mp4" else None, **kwargs), path, share)


def cut_off(whole: Path, path: Path, share: float) -> Path:
    """The first `share` of the bytes of a file."""
    data = whole.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def damage(whole: Path, path: Path, share: float = 0.35, n_bytes: int = 400) -> Path:
    """A file with noise over some of its bytes, from a share of its length on."""
    data = bytearray(whole.read_bytes())
    at = int(len(data) * share)
    data[at : at + n_bytes] = np.random.default_rng(1).bytes(n_bytes)
    path.write_bytes(data)
    return path


def write_audio_only(path: Path) -> Path:
    """Half a second of a tone, no video stream."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=44100)
        tone = np.sin(np.arange(22528) / 16).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_text(path: Path) -> Path:
    path.write_text("This is not a video.\n" * 50)
    return path


def write_empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def write_noise(path: Path) -> Path:
    path.write_bytes(np.random.default_rng(3).bytes(20000))
    return path
