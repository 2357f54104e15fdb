from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests import media
from transforms.footage import FootageError, open_footage
from transforms.shots import find_shots

COLOURS = [(200, 30, 30), (30, 200, 40), (40, 30, 200), (220, 220, 60)]


def scene(colour: tuple[int, int, int], n_frames: int) -> list[np.ndarray]:
    frames = np.full((n_frames, 36, 64, 3), colour, np.uint8)
    for number in range(n_frames):
        frames[number, 10:20, number % 40 : number % 40 + 10] = 128
    return list(frames)


def shots_of(frames: list[np.ndarray], fps: float = 24, threshold: float = 27.0) -> list[tuple[int, int]]:
    return list(find_shots(frames, np.arange(len(frames)) / fps, threshold, 0.5))


def test_cuts_between_scenes() -> None:
    frames = [frame for colour, n in zip(COLOURS, (30, 24, 50, 20), strict=True) for frame in scene(colour, n)]
    assert shots_of(frames) == [(0, 30), (30, 54), (54, 104), (104, 124)]


@pytest.mark.parametrize("n_frames", [0, 1, 2, 40])
def test_one_shot(n_frames: int) -> None:
    assert shots_of(scene(COLOURS[0], n_frames)) == ([(0, n_frames)] if n_frames else [])


def test_flashes_are_not_shots() -> None:
    frames = scene(COLOURS[0], 30) + scene(COLOURS[1], 30) + scene(COLOURS[2], 3) + scene(COLOURS[1], 30)
    shots = shots_of(frames)
    assert shots[0] == (0, 30)
    assert all(last - first >= 12 for first, last in shots)
    assert [first for first, _ in shots[1:]] == [last for _, last in shots[:-1]]
    assert shots[-1][1] == len(frames)


def test_the_shortest_shot_is_in_seconds() -> None:
    frames = scene(COLOURS[0], 30) + scene(COLOURS[1], 6) + scene(COLOURS[0], 30)
    assert shots_of(frames, fps=10, threshold=15) == [(0, 30), (30, 36), (36, 66)]
    assert len(shots_of(frames, fps=30, threshold=15)) == 2


def test_uneven_times() -> None:
    frames = scene(COLOURS[0], 20) + scene(COLOURS[1], 20)
    times_s = np.cumsum(np.random.default_rng(0).integers(1, 40, 40) / 100) + 5
    assert list(find_shots(frames, times_s, 27.0, 0.5)) == [(0, 20), (20, 40)]


def test_colours_are_read_as_rgb() -> None:
    """The detector works on hue, saturation and brightness, but its input is BGR; in grey there would be no cut."""
    frames = scene((255, 0, 0), 20) + scene((0, 0, 255), 20)
    assert shots_of(frames) == [(0, 20), (20, 40)]


def test_a_shot_is_given_as_soon_as_it_is_known() -> None:
    read: list[int] = []

    def frames() -> Iterator[np.ndarray]:
        for number, frame in enumerate(scene(COLOURS[0], 20) + scene(COLOURS[1], 40)):
            read.append(number)
            yield frame

    shots = find_shots(frames(), np.arange(60) / 24, 27.0, 0.5)
    assert next(shots) == (0, 20)
    assert len(read) < 30


def test_what_was_found_before_a_failure() -> None:
    def frames() -> Iterator[np.ndarray]:
        yield from scene(COLOURS[0], 20)
        yield from scene(COLOURS[1], 7)
        raise FootageError("broken")

    shots = find_shots(frames(), np.arange(60) / 24, 27.0, 0.5)
    assert [next(shots), next(shots)] == [(0, 20), (20, 27)]
    with pytest.raises(FootageError, match="broken"):
        next(shots)


def test_shots_of_a_file(tmp_path: Path) -> None:
    big = [frame.repeat(4, 0).repeat(4, 1) for colour in COLOURS[:3] for frame in scene(colour, 20)]
    path = media.write_video(tmp_path / "cuts.mp4", frames=big, size_wh=(256, 144))
    with open_footage(str(path)) as footage:
        frames = footage.frames(0, len(footage.times_s), (128, 72))
        assert list(find_shots(frames, footage.times_s, 27.0, 0.5)) == [(0, 20), (20, 40), (40, 60)]
