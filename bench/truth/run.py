"""One clip through all rules: made, tracked, judged, scored."""

from dataclasses import dataclass

import cv2
import numpy as np

from bench.truth.frames import Frames, Pixels
from bench.truth.ours import Outcome, run_ours
from bench.truth.published import RULES, Called, call_moving, track_plain
from bench.truth.scenes import make_clip
from bench.truth.score import Claim, ClipScore, score, truth_of_points
from bench.truth.sheet import draw_row
from schemas.flow import Bool, Float
from transforms.keys import rng_for
from transforms.points import grid_points

GRID = 15
"""of the published rules' points, the middles of its cells; ours are where our recipe puts them"""
OURS = "ours"


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a worker is to do with every clip. `ours`: run our rules too; `drawn`: clips that get a row of the sheet."""

    frames: Frames
    overrides: tuple[str, ...] = ()
    ours: bool = True
    points_only: bool = False
    drawn: frozenset[int] = frozenset()


def score_clip(work: Work, number: int) -> tuple[list[ClipScore], Pixels | None]:
    """The scores of all rules on a clip, ours first, and its row of the sheet if it is to be drawn."""
    cv2.setNumThreads(1)
    known = make_clip(work.frames, number)
    points_N2 = grid_points(known.size_wh, GRID)
    plain = truth_of_points(known, points_N2)
    scores: list[ClipScore] = []
    outcome = Outcome()
    if work.ours:
        try:
            outcome = run_ours(known.clip, work.overrides, work.points_only)
        except Exception as error:
            error.add_note(f"clip {number} of split {work.frames.split}")
            raise
        rejected = outcome.rejected.reason if outcome.rejected else ""
        truth = plain
        if outcome.tracked:
            tracks = outcome.tracked.tracks
            truth = truth_of_points(known, tracks.xy_TN2[0], tracks.visible_TN[0])
        scores.append(score(known, plain, truth, OURS, None if rejected else our_claim(outcome), rejected))
    xy_TN2, visible_TN = track_plain(known.clip.frames_THW3, points_N2)
    for rule in RULES:
        called = call_moving(rule, xy_TN2, visible_TN, known.size_wh, rng_for(0, known.clip.key, rule.name))
        told_TN = visible_TN if rule.seen else np.ones_like(visible_TN)
        claim = published_claim(called, xy_TN2, told_TN, work.points_only)
        scores.append(score(known, plain, plain, rule.name, claim))
    return scores, draw_row(known, outcome) if number in work.drawn else None


def our_claim(outcome: Outcome) -> Claim:
    """What our steps say of a clip that they kept; only steps at which the point is visible are told."""
    if outcome.judged is None:
        raise ValueError("the clip was not judged")
    judged, marked = outcome.judged, outcome.marked
    steady_TN2 = marked.motion.steady_xy_TN2 if marked else judged.motion.steady_xy_TN2
    return Claim(
        moving_N=judged.motion.moving_N,
        usable_N=judged.motion.usable_N,
        homographies_T33=judged.camera.homographies_T33,
        marks_M=tuple(mark.track for mark in marked.marks if mark.kind == "moving") if marked else None,
        reference=marked.reference if marked else 0,
        xy_TN2=judged.tracks.xy_TN2,
        path_TN2=steady_TN2,
        told_TN=judged.tracks.visible_TN,
    )


def published_claim(called: Called, xy_TN2: Float, told_TN: Bool, points_only: bool) -> Claim:
    """What a published rule says; its traces tell all steps, the -seen variants' only those that see the point."""
    return Claim(
        moving_N=called.moving_N,
        usable_N=called.usable_N,
        homographies_T33=called.homographies_T33,
        marks_M=None if points_only else called.marks,
        reference=0,
        xy_TN2=xy_TN2,
        path_TN2=called.steady_xy_TN2,
        told_TN=told_TN,
    )
