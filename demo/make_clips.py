"""Makes the demo clips, their truth and their manifest: python demo/make_clips.py [--out FOLDER] [NAME ...]

Everything is painted by the code of this folder from fixed seeds; nothing is read, nothing is downloaded.
"""

import argparse
import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from camera import View, render
from harbour import day_view, dusk_view
from street import street_view
from table import table_view

SIZE_WH = (640, 360)
COLUMNS = ["uri", "start_s", "end_s", "text", "text_override", "id", "licence"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Demo:
    """One file: its shots follow one another with hard cuts."""

    name: str
    fps: int
    text: str
    views: list[Callable[[], View]]


DEMOS = [
    Demo(
        name="street",
        fps=25,
        text="a pizza van and a red car drive past each other in front of the shops while the camera pans right",
        views=[street_view],
    ),
    Demo(
        name="table",
        fps=25,
        text="a beach ball rolls across the wooden table and a toy truck pushes a box of green tea to the left",
        views=[table_view],
    ),
    Demo(
        name="harbour",
        fps=24,
        text="a red fishing boat leaves the harbour, then a sailing boat crosses the bay at sunset",
        views=[day_view, dusk_view],
    ),
]


def shot_frames(view: View, fps: int) -> tuple[list[np.ndarray], dict[str, object]]:
    """The frames HW3 of one shot, and its truth: homographies frame t -> first frame, outlines of the things."""
    frames: list[np.ndarray] = []
    homographies: list[list[float]] = []
    outlines: dict[str, list[list[list[float]]]] = {thing.name: [] for thing in view.things}
    for frame, world_to_image, outlines_xy in render(view, SIZE_WH, fps):
        if not frames:
            first_to_image = world_to_image
        to_first = first_to_image @ np.linalg.inv(world_to_image)
        homographies.append([float(f"{value:.7g}") for value in (to_first / to_first[2, 2]).ravel()])
        for name, points_N2 in outlines_xy.items():
            outlines[name].append(np.round(points_N2, 1).tolist())
        frames.append(frame)
    things = [{"name": name, "outlines_xy_TN2": points} for name, points in outlines.items()]
    return frames, {"homographies_T9": homographies, "objects": things}


def write_video(path: Path, frames: list[np.ndarray], fps: int) -> None:
    """H.264 that any browser plays; the same bytes again with the same libx264 (one thread)."""
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(path), "w", container_options=options) as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height = SIZE_WH
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.options = {"crf": "26", "preset": "slower", "threads": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def make(demo: Demo, folder: Path) -> dict[str, object]:
    """Writes NAME.mp4 and returns its truth."""
    frames: list[np.ndarray] = []
    shots = []
    for view in demo.views:
        shot, truth = shot_frames(view(), demo.fps)
        shots.append({"frames": [len(frames), len(frames) + len(shot)], **truth})
        frames += shot
    write_video(folder / f"{demo.name}.mp4", frames, demo.fps)
    return {"fps": demo.fps, "size_wh": list(SIZE_WH), "frames": len(frames), "shots": shots}


def write_manifest(path: Path) -> None:
    with path.open("w", newline="") as file:
        rows = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        rows.writeheader()
        for demo in DEMOS:
            rows.writerow({"uri": f"{demo.name}.mp4", "text": demo.text, "id": demo.name, "licence": "MIT"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="clips to make (all, with truth.json and clips.csv, if none is named)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    known = [demo.name for demo in DEMOS]
    if unknown := set(given.names) - set(known):
        parser.error(f"no clip is named {sorted(unknown)}; there are {known}")
    given.out.mkdir(parents=True, exist_ok=True)
    truth = {demo.name: make(demo, given.out) for demo in DEMOS if not given.names or demo.name in given.names}
    if not given.names:
        (given.out / "truth.json").write_text(json.dumps(truth, separators=(",", ":")) + "\n")
        write_manifest(given.out / "clips.csv")


if __name__ == "__main__":
    main()
