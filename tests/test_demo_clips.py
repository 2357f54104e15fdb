"""The demo clips are what their truth and their manifest say."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

DEMO = Path(__file__).parent.parent / "demo"
TRUTH = json.loads((DEMO / "truth.json").read_text())
SHOTS = [(name, index) for name, clip in TRUTH.items() for index in range(len(clip["shots"]))]
HALF = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
"""from OpenCV's pixel coordinates (centres at integers) to those of the truth"""


def decoded(path: Path) -> np.ndarray:
    """THW3 RGB."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def homographies_T33(shot: dict) -> np.ndarray:
    return np.array(shot["homographies_T9"]).reshape(-1, 3, 3)


def things_HW(shot: dict, time: int, size_wh: list[int]) -> np.ndarray:
    """True on the things of a frame, with a margin for shadows and foam."""
    mask = np.zeros(size_wh[::-1], np.uint8)
    for thing in shot["objects"]:
        hull = cv2.convexHull(np.array(thing["outlines_xy_TN2"][time], np.float32))
        cv2.fillConvexPoly(mask, np.rint(hull).astype(np.int32), 1)
    return cv2.dilate(mask, np.ones((31, 31), np.uint8)) > 0


@pytest.mark.parametrize("name", TRUTH)
def test_files_are_small_and_have_the_frames_of_the_truth(name: str) -> None:
    path, clip = DEMO / f"{name}.mp4", TRUTH[name]
    assert path.stat().st_size < 400_000
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert [video.width, video.height] == clip["size_wh"]
        assert video.average_rate == clip["fps"]
        assert sum(1 for _ in container.decode(video)) == clip["frames"]


@pytest.mark.parametrize("name", TRUTH)
def test_shots_follow_one_another_and_tell_of_every_frame(name: str) -> None:
    ends = [0]
    for shot in TRUTH[name]["shots"]:
        first, end = shot["frames"]
        assert first == ends[-1]
        assert len(shot["homographies_T9"]) == end - first
        assert all(len(thing["outlines_xy_TN2"]) == end - first for thing in shot["objects"])
        ends.append(end)
    assert ends[-1] == TRUTH[name]["frames"]


@pytest.mark.parametrize(("name", "index"), SHOTS)
def test_homographies_lay_the_background_on_the_first_frame(name: str, index: int) -> None:
    clip = TRUTH[name]
    shot, size_wh = clip["shots"][index], clip["size_wh"]
    frames = decoded(DEMO / f"{name}.mp4")[slice(*shot["frames"])].astype(np.float32)
    to_first = homographies_T33(shot)
    assert np.allclose(to_first[0], np.eye(3), atol=1e-6)
    for time in range(0, len(frames), 12):
        to_opencv = np.linalg.inv(HALF) @ to_first[time] @ HALF
        warped = cv2.warpPerspective(frames[time], to_opencv, size_wh)
        seen = cv2.warpPerspective((~things_HW(shot, time, size_wh)).astype(np.float32), to_opencv, size_wh) > 0.999
        seen &= ~things_HW(shot, 0, size_wh)
        assert seen.mean() > 0.2
        off = np.abs(warped - frames[0])[seen].mean()
        assert off < 10, f"frame {time}"
        for shift_xy in ((1, 0), (-1, 0), (0, 1), (0, -1)):  # a pixel beside the truth is worse
            beside = np.roll(warped, shift_xy, axis=(1, 0))
            assert off < 0.75 * np.abs(beside - frames[0])[seen].mean(), f"frame {time}, {shift_xy}"


@pytest.mark.parametrize(("name", "index"), SHOTS)
def test_things_are_large_stay_in_view_and_move_in_the_world(name: str, index: int) -> None:
    clip = TRUTH[name]
    shot, size_wh = clip["shots"][index], np.array(clip["size_wh"])
    diagonal = float(np.hypot(*size_wh))
    two_seconds = 2 * clip["fps"]
    for thing in shot["objects"]:
        outlines_TN2 = np.array(thing["outlines_xy_TN2"])
        extent = outlines_TN2.max(axis=1) - outlines_TN2.min(axis=1)
        assert (extent > (80, 60)).all()
        centres = outlines_TN2.mean(axis=1)
        assert ((centres > 0.05 * size_wh) & (centres < 0.97 * size_wh)).all(), thing["name"]

        in_first = np.stack(
            [
                cv2.perspectiveTransform(centre[None], to_first)[0, 0]
                for centre, to_first in zip(centres[:, None], homographies_T33(shot), strict=True)
            ]
        )
        moved = np.linalg.norm(in_first[two_seconds:] - in_first[:-two_seconds], axis=1) / diagonal
        assert (moved > 0.08).all(), thing["name"]


@pytest.mark.slow
def test_the_cut_in_the_harbour_is_hard() -> None:
    frames = decoded(DEMO / "harbour.mp4").astype(np.float32)
    steps = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    cut = TRUTH["harbour"]["shots"][1]["frames"][0]
    assert int(steps.argmax()) == cut - 1
    assert steps[cut - 1] > 4 * np.delete(steps, cut - 1).max()


def test_manifest_names_every_clip() -> None:
    with (DEMO / "clips.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["uri", "start_s", "end_s", "text", "text_override", "id", "licence"]
    assert [row["id"] for row in rows] == list(TRUTH)
    for row in rows:
        assert (DEMO / row["uri"]).is_file()
        assert row["text"] and row["licence"] == "MIT"
        assert row["start_s"] == row["end_s"] == row["text_override"] == ""


@pytest.mark.slow
def test_the_script_makes_the_same_clip_again(tmp_path: Path) -> None:
    subprocess.run([sys.executable, DEMO / "make_clips.py", "harbour", "--out", tmp_path], check=True)
    again, kept = decoded(tmp_path / "harbour.mp4"), decoded(DEMO / "harbour.mp4")
    assert again.shape == kept.shape
    assert np.abs(again.astype(int) - kept).mean() < 1
