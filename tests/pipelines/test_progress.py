"""What a running job shows."""

import io
import sys

import pytest

from pipelines.progress import Standing, Teller, line
from pipelines.shards import ShardCounts


def standing(n_shards: int) -> Standing:
    counts = ShardCounts(
        tar_size=1, tar_sha256="", records=2, items=5, kept=3, filtered=1, quarantined=1, quarantined_records=0
    )
    return Standing(shards={f"train-{number:06d}": counts for number in range(n_shards)})


def test_a_line_says_how_far_how_fast_and_how_long() -> None:
    text = line(standing(4), n_shards=10, n_before=1, elapsed_s=90)
    assert text == "4/10 shards, 20 items: 12 kept, 4 filtered, 4 quarantined, 2.0 shards/min, 3 min 00 s left"


def test_before_the_first_shard_there_is_no_rate() -> None:
    assert line(standing(0), 10, 0, 5).endswith("0 quarantined, 5 s so far")
    assert "left" not in line(standing(2), 10, 2, 5)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_line_that_is_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    teller = Teller()
    teller.update("a long line")
    teller.update("short")
    teller.close()
    assert stream.getvalue() == "\ra long line\rshort      \n"


def test_elsewhere_lines_are_plain_and_few(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    teller = Teller()
    for _ in range(50):
        teller.update("soon")
    teller.update("end", last=True)
    teller.close()
    assert stream.getvalue() == "end\n"
