"""`python -m bench.learning`: whether training on marks and traces teaches what they say, on generated scenes.

Two networks begin with the same random weights and see the same scenes. One sees marks, names them and tells traces;
the other sees bare pictures and answers with coordinates, as in the paper's ablation. Both are asked about scenes that
neither has seen.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count, islice
from multiprocessing import get_context
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from bench.generated import (
    ARMS,
    BINS,
    N_PLACES,
    SIDE,
    STEPS,
    Arm,
    Scene,
    make_scene,
    write_dataset,
)
from bench.report import Figure, machine, markdown, table
from bench.trace_sheet import question_after, stored_answer, trace_sheet, ways_of
from model.answers import parse_point
from model.chat import SYSTEM, Role
from model.checkpoint import empty_magma, fill, save_magma
from model.config import SIZES, MagmaConfig, with_tokenizer
from model.processor import MagmaProcessor
from model.tokenizer import train_tokenizer
from schemas.flow import Float
from schemas.sample import TurnKind
from schemas.training import DataConfig, DatasetConfig, ModelConfig, OptimiserConfig, RunConfig, TrainConfig
from train.ask import EXPORT, answers, load_network
from train.chats import Chat, exchanges_of
from train.evaluate import Item, read_items
from train.loop import train
from train.scores import Counts, Score, added, count_answer, summarise
from train.start import drawn_tensors
from transforms.prompts import tom_answer
from transforms.traces import to_bins

_TRAINED_ON, _HELD_OUT, _EPOCHS = 30_000, 500, 1.7
_PLACES_SHARE = 0.6
"""of the epochs go to which thing moves and where marks are, before their traces"""
_FIRST_HELD_OUT = 2_000_000
"""number of the first scene of split val: none of them is trained on"""
_FEWEST = 3
"""things in a held-out scene: with fewer there is little to choose from"""
_MODULE = "bench.learning"
_WIDTH = 128
_TILE_PX = 96
_VOCABULARY = 1024
_BATCH = 50
_MAX_NEW_TOKENS = 160
_DRAWN = 6
_KINDS: tuple[TurnKind, ...] = ("grounding", "tom", "som")
"""of the questions about a scene with marks, in order"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """What an arm has learnt: its answers to the questions about each held-out scene, and their scores."""

    arm: Arm
    items: Sequence[Item]
    answers: Sequence[Sequence[str]]
    scores: dict[tuple[str, str], Score]
    train_s: float


def write_network(folder: Path, texts: Iterable[str], seed: int = 0) -> None:
    """A network of one million parameters with random weights."""
    tokenizer = train_tokenizer(texts, vocab_size=_VOCABULARY)
    config = with_tokenizer(tiny_config(), tokenizer)
    network = empty_magma(config)
    fill(network, drawn_tensors(network, seed), dtype="float32", device="cpu")
    save_magma(network, MagmaProcessor.for_config(config, tokenizer), folder)


def tiny_config() -> MagmaConfig:
    """A quarter of magma-tiny."""
    config = SIZES["magma-tiny"]()
    vision, text = config.vision_config, config.text_config
    vision.depths, vision.dims = [1, 1, 2, 1], [32, 64, 128, _WIDTH]
    vision.img_size, vision.mm_hidden_size, vision.hidden_size = _TILE_PX, _WIDTH, _WIDTH
    text.hidden_size, text.intermediate_size, text.num_hidden_layers = _WIDTH, 2 * _WIDTH, 3
    text.num_attention_heads = text.num_key_value_heads = 4
    text.head_dim = _WIDTH // 4
    return config


def training(network: Path, data: Path, *, epochs: float, traces: bool) -> TrainConfig:
    """Both arms' but for the data. Where things are is learnt first, without the many numbers of traces."""
    return TrainConfig(
        batch=32,
        epochs=epochs,
        model=ModelConfig(start=str(network), compute="float32", checkpointing=False),
        data=DataConfig(
            mixture=[DatasetConfig(path=str(data), drop_turns={} if traces else {"tom": 1.0})],
            max_length=512,
            row_length=1024,
        ),
        optimiser=OptimiserConfig(lr=1e-3, betas=(0.9, 0.95), schedule="cosine" if traces else "constant", warmup=0.05),
        run=RunConfig(workers=1, log_every=50, save_every=1_000_000, sample_losses=False, device="cpu"),
    )


def learn(arm: Arm, folder: Path, *, trained_on: int, held_out: int, epochs: float) -> Result:
    """Makes the scenes of an arm, trains on them and asks about those that are held out."""
    data = folder / "data"
    numbers = held_out_scenes(held_out)
    write_dataset(str(data), arm, {"train": range(trained_on), "val": numbers})
    begun_s = time.perf_counter()
    write_network(folder / "start", _texts(str(data)))
    first = epochs * _PLACES_SHARE
    train(training(folder / "start", data, epochs=first, traces=False), str(folder / "places"))
    train(training(folder / "places" / EXPORT, data, epochs=epochs - first, traces=True), str(folder / "run"))
    train_s = time.perf_counter() - begun_s
    items = list(read_items(str(data), split="val", tasks=[], sample=0, seed=0))
    network, processor = load_network(str(folder / "run"), device="cpu")
    ask = partial(answers, network, processor, max_new_tokens=_MAX_NEW_TOKENS)
    chats = [list(questions(item)) for item in items]
    said = iter(_in_batches(ask, [chat for of_item in chats for chat in of_item]))
    of_item = [list(islice(said, len(one))) for one in chats]
    counts = [counted(make_scene(number), item, one) for number, item, one in zip(numbers, items, of_item, strict=True)]
    scores: dict[tuple[str, str], Score] = {(score.kind, score.measure): score for score in summarise(counts, seed=0)}
    return Result(arm=arm, items=items, answers=of_item, scores=scores, train_s=train_s)


def held_out_scenes(n: int) -> list[int]:
    """Numbers of scenes that no arm is trained on."""
    large = (number for number in count(_FIRST_HELD_OUT) if len(make_scene(number).things) >= _FEWEST)
    return list(islice(large, n))


def _texts(data: str) -> Iterator[str]:
    """What a tokenizer is made of: every chat has the words of the layout."""
    yield "\n".join([*get_args(Role), SYSTEM])
    for item in read_items(data, split="train", tasks=[], sample=1000, seed=0):
        yield from (turn.content for turn in item.sample.turns)


def questions(item: Item) -> Iterator[Chat]:
    """Which thing moves; then, each after the right answer to that alone, its trace and the places of all marks."""
    first, *others = exchanges_of(item.sample)
    yield question_after(item, [first])
    yield from (question_after(item, [first, other]) for other in others)


def _in_batches(ask: partial[list[str]], chats: Sequence[Chat]) -> list[str]:
    return [answer for start in range(0, len(chats), _BATCH) for answer in ask(chats=chats[start : start + _BATCH])]


def counted(scene: Scene, item: Item, said: Sequence[str]) -> Counts:
    """What the answers about one scene add."""
    score = partial(count_answer, size_wh=(SIDE, SIDE), bins=BINS, n_marks=len(scene.things))
    if not item.sample.marks:
        (answer,) = said
        return score("grounding", f"Mark: {scene.things[0].mark}", f"Mark: {nearest_mark(scene, answer)}")
    return added(score(kind, stored_answer(item, kind), answer) for kind, answer in zip(_KINDS, said, strict=True))


def nearest_mark(scene: Scene, answer: str) -> int | None:
    """The mark of the thing whose middle is nearest to the coordinate of an answer; None where it has none."""
    point = parse_point(answer)
    if point is None:
        return None
    return min(scene.things, key=lambda thing: float(np.hypot(*(np.array(point) * SIDE - thing.xy)))).mark


def mean_motion(numbers: Sequence[int]) -> Float:
    """Mean way of what moves in these scenes, from its start, [K, 2]."""
    ways = [thing.way_K2() - thing.xy for number in numbers for thing in make_scene(number).things if thing.moves]
    mean_K2: Float = np.mean(ways, axis=0)
    return mean_K2


def guessed(scene: Scene, item: Item, way_K2: Float) -> Counts:
    """What it adds to say of everything that moves, and of nothing else, that it goes this way."""
    moving = [thing for thing in scene.things if thing.moves]
    answer = tom_answer({thing.mark: to_bins(thing.xy + way_K2, (SIDE, SIDE), BINS) for thing in moving})
    return count_answer(
        "tom", stored_answer(item, "tom"), answer, size_wh=(SIDE, SIDE), bins=BINS, n_marks=len(scene.things)
    )


def figures(results: Sequence[Result], guess: Score, seconds: float) -> Iterator[Figure]:
    """The lines of the table; shares with 95 % intervals over scenes."""
    for result in results:
        told = "names its mark" if result.arm == "with" else "answers nearest to it"
        mark = result.scores["grounding", "mark"]
        yield _figure(f"{result.arm} marks, the thing about to move: {told}", mark, f"{mark.baseline:.3f} any mark")
    (marked,) = (result for result in results if result.arm == "with")
    located = marked.scores["som", "located"]
    yield _figure("with marks: marks told where they are", located, f"{1 / N_PLACES:.3f} any place")
    for measure, what in (("precision", "said to move, and moves"), ("recall", "moves, and said to")):
        score = marked.scores["tom", measure]
        yield _figure(f"with marks: {what}", score, f"{score.baseline:.3f} any mark")
    for measure, what in (("ade", f"mean over {STEPS} steps"), ("fde", "last step")):
        score = marked.scores["tom", measure]
        beside = f"{score.baseline:.3f} stands still"
        beside += f", {guess.value:.3f} mean motion" if measure == "ade" else ""
        yield _figure(f"with marks: trace error, {what}, diagonals", score, beside)
    yield Figure(
        topic="learning",
        module=_MODULE,
        what="without marks: trace error",
        shown="not applicable",
        value=float("nan"),
        bound="",
    )
    for result in results:
        yield _time(f"{result.arm} marks: training", result.train_s)
    yield _time("all", seconds)


def _figure(what: str, score: Score, bound: str) -> Figure:
    shown = f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f}), n {score.n}"
    return Figure(topic="learning", module=_MODULE, what=what, shown=shown, value=score.value, bound=bound)


def _time(what: str, seconds: float) -> Figure:
    return Figure(topic="learning", module=_MODULE, what=what, shown=f"{seconds / 60:.1f} min", value=seconds, bound="")


def measure(scratch: Path, *, trained_on: int, held_out: int, epochs: float, picture: Path | None) -> list[Figure]:
    """Both arms, each in a process of its own with its share of the cores."""
    begun_s = time.perf_counter()
    with ProcessPoolExecutor(len(ARMS), mp_context=get_context("spawn"), initializer=_share_cores) as pool:
        arms = [
            pool.submit(learn, arm, scratch / arm, trained_on=trained_on, held_out=held_out, epochs=epochs)
            for arm in ARMS
        ]
        results = [arm.result() for arm in arms]
    (marked,) = (result for result in results if result.arm == "with")
    way_K2 = mean_motion(range(trained_on))
    scenes = map(make_scene, held_out_scenes(held_out))
    guesses = [guessed(scene, item, way_K2) for scene, item in zip(scenes, marked.items, strict=True)]
    (guess,) = (score for score in summarise(guesses, seed=0) if score.measure == "ade")
    if picture:
        drawn = zip(marked.items[:_DRAWN], marked.answers[:_DRAWN], strict=True)
        ways = [ways_of(item, said[_KINDS.index("tom")], BINS) for item, said in drawn]
        trace_sheet(ways, columns=3, width=176).save(picture, quality=88)
    return list(figures(results, guess, time.perf_counter() - begun_s))


def _share_cores() -> None:
    torch.set_num_threads(max(1, torch.get_num_threads() // len(ARMS)))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.learning", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="few scenes and steps: shows that it works, not what is learnt")
    add("--markdown", action="store_true", help="print the table as BENCHMARKS.md has it")
    add("--json", type=Path, metavar="FILE", help="write the figures to a file too")
    add("--picture", type=Path, metavar="FILE.jpg", help="draw held-out scenes with the traces told and the true ones")
    add("--scratch", type=Path, metavar="DIR", help="where files go for the time (TMPDIR)")
    given = parser.parse_args()
    trained_on, held_out, epochs = (64, 8, 0.5) if given.quick else (_TRAINED_ON, _HELD_OUT, _EPOCHS)
    with tempfile.TemporaryDirectory(prefix="somtom-bench-learning-", dir=given.scratch) as scratch:
        found = measure(Path(scratch), trained_on=trained_on, held_out=held_out, epochs=epochs, picture=given.picture)
    print("\n".join(markdown(found) if given.markdown else table(found)))
    about = machine() | {"threads": str(torch.get_num_threads())}
    print("; ".join(f"{name} {value}" for name, value in about.items()), file=sys.stderr)
    if given.json:
        plain = [{**asdict(one), "value": None if math.isnan(one.value) else one.value} for one in found]
        told = {"machine": about, "quick": given.quick, "figures": plain}
        given.json.write_text(json.dumps(told, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
