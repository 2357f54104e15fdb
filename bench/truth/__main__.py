"""`python -m bench.truth`: scores our rules and the published ones on clips whose truth is known."""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
# to be set before numpy is loaded, here and in the workers
os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))

from bench.report import machine  # noqa: E402
from bench.truth.cameras import STRENGTHS  # noqa: E402
from bench.truth.frames import SPLITS, Frames, Pixels, find_frames  # noqa: E402
from bench.truth.pool import RESAMPLES, SEED  # noqa: E402
from bench.truth.published import RULES  # noqa: E402
from bench.truth.run import GRID, OURS, Work, score_clip  # noqa: E402
from bench.truth.scenes import CATALOGUE  # noqa: E402
from bench.truth.score import ClipScore  # noqa: E402
from bench.truth.sheet import write_sheet  # noqa: E402
from bench.truth.summary import summary_of  # noqa: E402
from bench.truth.table import as_plain, groups_of, markdown_lines, table_of, text_lines  # noqa: E402

_MOST_ROWS = 40
_MOST_WORKERS = 4
_FEW_SOURCES = 30

_HELP = """\
Clips are made of real frames: a background seen along a known camera path, and cut-outs of other frames that move,
or stand still, on it. What is under every point is known, so what a rule calls moving is right or wrong beyond doubt.

  python -m bench.truth --split tune --clips 20 --sheet look.png   a quick look while rules are developed
  python -m bench.truth --category two_depth cut                   some categories
  python -m bench.truth --split tune camera.max_residual=0.003     another config of ours, as for somtom run
  python -m bench.truth --frames DIR --full --json truth.json      the run to report, on one's own pictures

Develop on the split tune only: it shares no source of frames with the split report. A source is a picture, a video, or
the episodes of one camera (NAME_1.mp4, NAME_2.mp4). Every clip takes its background from one and its things from
others, so a folder of some hundred pictures with sides of 240 px or more makes clips that hardly share anything.
Intervals are over clips: where few sources (five videos, say) make all clips, these resemble one another, and the
intervals flatter.

measures (95 % bootstrap intervals over clips in brackets; points within 2 px of an edge are left out). The published
rules' points are the middles of a plain grid of 15 x 15 cells; ours are where our recipe puts them in their cells:
  point precision   of a rule's points on the first frame that it calls moving: those on a thing that moves by 2 % of
                    the diagonal or more; a filtered clip calls none, so this is the precision on kept clips
  point recall      of the points on such things, visible in more than half of the frames, and moved while visible:
                    those called moving. "kept clips" leaves filtered clips out, "usable points" also points about
                    which the rule says nothing
  residual          how far the estimated camera puts points of the background (of the plain grid) from their places
  mark precision    of the moving marks: those that lie on a thing that moves, or within 2 px of its outline, in
                    the marked frame (to the pixel: without those 2 px)
  object recall     of the things that move and show it at 3 points of the plain grid or more: those that got a moving
                    mark
  trace error       of a moving mark's trace from the true path of what is under it
  cut               what follows a cut is another scene: a wrong mark lies on nothing that moves, or its trace goes on
                    past the cut; a clip may be filtered, or kept without such marks

The summary tells what is required of our rules and whether they have it; --full adds all measures of all rules by
strength and category.

rules: ours; demo, video, robot: those of the published code's demo and training constructors, on plain Lucas-Kanade
tracks (the release has CoTracker's); video-seen, robot-seen: the same, but steps of lost points count nowhere.
"""


def main() -> None:
    arguments = _parser().parse_args()
    try:
        frames = find_frames(arguments.frames, arguments.split)
    except ValueError as error:
        sys.exit(str(error))
    numbers = _chosen(arguments)
    if not numbers:
        sys.exit("no clip is left; see --category and --strength")
    drawn = [numbers[n] for n in range(0, len(numbers), -(-len(numbers) // _MOST_ROWS))] if arguments.sheet else []
    work = Work(
        frames=frames,
        overrides=tuple(arguments.overrides),
        ours=not arguments.published,
        points_only=arguments.points,
        drawn=frozenset(drawn),
    )
    start = time.perf_counter()
    scores: list[ClipScore] = []
    rows: list[Pixels] = []
    for done, (of_clip, row_HW3) in enumerate(_results(work, numbers, arguments.workers), 1):
        scores += of_clip
        rows += [row_HW3] if row_HW3 is not None else []
        _tell(done, len(numbers), time.perf_counter() - start)

    rules = [*([OURS] if work.ours else []), *(rule.name for rule in RULES)]
    groups = list(groups_of(scores, rules, work.points_only))
    summary = summary_of(scores, rules, OURS, work.points_only)
    header = _header(frames, numbers, scores, work)
    tables = [*summary.tables, *((table_of(group, rules) for group in groups) if arguments.full else ())]
    lines = markdown_lines(tables) if arguments.markdown else text_lines(tables)
    shown = [f"- {line}" for line in header] if arguments.markdown else header
    print("\n".join([*shown, *lines, *(["", summary.verdict] if work.ours else [])]))
    if arguments.sheet:
        write_sheet(arguments.sheet, rows)
    if arguments.json:
        told: dict[str, Any] = {"machine": machine(), "header": header, "requirements": summary.as_plain()}
        told["groups"] = as_plain(groups, rules)
        told["clips"] = [asdict(each) for each in scores]
        arguments.json.write_text(json.dumps(told, indent=1, ensure_ascii=False))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.truth",
        description="Scores our rules and the published ones on clips whose truth is known.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    categories = list(dict.fromkeys(spec.category for spec in CATALOGUE))
    add = parser.add_argument
    add("overrides", nargs="*", metavar="a.b=value", help="fields of our config to change")
    add("--split", choices=SPLITS, default="report", help="(report)")
    add("--frames", type=Path, metavar="DIR", help="pictures and videos to make clips of ($SOMTOM_TEST_DATA/data)")
    add("--clips", type=int, metavar="N", help="only N clips, spread evenly over those chosen")
    add("--only", type=int, nargs="+", metavar="NUMBER", help="only the clips with these numbers")
    add("--category", nargs="+", choices=categories, default=categories, metavar="NAME", help=", ".join(categories))
    add("--strength", nargs="+", choices=STRENGTHS, default=STRENGTHS, metavar="NAME", help=", ".join(STRENGTHS))
    add("--points", action="store_true", help="what moves only, no marks")
    add("--published", action="store_true", help="the published rules only")
    add("--full", action="store_true", help="all measures of all rules, by strength and category")
    add("--json", type=Path, metavar="FILE", help="write everything to a file too")
    add("--markdown", action="store_true", help="print tables as BENCHMARKS.md has them")
    add("--sheet", type=Path, metavar="FILE.png", help=f"a contact sheet of up to {_MOST_ROWS} clips, with the truth")
    workers = min(_MOST_WORKERS, os.cpu_count() or 1)
    add("--workers", type=int, default=workers, metavar="N", help=f"processes (a core each, at most {_MOST_WORKERS})")
    return parser


def _chosen(arguments: argparse.Namespace) -> list[int]:
    numbers = [
        number
        for number, spec in enumerate(CATALOGUE)
        if spec.category in arguments.category and spec.strength in arguments.strength
    ]
    if arguments.only is not None:
        numbers = [number for number in numbers if number in arguments.only]
    if arguments.clips is not None and 0 < arguments.clips < len(numbers):
        numbers = [numbers[n * len(numbers) // arguments.clips] for n in range(arguments.clips)]
    return numbers


def _results(work: Work, numbers: Sequence[int], workers: int) -> Iterator[tuple[list[ClipScore], Pixels | None]]:
    """In the order of the numbers, however many workers there are."""
    if workers <= 1:
        yield from map(partial(score_clip, work), numbers)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(score_clip, repeat(work), numbers)


def _tell(done: int, clips: int, seconds: float) -> None:
    """How far it is: a line that is written over again for people, one per tenth for files."""
    end = f", {seconds:.0f} s\n" if done == clips else ""
    if sys.stderr.isatty():
        print(f"\r{done} of {clips} clips", end=end, file=sys.stderr, flush=True)
    elif 10 * done // clips > 10 * (done - 1) // clips:
        print(f"{done} of {clips} clips, {seconds:.0f} s", file=sys.stderr, flush=True)


def _header(frames: Frames, numbers: Sequence[int], scores: Sequence[ClipScore], work: Work) -> list[str]:
    kinds = Counter(CATALOGUE[number].category for number in numbers)
    sources = sum(len(files) for files in frames.sources)
    plain = f"{_left_out(scores, RULES[0].name):.1%} of these"
    ours = f", {_left_out(scores, OURS):.1%} of ours" if work.ours else ""
    few = [f"Only {len(frames.sources)} sources make all clips, so that the intervals, which are over clips, flatter."]
    painted = ["The frames are the project's painted demo clips, no real ones: name some with --frames."]
    return [
        *(painted if frames.painted else []),
        f"frames      {frames.folder.name}, split {frames.split}: {len(frames.sources)} sources, {sources} files",
        f"clips       {len(numbers)} of {len(CATALOGUE)}: " + ", ".join(f"{kind} {n}" for kind, n in kinds.items()),
        f"points      {GRID} x {GRID} on frame 0, the published rules' in the middles of their cells; "
        f"{plain}{ours} lie on an edge and are left out",
        f"seeds       a clip's: its split and number; bootstrap: {SEED}, {RESAMPLES} resamples",
        *([f"config      {' '.join(work.overrides)}"] if work.overrides else []),
        *(few if len(frames.sources) < _FEW_SOURCES else []),
    ]


def _left_out(scores: Sequence[ClipScore], rule: str) -> float:
    of_rule = [each for each in scores if each.rule == rule]
    return sum(each.counts["points_left_out"] for each in of_rule) / sum(each.counts["points"] for each in of_rule)


if __name__ == "__main__":
    main()
