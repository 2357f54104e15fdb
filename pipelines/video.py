"""The video recipe: a segment of a video -> shots -> clips -> tracks -> camera motion removed -> marks -> sample."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from pipelines import sources, store
from pipelines.batches import clip_bytes, made_up_clip, made_up_picture, network_step, overlapped
from pipelines.config import config_hash
from pipelines.driver import Opening, Recipe, Split, Step
from pipelines.parts import parts_of
from pipelines.version import code_version
from pipelines.video_gate import gate_steps
from pipelines.video_marks import find_objects, mark
from pipelines.weights import weights_file
from schemas.config import (
    CameraConfig,
    ContentShots,
    DecodeConfig,
    HomographyCamera,
    MotionConfig,
    NoCamera,
    NoShots,
    PointsConfig,
    RegionObjects,
    VideoJob,
)
from schemas.errors import UserError
from schemas.flow import (
    Clip,
    EncodedSample,
    FinishedSample,
    Gate,
    Judged,
    Marked,
    Ref,
    Rejected,
    Steadied,
    Tracked,
    Tracker,
)
from schemas.sample import Provenance
from transforms.camera import estimate_camera, identity_motion
from transforms.clips import cut_clips, sample_indices
from transforms.encoding import encode_sample
from transforms.footage import Footage, FootageError, fitted_size_wh, open_footage
from transforms.keys import item_key
from transforms.motion import judge_motion
from transforms.points import middle_points, textured_points
from transforms.prompts import parse_templates
from transforms.proposers import build_proposer
from transforms.samples import build_sample
from transforms.shots import find_shots
from transforms.trackers import build_tracker
from transforms.trackers.stretches import track_together

_SHOT_SIDE_PX = 256
"""Shots are found on frames of this long side: cuts are coarse, and detection costs as much as decoding otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenVideo:
    """A record's footage, open; `first` and `last` bound its frames (half-open)."""

    ref: Ref
    footage: Footage
    first: int
    last: int
    files: ExitStack

    def close(self) -> None:
        self.files.close()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Span:
    """A clip before decoding, in seconds of the footage; `last`: number of the first frame after its shot."""

    video: OpenVideo
    key: str
    start_s: float
    end_s: float
    last: int


def video_recipe(config: VideoJob, tracker: Tracker | None = None, gate: Gate | None = None) -> Recipe:
    """The steps of the video recipe; `tracker` and `gate` replace the configured ones (your own, or a fake)."""
    track = tracker or build_tracker(config.tracker, weights_file(config.tracker, "tracker"), config.run.device)
    decode = config.decode
    steps = (
        Step(name="decode", run=lambda span: decode_clip(span, decode, config.clips.min_length_s)),
        *gate_steps(config, gate),
        network_step(
            "track",
            lambda clips: track_points(clips, track, config.points),
            config.tracker,
            config.run,
            once=lambda: track_points([made_up_clip(config)], track, config.points),
            item_bytes=clip_bytes(config),
        ),
        Step(name="camera", run=lambda tracked: remove_camera_motion(tracked, config.camera)),
        Step(name="motion", run=lambda steadied: find_moving(steadied, config.motion)),
        *_object_steps(config),
        Step(name="marks", run=lambda judged: mark(judged, config)),
        Step(name="sample", run=sample_builder(config)),
        Step(name="encode", run=lambda finished: encode(finished, config.output.jpeg_quality)),
    )
    return Recipe(
        root=config.source.root,
        open=Opening(name="open", run=VideoOpener(config).open),
        split=Split(name="shots", run=lambda video, beat: split_video(video, config, beat)),
        steps=overlapped(steps, config),
    )


def _object_steps(config: VideoJob) -> list[Step]:
    """The step that finds things, where marks are to be put on these."""
    objects = config.objects
    if not isinstance(objects, RegionObjects):
        return []
    part, side = objects.proposer, config.decode.long_side_px
    try:
        proposer = build_proposer(part, weights_file(part, "objects.proposer"), config.run.device)
    except UserError as error:  # a proposer does not know whose it is
        raise UserError(re.sub(r"^proposer\.", "objects.proposer.", str(error))) from error
    return [
        network_step(
            "objects",
            lambda judged: find_objects(judged, proposer, config, objects),
            part,
            config.run,
            once=lambda: proposer([made_up_picture((side, side))]),
            item_bytes=clip_bytes(config),
        )
    ]


class VideoOpener:
    """Opens records; remembers the last file's index, for records of one file lie side by side."""

    def __init__(self, config: VideoJob) -> None:
        self._root, self._backend = config.source.root, config.decode.backend
        self._last: OpenVideo | None = None

    def open(self, ref: Ref, beat: Callable[[], None] = lambda: None) -> OpenVideo:
        before = self._last.footage if self._last and self._last.ref.uri == ref.uri else None
        self._last = open_video(ref, self._root, self._backend, before, beat)
        return self._last


def open_video(ref: Ref, root: str, backend: str, before: Footage | None, beat: Callable[[], None]) -> OpenVideo:
    """Opens a record's file and finds its frames by exact presentation time; the rest as for `open_footage`."""
    files = ExitStack()
    with ExitStack() as until_open:
        until_open.enter_context(files)
        where = sources.locate(root, ref.uri)
        file = files.enter_context(store.reading(where)) if store.is_remote(where) else where
        footage = files.enter_context(open_footage(file, backend, before, beat))
        first, last = footage.times_s.searchsorted([ref.start_s, ref.end_s])
        if first == len(footage.times_s):
            raise FootageError(
                f"the segment starts at {ref.start_s:g} s but the video ends at {footage.duration_s:g} s"
            )
        until_open.pop_all()
    return OpenVideo(ref=ref, footage=footage, first=int(first), last=int(last), files=files)


def split_video(
    video: OpenVideo, config: VideoJob, beat: Callable[[], None] = lambda: None
) -> Iterator[tuple[str, Span | Rejected]]:
    """Clips of the record's shots; a shot too short for one is an item too. Raises last if the file breaks off."""
    footage, ref, clips = video.footage, video.ref, config.clips
    short_side_px = min(fitted_size_wh(footage.size_wh, config.decode.long_side_px))
    if short_side_px < config.decode.min_side_px:
        least = config.decode.min_side_px
        yield item_key(ref.record_key, ref.start_s), Rejected(reason="too_small", value=short_side_px, threshold=least)
        return
    shots, broken = _shots(video, config, beat)
    for first, last in shots:
        start_s = float(footage.times_s[first]) if first < last else ref.start_s
        end_s = _end_s(footage, last) if first < last else start_s
        # a single frame, however long it is shown, is no clip
        length_s = end_s - start_s if last - first > 1 else 0.0
        spans = cut_clips(start_s, start_s + length_s, clips.length_s, clips.stride_s, clips.min_length_s)
        for span_start_s, span_end_s in spans:
            key = item_key(ref.record_key, span_start_s)
            yield key, Span(video=video, key=key, start_s=span_start_s, end_s=span_end_s, last=last)
        if not spans:
            short = Rejected(reason="too_short", value=length_s, threshold=clips.min_length_s)
            yield item_key(ref.record_key, start_s), short
    if broken:
        raise broken


def _shots(
    video: OpenVideo, config: VideoJob, beat: Callable[[], None]
) -> tuple[list[tuple[int, int]], FootageError | None]:
    """Frame ranges of the shots, and the error that ended the search early, if one did.

    All are found before the first clip is decoded, so that both passes over the file read forward only.
    """
    footage, first, last = video.footage, video.first, video.last
    match config.shots:
        case NoShots():
            cut_off = bool(footage.defect) and last == len(footage.times_s)
            return [(first, last)], FootageError(footage.defect) if cut_off else None
        case ContentShots(threshold=threshold, min_shot_s=min_shot_s):
            found: list[tuple[int, int]] = []
            frames = _beating(footage.frames(first, last, fitted_size_wh(footage.size_wh, _SHOT_SIDE_PX)), beat)
            try:
                for start, end in find_shots(frames, footage.times_s[first:last], threshold, min_shot_s):
                    found.append((first + start, first + end))
            except FootageError as error:
                return found, error
            return found or [(first, last)], None


def _beating(frames: Iterable[Any], beat: Callable[[], None]) -> Iterator[Any]:
    for frame in frames:
        beat()
        yield frame


def _end_s(footage: Footage, last: int) -> float:
    return float(footage.times_s[last]) if last < len(footage.times_s) else footage.duration_s


def decode_clip(span: Span, decode: DecodeConfig, min_length_s: float) -> Clip | Rejected:
    """The frames of a clip, at the configured rate (never above the source's) and size; a single one is no clip."""
    footage = span.video.footage
    fps = min(decode.fps, footage.fps)
    indices = sample_indices(footage.times_s, span.start_s, span.end_s, fps)
    indices = indices[indices < span.last]
    if len(indices) < 2:
        return Rejected(reason="too_short", value=0.0, threshold=min_length_s)
    return Clip(
        key=span.key,
        ref=span.video.ref,
        frames_THW3=footage.pick(indices, fitted_size_wh(footage.size_wh, decode.long_side_px)),
        times_s_T=footage.times_s[indices],
        fps=fps,
        frame_indices_T=indices,
    )


def track_points(clips: Sequence[Clip], tracker: Tracker, config: PointsConfig) -> list[Tracked]:
    match config.place:
        case "textured":
            place = partial(textured_points, grid=config.grid)
        case "middle":
            place = partial(middle_points, grid=config.grid)
    found = track_together(tracker, clips, place, stretch_s=config.stretch_s, overlap_s=config.overlap_s)
    return [Tracked(clip=clip, tracks=tracks) for clip, tracks in zip(clips, found, strict=True)]


def remove_camera_motion(tracked: Tracked, config: CameraConfig) -> Steadied | Rejected:
    clip, tracks = tracked.clip, tracked.tracks
    match config:
        case NoCamera():
            camera = identity_motion(len(clip.times_s_T))
        case HomographyCamera():
            found = estimate_camera(
                tracks,
                clip.size_wh,
                max_residual=config.max_residual,
                min_inlier_ratio=config.min_inlier_ratio,
            )
            if isinstance(found, Rejected):
                return found
            camera = found
    return Steadied(clip=clip, tracks=tracks, camera=camera)


def find_moving(steadied: Steadied, config: MotionConfig) -> Judged | Rejected:
    clip, tracks, camera = steadied.clip, steadied.tracks, steadied.camera
    motion = judge_motion(
        clip,
        tracks,
        camera,
        min_visible_share=config.min_visible_share,
        min_usable_points=config.min_usable_points,
        min_displacement=config.min_displacement,
        max_parallax=config.max_parallax,
    )
    if isinstance(motion, Rejected):
        return motion
    return Judged(clip=clip, tracks=tracks, camera=camera, motion=motion)


def sample_builder(config: VideoJob) -> Any:
    """A function Marked -> FinishedSample with everything that is the same for all samples made ready."""
    text = config.text
    templates = parse_templates(cast(dict[str, str], text.templates))
    provenance = Provenance(
        config_hash=config_hash(config),
        code_version=code_version(),
        parts=parts_of(config),
    )
    objects = config.objects.proposer.name if isinstance(config.objects, RegionObjects) else ""

    def build(marked: Marked) -> FinishedSample:
        return build_sample(
            marked,
            dataset=config.dataset,
            templates=templates,
            bins=text.bins,
            traces=config.traces,
            speed=text.speed,
            keep_clean=config.output.clean,
            provenance=provenance,
            objects=objects,
        )

    return build


def encode(finished: FinishedSample, jpeg_quality: int) -> EncodedSample:
    return encode_sample(finished, jpeg_quality=jpeg_quality)
