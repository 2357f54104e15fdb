"""Whole jobs with networks: the real architectures with random weights, saved and opened as real weights are."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.inspect.lint import lint
from pipelines.inspect.reading import read_members
from tests.jobs import FAST, fingerprint, ledger, somtom, write_scene
from tests.scenes import make_scene
from tests.transforms.proposers.yolo_checkpoints import make_network, needs_library, save_trained

pytestmark = pytest.mark.slow

CLIP = "ViT-S-32-alt"
"""the smallest that open_clip knows by name"""
ON_CPU = ["run.device=cpu"]
"""so that the same inputs give the same bytes wherever these tests run"""


def index(out: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(out / "index.parquet").to_pylist())


def parts(out: Path) -> list[dict[str, dict[str, str]]]:
    """Of every sample, by role."""
    found = []
    for row in index(out):
        members = read_members(str(out), row["shard"], row["offset"], row["size"])
        found.append({part["role"]: part for part in json.loads(members["json"])["provenance"]["parts"]})
    return found


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def ran(*words: str) -> str:
    """What a job that ends well says."""
    done = somtom(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(*words: str) -> str:
    """The one line that a mistake gets."""
    done = somtom(*words)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def break_off(out: Path) -> None:
    """Leaves a job as if it had been killed before its last shard."""
    (out / "job.json").unlink()
    last = sorted((out / "shards").glob("*.parquet"))[-1]
    last.unlink()
    last.with_suffix(".tar").unlink()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(4):
        Image.fromarray(make_scene(n_frames=1, seed=seed, objects=3).clip.frames_THW3[0]).save(folder / f"{seed}.png")
    return folder


@needs_library
def test_pictures_marked_by_yolo_say_so_and_a_job_goes_on_with_its_weights_elsewhere(
    pictures: Path, tmp_path: Path
) -> None:
    weights, out = tmp_path / "first/icons.pt", tmp_path / "out"
    weights.parent.mkdir()
    save_trained(make_network("yolo11n"), weights)

    def words(weights: Path, *more: str) -> list[str]:
        part = ["proposer.name=yolo", "proposer.image_px=192", "proposer.min_score=0.05", f"proposer.weights={weights}"]
        shape = [f"source.uris={pictures}", "val_share=0", "output.shard_pictures=2", *ON_CPU, "run.batch=3", *more]
        return ["run", "image", *part, *shape, "--out", str(out), "--workers", "1"]

    ran(*words(weights))
    assert [row["outcome"] for row in ledger(out) if row["kind"] == "item"] == ["kept"] * 4
    assert [found["proposer"]["name"] for found in parts(out)] == ["yolo"] * 4
    assert {found["proposer"]["weights_sha256"] for found in parts(out)} == {sha256(weights)}
    assert all(found["proposer"]["licence"].startswith("AGPL-3.0") for found in parts(out))
    assert list(lint(str(out))) == []
    before = fingerprint(out)
    assert str(weights) not in (out / "job.json").read_text()

    break_off(out)
    moved = weights.rename(tmp_path / "moved.pt")
    ran(*words(moved))
    assert fingerprint(out) == before

    break_off(out)
    other = Path(save_trained(make_network("yolo11n", names=("tap",)), tmp_path / "other.pt"))
    assert "proposer.sha256" in refused(*words(other))
    assert "AGPL-3.0" in refused(*words(moved, "license.permissive_only=true"))


@pytest.fixture(scope="module")
def clip_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch = pytest.importorskip("torch", reason="torch is not installed (pip install '.[clip]')")
    open_clip = pytest.importorskip("open_clip", reason="open_clip is not installed (pip install '.[clip]')")
    from safetensors.torch import save_file

    torch.manual_seed(0)
    state = open_clip.CLIP(**open_clip.get_model_config(CLIP)).state_dict()
    path = tmp_path_factory.mktemp("weights") / "open_clip_model.safetensors"
    save_file(state, path)
    return path


@pytest.fixture(scope="module")
def narrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of three videos, the last without a narration."""
    folder = tmp_path_factory.mktemp("narrated")
    for seed in range(3):
        write_scene(folder / f"{seed}.mp4", seed=seed)
    table = folder / "clips.csv"
    table.write_text("uri,text\n0.mp4,a box slides to the right\n1.mp4,you open the door (3)\n2.mp4,\n")
    return table


def gated(table: Path, out: Path, weights: Path, *more: str) -> list[str]:
    source = ["source.name=manifest", f"source.path={table}", "val_share=0"]
    gate = ["gate.name=clip", f"gate.model={CLIP}", f"gate.weights={weights}"]
    return ["run", "video", *source, *gate, *FAST, *ON_CPU, *more, "--out", str(out), "--workers", "1"]


def test_narrations_are_scored_and_the_same_scores_filter(narrated: Path, clip_weights: Path, tmp_path: Path) -> None:
    scored, filtered = tmp_path / "scored", tmp_path / "filtered"
    ran(*gated(narrated, scored, clip_weights, "gate.mode=score"))
    score = {row["key"]: row["text_similarity"] for row in index(scored)}
    told = {row["key"] for row in index(scored) if row["text"]}
    assert len(told) == 4 and {key for key, value in score.items() if value is not None} == told
    assert {found["gate"]["weights_sha256"] for found in parts(scored)} == {sha256(clip_weights)}
    assert all(found["gate"]["licence"].startswith("MIT") for found in parts(scored))
    assert list(lint(str(scored))) == []

    low, *_, high = sorted(score[key] for key in told)
    between = (low + high) / 2
    ran(*gated(narrated, filtered, clip_weights, f"gate.min_similarity={between}", "run.batch=4"))
    rows = {row["key"]: row for row in ledger(filtered) if row["kind"] == "item"}
    for key, value in score.items():
        kept = value is None or value >= between
        assert (rows[key]["outcome"], rows[key]["reason"]) == (("kept", "") if kept else ("filtered", "text_mismatch"))
        if not kept:
            assert (rows[key]["stage"], rows[key]["threshold"]) == ("gate", between)
            assert rows[key]["value"] == pytest.approx(value, abs=1e-4)
    assert list(lint(str(filtered))) == []

    before = fingerprint(filtered)
    break_off(filtered)
    moved = tmp_path / "elsewhere.safetensors"
    moved.symlink_to(clip_weights)
    ran(*gated(narrated, filtered, moved, f"gate.min_similarity={between}", "run.batch=4"))
    assert fingerprint(filtered) == before


def test_what_is_wrong_with_weights_is_told_in_one_line_before_any_work(
    narrated: Path, clip_weights: Path, tmp_path: Path
) -> None:
    out, cut = tmp_path / "out", tmp_path / "cut.safetensors"
    with clip_weights.open("rb") as whole:
        cut.write_bytes(whole.read(1_000_000))
    right = sha256(clip_weights)
    text = refused(*gated(narrated, out, cut, f"gate.sha256={right}"))
    assert text.startswith(f"gate.sha256: {cut} has {sha256(cut)}, not {right}")
    assert f"gate.weights: {cut} can't be opened" in refused(*gated(narrated, out, cut))
    wrong = refused(*gated(narrated, tmp_path / "other", clip_weights, "gate.model=ViT-S-32"))
    assert "gate.weights: the file is not of open_clip's ViT-S-32" in wrong
    assert not list(tmp_path.rglob("*.tar"))
