"""The benchmark of images: both rivals make the same tiles, and every line of the table is there."""

from pathlib import Path

import numpy as np
import torch

from bench.images import measure, plain_tiles
from model.images import CLIP_MEAN, CLIP_STD, Grid, image_tiles


def test_both_rivals_make_the_same_tiles() -> None:
    image_HW3 = np.random.default_rng(0).integers(0, 256, (300, 700, 3), dtype=np.uint8)
    ours = image_tiles(image_HW3, Grid(1, 2), mean=CLIP_MEAN, std=CLIP_STD)
    torch.testing.assert_close(plain_tiles(image_HW3, Grid(1, 2)), ours, rtol=0, atol=1e-5)


def test_a_line_for_each_source_and_each_rival(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    figures = list(measure(tmp_path, quick=True))
    assert [figure.what.split()[0] for figure in figures] == ["tiles", "ToTensor,", "torch's"] * 2
    assert all(figure.value > 0 for figure in figures)
    assert torch.get_num_threads() == threads
