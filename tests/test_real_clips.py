"""The five real clips, from files to what `datasets` and `webdataset` read. They lie outside the project.

What is in them: apple, a camera travels around an apple that lies still; backpack, a person with a backpack on stairs,
filmed by hand; cat, a cat on a sofa turns its head, filmed by hand; dancer, a dancer before a blue wall, a camera on a
tripod; paragliding-launch, a camera follows somebody who runs down a meadow.
"""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from schemas.reasons import FILTERED
from schemas.sample import Sample
from tests.jobs import ledger, outcomes, somtom

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("SOMTOM_TEST_DATA" not in os.environ, reason="SOMTOM_TEST_DATA names no folder of real clips"),
]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    videos = Path(os.environ["SOMTOM_TEST_DATA"]) / "data" / "videos"
    out = tmp_path_factory.mktemp("real") / "out"
    done = somtom("run", "pipelines/configs/video.yaml", f"source.uris={videos}", "--out", str(out))
    assert done.returncode == 0, done.stderr
    return out


def samples_of(out: Path, uri: str) -> list[dict[str, Any]]:
    """The index rows of a video's samples."""
    return [row for row in pq.read_table(out / "index.parquet").to_pylist() if row["uri"] == uri]


def items_of(out: Path, uri: str) -> list[dict[str, Any]]:
    return [row for row in ledger(out) if row["kind"] == "item" and row["uri"] == uri]


def test_every_clip_has_its_outcome(out: Path) -> None:
    found = outcomes(out)
    assert set(found) == {"apple.mp4", "backpack.mp4", "cat.mp4", "dancer.avi", "paragliding-launch.mp4"}
    assert "quarantined" not in found.values()
    assert all(found[name] == "kept" for name in ("backpack.mp4", "cat.mp4", "dancer.avi"))


def test_what_is_filtered_says_why_and_by_how_much(out: Path) -> None:
    filtered = [row for row in ledger(out) if row["outcome"] == "filtered"]
    assert {row["reason"] for row in filtered} <= set(FILTERED)
    assert all(row["stage"] and np.isfinite([row["value"], row["threshold"]]).all() for row in filtered)


@pytest.mark.parametrize("uri", ["backpack.mp4", "cat.mp4"])
def test_what_moves_before_a_camera_held_by_hand_is_marked(out: Path, uri: str) -> None:
    moving = [row for row in samples_of(out, uri) if row["n_moving"]]
    assert moving
    for row in moving:
        assert row["camera_moving"]
        assert row["tasks"] == ["tom"]
        assert row["n_traces"] > 0


def test_a_dancer_moves_and_the_camera_stands_still(out: Path) -> None:
    samples = samples_of(out, "dancer.avi")
    assert len(samples) > 10  # of 31 clips
    moving = [row for row in samples if row["n_moving"]]
    assert len(moving) >= 3
    assert not any(row["camera_moving"] for row in moving)


def test_no_clip_of_the_dancer_has_a_moving_camera(out: Path) -> None:
    assert [row["start_s"] for row in samples_of(out, "dancer.avi") if row["camera_moving"]] == []


def test_an_apple_that_a_camera_goes_around_does_not_move(out: Path) -> None:
    assert len(items_of(out, "apple.mp4")) == 3
    assert all(row["reason"] == "parallax" for row in items_of(out, "apple.mp4") if row["outcome"] != "kept")
    for row in samples_of(out, "apple.mp4"):
        assert row["camera_moving"]
        assert row["n_moving"] == row["n_traces"] == 0
        assert row["tasks"] == ["som"]


def test_a_camera_that_follows_a_runner_gives_a_sound_sample_or_none(out: Path) -> None:
    items = items_of(out, "paragliding-launch.mp4")
    assert items
    assert all(row["outcome"] == "kept" or row["reason"] in FILTERED for row in items)
    assert all(row["camera_moving"] for row in samples_of(out, "paragliding-launch.mp4"))


def test_lint_finds_nothing(out: Path) -> None:
    done = somtom("lint", str(out))
    assert (done.returncode, done.stdout) == (0, "")


def test_datasets_reads_it_full_and_streaming(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    import datasets

    full = datasets.load_dataset(str(out), cache_dir=str(tmp_path))
    assert set(full) == {"train", "val"}
    for split, rows in full.items():
        streamed = list(datasets.load_dataset(str(out), split=split, streaming=True))
        assert [row["__key__"] for row in streamed] == [row["__key__"] for row in rows]
        for row in (rows[0], streamed[0]):
            assert row["jpg"].size == (row["json"]["images"][-1]["width"], row["json"]["images"][-1]["height"])
            assert np.asarray(row["npz"]["homographies_T33"]).shape[1:] == (3, 3)


def test_webdataset_reads_it_and_the_annotation_is_a_sample(out: Path) -> None:
    import webdataset

    tars = sorted(str(path) for path in (out / "shards").glob("*.tar"))
    seen = 0
    for row in webdataset.WebDataset(tars, shardshuffle=False):
        sample = Sample.model_validate_json(row["json"])
        arrays = np.load(io.BytesIO(row["npz"]), allow_pickle=False)
        assert sample.key == row["__key__"]
        assert all(arrays["moving_N"][mark.track] for mark in sample.marks if mark.kind == "moving")
        assert sample.camera.moving or (arrays["homographies_T33"] == np.eye(3)).all()
        seen += 1
    assert seen == sum(row["kind"] == "item" and row["outcome"] == "kept" for row in ledger(out))
