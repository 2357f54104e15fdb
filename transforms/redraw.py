"""Marks and text made anew from what a sample stores: its tracks, its clean image and its job's settings.

Everything that choosing marks looks at is stored or follows from it, but three things:
- which points stand still. Tracks alone decide that, so it is worked out again by the same rule; what neither moves nor
  stands still by it is not marked, as in the job. What moves is as the job judged it, for that took the whole video.
- texture, which is that of the clean image as stored (a JPEG), not of the frame itself.
- speeds, which only `quality` tells: it stays as it is, and so does all else that is not of the marks.

Letters: T frames, N points, H height, W width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.config import MarksConfig, MotionConfig, TextConfig, TracesConfig
from schemas.errors import UserError
from schemas.flow import CameraMotion, Clip, Marked, Motion, PointMark, Ref, Tracks
from schemas.sample import MARKED_MEMBER, Mark, Sample, Turn
from transforms.drawing import draw_marks
from transforms.homography import warp
from transforms.marks import choose_marks
from transforms.motion import standing_still, steadied
from transforms.points import texture_of
from transforms.prompts import Templates, parse_templates
from transforms.samples import marks_and_turns

Pixels = npt.NDArray[np.uint8]

_NEEDED = {
    "tracks_xy_TN2",
    "visible_TN",
    "confidence_TN",
    "moving_N",
    "homographies_T33",
    "inlier_ratio_T",
    "times_s_T",
}
_ON_MARKS = ("som", "tom")
_IMAGE = "<image>\n"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RedrawSettings:
    """How a job chose marks and wrote about them."""

    templates: Templates
    text: TextConfig
    traces: TracesConfig
    marks: MarksConfig
    motion: MotionConfig


def redraw_settings(job: Mapping[str, Any]) -> RedrawSettings:
    """The settings of a dataset from what its `job.json` holds. UserError where this version can't read them."""
    try:
        config = job["config"]
        if config.get("recipe", "video") != "video":
            raise ValueError(f"recipe {config['recipe']!r}: only marks on tracks are")
        text = TextConfig.model_validate(config["text"])
        if isinstance(text.templates, str):
            raise ValueError("config.text.templates are not written out")
        return RedrawSettings(
            templates=parse_templates(text.templates),
            text=text,
            traces=TracesConfig.model_validate(config["traces"]),
            marks=MarksConfig.model_validate(config["marks"]),
            motion=MotionConfig.model_validate(config["motion"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"job.json: marks can't be drawn anew by it ({' '.join(str(error).split())}); use its marks as stored, or "
            "make the dataset again"
        ) from error


def redrawn(
    sample: Sample,
    arrays: Mapping[str, npt.NDArray[Any]],
    clean_HW3: Pixels,
    settings: RedrawSettings,
    rng: np.random.Generator,
) -> tuple[Sample, Pixels]:
    """The sample with other marks and numbers, and its marked image. The same rng state gives the same ones.

    Marks lie on the frame that the stored image shows. `arrays` are those of `KEY.npz`. Task tom may become som and the
    other way round: that depends on which marks move, and how far. A sample comes back as it is, its own marks drawn,
    where they are not on points of tracks, or are spoken of in more than one question and its answer. ValueError where
    the image has another size.
    """
    _check_size(sample, clean_HW3)
    if not _is_drawn_from_tracks(sample, arrays):
        on_main = [mark for mark in sample.marks if sample.images[mark.image].member == MARKED_MEMBER]
        return sample, _with_marks(clean_HW3, on_main)
    marked = _marked(sample, arrays, clean_HW3, settings, rng)
    if not marked.marks:
        return sample, _with_marks(clean_HW3, sample.marks)
    marks, traces, (asked, answered) = marks_and_turns(
        marked,
        templates=settings.templates,
        bins=settings.text.bins,
        traces=settings.traces,
        speed=settings.text.speed,
    )
    image = sample.marks[0].image
    changes = {
        "tasks": [asked.kind if task in _ON_MARKS else task for task in sample.tasks],
        "turns": _with_turns(sample.turns, asked, answered),
        "marks": [mark.model_copy(update={"image": image}) for mark in marks],
        "traces": traces,
    }
    return Sample.model_validate({**dict(sample), **changes}), _with_marks(clean_HW3, marks)


def _check_size(sample: Sample, clean_HW3: Pixels) -> None:
    height, width = clean_HW3.shape[:2]
    for image in sample.images:
        if image.member == MARKED_MEMBER and (image.width, image.height) != (width, height):
            raise ValueError(
                f"{sample.key}: the clean image is {width}x{height}, the marked one {image.width}x{image.height}"
            )


def _is_drawn_from_tracks(sample: Sample, arrays: Mapping[str, npt.NDArray[Any]]) -> bool:
    """Marks on tracks of the main image, and one question about them with its answer: as the video recipe does."""
    return (
        arrays.keys() >= _NEEDED
        and bool(sample.marks)
        and all(mark.track >= 0 > mark.region and mark.kind in ("moving", "static") for mark in sample.marks)
        and len({mark.image for mark in sample.marks}) == 1
        and sample.images[sample.marks[0].image].member == MARKED_MEMBER
        and not sample.targets
        and [turn.role for turn in sample.turns if turn.kind in _ON_MARKS] == ["user", "assistant"]
    )


def _marked(
    sample: Sample,
    arrays: Mapping[str, npt.NDArray[Any]],
    clean_HW3: Pixels,
    settings: RedrawSettings,
    rng: np.random.Generator,
) -> Marked:
    """The clip as it was before it became a sample, but with other marks and without what is not stored."""
    clip = _clip(sample, arrays["times_s_T"], clean_HW3)
    tracks = Tracks(
        xy_TN2=arrays["tracks_xy_TN2"], visible_TN=arrays["visible_TN"], confidence_TN=arrays["confidence_TN"]
    )
    camera = CameraMotion(
        moving=sample.camera.moving,
        model=sample.camera.model,
        homographies_T33=arrays["homographies_T33"],
        inlier_ratio_T=arrays["inlier_ratio_T"],
        residual_px=sample.camera.residual_px,
    )
    reference = int(np.abs(clip.times_s_T - sample.images[sample.marks[0].image].time_s).argmin())
    motion = _motion(tracks, camera, arrays["moving_N"], clip.size_wh, settings.motion)
    marks: tuple[PointMark, ...] = choose_marks(
        motion,
        tracks,
        reference,
        clip.size_wh,
        texture_of(clean_HW3, tracks.xy_TN2[reference]),
        rng,
        k=settings.marks.k,
        max_moving=settings.marks.max_moving,
        min_moving_points=settings.motion.min_moving_points,
        min_gap=settings.marks.min_gap,
        min_displacement=settings.motion.min_displacement,
    )
    return Marked(clip=clip, tracks=tracks, camera=camera, motion=motion, reference=reference, marks=marks)


def _motion(
    tracks: Tracks,
    camera: CameraMotion,
    moving_N: npt.NDArray[np.bool_],
    size_wh: tuple[int, int],
    config: MotionConfig,
) -> Motion:
    """As judged in the job; what stands still was judged as the camera of frame 0 sees it."""
    steady_xy_TN2 = steadied(camera, tracks)
    to_first_33 = np.linalg.inv(camera.homographies_T33[0])
    still_N = standing_still(
        warp(to_first_33[None], steady_xy_TN2),
        tracks.visible_TN,
        size_wh,
        camera_moves=camera.moving,
        min_visible_share=config.min_visible_share,
        min_displacement=config.min_displacement,
    )
    return Motion(
        steady_xy_TN2=steady_xy_TN2,
        usable_N=moving_N | still_N,
        moving_N=moving_N,
        speed_N=np.zeros(len(moving_N)),
    )


def _clip(sample: Sample, times_s_T: npt.NDArray[np.float64], clean_HW3: Pixels) -> Clip:
    """The clip as far as marks and text ask for it: every frame of it is the one that is stored."""
    source, n_frames = sample.source, len(times_s_T)
    ref = Ref(
        record_key=source.record_key,
        record_id=source.record_id,
        source_key="",
        split=sample.split,
        uri=source.uri,
        part=0,
        start_s=source.start_s,
        end_s=source.end_s,
        text=sample.text,
        licence=source.licence,
        cost=0.0,
    )
    return Clip(
        key=sample.key,
        ref=ref,
        frames_THW3=np.broadcast_to(clean_HW3, (n_frames, *clean_HW3.shape)),
        times_s_T=times_s_T,
        fps=source.fps,
        frame_indices_T=np.full(n_frames, source.frame_index),
    )


def _with_turns(turns: Sequence[Turn], asked: Turn, answered: Turn) -> list[Turn]:
    """The turns with the question on marks and its answer replaced; images stay in front of it."""
    made = []
    for turn in turns:
        if turn.kind in _ON_MARKS and turn.role == "user":
            images = _IMAGE * turn.content.count(_IMAGE.strip())
            turn = asked.model_copy(update={"content": images + asked.content})
        elif turn.kind in _ON_MARKS:
            turn = answered
        made.append(turn)
    return made


def _with_marks(clean_HW3: Pixels, marks: Sequence[Mark]) -> Pixels:
    return draw_marks(clean_HW3, [(mark.id, (mark.xy[0], mark.xy[1])) for mark in marks])
