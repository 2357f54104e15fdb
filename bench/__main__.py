"""`python -m bench [NAME ...]`: measures, tells on stderr as it goes, prints one table."""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.report import Figure, as_json, machine, markdown, table

TOPICS = (
    "loop",
    "workers",
    "decode",
    "tar",
    "draw",
    "labels",
    "track",
    "images",
    "memory",
    "network",
    "load",
    "loader",
)
_ASKED_FOR = ("gpu",)
"""not among all of them: they need what not every machine has"""
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures; see BENCHMARKS.md.")
    parser.add_argument("topics", nargs="*", metavar="NAME", help=f"{', '.join(TOPICS)} (all), gpu")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it works, not how fast it is")
    parser.add_argument("--markdown", action="store_true", help="print the table as BENCHMARKS.md has it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file too")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="where files go for the time (TMPDIR)")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.topics if name not in TOPICS + _ASKED_FOR]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(TOPICS + _ASKED_FOR)}")
    # numpy's threads in this process as in a worker's: one; to be set before numpy is loaded
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    figures: list[Figure] = []
    for topic in arguments.topics or TOPICS:
        with tempfile.TemporaryDirectory(prefix=f"somtom-bench-{topic}-", dir=arguments.scratch) as scratch:
            start = time.perf_counter()
            for figure in _measure(topic)(Path(scratch), arguments.quick):
                figures.append(figure)
                print(f"{figure.what}: {figure.shown}", file=sys.stderr, flush=True)
            print(f"{topic} took {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    print("\n".join(markdown(figures) if arguments.markdown else table(figures)))
    print("; ".join(f"{name} {value}" for name, value in machine().items()), file=sys.stderr)
    if arguments.json:
        arguments.json.write_text(json.dumps(as_json(figures, arguments.quick), indent=1, ensure_ascii=False))


def _measure(topic: str) -> Callable[[Path, bool], Iterator[Figure]]:
    match topic:
        case "loop":
            from bench import loop

            return loop.measure
        case "workers":
            from bench import workers

            return workers.measure
        case "decode":
            from bench import decode

            return decode.measure
        case "tar":
            from bench import tar

            return tar.measure
        case "draw":
            from bench import draw

            return draw.measure
        case "labels":
            from bench import labels

            return labels.measure
        case "track":
            from bench import track

            return track.measure
        case "images":
            from bench import images

            return images.measure
        case "memory":
            from bench import memory

            return memory.measure
        case "network":
            from bench import network

            return network.measure
        case "load":
            from bench import load

            return load.measure
        case "loader":
            from bench import loader

            return loader.measure
        case "gpu":
            from bench import gpu

            return gpu.measure
    raise ValueError(topic)


if __name__ == "__main__":
    main()
