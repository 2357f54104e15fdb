"""What a rule said of a clip against the clip's truth.

A rule's points are scored where it put them on frame 0. What is asked of all rules alike, which things are due and how
far off the camera is, is asked at the middles of the same plain grid.

Letters: T frames, N points, M marks.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bench.truth.known import BACKGROUND, MOVES_FROM, Array, TruthClip
from schemas.flow import Bool, Float

_MIN_POINTS_OF_OBJECT = 3


EDGE_PX = 2.0
"""nobody can tell what lies nearer to an outline: points there are left out, marks there count for either side"""
_AROUND_A = np.arange(8) * np.pi / 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """The truth of some points of frame 0. Points near an edge are left out of everything.

    `due_N`: on something that moves, visible in more than half of the frames, and moved while it was visible.
    """

    given_N: Bool
    object_N: npt.NDArray[np.intp]
    clear_N: Bool
    moving_N: Bool
    seen_N: Bool
    due_N: Bool
    seen_path_TN2: Array
    visible_TN: Bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Claim:
    """What a rule says. `told_TN`: the steps of a track that its trace would tell; marks are on frame `reference`.

    `marks_M` are the tracks with a moving mark, None where marks were not made; `path_TN2` is in the pixels of the
    reference frame, as its camera sees. `homographies_T33` lead to frame 0.
    """

    moving_N: Bool
    usable_N: Bool
    homographies_T33: Array
    marks_M: tuple[int, ...] | None
    reference: int
    xy_TN2: Float
    path_TN2: Float
    told_TN: Bool


@dataclass(frozen=True, kw_only=True)
class ClipScore:
    """One rule on one clip. `counts` add up over clips; `filtered` is the reason, "" where the clip was kept."""

    number: int
    category: str
    strength: str
    rule: str
    filtered: str = ""
    counts: dict[str, float] = field(default_factory=dict)
    residuals_px: tuple[float, ...] = ()
    trace_errors: tuple[float, ...] = ()
    """in diagonals, one per moving mark"""


def truth_of_points(known: TruthClip, points_N2: Float, given_N: Bool | None = None) -> Truth:
    """The truth of points of frame 0; those that are not `given_N` there (put in later) are left out of everything."""
    points_N2 = np.asarray(points_N2, np.float64)
    object_N = known.object_at(0, points_N2)
    seen_path_TN2 = np.zeros((len(known.homographies_T33), len(points_N2), 2))
    visible_TN = np.zeros(seen_path_TN2.shape[:2], bool)
    away_TN = np.zeros(visible_TN.shape)
    for o in np.unique(object_N):
        on_N = object_N == o
        seen_path_TN2[:, on_N] = known.seen_path(int(o), points_N2[on_N])
        visible_TN[:, on_N] = known.visible(int(o), points_N2[on_N])
        away_TN[:, on_N] = np.linalg.norm(known.steady_path(int(o), points_N2[on_N]) - points_N2[on_N], axis=-1)
    moving_N = np.append(known.moves_O, False)[object_N]
    given_N = np.ones(len(points_N2), bool) if given_N is None else given_N
    clear_N = given_N & ~known.near_edge(0, points_N2)
    seen_N = visible_TN.mean(axis=0) > 0.5
    shown_N = np.where(visible_TN, away_TN, 0).max(axis=0) >= MOVES_FROM * known.diagonal
    return Truth(
        given_N=given_N,
        object_N=object_N,
        clear_N=clear_N,
        moving_N=moving_N,
        seen_N=seen_N,
        due_N=clear_N & moving_N & seen_N & shown_N,
        seen_path_TN2=seen_path_TN2,
        visible_TN=visible_TN,
    )


def score(
    known: TruthClip, plain: Truth, truth: Truth, rule: str, claim: Claim | None, filtered: str = ""
) -> ClipScore:
    """A rule's claim against the truth of its own points and of the plain grid's; None: it filtered the clip."""
    due_objects = _due_objects(plain)
    counts = {
        "points": float(truth.given_N.sum()),
        "points_left_out": float((truth.given_N & ~truth.clear_N).sum()),
        "due": float(truth.due_N.sum()),
        "objects_due": float(len(due_objects)),
    }
    if claim is None:
        whole = dict.fromkeys(("called", "called_right", "due_called"), 0.0)
        return _scored(known, rule, filtered, counts | whole)
    called_N = claim.moving_N & truth.clear_N
    counts |= {
        "called": float(called_N.sum()),
        "called_right": float((called_N & truth.moving_N).sum()),
        "due_called": float((called_N & truth.due_N).sum()),
        "due_kept": counts["due"],
        "due_usable": float((claim.usable_N & truth.due_N).sum()),
    }
    residuals_px = _residual(plain, claim)
    if claim.marks_M is None:
        return _scored(known, rule, "", counts, residuals_px)
    marks_n = np.array(claim.marks_M, int)
    xy_M2 = np.asarray(claim.xy_TN2[claim.reference, marks_n], np.float64).reshape(-1, 2)
    object_M, path_TM2 = known.true_path(claim.reference, xy_M2)
    exact_M = np.append(known.moves_O, False)[object_M] & (claim.reference < known.cut)
    right_M = exact_M.copy()
    for away_2 in EDGE_PX * np.stack([np.cos(_AROUND_A), np.sin(_AROUND_A)], axis=1):
        beside_M = known.object_at(claim.reference, xy_M2 + away_2)
        right_M |= np.append(known.moves_O, False)[beside_M] & (claim.reference < known.cut)
    past_cut = bool(claim.told_TN[known.cut :, marks_n].any())
    counts |= {
        "marks": float(len(marks_n)),
        "marks_right": float(right_M.sum()),
        "marks_exact": float(exact_M.sum()),
        "marks_wrong": float((~right_M).sum()),
        "objects_due_kept": counts["objects_due"],
        "objects_found": float(len(due_objects & set(object_M.tolist()))),
        "wrong_claim": float(past_cut or not right_M.all()),
    }
    errors = []
    for m, n in enumerate(marks_n):
        told_t = claim.reference + np.flatnonzero(claim.told_TN[claim.reference :, n])
        away_t = np.linalg.norm(claim.path_TN2[told_t, n] - path_TM2[told_t, m], axis=-1)
        errors.append(float(np.median(away_t)) / known.diagonal if len(away_t) else float("nan"))
    return _scored(known, rule, "", counts, residuals_px, tuple(error for error in errors if np.isfinite(error)))


def _scored(
    known: TruthClip,
    rule: str,
    filtered: str,
    counts: dict[str, float],
    residuals_px: tuple[float, ...] = (),
    trace_errors: tuple[float, ...] = (),
) -> ClipScore:
    return ClipScore(
        number=known.number,
        category=known.category,
        strength=known.strength,
        rule=rule,
        filtered=filtered,
        counts=counts,
        residuals_px=residuals_px,
        trace_errors=trace_errors,
    )


def _due_objects(truth: Truth) -> set[int]:
    """Things that move, with enough points that show it: each of them should get a mark."""
    numbers, points = np.unique(truth.object_N[truth.due_N], return_counts=True)
    return {int(o) for o, count in zip(numbers, points, strict=True) if count >= _MIN_POINTS_OF_OBJECT}


def _residual(truth: Truth, claim: Claim) -> tuple[float, ...]:
    """Median, over frames and visible points of the background, of how far the estimate puts them from their place."""
    ground_N = truth.clear_N & (truth.object_N == BACKGROUND)
    xy1_TM3 = np.insert(truth.seen_path_TN2[:, ground_N], 2, 1.0, axis=-1)
    there_TM3 = xy1_TM3 @ np.swapaxes(claim.homographies_T33, -1, -2)
    there_TM2 = there_TM3[..., :2] / there_TM3[..., 2:]
    away_TM = np.linalg.norm(there_TM2 - truth.seen_path_TN2[0, ground_N], axis=-1)
    visible_TM = truth.visible_TN[:, ground_N].copy()
    visible_TM[0] = False
    return (float(np.median(away_TM[visible_TM])),) if visible_TM.any() else ()
