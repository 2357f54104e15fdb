"""A training as a whole: stopped and resumed, with what is wrong with its data, its config and its numbers."""

import errno
import re
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import get_args

import pyarrow.parquet as pq
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file

import beam_runner
from model.checkpoint import load_magma
from schemas.errors import UserError
from schemas.sample import TurnKind
from tests.train.small import checkpoints, losses, make_config, make_data, make_start, metrics, stop_after
from train import loop, report
from train.loop import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("small")


@pytest.fixture(autouse=True)
def _no_group_is_left(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(report, "peak_flops", lambda device, dtype: (1e12, ""))  # takes seconds
    yield
    assert not dist.is_initialized()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing stopped."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "peak_flops", lambda device, dtype: (1e12, ""))
        assert train(make_config(folder), str(run)) == run / "export"
    return run


@pytest.mark.slow
def test_the_exported_model_is_what_was_trained(folder: Path, whole: Path) -> None:
    before, after = weights(folder / "start"), weights(whole / "export")
    assert [step for step, _ in losses(whole)] == [1, 2, 3, 4]
    assert losses(whole)[-1][1] < losses(whole)[0][1]
    unused = {name for name in before if torch.equal(before[name], after[name])}
    assert all(".trunk.head." in name or ".head.proj" in name for name in unused), unused
    network, processor = load_magma(whole / "export")
    for name, tensor in network.named_parameters():
        assert torch.equal(tensor, after[name]), name
    assert processor.max_length == 512


@pytest.mark.parametrize("stop", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_training_that_is_stopped_and_goes_on_is_the_one_that_was_not(
    folder: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int, capfd
) -> None:
    config = make_config(folder)
    with monkeypatch.context() as patch:
        stop_after(patch, stop)
        with pytest.raises(KeyboardInterrupt):
            train(config, str(tmp_path))
    assert f"step-{stop:08d}" in checkpoints(tmp_path)
    assert not (tmp_path / "export").exists()
    tokenizer = tmp_path / "processor" / "tokenizer.json"
    written_ns = tokenizer.stat().st_mtime_ns
    train(config, str(tmp_path))
    assert f"goes on after step {stop}: 4 steps of 4 samples" in capfd.readouterr().err
    assert losses(tmp_path) == losses(whole)
    assert tokenizer.stat().st_mtime_ns == written_ns  # what is needed to go on is not written over
    for name, tensor in weights(tmp_path / "export").items():
        assert torch.equal(tensor, weights(whole / "export")[name]), name


def test_a_training_that_is_done_is_only_exported_again(folder: Path, whole: Path) -> None:
    said = losses(whole)
    (whole / "export" / "model.safetensors").unlink()
    train(make_config(folder), str(whole))
    assert losses(whole) == said
    assert (whole / "export" / "model.safetensors").exists()


def test_a_config_that_does_not_fit_the_training_names_what_changed_and_harms_nothing(
    folder: Path, whole: Path
) -> None:
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    with pytest.raises(UserError) as told:
        train(make_config(folder, batch=3, optimiser={"lr": 2e-3}), str(whole))
    first, *lines = str(told.value).splitlines()
    assert "another config" in first and "--out" in first
    assert lines == ["batch: 4 -> 3", "optimiser.lr: 0.001 -> 0.002"]
    assert {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()} == before


def test_other_data_in_the_same_place_are_refused(folder: Path, tmp_path: Path) -> None:
    run, dataset = tmp_path / "run", tmp_path / "data"
    config = make_config(folder, steps=1)
    shutil.copytree(folder / "data", dataset)
    mixture = [config.data.mixture[0].model_copy(update={"path": str(dataset)})]
    moved = config.model_copy(update={"data": config.data.model_copy(update={"mixture": mixture})})
    train(moved, str(run))
    index = pq.read_table(dataset / "index.parquet")
    pq.write_table(index.take(list(reversed(range(len(index))))), dataset / "index.parquet")
    before = checkpoints(run)
    with pytest.raises(UserError, match=r"data.mixture: the datasets hold other samples, or in another order"):
        train(moved, str(run))
    assert checkpoints(run) == before and (run / "export" / "config.json").exists()


@pytest.mark.slow
def test_what_says_how_a_training_runs_may_change(
    folder: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            train(make_config(folder), str(tmp_path))
    train(make_config(folder, run={"save_every": 3, "log_every": 2, "keep": 1}), str(tmp_path))
    assert checkpoints(tmp_path) == ["step-00000004"]
    assert [step for step, _ in losses(tmp_path)] == [1, 2, 4]
    assert losses(tmp_path)[-1][1] == pytest.approx(_mean(whole, (3, 4)), rel=1e-6)


def _mean(run: Path, steps: tuple[int, ...]) -> float:
    """Of the losses of some steps, by their tokens."""
    rows = [row for file in (run / "losses").iterdir() for row in pq.read_table(file).to_pylist()]
    chosen = [row for row in rows if row["step"] + 1 in steps]
    return sum(row["loss"] * row["tokens"] for row in chosen) / sum(row["tokens"] for row in chosen)


@pytest.mark.slow
def test_a_mistake_before_the_first_step_does_not_hold_the_folder(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.start"):
        train(make_config(folder, model={"start": str(tmp_path / "nowhere")}), str(tmp_path / "run"))
    with pytest.raises(UserError, match=r"data\.mixture"):
        train(make_config(folder, data={"mixture": [{"path": str(tmp_path / "nothing")}]}), str(tmp_path / "run"))
    assert not (tmp_path / "run" / "config.json").exists()
    train(make_config(folder, steps=1), str(tmp_path / "run"))


def test_a_start_without_some_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    start = Path(make_start(tmp_path / "start"))
    kept = weights(start)
    lost = next(name for name in kept if name.endswith("mlp.up_proj.weight"))
    del kept[lost]
    save_file(kept, start / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=rf"model\.start.*1 missing: {lost}"):
        train(make_config(folder, model={"start": str(start)}), str(tmp_path / "run"))


def test_a_weight_that_is_no_number_stops_at_the_first_step(folder: Path, tmp_path: Path) -> None:
    start = Path(make_start(tmp_path / "start"))
    planted = weights(start)
    planted["language_model.model.layers.0.mlp.up_proj.weight"][0, 0] = float("nan")
    save_file(planted, start / "model.safetensors", metadata={"format": "pt"})
    config = make_config(folder, model={"start": str(start)})
    with pytest.raises(UserError, match=r"step 1: .* no number .*; samples [\w-]+(, [\w-]+){3}\. .*optimiser\.lr"):
        train(config, str(tmp_path / "run"))
    assert checkpoints(tmp_path / "run") == []


@pytest.mark.slow
def test_a_training_whose_loss_explodes_keeps_its_last_good_checkpoint(
    folder: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = loop._losses
    calls = 0

    def exploding(*given):
        nonlocal calls
        calls += 1
        return real(*given) * (float("inf") if calls > 3 else 1)

    config = make_config(folder)  # a row a step
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_losses", exploding)
        with pytest.raises(UserError, match="step 4: "):
            train(config, str(tmp_path))
    assert checkpoints(tmp_path) == ["step-00000002"]
    train(config, str(tmp_path))
    assert losses(tmp_path) == losses(whole)


def test_bad_samples_are_counted_and_skipped(folder: Path, tmp_path: Path, capfd) -> None:
    dataset = make_data(tmp_path / "data")
    damaged = sorted((tmp_path / "data" / "shards").glob("train-*.tar"))[0]
    damaged.write_bytes(b"\x01" * damaged.stat().st_size)
    config = make_config(folder, steps=3, data={"mixture": [{"path": dataset}]})
    run = tmp_path / "run"
    train(config, str(run))  # twelve samples say nothing of a share yet
    assert sum(line["bad"] for line in metrics(run)) == 4
    assert "1 bad" in capfd.readouterr().err or any(line["bad"] > 1 for line in metrics(run))


def test_too_many_bad_samples_stop_the_training_with_their_reasons(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_data(tmp_path / "data")
    for damaged in (tmp_path / "data" / "shards").glob("train-*.tar"):
        damaged.write_bytes(b"\x01" * damaged.stat().st_size)
    monkeypatch.setattr(loop, "check_bad", partial(loop.check_bad, enough=8))
    config = make_config(folder, data={"mixture": [{"path": dataset}]})
    with pytest.raises(UserError, match=r"data\.max_bad_share: 8 of 8 .*\(unreadable 8\)"):
        train(config, str(tmp_path / "run"))


@pytest.mark.parametrize("out", ["gs://bucket/run", "s3://bucket/run"])
def test_a_url_is_no_place_for_a_training(folder: Path, out: str) -> None:
    with pytest.raises(UserError, match=f"--out: {out} is no local folder"):
        train(make_config(folder), out)


def test_a_file_is_no_place_for_a_training(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--out: .*file is a file; choose a folder"):
        train(make_config(folder), str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("job.json", "{}", "holds other things .job.json.; choose a new folder"),
        ("config.json", '{"model_type": "magma"}', "is not that of a training; choose a new folder"),
    ],
)
def test_a_folder_of_something_else_is_no_place_for_a_training(
    folder: Path, tmp_path: Path, name: str, content: str, told: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=told):
        train(make_config(folder), str(tmp_path))
    assert not (tmp_path / "processor").exists()


@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        ({}, r"data.max_bad_share: 8 of 8 samples are bad.*too_long 8"),
        ({"drop_turns": dict.fromkeys(get_args(TurnKind), 1)}, "data.mixture: no sample had anything to learn from"),
    ],
)
def test_a_training_on_nothing_does_not_end_well(folder: Path, tmp_path: Path, dataset: dict, told: str) -> None:
    mixture = [{"path": str(folder / "data"), **dataset}]
    length = {} if dataset else {"max_length": 16}
    with pytest.raises(UserError, match=told):
        train(make_config(folder, steps=2, data={"mixture": mixture, **length}), str(tmp_path / "run"))
    assert not (tmp_path / "run" / "export").exists()
    assert checkpoints(tmp_path / "run") == []


def test_two_trainings_in_one_folder_are_refused(folder: Path, whole: Path) -> None:
    import fcntl

    with (whole / ".lock").open("r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"--out: .* in use by another training"):
            train(make_config(folder), str(whole))


def test_a_disk_without_locks_is_told_and_used(
    folder: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    train(make_config(folder), str(whole))
    assert "can't be locked (Function not implemented)" in capfd.readouterr().err


def test_frozen_parts_stay_as_they_are_and_are_not_in_the_checkpoints(
    folder: Path, whole: Path, tmp_path: Path
) -> None:
    frozen = make_config(folder, steps=2, model={"language": {"frozen": True}, "vision": {"frozen": True}})
    train(frozen, str(tmp_path))
    before, after = weights(folder / "start"), weights(tmp_path / "export")
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"multi_modal_projector"}
    sizes = [
        sum(file.stat().st_size for file in (run / "checkpoints" / "step-00000002").iterdir())
        for run in (tmp_path, whole)
    ]
    assert sizes[0] < 0.3 * sizes[1]


def test_all_frozen_is_refused(folder: Path, tmp_path: Path) -> None:
    parts = {part: {"frozen": True} for part in ("vision", "projector", "language")}
    with pytest.raises(UserError, match="nothing would be trained"):
        train(make_config(folder, model=parts), str(tmp_path))


@pytest.mark.parametrize(
    "model", [{"checkpointing": True}, pytest.param({"attention": "eager"}, marks=pytest.mark.slow)]
)
def test_how_it_is_computed_does_not_change_the_losses(folder: Path, whole: Path, tmp_path: Path, model: dict) -> None:
    config = make_config(folder, model=model, run={"sample_losses": False, "save_every": 100})
    train(config, str(tmp_path))
    assert [loss for _, loss in losses(tmp_path)] == pytest.approx([loss for _, loss in losses(whole)], abs=1e-5)
    assert not (tmp_path / "losses").exists()


@pytest.mark.slow
def test_bfloat16_learns_as_well(folder: Path, whole: Path, tmp_path: Path) -> None:
    model = {"compute": "bfloat16", "weights": "bfloat16"}
    train(make_config(folder, model=model, optimiser={"state": "bfloat16"}), str(tmp_path))
    assert [loss for _, loss in losses(tmp_path)] == pytest.approx([loss for _, loss in losses(whole)], rel=0.02)
    assert {tensor.dtype for tensor in weights(tmp_path / "export").values()} == {torch.bfloat16}


@contextmanager
def full_after(monkeypatch: pytest.MonkeyPatch, size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes once the steps begin, as if the disk were full then."""
    before, real = resource.getrlimit(resource.RLIMIT_FSIZE), loop._steps

    def limited(*given: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_steps", limited)
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("size", "what"), [(200_000, "step-00000004"), pytest.param(1500, "metrics.jsonl", marks=pytest.mark.slow)]
)
def test_a_full_disk_is_one_line_and_harms_nothing_that_is_saved(
    folder: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, what: str
) -> None:
    config = make_config(folder)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, 2)
        train(config, str(tmp_path))
    with full_after(monkeypatch, size), pytest.raises(UserError) as told:
        train(config, str(tmp_path))
    assert re.fullmatch(rf"--out: \S*{what}\S* can't be written: (rank 0: )?File too large; .*", str(told.value))
    assert checkpoints(tmp_path) == ["step-00000002"]
    train(config, str(tmp_path))
    assert losses(tmp_path) == losses(whole)


def test_an_export_without_room_is_one_line(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = loop._exported

    def limited(*given: object) -> object:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        try:
            return real(*given)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    monkeypatch.setattr(loop, "_exported", limited)
    with pytest.raises(UserError, match=r"--out: .*export can't be written: .*"):
        train(make_config(folder, steps=1), str(tmp_path))
    assert checkpoints(tmp_path) == ["step-00000001"]
    assert not (tmp_path / "export").exists()


def test_the_losses_of_samples_are_what_preview_sorts_by(folder: Path, whole: Path, tmp_path: Path, capfd) -> None:
    rows = [row for file in (whole / "losses").iterdir() for row in pq.read_table(file).to_pylist()]
    assert len(rows) == 16
    assert len({(row["key"], row["step"]) for row in rows}) == 16
    for line in metrics(whole):
        step = [row for row in rows if row["step"] == line["step"] - 1]
        assert len(step) == 4
        assert sum(row["loss"] * row["tokens"] for row in step) / sum(row["tokens"] for row in step) == pytest.approx(
            line["loss"], rel=1e-6
        )
    sheet = tmp_path / "sheet.png"
    words = ["preview", str(folder / "data"), "--sort", "loss", "--join", str(whole / "losses"), "--png", str(sheet)]
    assert beam_runner.main([*words, "--sample", "4"]) == 0, capfd.readouterr().err
    assert sheet.stat().st_size > 1000
