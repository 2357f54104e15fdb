"""`somtom try`: a video to a picture and an animation."""

from pathlib import Path

import pytest
from PIL import Image

from pipelines.config import load_config
from pipelines.trial import try_first
from schemas.errors import UserError
from tests.jobs import FAST, write_scene
from tests.media import write_video


def test_a_video_gives_a_marked_picture_and_a_moving_one(tmp_path: Path) -> None:
    video = write_scene(tmp_path / "scene.mp4")
    lines = list(try_first(load_config("video", [f"source.uris={video}", *FAST]), str(tmp_path)))
    assert [line.rpartition("/")[2] for line in lines] == ["scene.gif", "scene.jpg"]
    with Image.open(tmp_path / "scene.gif") as animation, Image.open(tmp_path / "scene.jpg") as picture:
        assert getattr(animation, "n_frames", 1) > 4
        assert picture.size == (320, 240)


def test_a_video_that_gives_nothing_says_why(tmp_path: Path) -> None:
    video = write_video(tmp_path / "short.mp4", n_frames=4)
    lines = list(try_first(load_config("video", [f"source.uris={video}"]), str(tmp_path)))
    assert any("too_short, measured 0.166" in line for line in lines)


def test_an_image_is_told_to_wait(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png is an image"):
        list(try_first(load_config("video", [f"source.uris={tmp_path / 'a.png'}"]), str(tmp_path)))
