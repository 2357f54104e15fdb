"""`somtom try`: one video or picture through its recipe, to a marked picture and an animation, in seconds."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from pipelines import sources, store
from pipelines.animation import trace_gif
from pipelines.config import load_config
from pipelines.driver import Recipe, Step, run_records
from pipelines.recipes import build_recipe
from pipelines.video import sample_builder
from schemas.config import VideoJob
from schemas.errors import UserError
from schemas.flow import BadRow, EncodedSample, FinishedSample, LedgerRow, Marked, MarkedPicture, Ref
from schemas.jobs import JobConfig, PictureJob
from schemas.sample import MARKED_MEMBER
from transforms.datasets import build_parser
from transforms.encoding import encode_sample
from transforms.keys import record_key, source_key

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def trial_config(uri: str, overrides: Sequence[str]) -> JobConfig:
    """The config for one file or URL: that of the recipe `image` for pictures, else of `video`."""
    recipe = "image" if uri.lower().endswith(_PICTURES) else "video"
    if recipe == "video" and any(text in ("recipe=ui", "recipe=image") for text in overrides):
        raise UserError(f"FILE: {uri} has no ending of a picture ({', '.join(_PICTURES)}); leave the recipe out")
    return load_config(recipe, [f"source.uris={json.dumps([uri])}", *overrides])


def try_first(config: JobConfig, folder: str) -> Iterator[str]:
    """Takes the first record of a source through its recipe up to its first kept item; a line for each thing it meets.

    Of a video it writes NAME.gif (raw tracks over the moving clip, traces over the steadied one) and NAME.jpg (the
    marked frame), of a picture NAME.marked.jpg.
    """
    ref = _first_ref(config)
    for done in run_records(_showing(config), [ref], {}, one_at_a_time=True):
        if done.sample is None:
            yield _told(done.row)
            continue
        for suffix, data in done.sample.members:
            uri = store.join(folder, f"{PurePosixPath(ref.uri).stem}.{suffix}")
            store.write_bytes(uri, data)
            yield f"{done.row.key}: {uri}"
        return


def first_marked(config: VideoJob) -> Marked:
    """The first clip of a source's first record that gets marks; UserError tells what became of those before it."""
    marked: Marked = _first_held(config)
    return marked


def first_marked_picture(config: PictureJob) -> MarkedPicture:
    """The picture that is a source's first record, marked; UserError tells why it gets no marks."""
    marked: MarkedPicture = _first_held(config)
    return marked


def _first_held(config: JobConfig) -> Any:
    """The first value that the step "marks" gives."""
    held: list[Any] = []

    def hold(marked: Any) -> EncodedSample:
        held.append(marked)
        return EncodedSample(key="", members=(), index_row={})

    ref = _first_ref(config)
    told = []
    for done in run_records(_with_last_step(config, "hold", hold), [ref], {}, one_at_a_time=True):
        if held:
            return held[0]
        told.append(_told(done.row))
    why = "; ".join(told[:-1] or told)  # the last one is the record's, which repeats its best item's
    raise UserError(f"FILE: nothing in {ref.uri} can be marked: {why}; give another, or other values of the recipe")


def _first_ref(config: JobConfig) -> Ref:
    row = next(sources.read_rows(config.source, Counter()))
    if isinstance(row, BadRow):
        raise UserError(f"FILE: {row.error}")
    record = build_parser(config.source)(row)
    if isinstance(config, VideoJob) and record.uri.lower().endswith(_PICTURES):
        raise UserError(f"FILE: {record.uri} is a picture, in which nothing moves; use recipe=image or recipe=ui")
    return Ref(
        record_key=record_key(config.dataset, record.record_id),
        record_id=record.record_id,
        source_key=source_key(config.dataset, record.uri),
        split="train",
        uri=record.uri,
        part=0,
        start_s=record.start_s,
        end_s=record.end_s,
        text=record.text,
        licence=record.licence,
        cost=math.nan,
        page=record.page,
    )


def _showing(config: JobConfig) -> Recipe:
    """The recipe with its marks drawn for people, in place of a sample's members."""
    if not isinstance(config, VideoJob):
        return _showing_picture(config)
    build = sample_builder(config)

    def show(marked: Marked) -> EncodedSample:
        encoded = encode_sample(build(marked), jpeg_quality=config.output.jpeg_quality)
        picture = dict(encoded.members)[MARKED_MEMBER]
        return replace(encoded, members=(("gif", trace_gif(marked)), ("jpg", picture)))

    return _with_last_step(config, "show", show)


def _showing_picture(config: PictureJob) -> Recipe:
    recipe = build_recipe(config)
    *others, last = recipe.steps

    def show(finished: FinishedSample) -> EncodedSample:
        encoded: EncodedSample = last.run(finished)
        return replace(encoded, members=(("marked.jpg", dict(encoded.members)[MARKED_MEMBER]),))

    return replace(recipe, steps=(*others, Step(name="show", run=show)))


def _with_last_step(config: JobConfig, name: str, run: Callable[[Any], EncodedSample]) -> Recipe:
    """The recipe up to its marks, then a step of one's own."""
    recipe = build_recipe(config)
    upto = next(number for number, step in enumerate(recipe.steps) if step.name == "marks")
    return replace(recipe, steps=(*recipe.steps[: upto + 1], Step(name=name, run=run)))


def _told(row: LedgerRow) -> str:
    why = row.error or (f"{row.reason}, measured {row.value:g} against {row.threshold:g}" if row.reason else "")
    return f"{row.kind} {row.key}: {row.outcome}{f' in step {row.stage}: {why}' if why else ''}"
