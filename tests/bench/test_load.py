"""The benchmark of loading: what it writes is a checkpoint, and every line of the table is there."""

from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="importing `model` needs pip install '.[train]'")

import torch

from bench import load
from bench.load import measure, write_random
from model import load_magma
from model.config import SIZES


def test_what_is_written_loads_from_several_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_SHARD_BYTES", 3 * 2**20)
    n_bytes = write_random("magma-tiny", tmp_path / "made")
    shards = sorted((tmp_path / "made").glob("*.safetensors"))
    assert len(shards) > 2
    assert n_bytes < sum(shard.stat().st_size for shard in shards) < 1.01 * n_bytes
    model, _ = load_magma(tmp_path / "made")
    assert 2 * sum(parameter.numel() for parameter in model.parameters()) == n_bytes
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert model.config.text_config.vocab_size == SIZES["magma-tiny"]().text_config.vocab_size


@pytest.mark.slow
def test_quick_figures_of_both_ways(tmp_path: Path) -> None:
    figures = list(measure(tmp_path, quick=True))
    assert [figure.what.partition(", by ")[2].split(":")[0] for figure in figures] == [
        *["load_magma"] * 3,
        *["from_pretrained"] * 3,
    ]
    assert all(figure.value > 0 for figure in figures[:3])
    assert [figure.what.split(": ")[1].split()[0] for figure in figures[:3]] == ["growth", "growth", "time"]


def test_too_little_memory_is_said_before_a_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_available", lambda: 10**6)
    with pytest.raises(RuntimeError, match="GB of memory are free"):
        list(measure(tmp_path, quick=True))


def test_too_little_disk_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_free_disk", lambda folder: 10**6)
    with pytest.raises(RuntimeError, match="give --scratch"):
        list(measure(tmp_path, quick=True))


@pytest.mark.slow
def test_a_load_that_fails_tells_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"has no config\.json"):
        load._watched("load_magma", tmp_path)
