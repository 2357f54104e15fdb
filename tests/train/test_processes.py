"""Trainings in processes of their own: killed, signalled, on two ranks of which one may die or have nothing to read."""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.training import TrainConfig
from tests.train.small import (
    checkpoints,
    ended,
    free_port,
    launch,
    losses,
    make_config,
    make_data,
    metrics,
    stop_after,
    write_config,
)
from train import report
from train.checkpoints import latest
from train.loop import train

pytestmark = pytest.mark.slow
ENDLESS = 100_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("small")


@pytest.fixture(autouse=True)
def _known_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "peak_flops", lambda device, dtype: (1e12, ""))


def on_two_ranks(folder: Path, config: TrainConfig, run: Path) -> list[subprocess.Popen[str]]:
    file, port = write_config(folder, config), free_port()
    return [launch(file, run, rank=rank, port=port) for rank in range(2)]


def until(done: Callable[[], bool], *processes: subprocess.Popen[str], timeout_s: float = 240) -> None:
    start = time.monotonic()
    while not done():
        for process in processes:
            assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() - start < timeout_s
        time.sleep(0.02)


def has_told(run: Path, steps: int) -> Callable[[], bool]:
    return lambda: (run / "metrics.jsonl").exists() and len((run / "metrics.jsonl").read_bytes().splitlines()) >= steps


def curve(run: Path) -> list[float]:
    found = losses(run)
    assert [step for step, _ in found] == list(range(1, len(found) + 1))
    return [loss for _, loss in found]


@pytest.mark.parametrize("at", [4, 8])
def test_a_killed_training_with_workers_goes_on_as_one_without_that_nothing_killed(
    folder: Path, tmp_path: Path, at: int
) -> None:
    config = make_config(folder, steps=10, run={"save_every": 3, "workers": 2, "prefetch": 2})
    process = launch(write_config(tmp_path, config), tmp_path / "run")
    until(has_told(tmp_path / "run", at), process)
    process.kill()
    process.communicate()
    train(config, str(tmp_path / "run"))
    train(make_config(folder, steps=10), str(tmp_path / "whole"))
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    assert not [name for name in checkpoints(tmp_path / "run") if name.startswith(".")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_with_a_checkpoint_and_exit_code_130(folder: Path, tmp_path: Path, number: int) -> None:
    config = make_config(folder, steps=ENDLESS, run={"save_every": ENDLESS, "workers": 1})
    process = launch(write_config(tmp_path, config), tmp_path / "run")
    until(has_told(tmp_path / "run", 2), process)
    process.send_signal(number)
    ((code, said),) = ended(process)
    assert code == 130
    assert checkpoints(tmp_path / "run") == [f"step-{len(metrics(tmp_path / 'run')):08d}"]
    first, *others = [line for line in said.splitlines() if line and not line.startswith("step ")]
    assert first.startswith("begins: ")
    assert others == [  # and nothing of the libraries
        "stopping after this step, with a checkpoint; Ctrl-C again stops at once",
        "stopped; the same command goes on from here",
    ]


def test_two_ranks_learn_as_one_and_each_goes_on_from_the_other(folder: Path, tmp_path: Path) -> None:
    config = make_config(folder, steps=50, optimiser={"lr": 3e-4}, run={"save_every": 25})
    alone, two = tmp_path / "alone", tmp_path / "two"
    train(config, str(alone))
    assert [code for code, _ in ended(*on_two_ranks(tmp_path, config, two))] == [0, 0]
    want = curve(alone)
    assert want[-1] < want[0] - 1
    assert curve(two) == pytest.approx(want, abs=1e-4)
    for run in (alone, two):
        shutil.rmtree(run / "checkpoints" / "step-00000050")
    train(config, str(two))
    codes = ended(*on_two_ranks(tmp_path, config, alone))
    assert [code for code, _ in codes] == [0, 0], codes
    assert "goes on after step 25: 50 steps" in codes[0][1] and codes[1][1] == ""
    assert curve(two) == pytest.approx(want, abs=1e-4)
    assert curve(alone) == pytest.approx(want, abs=1e-4)
    assert len(list((two / "losses").iterdir())) == 3  # of two ranks until step 25, then of one


@pytest.mark.parametrize("killed", [0, 1])
def test_a_rank_that_dies_ends_the_other_with_a_line(
    folder: Path, tmp_path: Path, killed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(folder, steps=ENDLESS, run={"save_every": 3})
    ranks = on_two_ranks(tmp_path, config, tmp_path / "run")
    until(lambda: latest(tmp_path / "run") is not None, *ranks)
    ranks[killed].kill()
    start = time.monotonic()
    code, said = ended(*ranks, timeout_s=60)[1 - killed]
    assert time.monotonic() - start < 60
    assert code == 2
    assert said.splitlines()[-1].startswith("another rank has ended: ") and "Traceback" not in said
    last = latest(tmp_path / "run")
    assert last is not None and last >= 3
    stop_after(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        train(config, str(tmp_path / "run"))
    assert losses(tmp_path / "run")[-1][0] == last + 1


def test_a_mistake_of_one_rank_ends_the_other_too(folder: Path, tmp_path: Path) -> None:
    config = make_config(folder, run={"loggers": ["tensorboard"]})
    run = tmp_path / "run"
    run.mkdir()
    (run / "tensorboard").write_text("")  # in the way, of the first rank alone
    (code, said), (other_code, other_said) = ended(*on_two_ranks(tmp_path, config, run), timeout_s=120)
    assert (code, other_code) == (2, 2)
    assert "tensorboard" in said.splitlines()[-1] and "Traceback" not in said
    assert other_said.startswith("another rank has ended")


def test_a_rank_without_a_sample_does_not_hold_up_the_other(folder: Path, tmp_path: Path) -> None:
    dataset = make_data(tmp_path / "data")
    damaged = sorted((tmp_path / "data" / "shards").glob("train-*.tar"))[:2]
    for tar in damaged:
        tar.write_bytes(b"\x01" * tar.stat().st_size)
    config = make_config(folder, batch=2, steps=6, data={"mixture": [{"path": dataset}]})
    ranks = ended(*on_two_ranks(tmp_path, config, tmp_path / "two"))
    assert [code for code, _ in ranks] == [0, 0], ranks
    train(config, str(tmp_path / "alone"))
    bad = [line["bad"] for line in metrics(tmp_path / "alone")]
    assert 1 in bad and 2 in bad  # one rank has nothing, both have nothing
    assert [line["bad"] for line in metrics(tmp_path / "two")] == bad
    assert curve(tmp_path / "two") == pytest.approx(curve(tmp_path / "alone"), abs=1e-4)


def test_loss_is_no_number_on_one_rank_and_both_say_why(folder: Path, tmp_path: Path) -> None:
    """The rates explode; the gradient is one number for all ranks."""
    config = make_config(folder, steps=ENDLESS, optimiser={"lr": 1e30, "warmup": 0})
    ranks = ended(*on_two_ranks(tmp_path, config, tmp_path / "run"))
    assert [code for code, _ in ranks] == [2, 2]
    assert all("the gradient is no number any more" in said.splitlines()[-1] for _, said in ranks), ranks
    assert ranks[1][1].startswith("rank 1: ")


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_learns_the_same(folder: Path, tmp_path: Path) -> None:
    for name, compiled in (("plain", False), ("compiled", True)):
        train(make_config(folder, steps=3, model={"compile": compiled}), str(tmp_path / name))
    assert curve(tmp_path / "compiled") == pytest.approx(curve(tmp_path / "plain"), abs=1e-4)
