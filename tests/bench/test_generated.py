"""Generated scenes: their pictures tell the answers, a number always makes the same scene, lint has nothing to say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.generated import (
    ARMS,
    BINS,
    SIDE,
    STEPS,
    Arm,
    built_in_templates,
    draw_scene,
    made_sample,
    make_scene,
)
from bench.generated import write_dataset as write
from model.answers import parse_mark, parse_point, parse_traces
from pipelines.inspect.lint import lint
from train.evaluate import read_bins, read_items
from transforms.prompts import parse_som_answer
from transforms.traces import to_bins


@pytest.mark.parametrize("number", range(40))
def test_a_scene_names_every_thing_once_and_keeps_ways_in_the_picture(number: int) -> None:
    scene = make_scene(number)
    assert 1 <= len(scene.things) <= 5
    assert len({thing.colour for thing in scene.things}) == len(scene.things)
    ids = {thing.mark for thing in scene.things}
    assert len(ids) == len(scene.things) and ids <= set(range(1, 10))
    assert [thing.moves for thing in scene.things] == [True] + [False] * (len(scene.things) - 1)
    ways_NK2 = np.array([thing.way_K2() for thing in scene.things])
    assert ways_NK2.shape[1:] == (STEPS + 1, 2)
    assert (ways_NK2 > 0).all() and (ways_NK2 < SIDE).all()
    assert (np.ptp(ways_NK2, axis=1).any(axis=1) == [thing.moves for thing in scene.things]).all()


def test_a_number_makes_one_scene_and_one_picture() -> None:
    assert make_scene(7) == make_scene(7) != make_scene(8)
    assert (draw_scene(make_scene(7)) == draw_scene(make_scene(7))).all()


@pytest.mark.parametrize("number", range(8))
def test_a_tail_points_away_from_where_a_thing_goes(number: int) -> None:
    """Beside itself at rest, a thing that moves has more of its colour behind it."""
    scene = make_scene(number)
    for thing in (one for one in scene.things if one.moves):
        along = []
        for step_xy in (thing.step_xy, (0.0, 0.0)):
            alone_HW3 = draw_scene(replace(scene, things=(replace(thing, step_xy=step_xy),))).astype(int)
            x, y = np.array(thing.xy).astype(int)
            rows, columns = np.nonzero(np.abs(alone_HW3 - alone_HW3[y, x]).sum(axis=2) < 30)
            along.append((np.stack([columns, rows], axis=1) @ np.array(thing.step_xy)).mean())
        assert along[0] < along[1] - 1


def test_the_arms_ask_the_same_and_answer_each_in_its_way() -> None:
    scene, templates = make_scene(3), built_in_templates()
    marked, bare = (made_sample(scene, arm, "train", templates).sample for arm in ARMS)
    mover = scene.things[0]
    assert marked.turns[0] == bare.turns[0]
    assert parse_mark(marked.turns[1].content) == mover.mark
    assert parse_point(bare.turns[1].content) == pytest.approx(np.array(mover.xy) / SIDE, abs=0.006)
    assert not bare.marks and not bare.traces and len(bare.turns) == 2
    traced, located = (turn for turn in marked.turns[2:] if turn.role == "assistant")
    places = {thing.mark: to_bins(thing.way_K2()[:1], (SIDE, SIDE), BINS)[0] for thing in scene.things}
    assert parse_som_answer(located.content) == places
    told = parse_traces(traced.content)
    true = {thing.mark: to_bins(thing.way_K2(), (SIDE, SIDE), BINS) for thing in scene.things if thing.moves}
    assert {mark: [trace.start, *trace.future] for mark, trace in told.items()} == true


@pytest.mark.parametrize("arm", ARMS)
def test_a_dataset_is_whole_and_can_be_read(arm: Arm, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    write(out, arm, {"train": range(5), "val": range(100, 103)})
    assert list(lint(out)) == []
    assert read_bins(out) == BINS
    assert [item.sample.source.record_id for item in read_items(out, split="val", tasks=[], sample=0, seed=0)] == [
        "scene-000100.png",
        "scene-000101.png",
        "scene-000102.png",
    ]
    assert "lucas_kanade" not in (tmp_path / "out/README.md").read_text()
