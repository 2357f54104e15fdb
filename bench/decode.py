"""How fast frames come out, one thread: as RGB at full and at working size, against decoding alone."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import av
from av.video.reformatter import Interpolation, VideoReformatter

from bench.footage import write_smooth
from bench.report import Figure, seconds_of
from transforms.footage import fitted_size_wh, open_footage

_SIZES = {"1080p": (1920, 1080), "720p": (1280, 720), "360p": (640, 360)}
_LONG_SIDE_PX = 512
_SCALING = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.BITEXACT


def measure(scratch: Path, quick: bool) -> Iterator[Figure]:
    seconds, repeats = (4, 1) if quick else (10, 5)
    decode_alone = _ffmpeg if shutil.which("ffmpeg") else _pyav
    name = "ffmpeg -threads 1" if decode_alone is _ffmpeg else "PyAV, decoding only (no ffmpeg here)"
    for label, size_wh in _SIZES.items():
        path = str(write_smooth(scratch / f"{label}.mp4", seconds, size_wh))
        with open_footage(path) as footage:
            n_frames = len(footage.times_s)
        small_wh = fitted_size_wh(size_wh, _LONG_SIDE_PX)
        rivals: dict[str, Callable[[], None]] = {
            "alone": lambda path=path: decode_alone(path),
            "full": lambda path=path, size=size_wh: _frames(path, size),
            "full, bare": lambda path=path, size=size_wh: _bare(path, size),
            "small": lambda path=path, size=small_wh: _frames(path, size),
            "small, bare": lambda path=path, size=small_wh: _bare(path, size),
        }
        times = {rival: [] for rival in rivals}
        for _ in range(repeats):
            for rival, work in rivals.items():
                times[rival].append(seconds_of(work))
        for rival, size in (("full", size_wh), ("small", small_wh)):
            share = median(_ratios(times["alone"], times[rival]))
            bare = median(_ratios(times[f"{rival}, bare"], times[rival]))
            fps = f"{n_frames / min(times[rival]):.0f} fps"
            yield Figure(
                topic="decode",
                what=f"frames of H.264 {label} as RGB {size[0]}x{size[1]}",
                shown=f"{fps}, {share:.2f} of decoding alone, {bare:.2f} of a bare loop",
                value=share,
                bound=f"{n_frames / min(times['alone']):.0f} fps: {name}",
            )


def _ratios(bound_s: list[float], ours_s: list[float]) -> list[float]:
    return [bound / ours for bound, ours in zip(bound_s, ours_s, strict=True)]


def _frames(path: str, size_wh: tuple[int, int]) -> None:
    """Ours: opens the file, indexes it, gives every frame."""
    with open_footage(path) as footage:
        for _ in footage.frames(0, len(footage.times_s), size_wh):
            pass


def _bare(path: str, size_wh: tuple[int, int]) -> None:
    """The least that gives the same pixels: PyAV's loop with the same scaling, no index, no checks."""
    reformatter = VideoReformatter()
    with av.open(path) as container:
        container.streams.video[0].thread_count = 1
        for frame in container.decode(video=0):
            reformatter.reformat(frame, *size_wh, "rgb24", interpolation=_SCALING, threads=1).to_ndarray()


def _pyav(path: str) -> None:
    with av.open(path) as container:
        container.streams.video[0].thread_count = 1
        for _ in container.decode(video=0):
            pass


def _ffmpeg(path: str) -> None:
    command = ["ffmpeg", "-v", "error", "-nostdin", "-threads", "1", "-i", path, "-map", "0:v:0", "-f", "null", "-"]
    subprocess.run(command, check=True)
