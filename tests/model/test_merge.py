import random

import pytest
import torch

from model.config import Grid
from model.merge import (
    IGNORED,
    Images,
    expand_images,
    flatten_tiles,
    images_by_row,
    pad_tiles_by_row,
    positions,
    put_vectors,
    side_of_padding,
)

IMAGE, PAD = 90, 91


def mixture(seed: int) -> tuple[list[list[int]], list[list[int]], list[int], int, str]:
    """Rows of text with images, their labels, the images' lengths, a width to pad to and a side."""
    dice = random.Random(seed)
    rows, labels, lengths = [], [], []
    for _ in range(dice.randint(1, 5)):
        row = [
            dice.choice([IMAGE, *range(20)]) if dice.random() < 0.4 else dice.randrange(20)
            for _ in range(dice.randint(1, 12))
        ]
        rows.append(row)
        labels.append([token if dice.random() < 0.5 else IGNORED for token in row])
        lengths += [dice.randint(2, 7) for token in row if token == IMAGE]
    width = max(map(len, rows)) + dice.randint(0, 3)
    return rows, labels, lengths, width, dice.choice(["left", "right"])


def padded(rows: list[list[int]], width: int, filler: int, side: str) -> torch.Tensor:
    """Rows of one width; `side` is where fillers go."""
    fill = [[filler] * (width - len(row)) for row in rows]
    return torch.tensor([pads + row if side == "left" else row + pads for pads, row in zip(fill, rows, strict=True)])


@pytest.mark.parametrize("seed", range(200))
def test_expansion_and_merge_are_those_of_a_plain_loop(seed: int) -> None:
    rows, labels, lengths, width, side = mixture(seed)
    want_side = random.Random(seed + 1000).choice(["left", "right"])
    queue, plain_ids, plain_labels, plain_vectors = list(lengths), [], [], []
    vectors = torch.randn(sum(lengths), 3, generator=torch.Generator().manual_seed(seed))
    table = torch.randn(100, 3, generator=torch.Generator().manual_seed(seed + 1))
    used = 0
    for row, row_labels in zip(rows, labels, strict=True):
        ids, targets, embeds = [], [], []
        for token, label in zip(row, row_labels, strict=True):
            times = queue.pop(0) if token == IMAGE else 1
            for _ in range(times):
                ids.append(token)
                targets.append(IGNORED if token == IMAGE else label)
                embeds.append(vectors[used] if token == IMAGE else table[token])
                used += token == IMAGE
        plain_ids.append(ids)
        plain_labels.append(targets)
        plain_vectors.append(embeds)
    longest = max(map(len, plain_ids))

    layout = expand_images(
        padded(rows, width, PAD, side),
        padded([[1] * len(row) for row in rows], width, 0, side),
        padded(labels, width, IGNORED, side),
        lengths=lengths,
        image_id=IMAGE,
        pad_id=PAD,
        padding_side=want_side,
    )
    real = layout.attention_mask.bool()
    assert torch.equal(layout.attention_mask, padded([[1] * len(ids) for ids in plain_ids], longest, 0, want_side))
    assert layout.input_ids[real].tolist() == [token for ids in plain_ids for token in ids]
    assert torch.equal(layout.labels, padded(plain_labels, longest, IGNORED, want_side))
    is_image = (layout.input_ids == IMAGE) & real
    embeds = put_vectors(table[layout.input_ids.masked_fill(is_image, 0)], is_image, vectors)
    assert torch.equal(embeds[real], torch.stack([vector for row in plain_vectors for vector in row]))


@pytest.mark.parametrize(("lengths", "named"), [([3], "2 image tokens"), ([3, 3, 3], "3 images"), ([], "0 images")])
def test_images_and_image_tokens_must_be_as_many(lengths: list[int], named: str) -> None:
    ids = torch.tensor([[1, IMAGE, 2, IMAGE]])
    with pytest.raises(ValueError, match=named):
        expand_images(ids, torch.ones_like(ids), None, lengths=lengths, image_id=IMAGE, pad_id=PAD, padding_side="left")


def test_an_image_id_among_the_pads_is_no_image() -> None:
    ids = torch.tensor([[IMAGE, IMAGE, 1]])
    layout = expand_images(
        ids, torch.tensor([[0, 1, 1]]), None, lengths=[2], image_id=IMAGE, pad_id=PAD, padding_side="left"
    )
    assert layout.input_ids.tolist() == [[IMAGE, IMAGE, 1]]
    assert layout.attention_mask.tolist() == [[1, 1, 1]]
    assert layout.labels is None


@pytest.mark.parametrize(
    ("mask", "default", "side"),
    [
        ([[0, 1], [1, 1]], "right", "left"),
        ([[1, 0], [1, 1]], "left", "right"),
        ([[1, 1]], "left", "left"),
        ([[1, 1]], "right", "right"),
    ],
)
def test_pads_tell_their_side(mask: list[list[int]], default: str, side: str) -> None:
    assert side_of_padding(torch.tensor(mask), default) == side


def test_positions_begin_after_the_pads() -> None:
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0]])
    assert positions(mask).tolist() == [[1, 1, 0, 1], [0, 1, 2, 1]]


def test_tiles_padded_by_row_come_back_flat() -> None:
    tiles = torch.arange(7.0).reshape(7, 1, 1, 1).expand(7, 3, 2, 2)
    grids, counts = [Grid(1, 2), Grid(2, 1), Grid(1, 3)], [2, 0, 1]
    by_row, sizes = pad_tiles_by_row(Images(tiles=tiles, grids=grids), counts)
    assert by_row.shape == (3, 4, 3, 2, 2)
    assert sizes.tolist() == [[[1, 2], [2, 1]], [[0, 0], [0, 0]], [[1, 3], [0, 0]]]
    images = flatten_tiles(by_row, sizes)
    assert torch.equal(images.tiles, tiles)
    assert (images.grids, images.counts) == (grids, counts)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [([2, 0, 1], [2, 0, 1]), ([5, 0, 6], [2, 0, 1]), ([0, 11, 0], [0, 3, 0])],
    ids=["a token an image", "a token a vector", "all in one row"],
)
def test_images_of_a_row_follow_from_its_tokens(tokens: list[int], expected: list[int]) -> None:
    assert images_by_row(tokens, [2, 3, 6]) == expected


@pytest.mark.parametrize(
    ("pixels", "sizes", "named"),
    [
        ((2, 3, 8, 8), [[1, 1]], "need 1 tiles, but pixel_values holds 2"),
        ((2, 3, 8, 8), [[3, 3]], "need 9 tiles, but pixel_values holds 2"),
        ((2, 3, 8, 8), [[0, 2]], r"\(0x2\) need 0 tiles"),
        ((2, 3, 8, 8), [[-1, -2]], r"\(-1x-2\) need 2 tiles"),
        ((2, 2, 3, 8, 8), [[[1, 1]]], "pixel_values has 2 rows, but image_sizes has 1"),
        ((2, 3, 8, 8), [[1, 1, 1]], r"give \[B, T, 3, S, S\]"),
        ((1, 2, 3, 8, 8), [[[1, 3]]], "of row 0"),
        ((1, 2, 3, 8, 8), [[1, 2]], r"give \[B, T, 3, S, S\]"),
        ((3, 8, 8), [[1, 1]], r"give \[B, T, 3, S, S\]"),
    ],
)
def test_tiles_that_do_not_fit_their_grids_are_named(pixels: tuple[int, ...], sizes: list[object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        flatten_tiles(torch.zeros(pixels), torch.tensor(sizes))
