"""Any checkpoint as a Hugging Face folder; adapters merged into it."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.checkpoint import FileSystemReader

from model import load_magma
from tests.train.small import checkpoints, losses, make_config, stop_after
from train import export as module
from train import report
from train.export import main
from train.loop import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of adapters with dropout, stopped once and gone on with."""
    folder = tmp_path_factory.mktemp("small")
    config = make_config(folder, model={"lora": {"rank": 2, "alpha": 4}}, optimiser={"lr": 1e-2})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "peak_flops", lambda device, dtype: (1e12, ""))
        train(config, str(folder / "whole"))
        with pytest.MonkeyPatch.context() as asked, pytest.raises(KeyboardInterrupt):
            stop_after(asked, 3)
            train(config, str(folder / "run"))
        train(config, str(folder / "run"))
    return folder / "run"


def export(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["export", *map(str, words)])
    return main()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.mark.slow
def test_adapters_with_dropout_go_on_exactly_and_are_all_that_is_kept_of_their_part(run: Path) -> None:
    assert losses(run) == losses(run.parent / "whole")
    assert losses(run)[-1][1] < losses(run)[0][1]
    names = FileSystemReader(run / "checkpoints" / "step-00000004").read_metadata().state_dict_metadata
    language = [name for name in names if "language_model." in name]
    assert language and all(".lora_" in name for name in language)


def test_only_what_has_an_adapter_is_changed_in_the_language_model(run: Path) -> None:
    before, after = weights(run.parent / "start"), weights(run / "export")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    language = {name for name in changed if name.startswith("language_model.")}
    assert language == {name for name in before if ".layers." in name and name.endswith("_proj.weight")}
    assert any(name.startswith("vision_tower.") for name in changed)


def test_a_checkpoint_of_any_step_is_exported(run: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    assert checkpoints(run) == ["step-00000002", "step-00000003", "step-00000004"]
    for step in (2, 4):
        assert export(monkeypatch, run, "--step", step) == 0
        assert capfd.readouterr().out == f"{run / f'export-{step}'}\n"
    same = weights(run / "export")
    assert all(torch.equal(tensor, same[name]) for name, tensor in weights(run / "export-4").items())
    assert not all(torch.equal(tensor, same[name]) for name, tensor in weights(run / "export-2").items())
    network, _ = load_magma(run / "export-4")
    assert torch.isfinite(network(input_ids=torch.arange(30)[None]).logits).all()
    assert not list(run.glob("export*/.saving-*"))


def test_without_a_step_it_is_the_newest(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert export(monkeypatch, run, "--out", tmp_path / "here") == 0
    same = weights(run / "export")
    assert all(torch.equal(tensor, same[name]) for name, tensor in weights(tmp_path / "here").items())


def test_what_cannot_be_exported_is_one_line(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    assert export(monkeypatch, run, "--step", 7) == 2
    assert capfd.readouterr().err == f"--step: {run} has no checkpoint of step 7; it has those of 2, 3, 4\n"
    assert export(monkeypatch, tmp_path) == 2
    assert "give the folder of a training" in capfd.readouterr().err
    (tmp_path / "config.json").write_bytes((run / "config.json").read_bytes())
    assert export(monkeypatch, tmp_path) == 2
    assert "no checkpoint yet" in capfd.readouterr().err
    (tmp_path / "checkpoints").symlink_to(run / "checkpoints")
    assert export(monkeypatch, tmp_path) == 2
    assert "processor/tokenizer.json is not there" in capfd.readouterr().err


def test_a_disk_without_room_is_named(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    def full(*_: object, **__: object) -> None:
        raise module.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(module, "save_magma", full)
    assert export(monkeypatch, run, "--out", tmp_path / "here") == 2
    assert capfd.readouterr().err.startswith(f"--out: {tmp_path / 'here'} can't be written: ")
