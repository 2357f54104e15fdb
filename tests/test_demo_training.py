"""What `make demo-train` tells and draws, without its minutes of training; that the clips make enough samples."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.generated import BINS, SIDE, built_in_templates, made_sample, make_scene
from bench.trace_sheet import last_question, trace_sheet, ways_of
from demo.train_tiny import draw_losses, exact_share, read_losses, spread_out
from pipelines.config import load_config
from pipelines.job import run
from pipelines.store import join
from tests.jobs import ROOT
from train.evaluate import Item, Scores, read_items
from train.scores import Score


def item(number: int, arm: str = "with") -> Item:
    made = made_sample(make_scene(number), "with" if arm == "with" else "without", "val", built_in_templates())
    turns = [turn for turn in made.sample.turns if turn.kind != "som"]
    return Item(sample=made.sample.model_copy(update={"turns": turns}), images=made.images)


def score(kind: str, measure: str, value: float, n: int) -> Score:
    return Score(kind=kind, measure=measure, value=value, low=value, high=value, n=n, baseline=float("nan"))


def test_exact_answers_count_alike_whatever_they_are_about() -> None:
    scores = (score("semantic", "exact", 1.0, 30), score("tom", "exact", 0.5, 10), score("tom", "ade", 9.0, 10))
    assert exact_share(Scores(n_samples=30, n_answers=40, n_actions=0, scores=scores)) == pytest.approx(35 / 40)


def test_samples_to_draw_are_spread_over_those_with_traces() -> None:
    items = [item(number, "with" if number % 2 else "without") for number in range(12)]
    assert spread_out(items, 3) == [items[1], items[5], items[9]]
    assert spread_out(items, 99) == items[1::2]


def test_the_loss_curve_is_that_of_the_metrics(tmp_path: Path) -> None:
    lines = [{"step": step, "loss": 1 / step, "bad": 0} for step in (10, 20)]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert read_losses(tmp_path) == [(10, 0.1), (20, 0.05)]
    draw_losses(read_losses(tmp_path), tmp_path / "loss.png")
    assert Image.open(tmp_path / "loss.png").size == (660, 352)


def test_the_last_question_is_asked_without_its_answer() -> None:
    asked = item(3)
    chat = last_question(asked)
    assert [message["content"] for message in chat.messages] == [turn.content for turn in asked.sample.turns[:-1]]
    assert len(chat.images) == 1


def test_told_ways_are_drawn_beside_the_true_ones_in_the_same_colours() -> None:
    asked = item(3)
    right = ways_of(asked, asked.sample.turns[-1].content, BINS)
    assert right.told.keys() == right.true.keys() == {trace.mark for trace in asked.sample.traces}
    for trace in asked.sample.traces:
        assert np.abs(right.told[trace.mark] - trace.xy).max() <= SIDE / BINS
    nothing = ways_of(asked, "I see nothing.", BINS)
    assert not nothing.told
    sheet = np.asarray(trace_sheet([right, nothing], columns=1, width=SIDE))
    caption, left, gap, step = 20, 8, 2, SIDE + 8
    told, true, bare, truth = (
        sheet[top : top + SIDE, x : x + SIDE] for top in (caption, caption + step) for x in (left, left + SIDE + gap)
    )
    assert (told == true).all() and (true == truth).all()
    assert (bare == asked.images["jpg"]).all()
    assert (told != bare).any()


@pytest.mark.slow
def test_the_demos_clips_make_enough_samples_that_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    out = str(tmp_path / "out")
    run(load_config("demo/train.yaml", []), out)
    items = list(read_items(join(out), split="train", tasks=[], sample=0, seed=0))
    assert len(items) >= 64
    chats = {(one.images["jpg"].tobytes(), one.sample.turns[-1].content) for one in items}
    assert len(chats) == len(items)
    assert max(len(one.sample.turns[-1].content) for one in items) < 500
