"""The benchmark's scores: a perfect claim scores 1, and each mistake costs the measure that it should."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from bench.report import ROOT
from bench.truth.frames import find_frames
from bench.truth.known import TruthClip
from bench.truth.ours import run_ours
from bench.truth.pool import MARK_MEASURES, POINT_MEASURES, figure_of
from bench.truth.published import RULES, call_moving
from bench.truth.run import Work, score_clip
from bench.truth.scenes import CATALOGUE, make_clip
from bench.truth.score import Claim, ClipScore, Truth, score, truth_of_points
from bench.truth.summary import summary_of
from bench.truth.table import groups_of, markdown_lines, table_of, text_lines
from transforms.points import grid_points, textured_points

MEASURES = {measure.name: measure for measure in (*POINT_MEASURES, *MARK_MEASURES)}


@pytest.fixture(scope="module")
def known() -> TruthClip:
    number = next(n for n, spec in enumerate(CATALOGUE) if (spec.strength, spec.moving) == ("mild", 2))
    return make_clip(find_frames(ROOT / "demo", "tune"), number)


@pytest.fixture(scope="module")
def truth(known: TruthClip) -> Truth:
    return truth_of_points(known, grid_points(known.size_wh, 15))


def perfect(known: TruthClip, truth: Truth) -> Claim:
    _, path_TN2 = known.true_path(0, truth.seen_path_TN2[0])
    due_n = np.flatnonzero(truth.due_N)
    return Claim(
        moving_N=truth.moving_N,
        usable_N=np.ones(len(truth.moving_N), bool),
        homographies_T33=known.homographies_T33,
        marks_M=tuple(int(n) for n in due_n),
        reference=0,
        xy_TN2=truth.seen_path_TN2,
        path_TN2=path_TN2,
        told_TN=truth.visible_TN,
    )


def figure(name: str, *scores: ClipScore) -> float:
    return figure_of(MEASURES[name], scores).value


def test_a_perfect_claim_scores_one(known: TruthClip, truth: Truth) -> None:
    scored = score(known, truth, truth, "ours", perfect(known, truth))
    names = ("point precision", "point recall", "mark precision", "object recall", "clips kept")
    assert truth.due_N.sum() >= 6
    assert [figure(name, scored) for name in names] == [1.0] * 5
    assert figure("background residual, px", scored) == pytest.approx(0, abs=1e-6)
    assert figure("trace error, % of diagonal", scored) == pytest.approx(0, abs=1e-6)


def test_each_mistake_costs_its_measure(known: TruthClip, truth: Truth) -> None:
    right = perfect(known, truth)
    everything = score(known, truth, truth, "ours", replace(right, moving_N=np.ones_like(truth.moving_N)))
    assert figure("point precision", everything) == pytest.approx(truth.moving_N[truth.clear_N].mean())
    assert figure("point recall", everything) == 1

    unusable = replace(right, moving_N=np.zeros_like(truth.moving_N), usable_N=~truth.due_N)
    assert figure("point recall", score(known, truth, truth, "ours", unusable)) == 0
    assert np.isnan(figure("point recall, usable points", score(known, truth, truth, "ours", unusable)))

    on_ground = int(np.flatnonzero(truth.clear_N & ~truth.moving_N)[0])
    marked = score(known, truth, truth, "ours", replace(right, marks_M=(*(right.marks_M or ()), on_ground)))
    assert figure("mark precision", marked) == pytest.approx(1 - 1 / (truth.due_N.sum() + 1))
    assert figure("clips with a wrong mark", marked) == 1

    aside_2 = np.array([0.01 * known.diagonal, 0])
    shifted = score(known, truth, truth, "ours", replace(right, path_TN2=right.path_TN2 + aside_2))
    assert figure("trace error, % of diagonal", shifted) == pytest.approx(1)


def test_a_filtered_clip_costs_recall_but_not_precision(known: TruthClip, truth: Truth) -> None:
    kept, filtered = (
        score(known, truth, truth, "ours", perfect(known, truth)),
        score(known, truth, truth, "ours", None, "camera_fit"),
    )
    assert figure("point recall", kept, filtered) == 0.5
    assert figure("point recall, kept clips", kept, filtered) == 1
    assert figure("point precision", kept, filtered) == 1
    assert figure("clips kept", kept, filtered) == 0.5
    assert figure("object recall", kept, filtered) == 0.5
    main, *_ = groups_of([kept, filtered], ["ours"], False)
    assert main.filtered == "camera_fit 1" and main.clips == 2
    tables = [table_of(main, ["ours"])]
    assert "camera_fit 1" in "\n".join(text_lines(tables))
    assert "| point precision | 1.000 [1.000, 1.000] |" in markdown_lines(tables)


def test_a_rules_points_are_scored_where_they_are_and_things_are_due_by_the_plain_grid(known: TruthClip) -> None:
    plain_N2 = grid_points(known.size_wh, 15)
    plain, own = truth_of_points(known, plain_N2), truth_of_points(known, plain_N2[::3] + 2.0)
    scored = score(known, plain, own, "ours", perfect(known, own))
    assert (scored.counts["points"], scored.counts["due"]) == (75, own.due_N.sum())
    assert figure("point precision", scored) == figure("point recall", scored) == 1
    blind = score(known, plain, truth_of_points(known, plain_N2[:0]), "ours", None, "too_few_points")
    assert blind.counts["objects_due"] == scored.counts["objects_due"] == 2


def test_our_points_are_where_our_recipe_puts_them(known: TruthClip) -> None:
    frames = find_frames(ROOT / "demo", "tune")
    config = ("points.grid=12",)
    (ours, *published), _ = score_clip(Work(frames=frames, overrides=config, points_only=True), known.number)
    outcome = run_ours(known.clip, config, points_only=True)
    assert outcome.tracked is not None
    own = truth_of_points(known, textured_points(known.clip.frames_THW3[0], 12))
    assert np.allclose(outcome.tracked.tracks.xy_TN2[0], textured_points(known.clip.frames_THW3[0], 12), atol=1e-3)
    assert ours.counts["points"] == 144 and ours.counts["due"] == own.due_N.sum()
    assert {each.counts["points"] for each in published} == {225}


def faked(strength: str, category: str = "objects", filtered: str = "", **counts: float) -> ClipScore:
    return ClipScore(
        number=0,
        category=category,
        strength=strength,
        rule="ours",
        filtered=filtered,
        counts=counts,
        residuals_px=(0.6,),
    )


def test_the_summary_says_what_is_required_and_whether_it_is_met() -> None:
    scores = [
        faked("mild", called=10, called_right=9, due=10, due_called=8),
        faked("strong", called=10, called_right=10),
        faked("very_strong", called=10, called_right=0),
        faked("mild", "two_depth", "camera_fit"),
        faked("mild", "two_depth", called=10, called_right=8),
        faked("mild", "panned", marks=1),
    ]
    summary = summary_of(scores, ["ours"], "ours", False)
    text = "\n".join(text_lines(summary.tables))
    met = {(each.measure, each.clips): each.met for each in summary.checked}
    assert met == {
        ("point precision", "mild"): True,
        ("point precision", "strong"): True,
        ("point recall", "mild"): False,
        ("background residual, px", "mild"): False,
        ("background residual, px", "strong"): True,
        ("clips kept", "mild"): True,
        ("clips kept", "strong"): True,
        ("point precision", "two_depth"): False,
        ("clips with a moving mark", "panned"): False,
    }
    rows = {" ".join(line.split()) for line in text.splitlines()}
    assert "point recall 0.800 - - >= 0.9 NO: mild" in rows
    assert "background residual, px 0.60 0.60 0.60 <= 0.5, strong 0.7 NO: mild" in rows
    assert "filtered: camera_fit 1" in rows
    assert "clips with a moving mark 1 0 NO: panned" in rows
    assert summary.verdict.startswith("5 of 9 requirements met; not met: point recall, mild; ")
    assert summary_of(scores, ["ours"], "no such rule", False).checked == ()
    assert summary_of([], ["ours"], "ours", True).tables == ()


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--points"], ["--published", "--markdown"], ["--full"]])
def test_the_command_line(options: list[str], tmp_path: Path) -> None:
    """A few clips of pictures of one's own: a summary, told in tenths to a file."""
    rng = np.random.default_rng(0)
    for number in range(6):
        coarse_HW3 = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        picture_HW3 = cv2.resize(coarse_HW3, (320, 240), interpolation=cv2.INTER_CUBIC)
        assert cv2.imwrite(str(tmp_path / f"picture_{number}.png"), picture_HW3)
    command = [sys.executable, "-m", "bench.truth", "--frames", str(tmp_path), "--split", "tune", "--clips", "4"]
    command += ["--workers", "1", "--json", str(tmp_path / "told.json"), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "3 sources, 3 files" in done.stdout and "Only 3 sources" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("4 of 4 clips, ") and "\r" not in done.stderr
    assert ("requirements met" in done.stdout) == ("--published" not in options)
    assert ("mark precision" in done.stdout) == ("--points" not in options)
    assert ("\npoint recall, kept" in done.stdout.replace("  ", "")) == ("--full" in options)
    told = json.loads((tmp_path / "told.json").read_text())
    assert {"requirements", "groups", "clips"} <= set(told)


def test_intervals_are_the_same_every_time_and_hold_the_figure(known: TruthClip, truth: Truth) -> None:
    kept, filtered = (
        score(known, truth, truth, "ours", perfect(known, truth)),
        score(known, truth, truth, "ours", None, "camera_fit"),
    )
    once, again = (figure_of(MEASURES["point recall"], [kept, kept, filtered, kept]) for _ in range(2))
    assert once == again
    assert 0 <= once.low <= once.value == 0.75 <= once.high <= 1


def tracks(pan_px: float, step_px: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """A grid seen by a panning camera; the first three points move on their own besides."""
    xy_TN2 = np.repeat(grid_points((512, 288), 15)[None], 16, axis=0)
    time_T1 = np.arange(16, dtype=np.float32)[:, None]
    xy_TN2[:, :, 0] += pan_px * time_T1
    xy_TN2[:, :3, 1] += step_px * time_T1
    return xy_TN2, np.ones(xy_TN2.shape[:2], bool)


@pytest.mark.parametrize(
    ("rule", "pan_px", "step_px", "moving"),
    [
        ("demo", 0, 4, 3),  # its thresholds count at a height of 512: 288 / 512 of these pixels
        ("demo", 6, 4, 225),  # the camera leaks into what moves
        ("video", 6, 4, 3),
        ("video", 0, 2, 0),
        ("robot", 6, 2, 3),
    ],
)
def test_published_rules(rule: str, pan_px: float, step_px: float, moving: int) -> None:
    xy_TN2, visible_TN = tracks(pan_px, step_px)
    (chosen,) = [each for each in RULES if each.name == rule]
    called = call_moving(chosen, xy_TN2, visible_TN, (512, 288), np.random.default_rng(0))
    assert called.moving_N.sum() == moving
    assert 2 <= len(called.marks) <= 5 if moving else called.marks == ()
    assert called.moving_N[list(called.marks)].all()
    if pan_px:
        # not exact: what moves by less than 4 px in all pulls at the homography
        assert np.allclose(called.steady_xy_TN2[5:, 10:], xy_TN2[0, 10:], atol=0.5)


def test_steps_of_lost_points_count_in_the_release_only() -> None:
    xy_TN2, visible_TN = tracks(6, 0)
    xy_TN2[10:, 0], visible_TN[10:, 0] = xy_TN2[9, 0], False
    called = {
        rule.name: call_moving(rule, xy_TN2, visible_TN, (512, 288), np.random.default_rng(0)).moving_N.sum()
        for rule in RULES
    }
    assert (called["robot"], called["robot-seen"]) == (1, 0)
