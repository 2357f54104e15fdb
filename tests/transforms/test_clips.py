from itertools import pairwise

import numpy as np
import pytest

from transforms.clips import cut_clips, sample_indices

TEN_FPS_S = np.arange(50) / 10


@pytest.mark.parametrize(
    ("start_s", "end_s", "length_s", "stride_s", "min_length_s", "expected"),
    [
        (0, 6, 2, 2, 1, [(0, 2), (2, 4), (4, 6)]),
        (1, 6.5, 2, 2, 1, [(1, 3), (3, 5), (5, 6.5)]),
        (0, 4.9, 2, 2, 1, [(0, 2), (2, 4)]),
        (0, 5, 2, 2, 1, [(0, 2), (2, 4), (4, 5)]),
        (0, 0.9999999, 2, 2, 1, [(0, 0.9999999)]),
        (0, 0.9, 2, 2, 1, []),
        (3, 3, 2, 2, 1, []),
        (5, 3, 2, 2, 1, []),
        (0, 4, 2, 1, 0.5, [(0, 2), (1, 3), (2, 4)]),
        (0, 3.5, 2, 1, 0.5, [(0, 2), (1, 3), (2, 3.5)]),
        (0, 9, 2, 4, 1, [(0, 2), (4, 6), (8, 9)]),
        (0, 1.5, 2, 0.5, 1, [(0, 1.5)]),
    ],
)
def test_cut_clips(
    start_s: float,
    end_s: float,
    length_s: float,
    stride_s: float,
    min_length_s: float,
    expected: list[tuple[float, float]],
) -> None:
    clips = cut_clips(start_s, end_s, length_s, stride_s, min_length_s)
    assert len(clips) == len(expected)
    assert np.ravel(clips) == pytest.approx(np.ravel(expected))


@pytest.mark.parametrize("seed", range(20))
def test_laws_of_clips(seed: int) -> None:
    rng = np.random.default_rng(seed)
    start_s, shot_s, length_s, stride_s = (
        rng.uniform(0, 9),
        rng.uniform(0, 20),
        rng.uniform(0.5, 4),
        rng.uniform(0.2, 5),
    )
    min_length_s = rng.uniform(0.1, length_s)
    clips = cut_clips(start_s, start_s + shot_s, length_s, stride_s, min_length_s)
    assert bool(clips) == (shot_s >= min_length_s)
    for first, second in pairwise(clips):
        assert second[0] - first[0] == pytest.approx(stride_s)
        assert second[1] > first[1]
    for clip_start_s, clip_end_s in clips:
        assert start_s <= clip_start_s < clip_end_s <= start_s + shot_s + 1e-9
        assert min_length_s - 1e-6 <= clip_end_s - clip_start_s <= length_s + 1e-9


@pytest.mark.parametrize(
    ("times_s", "start_s", "end_s", "fps", "expected"),
    [
        (TEN_FPS_S, 0, 1, 5, [0, 2, 4, 6, 8, 10]),
        (TEN_FPS_S, 0.35, 1, 10, [3, 4, 5, 6, 7, 8, 9]),
        (TEN_FPS_S, 0, 0.3, 10, [0, 1, 2, 3]),
        (TEN_FPS_S, 4.6, 5, 10, [46, 47, 48, 49]),
        (TEN_FPS_S, 4.8, 9, 5, [48]),
        (TEN_FPS_S, 7, 9, 5, []),
        (TEN_FPS_S, 2, 1, 5, []),
        (np.array([0.0, 0.5, 0.51, 2.0]), 0, 2, 4, [0, 0, 1, 2, 2, 2, 2, 2, 3]),
        (np.array([0.0]), 0, 2, 8, [0]),
        (np.zeros(0), 0, 2, 8, []),
    ],
)
def test_sample_indices(times_s: np.ndarray, start_s: float, end_s: float, fps: float, expected: list[int]) -> None:
    assert sample_indices(times_s, start_s, end_s, fps).tolist() == expected


@pytest.mark.parametrize("source_fps", [24, 30000 / 1001, 25, 59.94])
def test_sampling_at_the_source_rate_takes_every_frame_once(source_fps: float) -> None:
    times_s = np.arange(300) / source_fps
    assert sample_indices(times_s, 0, times_s[-1], source_fps).tolist() == list(range(300))
    assert sample_indices(times_s, times_s[40], times_s[100], source_fps).tolist() == list(range(40, 101))
