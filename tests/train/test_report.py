"""What a training tells of its steps, and where."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import UserError
from tests.train.data import config
from train import report as module
from train.ranks import joined
from train.report import Report, StepFigures
from train.speed import StepCost

COST = StepCost(tile=100.0, position=10.0, pair=1.0, supervised=5.0)
PEAK = 1e6


@pytest.fixture(autouse=True)
def _known_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "peak_flops", lambda device, dtype: (PEAK, ""))


def figures(step: int, **fields: Any) -> StepFigures:
    given: dict[str, Any] = {
        "step": step,
        "losses": {("a", "som"): (6.0, 3)},
        "sources": ["one", "two"],
        "rows": 2,
        "positions": 1024,
        "pairs": 4000,
        "tiles": 4,
        "bad": 0,
        "passed_over": 0,
        "waited_s": 0.5,
        "seconds": 2.0,
        "rate": 1e-3,
        "norm": 1.25,
    }
    return StepFigures(**given | fields)


def tell(run: Path, *told: StepFigures, begin: int = 0, steps: int = 100, **fields: Any) -> None:
    run.mkdir(exist_ok=True)
    made = config("data", batch=4, run={"log_every": 1, **fields})
    with joined("cpu") as ranks, Report(run=run, config=made, ranks=ranks, cost=COST, steps=steps) as report:
        report.begin(begin)
        for one in told:
            report.add(one)


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_figures_of_some_steps_become_one_line(tmp_path: Path, capfd) -> None:
    second = figures(
        1,
        losses={("a", "som"): (2.0, 1), ("b", "tom"): (9.0, 4), ("b", "som"): (0.0, 0)},
        sources=["two", "three", "three"],
        rows=1,
        positions=512,
        waited_s=0.0,
        seconds=1.0,
        rate=2e-3,
        bad=1,
        passed_over=2,
    )
    tell(tmp_path, figures(0), second, log_every=2)
    (told,) = metrics(tmp_path)
    memory = told.pop("memory_gb")
    assert 0.01 < memory < 100
    work = 100 * 8 + 10 * 1536 + 8000 + 5 * 8
    assert told == pytest.approx(
        {
            "step": 2,
            "loss": 17 / 8,
            "loss/dataset/a": 2.0,
            "loss/dataset/b": 2.25,
            "loss/task/som": 2.0,
            "loss/task/tom": 2.25,
            "learning_rate": 2e-3,
            "gradient_norm": 1.25,
            "tokens_per_s": 512.0,
            "samples_per_s": 5 / 3,
            "mfu": work / 3 / PEAK,
            "data_wait": 0.5 / 3,
            "packing": 1536 / (3 * 1024),
            "sources": 2,
            "bad": 1,
            "passed_over": 2,
            "seconds": 3.0,
        }
    )
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("step 2/100, loss 2.1250, som 2.0000, tom 2.2500, lr 2.0e-03, norm 1.25, 512 tokens/s, ")
    assert line.endswith("data wait 16.7%, packed 0.50, 2 sources in 4, 1 bad, 2 passed over")


def test_the_last_step_is_told_whatever_its_number(tmp_path: Path) -> None:
    tell(tmp_path, *(figures(step) for step in range(5)), steps=5, log_every=3)
    assert [line["step"] for line in metrics(tmp_path)] == [3, 5]


def test_a_step_without_a_sample_is_told_too(tmp_path: Path) -> None:
    tell(tmp_path, figures(0, losses={}, sources=[], rows=0, positions=0, pairs=0, tiles=0, bad=4))
    (told,) = metrics(tmp_path)
    assert (told["loss"], told["packing"], told["sources"], told["bad"]) == (0.0, 0.0, 0, 4)


def test_a_run_that_goes_on_takes_back_what_was_told_after_its_checkpoint(tmp_path: Path) -> None:
    tell(tmp_path, *(figures(step) for step in range(5)))
    tell(tmp_path, *(figures(step, norm=9.0) for step in (3, 4, 5)), begin=3)
    assert [(line["step"], line["gradient_norm"]) for line in metrics(tmp_path)] == [
        *((step, 1.25) for step in (1, 2, 3)),
        *((step, 9.0) for step in (4, 5, 6)),
    ]


@pytest.mark.parametrize(
    "damage",
    ['{"step": 3, "lo', '{"step": 3, "lo{"step": 3, "loss": 1.0}', "", "[3]", "3", '{"loss": 1.0}', "\0\0\0", "\udcff"],
)
def test_damaged_lines_are_left_out(tmp_path: Path, damage: str) -> None:
    tell(tmp_path, figures(0), figures(1))
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(damage.encode("utf-8", "surrogateescape") + b"\n")
    tell(tmp_path, figures(2), begin=2)
    assert [line["step"] for line in metrics(tmp_path)] == [1, 2, 3]


def test_figures_that_cannot_be_written_are_a_mistake_with_a_cure(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(UserError, match=r"--out: .*metrics\.jsonl can't be written"):
        tell(tmp_path, figures(0))


def test_tensorboard_has_each_step_once(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tell(tmp_path, *(figures(step) for step in range(4)), loggers=["tensorboard"])
    tell(tmp_path, *(figures(step, norm=9.0) for step in (2, 3)), begin=2, loggers=["tensorboard"])
    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert [(one.step, one.value) for one in read.Scalars("gradient_norm")] == [(1, 1.25), (2, 1.25), (3, 9), (4, 9)]
    assert read.Scalars("loss/task/som")[0].value == 2.0


def test_a_logger_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"run\.loggers: wandb is not installed; run: pip install wandb"):
        tell(tmp_path, loggers=["wandb"])


class FakeWandB:
    """wandb at its boundary."""

    class Error(Exception):
        pass

    def __init__(self, fails: bool = False) -> None:
        self.fails, self.begun, self.logged, self.finished = fails, [], [], 0

    def init(self, **options: Any) -> "FakeWandB":
        if self.fails:
            raise self.Error("no key")
        self.begun.append(options)
        return self

    def log(self, metrics: dict[str, float], step: int) -> None:
        self.logged.append((step, metrics["loss"]))

    def finish(self) -> None:
        self.finished += 1


def test_wandb_goes_on_in_the_same_place_and_other_folders_of_the_name_have_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeWandB()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: name)
    (tmp_path / "other").mkdir()
    for run, begin in ((tmp_path / "run", 0), (tmp_path / "run", 1), (tmp_path / "other" / "run", 0)):
        tell(run, figures(begin), begin=begin, loggers=["wandb"])
    ids = [begun["id"] for begun in fake.begun]
    assert ids[0] == ids[1] != ids[2]
    assert {begun["resume"] for begun in fake.begun} == {"allow"}
    assert {begun["name"] for begun in fake.begun} == {"run"}
    assert fake.logged == [(1, 2.0), (2, 2.0), (1, 2.0)]
    assert fake.finished == 3


def test_wandb_without_a_key_is_a_mistake_with_a_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", FakeWandB(fails=True))
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: name)
    with pytest.raises(UserError, match=r"run\.loggers: wandb can't begin \(no key\).*WANDB_MODE=offline"):
        tell(tmp_path, loggers=["wandb"])


@pytest.mark.slow
def test_wandb_itself_takes_the_figures_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    tell(tmp_path, figures(0), loggers=["wandb"])
    tell(tmp_path, figures(1), begin=1, loggers=["wandb"])
    assert len(list(tmp_path.glob("wandb/offline-run-*/*.wandb"))) == 2
