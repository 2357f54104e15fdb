"""Packed rows: all documents, no pads, the same losses as one by one."""

import numpy as np
import pytest
import torch

from model.processor import Sample
from tests.model.small import chat, picture, small_magma, small_processor
from train.packing import Prepared, best_fit, empty_row, make_row, pack


def prepared(sample: Sample, number: int = 0) -> Prepared:
    return Prepared(key=f"key-{number}", dataset="a", task="qa", source="a b", sample=sample)


def some_samples() -> list[Prepared]:
    """With no image, with one, with several of several tiles; of several lengths."""
    processor = small_processor()
    sizes = [[(60, 60)], [], [(150, 140)], [(120, 50), (60, 60)], [], [(50, 120)], [(60, 60)]]
    samples = []
    for number, sizes_wh in enumerate(sizes):
        question = "<image>\n" * len(sizes_wh) + "Where does the red cup go? " * (1 + number % 3)
        pictures = [picture(size, seed=number) for size in sizes_wh]
        samples.append(processor.supervised(chat(question, "To the left. " * (1 + number)), pictures))
    return [prepared(sample, number) for number, sample in enumerate(samples)]


def test_losses_of_a_row_are_those_of_its_documents_one_by_one() -> None:
    network = small_magma()
    samples = some_samples()
    rows = pack(samples, 512)
    assert 1 < len(rows) < len(samples)
    for row in rows:
        packed = network(
            input_ids=row.input_ids,
            position_ids=row.position_ids,
            labels=row.labels,
            pixel_values=row.pixel_values,
            image_sizes=row.image_sizes,
            loss_reduction="none",
        ).loss
        alone = [
            network(**small_processor().batch([one.sample]), loss_reduction="none").loss.detach() for one in row.samples
        ]
        torch.testing.assert_close(packed, torch.cat(alone), rtol=0, atol=1e-5)
        supervised = row.document_ids[0, 1:][row.labels[0, 1:] != -100]
        assert torch.bincount(supervised).tolist() == [len(losses) for losses in alone]


def test_a_row_is_its_documents_side_by_side() -> None:
    samples = some_samples()[:3]
    row = make_row(samples)
    lengths = [len(one.sample.input_ids) for one in samples]
    starts = np.cumsum([0, *lengths[:-1]])
    assert row.input_ids[0].tolist() == [token for one in samples for token in one.sample.input_ids.tolist()]
    assert row.position_ids[0].tolist() == [position for length in lengths for position in range(length)]
    assert row.document_ids[0].tolist() == [number for number, length in enumerate(lengths) for _ in range(length)]
    assert row.labels[0, starts].tolist() == [-100] * 3
    torch.testing.assert_close(row.pixel_values, torch.cat([one.sample.pixel_values for one in samples]))
    assert row.image_sizes.tolist() == [size for one in samples for size in one.sample.image_sizes.tolist()]
    assert row.samples == tuple(samples)


def test_the_first_token_of_a_document_is_never_supervised_and_the_sample_stays_as_it_is() -> None:
    ids = torch.arange(4)
    bold = Sample(
        input_ids=ids, labels=ids.clone(), pixel_values=torch.empty(0, 3, 4, 4), image_sizes=torch.empty(0, 2)
    )
    assert make_row([prepared(bold), prepared(bold)]).labels.tolist() == [[-100, 1, 2, 3] * 2]
    assert make_row([prepared(bold)]).labels.tolist() == [[-100, 1, 2, 3]]
    assert bold.labels is not None and bold.labels.tolist() == [0, 1, 2, 3]


def test_the_longest_goes_first_and_each_into_the_fullest_row_with_room() -> None:
    assert best_fit([3, 7, 5, 2, 6, 1], 10) == [[1, 0], [4, 3, 5], [2]]
    assert best_fit([5, 5, 5, 5], 10) == [[0, 1], [2, 3]]
    assert best_fit([10, 10], 10) == [[0], [1]]
    assert best_fit([], 10) == []


def test_every_sample_is_in_one_row_and_no_row_is_too_long() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        lengths = rng.integers(1, 101, rng.integers(1, 200)).tolist()
        rows = best_fit(lengths, 100)
        assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
        assert all(sum(lengths[number] for number in row) <= 100 for row in rows)
        # a well-known bound on best fit decreasing
        assert len(rows) <= 11 / 9 * -(-sum(lengths) // 100) + 4
        assert rows == best_fit(lengths, 100)


def test_a_sample_longer_than_a_row_is_told() -> None:
    with pytest.raises(ValueError, match="takes 11 positions, a row has 10"):
        best_fit([3, 11], 10)


def test_an_empty_row_goes_through_the_network_and_trains_nothing() -> None:
    network = small_magma()
    row = empty_row(small_processor())
    losses = network(
        input_ids=row.input_ids,
        position_ids=row.position_ids,
        labels=row.labels,
        pixel_values=row.pixel_values,
        image_sizes=row.image_sizes,
        loss_reduction="none",
        black_image=True,
    ).loss
    assert losses.shape == (0,)
    assert row.samples == ()
