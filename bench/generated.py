"""A world to learn marks and traces in: coloured shapes on textured ground, with tails that tell where they will go.

A scene is a function of its number. The questions are answered from the picture alone: which thing has a tail, which
number lies on it, and that it goes away from its tail, the faster the longer that is.
Letters: H height, W width, K positions of a way, the thing's own place first. Places are in pixels.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import resources
from typing import Literal, get_args

import cv2
import numpy as np
import pyarrow.parquet as pq
import yaml

from pipelines import store
from pipelines.card import dataset_card
from pipelines.config import config_hash, hashed_part
from pipelines.finish import Totals, finish
from pipelines.plan import Plan, ledger_uri, plan_uri, shard_name
from pipelines.shards import write_shard
from pipelines.version import code_version, library_versions
from schemas.config import TextConfig, VideoJob, VideosSource
from schemas.flow import EncodedSample, FinishedSample, Float, LedgerRow
from schemas.sample import CLEAN_MEMBER, MARKED_MEMBER, Image, Mark, Provenance, Sample, Source, Target, Trace, Turn
from schemas.tables import LEDGER
from transforms import keys
from transforms.drawing import Colour, Pixels, draw_marks
from transforms.encoding import encode_sample
from transforms.prompts import Templates, parse_templates, question, som_answer, tom_answer
from transforms.traces import to_bins

Arm = Literal["with", "without"]
"""with marks in the picture, which answers name, and traces; or without either: answers are coordinates"""
ARMS: tuple[Arm, ...] = get_args(Arm)

WHICH_MOVES = "Which thing is about to move?"
SIDE = 96
"""of a picture, in pixels"""
STEPS = 4
INTERVAL_S = 0.25
BINS = 64

_COLOURS: dict[str, Colour] = {
    "green": (50, 190, 70),
    "blue": (50, 90, 240),
    "yellow": (250, 220, 40),
    "purple": (170, 60, 210),
    "cyan": (60, 220, 230),
    "black": (25, 25, 30),
}
"""none is near the marks' red; no two things of a scene share one"""
_SHAPES: dict[str, tuple[tuple[float, float], ...]] = {
    "circle": tuple((float(np.cos(turn)), float(np.sin(turn))) for turn in np.linspace(0, 2 * np.pi, 33)[:-1]),
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "triangle": ((0.0, -1.2), (1.1, 0.75), (-1.1, 0.75)),
}
"""outlines about the middle, in radii"""
_LIGHT: Colour = (240, 240, 240)
_MOST = 5
_IDS = 9
"""marks are numbered at random from 1 to this: which numbers there are has to be read from the picture, not counted"""
_RADIUS = 13.0
_CELLS = 3
"""things stand in the middles of a grid's cells, which a small tower sees alike: each is one of its features. Put
anywhere, their numbers took it far more scenes than these to read"""
N_PLACES = _CELLS**2
_STEP = (3.0, 6.0)
"""how far a thing goes in one step"""
_TAIL_PX, _TAIL_STEPS, _TAIL_W = 18.0, 2.0, 6.0
"""a tail ends so many pixels and steps behind the middle: past every corner of the thing; and is so wide"""
_SUBPIXEL_BITS = 4
_SAMPLES_PER_SHARD = 500
_JPEG_QUALITY = 95
_CONFIG = VideoJob(dataset="generated", source=VideosSource(uris=["scenes"], root="scenes"), text=TextConfig(bins=BINS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """What carries mark `mark`; `step_xy` is (0, 0) where it stands still."""

    mark: int
    colour: str
    shape: str
    xy: tuple[float, float]
    step_xy: tuple[float, float]

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}"

    @property
    def moves(self) -> bool:
        return self.step_xy != (0.0, 0.0)

    def way_K2(self) -> Float:
        """Where it is now and after each step, rounded as it is stored."""
        way_K2: Float = np.array(self.xy) + np.arange(STEPS + 1)[:, None] * np.array(self.step_xy)
        return way_K2.round(2) + 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The first of the `things` is about to move, the others stand still."""

    number: int
    things: tuple[Thing, ...]


def make_scene(number: int) -> Scene:
    """One to five things of different colours; one of them moves, and stays in the picture."""
    rng = keys.rng_for(0, str(number), "scene")
    n_things = int(rng.integers(1, _MOST + 1))
    places = _places(n_things, rng)
    colours, shapes = rng.permutation(list(_COLOURS)), rng.choice(list(_SHAPES), n_things)
    ids = rng.permutation(_IDS)[:n_things] + 1
    things = tuple(
        Thing(
            mark=int(mark),
            colour=str(colour),
            shape=str(shape),
            xy=xy,
            step_xy=(0.0, 0.0) if n else _step(xy, rng),
        )
        for n, (mark, colour, shape, xy) in enumerate(zip(ids, colours[:n_things], shapes, places, strict=True))
    )
    return Scene(number=number, things=things)


def _places(n: int, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Middles of different cells."""
    drawn = rng.permutation(N_PLACES)[:n].tolist()
    return [((cell % _CELLS + 0.5) * SIDE / _CELLS, (cell // _CELLS + 0.5) * SIDE / _CELLS) for cell in drawn]


def _step(xy: tuple[float, float], rng: np.random.Generator) -> tuple[float, float]:
    """One that keeps the whole way and the tail's end in the picture."""
    while True:
        heading, length = rng.uniform(0, 2 * np.pi), rng.uniform(*_STEP)
        unit_2 = np.array([np.cos(heading), np.sin(heading)])
        ends_22 = np.array([xy + STEPS * length * unit_2, xy - (_TAIL_PX + _TAIL_STEPS * length) * unit_2])
        if (ends_22 >= 2).all() and (ends_22 <= SIDE - 2).all():
            x, y = np.round(length * unit_2, 2).tolist()
            return x, y


def draw_scene(scene: Scene) -> Pixels:
    """The picture without marks, RGB HW3."""
    image_HW3 = _ground(keys.rng_for(0, str(scene.number), "ground"))
    for thing in sorted(scene.things, key=lambda one: one.moves):
        if thing.moves:
            _draw_tail(image_HW3, thing)
        outline_N2 = np.array(thing.xy) + _RADIUS * np.array(_SHAPES[thing.shape])
        _fill(image_HW3, outline_N2, _COLOURS[thing.colour])
    return image_HW3


def _ground(rng: np.random.Generator) -> Pixels:
    """Grey with soft patches, stripes and grain."""
    patches_HW3 = cv2.resize(rng.uniform(70, 170, (5, 5, 3)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    x_HW, y_HW = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    turn = rng.uniform(0, np.pi)
    stripes_HW = 14 * np.sin((x_HW * np.cos(turn) + y_HW * np.sin(turn)) / rng.uniform(1.5, 5))
    grain_HW3 = rng.normal(0, 7, (SIDE, SIDE, 3))
    grey_HW3 = 0.35 * patches_HW3 + 0.65 * patches_HW3.mean(axis=2, keepdims=True)
    ground_HW3: Pixels = np.clip(grey_HW3 + stripes_HW[..., None] + grain_HW3, 0, 255).astype(np.uint8)
    return ground_HW3


def _draw_tail(image_HW3: Pixels, thing: Thing) -> None:
    """A bar of the thing's colour from its middle to behind it."""
    length = float(np.hypot(*thing.step_xy))
    unit_2 = np.array(thing.step_xy) / length
    across_2 = np.array([-unit_2[1], unit_2[0]]) * _TAIL_W / 2
    end_2 = thing.xy - (_TAIL_PX + _TAIL_STEPS * length) * unit_2
    bar_42 = np.array([thing.xy + across_2, end_2 + across_2, end_2 - across_2, thing.xy - across_2])
    _fill(image_HW3, bar_42, _COLOURS[thing.colour])


def _fill(image_HW3: Pixels, outline_N2: Float, colour: Colour) -> None:
    fixed_N2 = np.rint((outline_N2 - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(image_HW3, [fixed_N2], colour, cv2.LINE_AA, _SUBPIXEL_BITS)
    cv2.polylines(image_HW3, [fixed_N2], True, _LIGHT, 1, cv2.LINE_AA, _SUBPIXEL_BITS)


def made_sample(scene: Scene, arm: Arm, split: str, templates: Templates) -> FinishedSample:
    """The sample of a scene. Both arms are asked which thing will move; `with` also where its mark will be, and where
    all marks are."""
    uri = f"scene-{scene.number:06d}.png"
    record = keys.record_key(_CONFIG.dataset, uri)
    with_marks, mover = arm == "with", scene.things[0]
    marks = [_mark(thing) for thing in sorted(scene.things, key=lambda one: one.mark)] if with_marks else []
    turns = _grounding(scene, with_marks)
    if with_marks:
        turns += [*_traced(scene, templates), *_located(scene, templates)]
    sample = Sample(
        key=keys.item_key(record, 0.0),
        split=split,
        tasks=list(dict.fromkeys(turn.kind for turn in turns)),
        images=[Image(member=MARKED_MEMBER, role="marked" if with_marks else "frame", width=SIDE, height=SIDE)],
        turns=turns,
        marks=marks,
        targets=[Target(mark=mover.mark if with_marks else -1, xy=list(mover.xy))],
        traces=[_trace(thing) for thing in scene.things if thing.moves] if with_marks else [],
        source=Source(dataset=_CONFIG.dataset, uri=uri, record_key=record, record_id=uri, licence="MIT"),
        provenance=_provenance(),
    )
    clean_HW3 = draw_scene(scene)
    images = {MARKED_MEMBER: clean_HW3}
    if with_marks:
        drawn_HW3 = draw_marks(clean_HW3, [(mark.id, (mark.xy[0], mark.xy[1])) for mark in marks])
        images = {MARKED_MEMBER: drawn_HW3, CLEAN_MEMBER: clean_HW3}
    return FinishedSample(sample=sample, source_key=keys.source_key(_CONFIG.dataset, uri), images=images, arrays={})


@cache
def _provenance() -> Provenance:
    return Provenance(config_hash=config_hash(_CONFIG), code_version=code_version())


def _mark(thing: Thing) -> Mark:
    kind: Literal["moving", "static"] = "moving" if thing.moves else "static"
    return Mark(id=thing.mark, image=0, kind=kind, xy=list(thing.xy), label=thing.name, score=1.0, proposer="generated")


def _trace(thing: Thing) -> Trace:
    times_s = [step * INTERVAL_S for step in range(STEPS + 1)]
    return Trace(mark=thing.mark, times_s=times_s, xy=thing.way_K2().tolist(), visible=[True] * len(times_s))


def _grounding(scene: Scene, with_marks: bool) -> list[Turn]:
    return [
        Turn(role="user", kind="grounding", content=f"<image>\n{WHICH_MOVES}"),
        Turn(role="assistant", kind="grounding", content=_place(scene.things[0], with_marks)),
    ]


def _place(thing: Thing, with_marks: bool) -> str:
    x, y = (value / SIDE for value in thing.xy)
    return f"Mark: {thing.mark}." if with_marks else f"Coordinate: ({x:.2f}, {y:.2f})."


def _traced(scene: Scene, templates: Templates) -> list[Turn]:
    marks = sorted(thing.mark for thing in scene.things)
    asked = question(templates, "tom", bins=BINS, marks=marks, text="", steps=STEPS, speed=None)
    answer = tom_answer(
        {thing.mark: to_bins(thing.way_K2(), (SIDE, SIDE), BINS) for thing in scene.things if thing.moves}
    )
    return [Turn(role="user", kind="tom", content=asked), Turn(role="assistant", kind="tom", content=answer)]


def _located(scene: Scene, templates: Templates) -> list[Turn]:
    places = {thing.mark: to_bins(thing.way_K2()[:1], (SIDE, SIDE), BINS)[0] for thing in scene.things}
    asked = question(templates, "som", bins=BINS, marks=sorted(places), text="", steps=STEPS, speed=None)
    return [
        Turn(role="user", kind="som", content=asked),
        Turn(role="assistant", kind="som", content=som_answer(places)),
    ]


def built_in_templates() -> Templates:
    """The questions that a job asks by default."""
    return parse_templates(yaml.safe_load((resources.files("pipelines.configs") / "prompts.yaml").read_text("utf-8")))


def write_dataset(out: str, arm: Arm, numbers: dict[str, Sequence[int]]) -> None:
    """A dataset of the scenes with these numbers, by split, as a finished job leaves it."""
    templates = built_in_templates()
    shards: dict[str, int] = {}
    for split, of_split in numbers.items():
        starts = range(0, len(of_split), _SAMPLES_PER_SHARD)
        shards[split] = len(starts)
        for n, start in enumerate(starts):
            rows = _rows(of_split[start : start + _SAMPLES_PER_SHARD], arm, split, templates)
            write_shard(out, shard_name(split, n), rows)
    plan = _plan(shards, sum(map(len, numbers.values())))
    with store.writing(ledger_uri(out)) as file:
        pq.write_table(LEDGER.empty_table(), file)
    store.write_bytes(plan_uri(out), json.dumps(asdict(plan)).encode())
    _write_card(out, plan, finish(out, max_quarantined=0.0))


def _rows(
    numbers: Iterable[int], arm: Arm, split: str, templates: Templates
) -> Iterator[tuple[LedgerRow, EncodedSample | None]]:
    for number in numbers:
        made = made_sample(make_scene(number), arm, split, templates)
        source = made.sample.source
        record = LedgerRow(
            kind="record",
            key=source.record_key,
            record_key=source.record_key,
            record_id=source.record_id,
            uri=source.uri,
            outcome="kept",
        )
        yield replace(record, kind="item", key=made.sample.key), encode_sample(made, jpeg_quality=_JPEG_QUALITY)
        yield record, None


def _plan(shards: dict[str, int], records: int) -> Plan:
    return Plan(
        config=hashed_part(_CONFIG),
        config_hash=config_hash(_CONFIG),
        code_version=code_version(),
        versions=library_versions(),
        dataset=_CONFIG.dataset,
        records=records,
        bad_records=0,
        parts=records,
        shards=shards,
        max_quarantined=0.0,
        cost=0.0,
    )


def _write_card(out: str, plan: Plan, totals: Totals) -> None:
    """In place of that of a job, which tells of a tracker and a camera model."""
    card = dataset_card(
        dataset=plan.dataset,
        counts=totals.plain(),
        splits=totals.tars,
        members=totals.members,
        licences=sorted(totals.licences),
        parts=[],
        config_hash=plan.config_hash,
        code_version=plan.code_version,
    )
    store.write_bytes(store.join(out, "README.md"), card.encode())
