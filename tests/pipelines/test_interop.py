"""What others see: `datasets`, whole and streaming, and plain `webdataset` read all samples with all their columns."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests import fixtures
from transforms.encoding import decode_sample

datasets = pytest.importorskip("datasets")


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    """`datasets.load_dataset` without network, with its caches in a folder of the test."""
    cache = str(tmp_path_factory.mktemp("hf"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
        patch.setitem(os.environ, "HF_HOME", cache)
        datasets.disable_progress_bars()
        yield lambda out, **options: datasets.load_dataset(out, cache_dir=cache, **options)


def check_row(row, finished):
    """Everything that was written is in the row, and nothing else."""
    sample = finished.sample
    assert row["__key__"] == sample.key
    assert row["json"] == sample.model_dump()
    for member in (name for name in row if name.endswith("jpg")):
        if member in finished.images:
            height, width = finished.images[member].shape[:2]
            assert row[member].size == (width, height)
        else:
            assert row[member] is None
    if "npz" not in row or row["npz"] is None:
        assert not finished.arrays
        return
    for name, array in row["npz"].items():
        if name not in finished.arrays:
            assert array is None
            continue
        stored = finished.arrays[name]
        np.testing.assert_array_equal(np.asarray(array, stored.dtype).reshape(stored.shape), stored)
    assert finished.arrays.keys() <= row["npz"].keys()


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    samples = fixtures.mixed()
    return fixtures.make_dataset(tmp_path_factory.mktemp("mixed"), samples), samples


def in_split(samples, split):
    return [finished for finished in samples if finished.sample.split == split]


@pytest.mark.parametrize("streaming", [False, True])
def test_datasets_reads_a_mixed_dataset(load, mixed, streaming):
    out, samples = mixed
    loaded = load(out, streaming=streaming)
    assert sorted(loaded) == ["train", "val"]
    for split in loaded:
        rows, want = list(loaded[split]), in_split(samples, split)
        assert len(rows) == len(want) > 0
        for row, finished in zip(rows, want, strict=True):
            check_row(row, finished)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("make", [*fixtures.MAKERS, lambda number: fixtures.ui(number, regions=0)])
def test_datasets_reads_a_dataset_of_one_kind(load, tmp_path, make, streaming):
    samples = [make(number) for number in range(3)]
    loaded = load(fixtures.make_dataset(tmp_path, samples), streaming=streaming)
    assert list(loaded) == ["train"]
    for row, finished in zip(list(loaded["train"]), samples, strict=True):
        check_row(row, finished)


@pytest.mark.parametrize(
    "order",
    [
        (fixtures.ui, fixtures.video_tom),
        (fixtures.video_tom, fixtures.ui),
        (fixtures.text_only, fixtures.ui, fixtures.robot, fixtures.chat),
        (lambda number: fixtures.ui(number, regions=0), fixtures.video_som, fixtures.ui),
    ],
)
def test_which_arrays_come_first_does_not_matter(load, tmp_path, order):
    """`datasets` converts a batch's arrays by what its first sample needs."""
    samples = [make(5 * number) for number, make in enumerate(order)]
    loaded = load(fixtures.make_dataset(tmp_path, samples))
    for row, finished in zip(list(loaded["train"]), samples, strict=True):
        check_row(row, finished)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_whole_batch_without_arrays_and_images(load, tmp_path, streaming):
    """`datasets` writes 100 rows at once and types each lot by what it holds."""
    numbers = [number for number in range(160) if fixtures.split_of(number) == "train"]
    samples = [fixtures.text_only(number) for number in numbers[:105]]
    samples += [fixtures.video_tom(numbers[105]), fixtures.ui(numbers[106])]
    loaded = load(fixtures.make_dataset(tmp_path, samples, per_shard=1000), streaming=streaming)
    for row, finished in zip(list(loaded["train"]), samples, strict=True):
        check_row(row, finished)


def test_webdataset_reads_the_shards(mixed):
    webdataset = pytest.importorskip("webdataset")
    out, samples = mixed
    tars = [str(path) for path in sorted(Path(out).glob("shards/*.tar"))]
    rows = list(webdataset.WebDataset(tars, shardshuffle=False).decode("rgb8"))
    want = in_split(samples, "train") + in_split(samples, "val")
    for row, finished in zip(rows, want, strict=True):
        assert row["__key__"] == finished.sample.key
        assert row["json"] == finished.sample.model_dump()
        assert {name: row[name].shape for name in row if name.endswith("jpg")} == {
            name: image.shape for name, image in finished.images.items()
        }
        assert ("npz" in row) == bool(finished.arrays)
        for name, array in finished.arrays.items():
            np.testing.assert_array_equal(row["npz"][name], array)


def test_raw_members_of_webdataset_are_the_annotation(mixed):
    webdataset = pytest.importorskip("webdataset")
    out, samples = mixed
    row = next(iter(webdataset.WebDataset([f"{out}/shards/train-000001.tar"], shardshuffle=False)))
    assert decode_sample(row["json"]) == samples[0].sample
