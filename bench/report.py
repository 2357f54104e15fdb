"""What a benchmark measures, and the table of it."""

import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
_HEADS = ("what", "measured", "bound or target", "command")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table. `value` is the number that is compared, `shown` what a person reads.

    `module`: what is run, where that is not `bench` with the topic's name.
    """

    topic: str
    what: str
    shown: str
    value: float
    bound: str
    module: str = ""

    @property
    def cells(self) -> tuple[str, str, str, str]:
        return self.what, self.shown, self.bound, f"python -m {self.module or f'bench {self.topic}'}"


def seconds_of(work: Callable[[], Any]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def spread(values: Sequence[float], digits: int = 2) -> str:
    """The median and, where there are several values, the lowest and the highest."""
    middle = f"{median(values):.{digits}f}"
    return middle if len(values) < 2 else f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def table(figures: Sequence[Figure]) -> list[str]:
    """Lines with aligned columns."""
    rows = [_HEADS, *(figure.cells for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def markdown(figures: Sequence[Figure]) -> list[str]:
    """The lines of a Markdown table, to be pasted into BENCHMARKS.md."""
    rows = [_HEADS, ("---",) * len(_HEADS), *((*figure.cells[:3], f"`{figure.cells[3]}`") for figure in figures)]
    return [f"| {' | '.join(row)} |" for row in rows]


def machine() -> dict[str, str]:
    """Where and on what the figures were measured."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "cpu": f"{cpu}, {os.cpu_count()} cores",
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "code": git.stdout.strip(),
        **{name: version(name) for name in ("apache-beam", "av", "numpy", "opencv-python-headless")},
    }


def as_json(figures: Sequence[Figure], quick: bool) -> dict[str, Any]:
    """All of a run as plain values."""
    return {"machine": machine(), "quick": quick, "figures": [asdict(figure) for figure in figures]}
