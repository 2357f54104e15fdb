"""From a marked clip to a finished sample: annotation, images, arrays. Letters: T frames, N points.

Positions are rounded first and text is made from the rounded values, so that the stored numbers explain the text.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.flow import Clip, FinishedSample, Marked, PointMark
from schemas.sample import (
    ARRAYS,
    CLEAN_MEMBER,
    MARKED_MEMBER,
    Camera,
    Image,
    ImageRole,
    Mark,
    Provenance,
    Quality,
    QualityName,
    Sample,
    Source,
    Task,
    Trace,
    Turn,
    TurnKind,
)
from transforms.drawing import draw_marks
from transforms.prompts import Bins, Templates, clean_narration, question, som_answer, tom_answer
from transforms.traces import is_worth_telling, text_trace, trace_of

_IMAGE = "<image>\n"
_PROPOSER = "grid"


def build_sample(
    marked: Marked,
    *,
    dataset: str,
    templates: Templates,
    bins: int,
    min_step_bins: float,
    min_trace_share: float,
    min_speed_bins: float,
    speed: bool,
    keep_clean: bool,
    provenance: Provenance,
) -> FinishedSample:
    """The sample of a marked clip: ToM where a moving mark's trace is worth telling, else SoM ("locate all marks").

    Every moving mark has its trace in the annotation, told or not. A narration makes a semantic turn before, on the
    image without marks where `keep_clean`. ValueError where the clip has no marks.
    """
    clip = marked.clip
    n_steps = len(clip.times_s_T) - 1
    marks = sorted(marked.marks, key=lambda mark: mark.id)
    moving = [mark.id for mark in marks if mark.kind == "moving"]
    traces = {mark.id: _trace(mark, marked) for mark in marks}
    texts = {
        mark_id: _text_trace(trace, clip.size_wh, bins=bins, min_step_bins=min_step_bins)
        for mark_id, trace in traces.items()
    }
    limits = {"min_trace_share": min_trace_share, "min_speed_bins": min_speed_bins}
    told = {mark_id: texts[mark_id] for mark_id in moving if is_worth_telling(texts[mark_id], n_steps, **limits)}
    task: Task = "tom" if told else "som"
    narration = clean_narration(clip.ref.text)
    asked_and_answered = _mark_turns(task, texts, told, templates, bins=bins, text=narration, speed=speed)
    images, turns = _conversation(clip, asked_and_answered, templates, narration, keep_clean=keep_clean)
    sample = Sample(
        key=clip.key,
        split=clip.ref.split,
        tasks=[task],
        text=clip.ref.text,
        images=images,
        turns=turns,
        marks=[_mark(mark, traces[mark.id], marked, image=len(images) - 1) for mark in marks],
        traces=[traces[mark_id] for mark_id in moving],
        camera=_camera(marked),
        source=_source(clip, dataset),
        quality=_quality(marked),
        provenance=provenance,
    )
    pictures = {MARKED_MEMBER: draw_marks(clip.frames_THW3[0], [(mark.id, _xy(traces[mark.id])) for mark in marks])}
    if keep_clean:
        pictures[CLEAN_MEMBER] = clip.frames_THW3[0]
    return FinishedSample(sample=sample, source_key=clip.ref.source_key, images=pictures, arrays=_arrays(marked))


def _trace(mark: PointMark, marked: Marked) -> Trace:
    xy_T2, visible_T = trace_of(mark, marked.motion, marked.tracks)
    return Trace(
        mark=mark.id,
        times_s=_rounded(marked.clip.times_s_T, 6),
        xy=[_rounded(xy, 2) for xy in xy_T2],
        visible=[bool(visible) for visible in visible_T],
    )


def _text_trace(trace: Trace, size_wh: tuple[int, int], *, bins: int, min_step_bins: float) -> list[Bins]:
    return text_trace(np.array(trace.xy), np.array(trace.visible), size_wh, bins=bins, min_step_bins=min_step_bins)


def _xy(trace: Trace) -> tuple[float, float]:
    x, y = trace.xy[0]
    return x, y


def _mark_turns(
    task: Task,
    texts: dict[int, list[Bins]],
    told: dict[int, list[Bins]],
    templates: Templates,
    *,
    bins: int,
    text: str,
    speed: bool,
) -> list[Turn]:
    """The question about the marks and its answer; `texts` of all marks, `told` of those whose future is told."""
    marks = sorted(texts)
    if task == "som":
        asked = question(templates, "som", bins=bins, marks=marks, text=text, steps=0, speed=None)
        return _turns("som", asked, som_answer({mark: texts[mark][0] for mark in marks}))
    steps = max(len(points) - 1 for points in told.values())
    way_bins = _mean_step_bins(list(told.values())) if speed else None
    asked = question(templates, "tom", bins=bins, marks=marks, text=text, steps=steps, speed=way_bins)
    return _turns("tom", asked, tom_answer(told))


def _turns(kind: TurnKind, asked: str, answered: str) -> list[Turn]:
    return [Turn(role="user", kind=kind, content=asked), Turn(role="assistant", kind=kind, content=answered)]


def _mean_step_bins(paths: Sequence[Sequence[Bins]]) -> int:
    """Mean way from one told position to the next, over the marks, truncated."""
    means = [float(np.linalg.norm(np.diff(np.array(path), axis=0), axis=1).mean()) for path in paths]
    return int(np.mean(means))


def _conversation(
    clip: Clip, mark_turns: Sequence[Turn], templates: Templates, narration: str, *, keep_clean: bool
) -> tuple[list[Image], list[Turn]]:
    """Images and turns; every image stands in front of the question that needs it first, the marked one is last."""
    if not narration:
        return [_image(clip, MARKED_MEMBER, "marked")], _with_image(mark_turns)
    asked = question(templates, "semantic", bins=0, marks=[], text="", steps=0, speed=None)
    semantic = _with_image(_turns("semantic", asked, f"{narration}\n"))
    if not keep_clean:
        return [_image(clip, MARKED_MEMBER, "marked")], [*semantic, *mark_turns]
    images = [_image(clip, CLEAN_MEMBER, "clean"), _image(clip, MARKED_MEMBER, "marked")]
    return images, [*semantic, *_with_image(mark_turns)]


def _with_image(turns: Sequence[Turn]) -> list[Turn]:
    first, *rest = turns
    return [first.model_copy(update={"content": _IMAGE + first.content}), *rest]


def _image(clip: Clip, member: str, role: ImageRole) -> Image:
    width, height = clip.size_wh
    return Image(member=member, role=role, width=width, height=height, time_s=round(float(clip.times_s_T[0]), 6))


def _mark(mark: PointMark, trace: Trace, marked: Marked, *, image: int) -> Mark:
    visible_T = marked.tracks.visible_TN[:, mark.track]
    confidence_T = marked.tracks.confidence_TN[visible_T, mark.track].astype(np.float64)
    return Mark(
        id=mark.id,
        image=image,
        kind="moving" if mark.kind == "moving" else "static",
        xy=list(trace.xy[0]),
        score=round(float(confidence_T.mean()), 4) if len(confidence_T) else 0.0,
        proposer=_PROPOSER,
        track=mark.track,
    )


def _camera(marked: Marked) -> Camera:
    camera = marked.camera
    return Camera(
        moving=camera.moving,
        model="homography" if camera.model == "homography" else "none",
        inlier_ratio=round(float(camera.inlier_ratio_T.min()), 4),
        residual_px=round(camera.residual_px, 4),
    )


def _source(clip: Clip, dataset: str) -> Source:
    return Source(
        dataset=dataset,
        uri=clip.ref.uri,
        record_key=clip.ref.record_key,
        record_id=clip.ref.record_id,
        licence=clip.ref.licence,
        start_s=round(float(clip.times_s_T[0]), 6),
        end_s=round(float(clip.times_s_T[-1]), 6),
        fps=round(float(clip.fps), 6),
        frame_index=clip.frame_index,
    )


def _quality(marked: Marked) -> list[Quality]:
    """What `preview --sort` and filters work on; shares of points, diagonals and diagonals per second."""
    motion, camera = marked.motion, marked.camera
    usable, moving = int(motion.usable_N.sum()), int(motion.moving_N.sum())
    values: dict[QualityName, float] = {
        "track_share": usable / max(1, len(motion.usable_N)),
        "moving_share": moving / max(1, usable),
        "speed_per_s": float(motion.speed_N[motion.moving_N].mean()) if moving else 0.0,
        "inlier_ratio": float(camera.inlier_ratio_T.min()),
        "residual_share": camera.residual_px / float(np.hypot(*marked.clip.size_wh)),
    }
    return [Quality(name=name, value=round(float(value), 6)) for name, value in values.items()]


def _arrays(marked: Marked) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {
        "tracks_xy_TN2": marked.tracks.xy_TN2,
        "visible_TN": marked.tracks.visible_TN,
        "confidence_TN": marked.tracks.confidence_TN,
        "moving_N": marked.motion.moving_N,
        "homographies_T33": marked.camera.homographies_T33,
        "inlier_ratio_T": marked.camera.inlier_ratio_T,
        "times_s_T": marked.clip.times_s_T,
    }
    return {name: np.asarray(array, dtype=ARRAYS[name]) for name, array in arrays.items()}


def _rounded(values: npt.ArrayLike, digits: int) -> list[float]:
    """Plain floats, never -0.0."""
    return [round(float(value), digits) + 0.0 for value in np.asarray(values, dtype=np.float64)]
