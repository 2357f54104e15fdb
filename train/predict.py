"""A scene asked, its answer read: what `somtom predict` tells and draws.

Letters: K positions of a way, the mark's own place first. Places are in pixels of the scene.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from fsspec.core import url_to_fs

from model.actions import ACTION_DIMS, action_values, denormalise
from model.answers import parse_actions, parse_box, parse_mark, parse_point, parse_som, parse_traces
from model.chat import Message
from model.constrain import ActionsOnly
from model.magma import MagmaForCausalLM
from model.processor import MagmaProcessor
from schemas.errors import UserError
from schemas.flow import Float, Scene, SceneMark
from train.ask import answer_ids, answers
from train.chats import Chat
from train.scores import NEAR, distances_px, way_errors
from transforms.traces import from_bins

DIMENSIONS = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Quantiles of a robot's actions, by dimension: what -1 and 1 stand for. Unmasked dimensions are raw."""

    q01: tuple[float, ...]
    q99: tuple[float, ...]
    mask: tuple[bool, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """An answer, and what could be read of it; `facts` tell that in words, or that nothing could be read.

    `places`: where marks are said to be. `ways`: xy_K2 of the marks said to move. `clicked`: the mark that is named, if
    the scene has it; `click_xy`, `click_box`: where the answer points. `action`: dimension, value, and that in -1..1.
    """

    scene: Scene
    answer: str
    facts: tuple[str, ...]
    readable: bool = True
    places: Mapping[int, Float] = field(default_factory=dict)
    ways: Mapping[int, Float] = field(default_factory=dict)
    clicked: SceneMark | None = None
    click_xy: Point | None = None
    click_box: Box | None = None
    action: tuple[tuple[str, float, float], ...] = ()


def predict(
    network: MagmaForCausalLM,
    processor: MagmaProcessor,
    scene: Scene,
    *,
    max_new_tokens: int,
    statistics: Statistics | None = None,
) -> Prediction:
    """Asks about a scene. A robot action is held to its form; all else is as the network says it.

    UserError where the pictures and the text are too long for the network.
    """
    messages = [Message(role=turn.role, content=turn.content) for turn in scene.turns]
    chat = Chat(messages=messages, images=list(scene.shown), action_ids=[], num_crops=scene.max_crops)
    try:
        if scene.task != "action":
            (answer,) = answers(network, processor, [chat], max_new_tokens=max_new_tokens)
            return read_answer(scene, answer)
        ids = processor.ids
        form = ActionsOnly(ids.base_vocab, ids.eot)
        (said,) = answer_ids(network, processor, [chat], max_new_tokens=ACTION_DIMS + 1, logits_processor=[form])
    except ValueError as error:
        raise UserError(f"FILE: {error}") from error
    return _read_action(scene, action_values(parse_actions(said, ids), ids.base_vocab).tolist(), statistics)


def read_answer(scene: Scene, answer: str) -> Prediction:
    """What an answer in words says about its scene."""
    match scene.task:
        case "som":
            return _read_som(scene, answer)
        case "tom":
            return _read_tom(scene, answer)
        case "click":
            return _read_click(scene, answer)
        case _:
            return Prediction(scene=scene, answer=answer, facts=() if answer else ("the answer is empty",))


def read_statistics(uri: str) -> Statistics:
    """Those of a robot's `dataset_statistics.json`; without a mask all but the gripper are scaled.

    {"q01": […], "q99": […], "mask": […]}   by itself, or as {DATASET: {"action": …}}
    """
    cure = f"give {ACTION_DIMS} numbers each of q01 and q99, by themselves or as {{DATASET: {{'action': …}}}}"
    try:
        fs, path = url_to_fs(uri)
        found: Any = json.loads(fs.cat_file(path))
        while isinstance(found, dict) and "q01" not in found:
            (found,) = [found["action"]] if "action" in found else found.values()
        q01, q99 = (tuple(float(value) for value in found[key]) for key in ("q01", "q99"))
        mask = tuple(bool(scaled) for scaled in found.get("mask", [True] * (ACTION_DIMS - 1) + [False]))
        statistics = Statistics(q01=q01, q99=q99, mask=mask)
        denormalise(np.zeros(ACTION_DIMS), q01, q99, mask)
    except (OSError, ImportError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"--statistics: {uri} can't be used: {error!r}; {cure}") from error
    return statistics


def _read_som(scene: Scene, answer: str) -> Prediction:
    said = {mark: from_bins([place], scene.size_wh, scene.bins)[0] for mark, place in parse_som(answer).items()}
    if not said:
        return _unreadable(scene, answer, "it gives no place of any mark, as in 'Mark 1 at [x,y]'")
    true = {mark.id: np.array(mark.xy) for mark in scene.marks}
    away = distances_px(said, true)
    diagonal_px = float(np.hypot(*scene.size_wh))
    near = sum(px <= NEAR * diagonal_px for px in away.values())
    facts = [f"{near} of {len(true)} marks located within {_percent(NEAR)} of the diagonal"]
    if away:
        facts.append(f"mean distance {_percent(sum(away.values()) / len(away) / diagonal_px)} of the diagonal")
    facts += _listed("not named", true.keys() - said.keys()) + _listed("not in the picture", said.keys() - true.keys())
    return Prediction(scene=scene, answer=answer, facts=tuple(facts), places=said)


def _read_tom(scene: Scene, answer: str) -> Prediction:
    found = {mark: trace for mark, trace in parse_traces(answer).items() if trace.future}
    if not found:
        return _unreadable(scene, answer, 'it gives no way of any mark, as in "Mark 1": "[[x,y],[x,y]]"')
    places = {mark.id: np.array([mark.xy]) for mark in scene.marks}
    ways: dict[int, Float] = {}
    for mark, trace in found.items():
        future_K2 = from_bins(trace.future, scene.size_wh, scene.bins)
        start_12 = places.get(mark, future_K2[:1])
        ways[mark] = np.concatenate([start_12, future_K2])
    facts = [*_listed("said to move", ways.keys()), *_listed("not in the picture", ways.keys() - places.keys())]
    if scene.traces:
        facts += _listed("move", scene.traces.keys())
    errors = [way_errors(ways[mark][1:], true_K2[1:]) for mark, true_K2 in scene.traces.items() if mark in ways]
    if errors:
        mean, last = np.mean(errors, axis=0) / float(np.hypot(*scene.size_wh))
        facts.append(f"distance from the true way {_percent(mean)} of the diagonal, {_percent(last)} at its end")
    return Prediction(scene=scene, answer=answer, facts=tuple(facts), ways=ways)


def _read_click(scene: Scene, answer: str) -> Prediction:
    width, height = scene.size_wh
    named, point, box = parse_mark(answer), parse_point(answer), parse_box(answer)
    if named is None and point is None:
        return _unreadable(scene, answer, "it gives neither a mark nor a place, as in 'Coordinate: (x, y). Mark: 3'")
    clicked = next((mark for mark in scene.marks if mark.id == named), None)
    click_xy = (point[0] * width, point[1] * height) if point else clicked.xy if clicked else None
    facts = []
    if clicked:
        facts.append(f"mark {clicked.id}" + (f" ({clicked.label})" if clicked.label else ""))
    elif named is not None:
        facts.append(f"mark {named}, which is not in the picture")
    if click_xy:
        facts.append(f"click at {click_xy[0]:.0f}, {click_xy[1]:.0f} px{'' if point else ', the place of the mark'}")
    return Prediction(
        scene=scene,
        answer=answer,
        facts=tuple(facts),
        clicked=clicked,
        click_xy=click_xy,
        click_box=(box[0] * width, box[1] * height, box[2] * width, box[3] * height) if box else None,
    )


def _read_action(scene: Scene, values: Sequence[float], statistics: Statistics | None) -> Prediction:
    shown, unit = (
        list(values),
        "in -1..1, the robot's own range; --statistics FILE.json turns them into its units",
    )
    if statistics:
        shown = denormalise(values, statistics.q01, statistics.q99, statistics.mask).tolist()
        unit = "in the robot's units"
    action = tuple(zip(DIMENSIONS, shown, values, strict=True))
    answer = "  ".join(f"{name} {value:+.4f}" for name, value, _ in action)
    return Prediction(scene=scene, answer=answer, facts=(unit,), action=action)


def _unreadable(scene: Scene, answer: str, why: str) -> Prediction:
    return Prediction(scene=scene, answer=answer, facts=(f"the answer can't be read: {why}",), readable=False)


def _listed(what: str, marks: Any) -> list[str]:
    """ "said to move: marks 1, 3"; nothing where there are none."""
    if not marks:
        return []
    names = ", ".join(map(str, sorted(marks)))
    return [f"{what}: mark{'' if len(marks) == 1 else 's'} {names}"]


def _percent(share: float) -> str:
    return f"{round(100 * share, 1):g} %"
