"""From a marked clip to a finished sample: annotation, images, arrays. Letters: T frames, N points.

Positions are rounded first and text is made from the rounded values, so that the stored numbers explain the text.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.config import TracesConfig
from schemas.flow import FinishedSample, Marked, PointMark, Regions
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
    Trace,
    Turn,
    TurnKind,
)
from transforms.drawing import draw_marks
from transforms.picture_samples import region_arrays
from transforms.prompts import Bins, Templates, clean_narration, question, som_answer, tom_answer
from transforms.traces import resample, room_for, to_bins, told_traces

_IMAGE = "<image>\n"
_PROPOSER = "grid"


def build_sample(
    marked: Marked,
    *,
    dataset: str,
    templates: Templates,
    bins: int,
    traces: TracesConfig,
    speed: bool,
    keep_clean: bool,
    provenance: Provenance,
    objects: str = "",
) -> FinishedSample:
    """The sample of a marked clip: ToM where a moving mark's trace is worth telling, else SoM ("locate all marks").

    Marks and traces are those of the reference frame, which is what the images show. Every moving mark has its trace in
    the annotation, told or not; the arrays are raw and of the whole clip. A narration makes a semantic turn before, on
    the image without marks where `keep_clean`. `objects`: name of the proposer of the things that marks stand on.
    ValueError where the clip has no marks.
    """
    clip = marked.clip
    marks, stored, asked_and_answered = marks_and_turns(
        marked, templates=templates, bins=bins, traces=traces, speed=speed
    )
    narration = clean_narration(clip.ref.text)
    images, turns = _conversation(marked, asked_and_answered, templates, narration, keep_clean=keep_clean)
    sample = Sample(
        key=clip.key,
        split=clip.ref.split,
        tasks=["tom" if asked_and_answered[0].kind == "tom" else "som"],
        text=clip.ref.text,
        images=images,
        turns=turns,
        marks=[
            mark.model_copy(
                update={"image": len(images) - 1, "proposer": mark.proposer if mark.region < 0 else objects}
            )
            for mark in marks
        ],
        traces=stored,
        camera=_camera(marked),
        source=_source(marked, dataset),
        quality=_quality(marked),
        provenance=provenance,
    )
    frame_HW3 = clip.frames_THW3[marked.reference]
    pictures = {MARKED_MEMBER: draw_marks(frame_HW3, [(mark.id, (mark.xy[0], mark.xy[1])) for mark in marks])}
    if keep_clean:
        pictures[CLEAN_MEMBER] = frame_HW3
    return FinishedSample(sample=sample, source_key=clip.ref.source_key, images=pictures, arrays=_arrays(marked))


def marks_and_turns(
    marked: Marked, *, templates: Templates, bins: int, traces: TracesConfig, speed: bool
) -> tuple[list[Mark], list[Trace], list[Turn]]:
    """The marks by id, the traces of those that move, and the question about them (without `<image>`) with its answer.

    Of the clip it looks at the size of the frames, their times and the narration, not at what they show.
    """
    clip = marked.clip
    marks = [_mark(mark, marked) for mark in sorted(marked.marks, key=lambda mark: mark.id)]
    stored = [_trace(mark, marked, traces) for mark in marks if mark.kind == "moving"]
    told = told_traces(
        {trace.mark: trace.xy for trace in stored},
        clip.size_wh,
        room_for(clip.times_s_T, marked.reference, steps=traces.steps, interval_s=traces.interval_s),
        bins=bins,
        min_share=traces.min_share,
        min_reach_bins=traces.min_reach_bins,
    )
    places = dict(
        zip((mark.id for mark in marks), to_bins([mark.xy for mark in marks], clip.size_wh, bins), strict=True)
    )
    turns = _mark_turns(places, told, templates, bins=bins, text=clean_narration(clip.ref.text), speed=speed)
    return marks, stored, turns


def _mark(mark: PointMark, marked: Marked) -> Mark:
    visible_T = marked.tracks.visible_TN[:, mark.track]
    confidence_T = marked.tracks.confidence_TN[visible_T, mark.track].astype(np.float64)
    thing = _thing(mark.region, marked.regions) if marked.regions else {}
    return Mark(
        id=mark.id,
        image=0,
        kind="moving" if mark.kind == "moving" else "static",
        xy=_rounded(marked.motion.steady_xy_TN2[marked.reference, mark.track], 2),
        score=round(float(confidence_T.mean()), 4) if len(confidence_T) else 0.0,
        proposer=_PROPOSER,
        track=mark.track,
        **thing,
    )


def _thing(region: int, regions: Regions) -> dict[str, Any]:
    """What a mark on a thing says of it."""
    return {
        "region": region,
        "box_xyxy": _rounded(regions.xyxy_R4[region], 2),
        "label": str(regions.label_R[region]),
    }


def _trace(mark: Mark, marked: Marked, config: TracesConfig) -> Trace:
    times_s_K, xy_K2, visible_K = resample(
        marked.clip.times_s_T,
        marked.motion.steady_xy_TN2[:, mark.track],
        marked.tracks.visible_TN[:, mark.track],
        marked.reference,
        marked.clip.size_wh,
        steps=config.steps,
        interval_s=config.interval_s,
        max_gap_s=config.max_gap_s,
    )
    return Trace(
        mark=mark.id,
        times_s=_rounded(times_s_K, 6),
        xy=[_rounded(xy_2, 2) for xy_2 in xy_K2],
        visible=[bool(visible) for visible in visible_K],
    )


def _mark_turns(
    places: dict[int, Bins],
    told: dict[int, list[Bins]],
    templates: Templates,
    *,
    bins: int,
    text: str,
    speed: bool,
) -> list[Turn]:
    """The question about the marks and its answer; `places` of all marks, `told` of those whose future is told."""
    marks = sorted(places)
    if not told:
        asked = question(templates, "som", bins=bins, marks=marks, text=text, steps=0, speed=None)
        return _turns("som", asked, som_answer(places))
    (steps,) = {len(points) - 1 for points in told.values()}
    way_bins = _mean_step_bins(list(told.values())) if speed else None
    asked = question(templates, "tom", bins=bins, marks=marks, text=text, steps=steps, speed=way_bins)
    return _turns("tom", asked, tom_answer(told))


def _turns(kind: TurnKind, asked: str, answered: str) -> list[Turn]:
    return [Turn(role="user", kind=kind, content=asked), Turn(role="assistant", kind=kind, content=answered)]


def _mean_step_bins(paths: Sequence[Sequence[Bins]]) -> int:
    """Mean way from one told position to the next, over the told marks, truncated."""
    means = [float(np.linalg.norm(np.diff(np.array(path), axis=0), axis=1).mean()) for path in paths]
    return int(np.mean(means))


def _conversation(
    marked: Marked, mark_turns: Sequence[Turn], templates: Templates, narration: str, *, keep_clean: bool
) -> tuple[list[Image], list[Turn]]:
    """Images and turns; every image stands in front of the question that needs it first, the marked one is last."""
    if not narration:
        return [_image(marked, MARKED_MEMBER, "marked")], _with_image(mark_turns)
    asked = question(templates, "semantic", bins=0, marks=[], text="", steps=0, speed=None)
    semantic = _with_image(_turns("semantic", asked, f"{narration}\n"))
    if not keep_clean:
        return [_image(marked, MARKED_MEMBER, "marked")], [*semantic, *mark_turns]
    images = [_image(marked, CLEAN_MEMBER, "clean"), _image(marked, MARKED_MEMBER, "marked")]
    return images, [*semantic, *_with_image(mark_turns)]


def _with_image(turns: Sequence[Turn]) -> list[Turn]:
    first, *rest = turns
    return [first.model_copy(update={"content": _IMAGE + first.content}), *rest]


def _image(marked: Marked, member: str, role: ImageRole) -> Image:
    width, height = marked.clip.size_wh
    (time_s,) = _rounded(marked.clip.times_s_T[[marked.reference]], 6)
    return Image(member=member, role=role, width=width, height=height, time_s=time_s)


def _camera(marked: Marked) -> Camera:
    camera = marked.camera
    return Camera(
        moving=camera.moving,
        model="homography" if camera.model == "homography" else "none",
        inlier_ratio=round(float(camera.inlier_ratio_T.min()), 4),
        residual_px=round(camera.residual_px, 4),
    )


def _source(marked: Marked, dataset: str) -> Source:
    clip = marked.clip
    return Source(
        dataset=dataset,
        uri=clip.ref.uri,
        record_key=clip.ref.record_key,
        record_id=clip.ref.record_id,
        licence=clip.ref.licence,
        start_s=round(float(clip.times_s_T[0]), 6),
        end_s=round(float(clip.times_s_T[-1]), 6),
        fps=round(float(clip.fps), 6),
        frame_index=int(clip.frame_indices_T[marked.reference]),
    )


def _quality(marked: Marked) -> list[Quality]:
    """What `preview --sort` and filters work on; shares of points, diagonals and diagonals per second."""
    motion, camera = marked.motion, marked.camera
    usable, moving = int(motion.usable_N.sum()), int(motion.moving_N.sum())
    values: dict[QualityName, float] = {
        "track_share": usable / max(1, int(marked.tracks.visible_TN[0].sum())),
        "moving_share": moving / max(1, usable),
        "speed_per_s": float(motion.speed_N[motion.moving_N].mean()) if moving else 0.0,
        "inlier_ratio": float(camera.inlier_ratio_T.min()),
        "residual_share": camera.residual_px / float(np.hypot(*marked.clip.size_wh)),
    }
    if not np.isnan(marked.clip.text_similarity):
        values["text_similarity"] = marked.clip.text_similarity
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
    arrays = {name: np.asarray(array, dtype=ARRAYS[name]) for name, array in arrays.items()}
    return arrays | (region_arrays(marked.regions) if marked.regions else {})


def _rounded(values: npt.ArrayLike, digits: int) -> list[float]:
    """Plain floats, never -0.0."""
    return [round(float(value), digits) + 0.0 for value in np.asarray(values, dtype=np.float64)]
