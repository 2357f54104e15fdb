"""The benchmark of the network: random weights that compute, a batch that fits, and every line of the table."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("transformers", reason="importing `model` needs pip install '.[train]'")

import torch

from bench import network
from bench.network import Work, measure, measure_work, random_batch, random_magma
from model.config import SIZES
from model.describe import describe
from model.merge import IGNORED

pytestmark = pytest.mark.slow

WORK = Work(size="magma-tiny", dtype=torch.float32, image_wh=(256, 256), text_tokens=8, batch=2, warm_up=0, repeats=1)


def test_random_weights_and_a_random_batch_give_a_loss_and_all_gradients() -> None:
    config = SIZES["magma-tiny"]()
    told = describe(config, name="x", images_wh=[WORK.image_wh], text_tokens=WORK.text_tokens)
    model = random_magma(config, "cpu", torch.float32).train()
    batch = random_batch(model, told, WORK)
    assert batch["input_ids"].shape == (2, told.sample.length)
    assert int((batch["labels"] != IGNORED).sum()) == 2 * 8
    loss = model(**batch).loss
    assert 5 < loss.item() < 10  # ln 2064 = 7.6
    loss.backward()
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained and all(model.get_parameter(name).grad is not None for name in trained)
    with torch.device("cpu"):
        fresh = type(model.language_model.model.rotary_emb)(config=config.text_config)
    assert torch.equal(model.language_model.model.rotary_emb.inv_freq, fresh.inv_freq)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_line_for_each_measure(checkpointing: bool) -> None:
    figures = list(measure_work(replace(WORK, checkpointing=checkpointing)))
    assert [figure.what.partition(": ")[2].split()[0].rstrip(",") for figure in figures] == [
        "forward",
        "MFU",
        "time",
        "peak",
    ]
    assert all(figure.value > 0 for figure in figures)
    assert all(("checkpointing" in figure.what) == checkpointing for figure in figures)


def test_quick_figures(tmp_path: Path) -> None:
    assert len(list(measure(tmp_path, quick=True))) == 4


def test_a_gpu_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fake = SimpleNamespace(
        synchronize=lambda device: calls.append("synchronize"),
        reset_peak_memory_stats=lambda device: calls.append("reset"),
        max_memory_allocated=lambda device: 7,
    )
    monkeypatch.setattr(torch, "cuda", fake)
    assert network._timed(lambda: calls.append("step"), torch.device("cuda:0"))[1] == 7
    assert calls == ["synchronize", "reset", "step", "synchronize"]
