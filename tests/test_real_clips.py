"""The five real clips, from files to what `datasets` and `webdataset` read. They lie outside the project."""

import io
import os
from pathlib import Path

import numpy as np
import pytest

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


def test_every_clip_has_its_outcome(out: Path) -> None:
    found = outcomes(out)
    assert set(found) == {"apple.mp4", "backpack.mp4", "cat.mp4", "dancer.avi", "paragliding-launch.mp4"}
    assert "quarantined" not in found.values()
    assert all(found[name] == "kept" for name in ("apple.mp4", "backpack.mp4", "dancer.avi"))
    reasons = {row["reason"] for row in ledger(out) if row["outcome"] == "filtered" and row["kind"] == "item"}
    assert reasons <= {"camera_fit", "too_few_points", "too_short"}


def test_lint_finds_nothing(out: Path) -> None:
    assert somtom("lint", str(out)).stdout == ""


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
        seen += 1
    assert seen == sum(row["kind"] == "item" and row["outcome"] == "kept" for row in ledger(out))
