"""The gate's step with a fake gate: what is filtered, what is stored, what is let through."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.config import load_video_config
from pipelines.driver import Done, run_records
from pipelines.video import video_recipe
from pipelines.video_gate import check_narrations, gate_steps
from schemas.config import VideoJob
from schemas.errors import UserError
from schemas.flow import Clip, Gate, Rejected
from schemas.networks import ClipGate, NoGate
from schemas.sample import Sample
from tests.jobs import FAST, write_scene
from tests.scenes import fake_ref, make_scene

SCORES = {"fits well": 0.31, "fits": 0.25, "fits hardly": 0.2499}


def settings(mode: str = "filter") -> ClipGate:
    return ClipGate(mode=mode, weights="clip.safetensors")


def clip(text: str, key: str) -> Clip:
    made = make_scene(n_frames=2, size_wh=(16, 16)).clip
    return replace(made, key=key, ref=fake_ref(text=text))


def by_text(clips: Sequence[Clip]) -> list[float]:
    """A gate that is told what to find."""
    return [SCORES[one.ref.text] for one in clips]


def fates(found: Sequence[Clip | Rejected]) -> list[object]:
    """The score of a clip that passed, reason, value and threshold of one that did not."""
    return [
        (one.reason, one.value, one.threshold) if isinstance(one, Rejected) else one.text_similarity for one in found
    ]


def test_a_clip_below_the_least_similarity_is_filtered_and_one_on_it_is_not() -> None:
    clips = [clip(text, text) for text in SCORES]
    assert fates(check_narrations(clips, by_text, settings())) == [0.31, 0.25, ("text_mismatch", 0.2499, 0.25)]
    assert fates(check_narrations(clips, by_text, settings("score"))) == [0.31, 0.25, 0.2499]
    assert check_narrations([], by_text, settings()) == []


@pytest.mark.parametrize("mode", ["filter", "score"])
def test_a_clip_without_a_narration_passes_unseen(mode: str) -> None:
    silent, noted, told = clip("", "a"), clip(" (3) ", "b"), clip("fits hardly", "c")
    first, second, third = check_narrations([silent, noted, told], by_text, settings(mode))
    assert (first, second) == (silent, noted) and third is not told
    assert check_narrations([silent], lambda clips: [0.0 for _ in clips], settings(mode)) == [silent]


def job(folder: Path, *overrides: str) -> VideoJob:
    weights = folder / "clip.safetensors"
    weights.write_bytes(b"")
    return load_video_config(
        [
            f"source.uris={folder}",
            "source.text=push",
            "gate.name=clip",
            f"gate.weights={weights}",
            "val_share=0",
            *FAST,
            *overrides,
        ]
    )


def ran(folder: Path, gate: Gate, text: str, *overrides: str) -> list[Done]:
    write_scene(folder / "a.mp4")
    recipe = video_recipe(job(folder, *overrides), gate=gate)
    return list(run_records(recipe, [fake_ref(uri="a.mp4", text=text, end_s=float("inf"))], {}))


def falling() -> Gate:
    """A gate that finds the first clip it sees fitting and all others not."""
    seen = iter([0.4, *[0.123456789] * 9])
    return lambda clips: [next(seen) for _ in clips]


@pytest.mark.parametrize("batch", [1, 4])
def test_through_the_recipe_the_value_lands_in_the_ledger_and_in_the_index(tmp_path: Path, batch: int) -> None:
    kept, filtered, record = ran(tmp_path, falling(), "push the box", f"run.batch={batch}")
    assert (filtered.row.outcome, filtered.row.stage, filtered.row.reason) == ("filtered", "gate", "text_mismatch")
    assert (filtered.row.value, filtered.row.threshold) == (0.123457, 0.25)
    assert record.row.outcome == "kept" and kept.sample is not None
    assert kept.sample.index_row["text_similarity"] == 0.4
    sample = Sample.model_validate_json(dict(kept.sample.members)["json"])
    assert [one.value for one in sample.quality if one.name == "text_similarity"] == [0.4]


def test_a_sample_without_a_score_says_nothing_of_it(tmp_path: Path) -> None:
    first, *_ = ran(tmp_path, falling(), "")
    assert first.sample is not None and first.sample.index_row["text_similarity"] is None
    sample = Sample.model_validate_json(dict(first.sample.members)["json"])
    assert "text_similarity" not in {one.name for one in sample.quality}


def test_only_the_clip_for_which_the_network_fails_is_quarantined(tmp_path: Path) -> None:
    def gate(clips: Sequence[Clip]) -> list[float]:
        if any(one.times_s_T[0] > 0.5 for one in clips):
            raise ValueError("CLIP gave nan")
        return [0.5 for _ in clips]

    first, second, _ = ran(tmp_path, gate, "push the box", "run.batch=4")
    assert (first.row.outcome, second.row.outcome, second.row.stage) == ("kept", "quarantined", "gate")
    assert "ValueError: CLIP gave nan" in second.row.error


def test_without_a_gate_there_is_no_step(tmp_path: Path) -> None:
    on, off = job(tmp_path), job(tmp_path).model_copy(update={"gate": NoGate()})
    assert [[step.name for step in gate_steps(config, by_text)] for config in (on, off)] == [["gate"], []]


def test_a_gate_without_anything_to_compare_with_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gate\.name: 'clip' compares .*: give source\.text"):
        job(tmp_path, "source.text=''")
