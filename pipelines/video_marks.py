"""The steps of the video recipe that mark a clip: things on the reference frame, where asked for, and the marks."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from schemas.config import RegionObjects, VideoJob
from schemas.flow import Judged, Marked, Picture, PointMark, Proposer, Rejected
from schemas.page import Page
from transforms.keys import rng_for
from transforms.marks import choose_marks
from transforms.object_marks import choose_object_marks
from transforms.points import texture_of
from transforms.reference import choose_reference, rebase
from transforms.regions import filtered


def find_objects(
    judged: Sequence[Judged], proposer: Proposer, config: VideoJob, objects: RegionObjects
) -> list[Judged]:
    """The clips with the regions of the frame of each that `mark` will take."""
    frames = [one.clip.frames_THW3[_reference(one, config, _rng(one, config))] for one in judged]
    pictures = [
        Picture(
            key=one.clip.key,
            ref=one.clip.ref,
            record_id=one.clip.ref.record_id,
            image_HW3=frame_HW3,
            window_xyxy=(0, 0, *one.clip.size_wh),
            page_wh=one.clip.size_wh,
            page=Page(),
        )
        for one, frame_HW3 in zip(judged, frames, strict=True)
    ]
    found = zip(judged, pictures, proposer(pictures), strict=True)
    return [
        replace(one, regions=filtered(regions, picture.image_HW3, objects.regions)) for one, picture, regions in found
    ]


def mark(judged: Judged, config: VideoJob) -> Marked | Rejected:
    """Draws the reference frame, turns everything to it and numbers the marks on it."""
    rng = _rng(judged, config)
    reference = _reference(judged, config, rng)
    camera, motion = rebase(judged.camera, judged.motion, reference)
    marks = _choose(replace(judged, camera=camera, motion=motion), reference, rng, config)
    if not marks:
        reason = "too_few_points" if judged.regions is None else "too_few_regions"
        return Rejected(reason=reason, value=0, threshold=1)
    return Marked(
        clip=judged.clip,
        tracks=judged.tracks,
        camera=camera,
        motion=motion,
        reference=reference,
        marks=marks,
        regions=judged.regions,
    )


def _choose(judged: Judged, reference: int, rng: np.random.Generator, config: VideoJob) -> tuple[PointMark, ...]:
    clip, tracks = judged.clip, judged.tracks
    texture_N = texture_of(clip.frames_THW3[reference], tracks.xy_TN2[reference])
    if judged.regions is not None and isinstance(config.objects, RegionObjects):
        return choose_object_marks(
            judged.regions,
            judged.motion,
            tracks,
            reference,
            clip.size_wh,
            texture_N,
            rng,
            min_points=config.objects.min_points,
            min_moving_share=config.objects.min_moving_share,
            min_gap=config.marks.min_gap,
            min_displacement=config.motion.min_displacement,
        )
    return choose_marks(
        judged.motion,
        tracks,
        reference,
        clip.size_wh,
        texture_N,
        rng,
        k=config.marks.k,
        max_moving=config.marks.max_moving,
        min_moving_points=config.motion.min_moving_points,
        min_gap=config.marks.min_gap,
        min_displacement=config.motion.min_displacement,
    )


def _rng(judged: Judged, config: VideoJob) -> np.random.Generator:
    """That of a clip's marks; its first draw is the reference frame."""
    return rng_for(config.seed, judged.clip.key, "marks")


def _reference(judged: Judged, config: VideoJob, rng: np.random.Generator) -> int:
    return choose_reference(
        judged.motion,
        judged.tracks,
        judged.clip.times_s_T,
        rng,
        start_share=config.traces.start_share,
        room_s=config.traces.interval_s,
    )
