"""Packs the samples of a step into rows for the network: whole documents side by side, no pads.

Letters: L positions of a row, N tiles of its images, n images, S side of a tile in pixels.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.merge import IGNORED
from model.processor import MagmaProcessor, Sample


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A sample that is ready for the network, and what its loss is told by; `dataset` is what it says it is of."""

    key: str
    dataset: str
    task: str
    source: str
    sample: Sample


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """A row of documents, `samples` in their order; ids have an image token for each vector of an image.

    `input_ids`, `position_ids`, `labels`, `document_ids` int64 [1, L]: positions start anew with each document, the
    first token of each has the label -100, and a document's id is its place in `samples`. `pixel_values` [N, 3, S, S],
    `image_sizes` int64 [n, 2].
    """

    input_ids: Tensor
    position_ids: Tensor
    labels: Tensor
    document_ids: Tensor
    pixel_values: Tensor
    image_sizes: Tensor
    samples: tuple[Prepared, ...]


def pack(samples: Sequence[Prepared], row_length: int) -> list[Row]:
    """Rows of at most `row_length` positions: the longest sample first, each to the fullest row that has room for it.

    A function of the samples and their order alone. ValueError where one is longer than a row.
    """
    lengths = [len(prepared.sample.input_ids) for prepared in samples]
    return [make_row([samples[number] for number in numbers]) for numbers in best_fit(lengths, row_length)]


def best_fit(lengths: Sequence[int], row_length: int) -> list[list[int]]:
    """Numbers of the lengths that go into each row."""
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # what is left in each row and the row's number, sorted
    for number in sorted(range(len(lengths)), key=lambda number: (-lengths[number], number)):
        length = lengths[number]
        if length > row_length:
            raise ValueError(f"a sample takes {length} positions, a row has {row_length}; give a longer row_length")
        place = bisect_left(room, (length, 0))
        if place == len(room):
            rows.append([])
            left, row = row_length, len(rows) - 1
        else:
            left, row = room.pop(place)
        rows[row].append(number)
        insort(room, (left - length, row))
    return rows


def make_row(samples: Sequence[Prepared]) -> Row:
    """One row of these samples, one at least, in this order."""
    documents = [prepared.sample for prepared in samples]
    lengths = torch.tensor([len(document.input_ids) for document in documents])
    starts = lengths.cumsum(0) - lengths
    # a new tensor, also of one sample: it is written to
    labels = torch.cat([_labels(document) for document in documents])
    labels[starts] = IGNORED
    document_ids = torch.arange(len(documents)).repeat_interleave(lengths)
    return Row(
        input_ids=torch.cat([document.input_ids for document in documents])[None],
        position_ids=(torch.arange(len(labels)) - starts[document_ids])[None],
        labels=labels[None],
        document_ids=document_ids[None],
        pixel_values=_joined([document.pixel_values for document in documents]),
        image_sizes=torch.cat([document.image_sizes for document in documents]),
        samples=tuple(samples),
    )


def empty_row(processor: MagmaProcessor) -> Row:
    """A row of text that trains nothing, for a rank that has fewer rows than others."""
    ids = torch.tensor([processor.ids.bos, processor.ids.eot])
    side = processor.image_processor.base_img_size
    return Row(
        input_ids=ids[None],
        position_ids=torch.arange(2)[None],
        labels=torch.full((1, 2), IGNORED),
        document_ids=torch.zeros(1, 2, dtype=torch.int64),
        pixel_values=torch.empty(0, 3, side, side),
        image_sizes=torch.empty(0, 2, dtype=torch.int64),
        samples=(),
    )


def _labels(document: Sample) -> Tensor:
    if document.labels is None:
        raise ValueError("a prompt has no labels; make samples with the processor's `supervised`")
    return document.labels


def _joined(tiles: Sequence[Tensor]) -> Tensor:
    """All tiles in order; those of one sample as they are, for a copy takes time and memory."""
    filled = [each for each in tiles if len(each)]
    return torch.cat(filled) if len(filled) > 1 else (filled or tiles)[0]
