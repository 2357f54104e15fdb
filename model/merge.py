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
    return Layout(input_ids=spread(input_ids, 0), attention_mask=mask.to(attention_mask.dtype), labels=labels)


def side_of_padding(attention_mask: Tensor, default: str) -> str:
    """The side on which a batch is padded, `default` where no row is."""
    if not bool(attention_mask[:, 0].all()):
        return "left"
    return default if bool(attention_mask[:, -1].all()) else "right"


def positions(attention_mask: Tensor) -> Tensor:
    """Position of each token within its row's text, int64 [B, L]; pads have 1, as in the released model."""
    return (attention_mask.long().cumsum(dim=1) - 1).masked_fill(attention_mask == 0, 1)


def put_vectors(embeds_BLH: Tensor, is_image_BL: Tensor, vectors_VH: Tensor) -> Tensor:
    """The embeddings with the image vectors in place of the marked positions, in reading order."""
    return embeds_BLH.masked_scatter(is_image_BL[..., None], vectors_VH.to(embeds_BLH.dtype))


def flatten_tiles(pixel_values: Tensor, image_sizes: Tensor) -> tuple[Tensor, list[Grid], list[int] | None]:
    """Tiles of all images in reading order [N, 3, S, S], their grids, and the images of each row where that is known.

    Takes the released form, padded by row: `pixel_values` [B, T, 3, S, S], `image_sizes` [B, n, 2] with zeros for no
    image; or the form of the processor, not padded: [N, 3, S, S] and [n, 2]. ValueError names what does not fit.
    """
    if pixel_values.ndim == 4 and image_sizes.ndim == 2:
        grids = [Grid(*size) for size in image_sizes.tolist()]
        if any(rows < 1 or cols < 1 for rows, cols in grids):
            raise ValueError(f"image_sizes has a grid without tiles: {grids}")
        _check_tiles(grids, len(pixel_values), exact=True, where="")
        return pixel_values, grids, None
    if pixel_values.ndim != 5 or image_sizes.ndim != 3:
        raise ValueError(
            f"pixel_values is {list(pixel_values.shape)} and image_sizes {list(image_sizes.shape)}; "
            "give [B, T, 3, S, S] and [B, n, 2], or [N, 3, S, S] and [n, 2]"
        )
    tiles, grids, counts = [], [], []
    for row, (row_tiles, sizes) in enumerate(zip(pixel_values, image_sizes.tolist(), strict=True)):
        row_grids = [Grid(rows, cols) for rows, cols in sizes if rows and cols]
        _check_tiles(row_grids, len(row_tiles), exact=False, where=f" of row {row}")
        tiles.append(row_tiles[: sum(rows * cols for rows, cols in row_grids)])
        grids += row_grids
        counts.append(len(row_grids))
    return torch.cat(tiles), grids, counts


def _check_tiles(grids: Sequence[Grid], given: int, *, exact: bool, where: str) -> None:
    needed = sum(rows * cols for rows, cols in grids)
    if needed > given or (exact and needed != given):
        raise ValueError(f"the grids{where} {list(grids)} need {needed} tiles, but pixel_values holds {given}")


def images_by_row(tokens: Sequence[int], grids: Sequence[Grid], lengths: Sequence[int]) -> list[int]:
    """How many images each row has, from its number of image tokens: one an image, or `lengths` of them."""
    if sum(tokens) == len(grids):
        return list(tokens)
    ends = list(accumulate(lengths))
    through = [bisect_right(ends, end) for end in accumulate(tokens)]
    return [after - before for before, after in zip([0, *through[:-1]], through, strict=True)]


def pad_tiles_by_row(pixel_values: Tensor, grids: Sequence[Grid], counts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Inverse of `flatten_tiles`: [N, 3, S, S] -> [B, T, 3, S, S] and [B, n, 2], zero padded; `counts` images a row."""
    tile_counts, sizes, start = [], [], 0
    for count in counts:
        row = list(grids[start : start + count])
        start += count
        tile_counts.append(sum(rows * cols for rows, cols in row))
        sizes.append(torch.tensor([*row, *[(0, 0)] * (max(counts) - count)], dtype=torch.long).reshape(-1, 2))
    padded = torch.nn.utils.rnn.pad_sequence(list(torch.split(pixel_values, tile_counts)), batch_first=True)
    return padded, torch.stack(sizes).to(pixel_values.device)
