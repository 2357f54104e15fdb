"""Bad input of every kind: each record and item has a row with a reason a person understands; nothing else is lost."""

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines import job
from pipelines.config import load_config
from pipelines.isolate import Worker
from schemas.reasons import FILTERED, MEANING
from tests import media
from tests.jobs import FAST, ledger, outcomes, somtom, write_scene

pytestmark = pytest.mark.slow

GOOD = ["good.mp4", "ünï códe ✓.mp4", "two  spaces and.dots.v2.mp4", "four three.mp4", "portrait.mp4"]


def fill(folder: Path) -> None:
    """Good scenes and everything that is wrong with files."""
    for number, name in enumerate(GOOD[:3]):
        write_scene(folder / name, seed=number)
    write_scene(folder / "four three.mp4", seed=3, size_wh=(320, 240))
    write_scene(folder / "portrait.mp4", seed=4, size_wh=(240, 320))
    media.write_video(folder / "sixteen wide.mp4", size_wh=(16, 240))
    media.write_video(folder / "one frame.mp4", n_frames=1)
    media.write_empty(folder / "zero bytes.mp4")
    media.write_text(folder / "text.mp4")
    media.write_noise(folder / "noise.mp4")
    media.write_audio_only(folder / "audio only.mp4")
    whole = write_scene(folder / "parts" / "whole.mp4", seed=5, n_frames=41)
    media.cut_off(whole, folder / "no index.mp4", 0.7)
    media.write_video(folder / "cut off.mp4", n_frames=96, mux_options=media.FASTSTART)
    media.cut_off(folder / "cut off.mp4", folder / "truncated.mp4", 0.6)
    (folder / "cut off.mp4").unlink()
    whole.unlink()


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """A row for each file, then rows that are wrong in themselves."""
    files = sorted(path.name for path in folder.iterdir() if path.is_file())
    return [
        *({"uri": name} for name in files),
        {"uri": "good.mp4", "id": "backwards", "start_s": 2, "end_s": 1},
        {"uri": "good.mp4", "id": "no number", "start_s": math.nan},
        {"uri": "good.mp4", "id": "after the end", "start_s": 60, "end_s": 70},
        {"uri": "missing.mp4"},
        {"uri": "", "id": "no uri"},
        {"uri": "good.mp4", "id": "twin", "start_s": 0, "end_s": 1},
        {"uri": "portrait.mp4", "id": "twin"},
    ]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad inputs")
    fill(folder)
    path = folder / "table.jsonl"
    lines = [json.dumps(row) for row in rows_of(folder)]
    path.write_text("\n".join([*lines, "{not json", "[]"]) + "\n")
    return path


@pytest.fixture(scope="module")
def out(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dataset") / "out"
    words = ["run", "video", "source.name=manifest", f"source.path={table}", *FAST, "--out", str(out)]
    done = somtom(*words, "run.max_quarantined=1")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return out


def test_every_line_of_the_table_has_its_record_row(out: Path, table: Path) -> None:
    n_lines = len(table.read_text().splitlines())
    records = [row for row in ledger(out) if row["kind"] == "record"]
    assert len(records) == n_lines
    assert len({row["key"] for row in ledger(out)}) == len(ledger(out))
    counts = json.loads((out / "job.json").read_text())["counts"]["records"]
    assert sum(counts.values()) == n_lines


@pytest.mark.parametrize("name", GOOD)
def test_good_files_are_kept_among_bad_ones(out: Path, name: str) -> None:
    items = [row["outcome"] for row in ledger(out) if row["kind"] == "item" and row["record_id"] == name]
    assert items == ["kept", "kept"]
    assert [row["outcome"] for row in ledger(out) if row["kind"] == "record" and row["record_id"] == name] == ["kept"]


@pytest.mark.parametrize(
    ("record_id", "outcome", "stage", "words"),
    [
        ("zero bytes.mp4", "quarantined", "open", "empty"),
        ("text.mp4", "quarantined", "open", "not a video"),
        ("noise.mp4", "quarantined", "open", "not a video"),
        ("audio only.mp4", "quarantined", "open", "no video stream"),
        ("no index.mp4", "quarantined", "open", "cut off before its index"),
        ("missing.mp4", "quarantined", "open", "missing.mp4"),
        ("after the end", "quarantined", "open", "starts at 60 s"),
        ("backwards", "quarantined", "plan", "end_s 1 does not come after start_s 2"),
        ("no number", "quarantined", "plan", "start_s is nan"),
        ("no uri", "quarantined", "plan", "uri is empty"),
        ("line 21", "quarantined", "plan", "not JSON"),
        ("line 22", "quarantined", "plan", "not an object"),
        ("one frame.mp4", "filtered", "shots", "too_short"),
        ("sixteen wide.mp4", "filtered", "shots", "too_small"),
    ],
)
def test_bad_ones_say_why(out: Path, record_id: str, outcome: str, stage: str, words: str) -> None:
    rows = [row for row in ledger(out) if row["record_id"] == record_id]
    assert [row["outcome"] for row in rows if row["kind"] == "record"] == [outcome], rows
    why = next(row for row in rows if row["reason"])
    assert why["stage"] == stage
    assert words in f"{why['reason']} {why['error']}", why
    assert why["reason"] in MEANING
    if why["reason"] in FILTERED:
        assert why["value"] < why["threshold"]


def test_a_truncated_file_gives_what_it_holds_and_names_the_rest(out: Path) -> None:
    rows = [row for row in ledger(out) if row["record_id"] == "truncated.mp4" and row["kind"] == "item"]
    rest = [row for row in rows if row["key"].endswith("-rest0")]
    assert len(rest) == 1
    assert rest[0]["outcome"] == "quarantined"
    assert len(rows) > 1


def test_of_two_records_with_one_id_the_first_is_kept_and_the_second_told(out: Path) -> None:
    records = [row for row in ledger(out) if row["kind"] == "record" and row["record_id"] == "twin"]
    assert [(row["uri"], row["outcome"], row["reason"]) for row in records] == [
        ("good.mp4", "kept", ""),
        ("portrait.mp4", "filtered", "duplicate_id"),
    ]


def test_lint_finds_nothing_and_explain_tells_every_story(out: Path) -> None:
    lint = somtom("lint", str(out))
    assert (lint.returncode, lint.stdout) == (0, "")
    assert "duplicate_id" in somtom("explain", str(out)).stdout
    story = somtom("explain", str(out), "one frame.mp4").stdout
    assert "too_short" in story and "clips.min_length_s" in story
    nothing = somtom("explain", str(out), "no such thing")
    assert nothing.returncode == 2
    assert "KEY" in nothing.stderr and "Traceback" not in nothing.stderr


def test_too_much_quarantined_ends_with_3_and_can_be_mended(table: Path, tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    broken = folder / "b.mp4"
    good = write_scene(folder / "a.mp4")
    media.write_noise(broken)
    words = ["run", "video", f"source.uris={folder}", *FAST, "--out", str(tmp_path / "out")]
    first = somtom(*words)
    assert first.returncode == 3
    assert "1 of 2 records are quarantined" in first.stderr and "--retry-failed" in first.stderr
    assert not (tmp_path / "out/job.json").exists()
    assert outcomes(tmp_path / "out") == {"a.mp4": "kept", "b.mp4": "quarantined"}
    broken.write_bytes(good.read_bytes())
    assert somtom(*words).returncode == 3, "a failure stays until it is asked to be tried again"
    assert somtom(*words, "--retry-failed").returncode == 0
    assert outcomes(tmp_path / "out") == {"a.mp4": "kept", "b.mp4": "kept"}
    assert (tmp_path / "out/job.json").exists()


def test_a_wrong_mount_stops_early(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(600):
        media.write_noise(folder / f"{number}.mp4")
    words = ["run", "video", f"source.uris={folder}", *FAST, "output.shard_cost_s=2", "--out", str(tmp_path / "out")]
    done = somtom(*words, "--workers", "1")
    assert done.returncode == 3
    assert "records are quarantined" in done.stderr
    assert 0 < len(list((tmp_path / "out/shards").glob("*.parquet"))) < 150, "there was more to do"
    assert somtom(*words, "run.max_quarantined=1").returncode == 0


def test_a_job_outlives_workers_that_die_and_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "videos"
    for number, name in enumerate(("a", "clip-kills", "open-kills", "clip-hangs", "z")):
        write_scene(folder / f"{name}.mp4", seed=number)
    monkeypatch.setattr("pipelines.graph.Worker", partial(Worker, module="tests.dying_child"))
    settings = ["run.deadline_s=4", "run.max_quarantined=1", "val_share=0", *FAST]
    config = load_config("video", [f"source.uris={folder}", *settings])
    totals = job.run(config, str(tmp_path / "out"), workers=2)
    assert totals.records == {"kept": 4, "quarantined": 1}
    reasons = {row["uri"]: row["reason"] for row in ledger(tmp_path / "out") if row["reason"] and row["kind"] == "item"}
    assert reasons == {"clip-kills.mp4": "crashed", "open-kills.mp4": "crashed", "clip-hangs.mp4": "timeout"}
    assert somtom("lint", str(tmp_path / "out")).stdout == ""
