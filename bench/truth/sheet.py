"""A contact sheet: a row per clip, with the truth and what our rules made of it, for people to look at.

Outlines: green for what moves, violet for what stands still. Dots are our points: red where called moving, yellow
where known to stand still, grey where unusable. White discs: moving marks; our traces are red, the true ones green.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from bench.truth.frames import Pixels
from bench.truth.known import TruthClip
from bench.truth.ours import Outcome
from schemas.flow import Float

_ROW_PX = 216
_MOVES, _STANDS = (60, 230, 60), (230, 60, 230)
_CALLED, _STILL, _UNUSABLE = (255, 40, 40), (255, 210, 0), (150, 150, 150)
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_PER_LINE = 5


def draw_row(known: TruthClip, outcome: Outcome) -> Pixels:
    """Frames of a clip at even steps with the truth's outlines; the marked frame last, with marks and traces."""
    frames_THW3 = known.clip.frames_THW3
    times = np.linspace(0, len(frames_THW3) - 1, _PER_LINE - 1).round().astype(int)
    pictures = [_outlined(known, int(t)) for t in times]
    _dots(pictures[0], known, outcome)
    reference = outcome.marked.reference if outcome.marked else 0
    pictures.append(_outlined(known, reference))
    if outcome.marked:
        _traces(pictures[-1], known, outcome)
    scale = _ROW_PX / known.size_wh[1]
    size_wh = (round(known.size_wh[0] * scale), _ROW_PX)
    row_HW3 = np.concatenate([cv2.resize(each, size_wh, interpolation=cv2.INTER_AREA) for each in pictures], axis=1)
    said = f"filtered: {outcome.rejected.reason} {outcome.rejected.value:.3g}" if outcome.rejected else ""
    text = f"{known.number} {known.category}, camera {known.strength}, {known.note}  {said}"
    for colour, width in ((_BLACK, 3), (_WHITE, 1)):
        cv2.putText(row_HW3, text, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, width, cv2.LINE_AA)
    return np.asarray(row_HW3, np.uint8)


def write_sheet(path: Path, rows: Sequence[Pixels]) -> None:
    """Stacks rows, the narrow ones filled with black, into a PNG."""
    width = max(row_HW3.shape[1] for row_HW3 in rows)
    padded = [np.pad(row_HW3, ((0, 2), (0, width - row_HW3.shape[1]), (0, 0))) for row_HW3 in rows]
    sheet_HW3 = np.concatenate(padded)
    if not cv2.imwrite(str(path), sheet_HW3[..., ::-1]):
        raise ValueError(f"{path} could not be written; name a .png in a folder that exists")


def _outlined(known: TruthClip, t: int) -> Pixels:
    picture_HW3 = known.clip.frames_THW3[t].copy()
    if t >= known.cut:
        return np.asarray(picture_HW3)
    width, height = known.size_wh
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    object_HW = known.object_at(t, np.stack([x.ravel(), y.ravel()], axis=1)).reshape(height, width)
    for o, moves in enumerate(known.moves_O):
        outline, _ = cv2.findContours((object_HW == o).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture_HW3, outline, -1, _MOVES if moves else _STANDS, 2)
    return np.asarray(picture_HW3)


def _dots(picture_HW3: Pixels, known: TruthClip, outcome: Outcome) -> None:
    """What our rules call each of our points, on frame 0."""
    if outcome.judged is None:
        return
    motion, xy_N2 = outcome.judged.motion, outcome.judged.tracks.xy_TN2[0]
    for xy_2, usable, moving in zip(xy_N2, motion.usable_N, motion.moving_N, strict=True):
        colour = _CALLED if moving else _STILL if usable else _UNUSABLE
        cv2.circle(picture_HW3, _pixel(xy_2), 3 if moving else 2, colour, -1, cv2.LINE_AA)


def _traces(picture_HW3: Pixels, known: TruthClip, outcome: Outcome) -> None:
    """Moving marks on the reference frame, our traces and the true ones, as its camera sees them."""
    if outcome.marked is None:
        return
    marked, reference = outcome.marked, outcome.marked.reference
    tracks = [mark.track for mark in marked.marks if mark.kind == "moving"]
    xy_M2 = np.asarray(marked.tracks.xy_TN2[reference, tracks], np.float64).reshape(-1, 2)
    _, path_TM2 = known.true_path(reference, xy_M2)
    for m, n in enumerate(tracks):
        told_t = reference + np.flatnonzero(marked.tracks.visible_TN[reference:, n])
        for path_T2, colour in (
            (path_TM2[reference : known.cut, m], _MOVES),
            (marked.motion.steady_xy_TN2[told_t, n], _CALLED),
        ):
            line = np.array([_pixel(xy_2) for xy_2 in path_T2], np.int32).reshape(-1, 1, 2)
            cv2.polylines(picture_HW3, [line], False, colour, 2, cv2.LINE_AA)
        cv2.circle(picture_HW3, _pixel(xy_M2[m]), 5, _WHITE, -1, cv2.LINE_AA)
        cv2.circle(picture_HW3, _pixel(xy_M2[m]), 5, _BLACK, 1, cv2.LINE_AA)


def _pixel(xy_2: Float) -> tuple[int, int]:
    x, y = np.clip(np.nan_to_num(np.asarray(xy_2, np.float64)), -30_000, 30_000)
    return round(float(x) - 0.5), round(float(y) - 0.5)
