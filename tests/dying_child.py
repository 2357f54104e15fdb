"""A child process that really dies or hangs: run in place of `pipelines.isolate`, it does what a file's name says.

open-kills.mp4 dies when opened, clip-kills.mp4 at each clip after its first, once-kills.mp4 at its second clip but only
the first time, clip-hangs.mp4 stops there for good; slow-shots.mp4 takes 0.2 s for each frame when shots are found.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from pipelines import isolate, video

_open_video, _split_video, _decode_clip = video.open_video, video.split_video, video.decode_clip
_find_shots = video.find_shots


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def open_or_die(ref: Any, *rest: Any) -> Any:
    if "open-kills" in ref.uri:
        _die()
    return _open_video(ref, *rest)


def decode_or_die(span: Any, *rest: Any) -> Any:
    name = span.video.ref.uri
    if span.start_s > 0.5:
        if "clip-kills" in name:
            _die()
        if "clip-hangs" in name and span.start_s < 1.5:
            time.sleep(3600)
        mark = Path(os.environ.get("DYING_CHILD_MARK", "/nonexistent"))
        if "once-kills" in name and not mark.exists():
            mark.touch()
            _die()
    return _decode_clip(span, *rest)


def find_shots_slowly(frames: Any, *rest: Any) -> Any:
    def slow() -> Any:
        for frame in frames:
            time.sleep(0.2)
            yield frame

    return _find_shots(slow(), *rest)


def split_slowly(opened: Any, *rest: Any) -> Any:
    video.find_shots = find_shots_slowly if "slow-shots" in opened.ref.uri else _find_shots
    return _split_video(opened, *rest)


if __name__ == "__main__":
    video.open_video, video.split_video, video.decode_clip = open_or_die, split_slowly, decode_or_die
    isolate.main(int(sys.argv[1]))
