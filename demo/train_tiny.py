"""What a training on the demo's clips has learnt, told and drawn: python -m demo.train_tiny DATA RUN --out FOLDER

The network is asked what it was trained on: whether it can learn at all is the question, not how it does elsewhere.
Exit code 1 where fewer than 95 % of its answers are the stored ones to the letter.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from bench.trace_sheet import last_question, trace_sheet, ways_of
from train.ask import answers, load_network
from train.evaluate import Item, Scores, evaluate, read_bins, read_items, table

REQUIRED = 0.95
_DRAWN = 6
_MAX_NEW_TOKENS = 200


def exact_share(scores: Scores) -> float:
    """Of all answers, whatever they are about, those equal to the stored ones."""
    exact = [score for score in scores.scores if score.measure == "exact"]
    return sum(score.value * score.n for score in exact) / sum(score.n for score in exact)


def spread_out(items: Sequence[Item], n: int) -> list[Item]:
    """`n` of those with traces, evenly over all; as many as there are where these are fewer."""
    traced = [item for item in items if item.sample.turns[-1].kind == "tom"]
    return [traced[place * len(traced) // n] for place in range(n)] if len(traced) > n else traced


def read_losses(run: Path) -> list[tuple[int, float]]:
    """Step and mean loss since the line before, for every line of a training's metrics."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [(line["step"], line["loss"]) for line in lines]


def draw_losses(losses: Sequence[tuple[int, float]], file: Path) -> None:
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*losses, strict=True), color="#b03a20")
    axes.set(xlabel="step", ylabel="loss per token (log)", yscale="log", title="magma-tiny on the demo's clips")
    axes.grid(alpha=0.3)
    figure.savefig(file, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.train_tiny", description=__doc__)
    parser.add_argument("data", help="the dataset that was trained on")
    parser.add_argument("run", type=Path, help="the training's folder")
    parser.add_argument("--out", type=Path, required=True, help="folder of the pictures")
    given = parser.parse_args()
    items = list(read_items(given.data, split="train", tasks=[], sample=0, seed=0))
    bins = read_bins(given.data)
    network, processor = load_network(str(given.run), device="cpu")
    scores = evaluate(network, processor, items, bins=bins, batch=32, max_new_tokens=_MAX_NEW_TOKENS)
    shown = spread_out(items, _DRAWN)
    said = answers(network, processor, [last_question(item) for item in shown], max_new_tokens=_MAX_NEW_TOKENS)
    draw_losses(read_losses(given.run), given.out / "loss.png")
    ways = [ways_of(item, answer, bins) for item, answer in zip(shown, said, strict=True)]
    trace_sheet(ways, columns=2, width=300).save(given.out / "traces.jpg", quality=85)
    print(table(scores))
    share = exact_share(scores)
    print(f"\nexact answers  {share:.1%} of {scores.n_answers}, {REQUIRED:.0%} are wanted")
    print(f"loss curve     {given.out / 'loss.png'}\ntraces         {given.out / 'traces.jpg'}")
    return 0 if share >= REQUIRED else 1


if __name__ == "__main__":
    sys.exit(main())
