"""Where images stand in the text: `<image>` becomes as many positions as its image has vectors.

Letters: B rows of a batch, L positions, V image vectors of the whole batch in reading order (row 0's images first).
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from model.config import Grid

IGNORED = -100
"""label of a position that is not supervised"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """A batch in which each image token is repeated once per vector of its image; `attention_mask` is 0 at pads."""

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor | None


def expand_images(
    input_ids: Tensor,
    attention_mask: Tensor,
    labels: Tensor | None,
    *,
    lengths: Sequence[int],
    image_id: int,
    pad_id: int,
    padding_side: str,
) -> Layout:
    """Repeats the n-th image token `lengths[n]` times and pads the rows anew to the longest; all int64 [B, L].

    Pads of the input (mask 0, on either side) are dropped, not moved about. Image positions have label -100.
    `padding_side`: "left" or "right". Raises ValueError where image tokens and `lengths` differ in number.
    """
    real = attention_mask.bool()
    is_image = (input_ids == image_id) & real
    found = int(is_image.sum())
    if found != len(lengths):
        raise ValueError(f"the text has {found} image tokens (id {image_id}), but {len(lengths)} images are given")
    repeats = real.long()
    repeats[is_image] = torch.tensor(lengths, dtype=torch.long, device=input_ids.device)
    row_lengths = repeats.sum(dim=1)
    longest = int(row_lengths.max()) if len(row_lengths) else 0
    column = torch.arange(longest, device=input_ids.device)
    lengths_B1 = row_lengths[:, None]
    mask = column >= longest - lengths_B1 if padding_side == "left" else column < lengths_B1
    flat = repeats.flatten()

    def spread(values: Tensor, filler: int) -> Tensor:
        out = values.new_full(mask.shape, filler)
        out[mask] = values.flatten().repeat_interleave(flat)
        return out

    if labels is not None:
        labels = spread(labels.masked_fill(is_image, IGNORED), IGNORED)
    return Layout(input_ids=spread(input_ids, pad_id), attention_mask=mask.to(attention_mask.dtype), labels=labels)


def side_of_padding(attention_mask: Tensor, default: str) -> str:
    """The side on which a batch is padded, `default` where no row is."""
    if not bool(attention_mask[:, 0].all()):
        return "left"
    return default if bool(attention_mask[:, -1].all()) else "right"


def is_packed(position_ids: Tensor, attention_mask: Tensor | None) -> bool:
    """Whether positions start anew within a row's text: several documents stand in it. A mask of 4 dimensions tells."""
    if position_ids.shape[-1] == 1 or (attention_mask is not None and attention_mask.ndim != 2):
        return False
    jumps = position_ids.diff(dim=-1) != 1
    if attention_mask is not None and attention_mask.shape == position_ids.shape:
        jumps &= attention_mask[:, 1:].bool() & attention_mask[:, :-1].bool()
    return bool(jumps.any())


def positions(attention_mask: Tensor) -> Tensor:
    """Position of each token within its row's text, int64 [B, L]; pads have 1, as in the released model."""
    return (attention_mask.long().cumsum(dim=1) - 1).masked_fill(attention_mask == 0, 1)


def put_vectors(embeds_BLH: Tensor, is_image_BL: Tensor, vectors_VH: Tensor) -> Tensor:
    """The embeddings with the image vectors in place of the marked positions, in reading order."""
    return embeds_BLH.masked_scatter(is_image_BL[..., None], vectors_VH.to(embeds_BLH.dtype))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Images:
    """All images of a batch in reading order: tiles [N, 3, S, S], grids, and how many each row has, if known."""

    tiles: Tensor
    grids: list[Grid]
    counts: list[int] | None = None


def flatten_tiles(pixel_values: Tensor, image_sizes: Tensor) -> Images:
    """The images of a batch, from either form of them; ValueError names what does not fit.

    The released form is padded by row: `pixel_values` [B, T, 3, S, S], `image_sizes` [B, n, 2] with zeros for no image.
    That of the processor is not padded: [N, 3, S, S] and [n, 2].
    """
    if pixel_values.ndim not in (4, 5) or image_sizes.ndim != pixel_values.ndim - 2 or image_sizes.shape[-1] != 2:
        raise ValueError(
            f"pixel_values is {list(pixel_values.shape)} and image_sizes {list(image_sizes.shape)}; "
            "give [B, T, 3, S, S] and [B, n, 2], or [N, 3, S, S] and [n, 2]"
        )
    by_row = pixel_values.ndim == 5
    tiles_BT, sizes_Bn = (pixel_values, image_sizes) if by_row else (pixel_values[None], image_sizes[None])
    if len(tiles_BT) != len(sizes_Bn):
        raise ValueError(f"pixel_values has {len(tiles_BT)} rows, but image_sizes has {len(sizes_Bn)}")
    tiles, grids, counts = [], [], []
    for row, (row_tiles, sizes) in enumerate(zip(tiles_BT, sizes_Bn.long().tolist(), strict=True)):
        given = [Grid(*size) for size in sizes if any(size)]
        needed = sum(rows * cols for rows, cols in given)
        if any(min(grid) < 1 for grid in given) or needed > len(row_tiles) or (not by_row and needed != len(row_tiles)):
            where = f" of row {row}" if by_row else ""
            named = ", ".join(f"{rows}x{cols}" for rows, cols in given)
            raise ValueError(f"the grids{where} ({named}) need {needed} tiles, but pixel_values holds {len(row_tiles)}")
        tiles.append(row_tiles[:needed])
        grids += given
        counts.append(len(given))
    return Images(tiles=torch.cat(tiles), grids=grids, counts=counts if by_row else None)


def last_images(images: Images, counts: Sequence[int], tokens: Sequence[int], lengths: Sequence[int]) -> Images:
    """Of each row the images at its end whose vectors are its `tokens` image tokens: those that a cache lacks."""
    tiles: list[Tensor] = []
    grids: list[Grid] = []
    kept_counts, start = [], 0
    cut = torch.split(images.tiles, [rows * cols for rows, cols in images.grids])
    for row, (count, wanted) in enumerate(zip(counts, tokens, strict=True)):
        first, end = start + count, start + count
        while first > start and sum(lengths[first:end]) < wanted:
            first -= 1
        if sum(lengths[first:end]) != wanted:
            raise ValueError(
                f"row {row} goes on after the cache with {wanted} image tokens, but its images have "
                f"{list(lengths[start:end])} vectors; expand the image tokens and give whole images"
            )
        tiles += cut[first:end]
        grids += images.grids[first:end]
        kept_counts.append(end - first)
        start = end
    return Images(tiles=torch.cat(tiles) if tiles else images.tiles[:0], grids=grids, counts=kept_counts)


def check_runs(is_image_BL: Tensor, lengths: Sequence[int]) -> None:
    """Of expanded text: an image ends where a run of image tokens does, or vectors would stand in another's place."""
    run_ends = is_image_BL & ~torch.nn.functional.pad(is_image_BL[:, 1:], (0, 1))
    ends = is_image_BL.flatten().cumsum(0)[run_ends.flatten()].tolist()
    rows = run_ends.nonzero()[:, 0].tolist()
    image_ends = set(accumulate(lengths))
    wrong = [row for row, end in zip(rows, ends, strict=True) if end not in image_ends]
    if wrong:
        raise ValueError(f"the image tokens of row {wrong[0]} do not fit the images, of {list(lengths)} vectors")


def images_by_row(tokens: Sequence[int], lengths: Sequence[int]) -> list[int]:
    """How many images each row has, from its number of image tokens: one an image, or `lengths` of them."""
    if sum(tokens) == len(lengths):
        return list(tokens)
    ends = list(accumulate(lengths))
    through = [bisect_right(ends, end) for end in accumulate(tokens)]
    return [after - before for before, after in zip([0, *through[:-1]], through, strict=True)]


def pad_tiles_by_row(images: Images, counts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The released form of images of which each row has `counts`: [B, T, 3, S, S] and [B, n, 2], padded with zeros."""
    tile_counts, sizes, start = [], [], 0
    for count in counts:
        row = images.grids[start : start + count]
        start += count
        tile_counts.append(sum(rows * cols for rows, cols in row))
        sizes.append(torch.tensor([*row, *[(0, 0)] * (max(counts) - count)], dtype=torch.long).reshape(-1, 2))
    padded = torch.nn.utils.rnn.pad_sequence(list(torch.split(images.tiles, tile_counts)), batch_first=True)
    return padded, torch.stack(sizes).to(images.tiles.device)
