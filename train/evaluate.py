"""Scores of a network's answers on a dataset: every question is asked, with the true answers before it."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice

import numpy as np
from fsspec.core import url_to_fs

from model.chat import Message
from model.magma import MagmaForCausalLM
from model.processor import MagmaProcessor
from model.tokenizer import ACTION
from schemas.errors import UserError
from schemas.sample import ANNOTATION_MEMBER, Image, Sample, Task, Turn
from schemas.training import DatasetConfig
from train.ask import answers
from train.chats import Chat, Pixels, decode_image, exchanges_of
from train.index import read_index
from train.reading import place, read_sample
from train.scores import BASELINES, Counts, Score, added, count_answer, summarise
from transforms.encoding import decode_sample
from transforms.keys import rng_for

Asker = Callable[[Sequence[Chat]], list[str]]
"""Answers to chats that end with a question."""
Tell = Callable[[str], None]

_WINDOW = 8
"""batches' worth of samples in memory at once, sorted so that answers of like length are made together"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Item:
    """A stored sample and its images by member."""

    sample: Sample
    images: Mapping[str, Pixels]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What answers are worth. `n_actions`: answers of robot actions, which are not asked for."""

    n_samples: int
    n_answers: int
    n_actions: int
    scores: tuple[Score, ...]

    def of(self, kind: str, measure: str) -> Score:
        """KeyError where there was no such answer."""
        found = {(score.kind, score.measure): score for score in self.scores}
        return found[kind, measure]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Asked:
    """A question of a window's sample `number`, and its stored answer."""

    number: int
    key: str
    chat: Chat
    answer: Turn
    size_wh: tuple[int, int]
    n_marks: int


def evaluate(
    network: MagmaForCausalLM,
    processor: MagmaProcessor,
    items: Iterable[Item],
    *,
    bins: int = 256,
    batch: int = 16,
    max_new_tokens: int = 1024,
    seed: int = 0,
    tell: Tell = lambda text: None,
) -> Scores:
    """The scores of greedy answers to all questions of `items`; `bins` of the text along each side.

    `seed`: of the intervals. `tell` hears how far the work is. UserError where a sample does not suit the network.
    """
    ask = partial(answers, network, processor, max_new_tokens=max_new_tokens)
    return score_answers(ask, items, bins=bins, batch=batch, seed=seed, tell=tell)


def score_answers(
    ask: Asker, items: Iterable[Item], *, bins: int, batch: int, seed: int, tell: Tell = lambda text: None
) -> Scores:
    """The same with any asker."""
    samples: list[Counts] = []
    n_answers = n_actions = 0
    remaining = iter(items)
    while window := list(islice(remaining, _WINDOW * batch)):
        asked = [question for number, item in enumerate(window) for question in _questions(number, item)]
        acts = [question for question in asked if question.answer.kind == "action"]
        asked = sorted((one for one in asked if one.answer.kind != "action"), key=lambda one: len(one.answer.content))
        counts: list[list[Counts]] = [[] for _ in window]
        for start in range(0, len(asked), batch):
            questions = asked[start : start + batch]
            for question, answer in zip(questions, _answered(ask, questions), strict=True):
                counts[question.number].append(_counted(question, answer, bins))
            n_answers += len(questions)
            tell(f"{n_answers} answers to {len(samples)} samples and the next {len(window)}")
        n_actions += len(acts)
        samples += [added(of_sample) for of_sample in counts]
    return Scores(n_samples=len(samples), n_answers=n_answers, n_actions=n_actions, scores=summarise(samples, seed))


def read_items(out: str, *, split: str, tasks: Sequence[Task], sample: int, seed: int) -> Iterator[Item]:
    """Up to `sample` samples of a dataset (0: all), drawn with `seed`, in the order in which they are stored.

    UserError where `out` holds none of these, or where one can't be read.
    """
    try:
        index = read_index(DatasetConfig(path=out, split=split, tasks=list(tasks)))
    except UserError as error:
        raise UserError(f"OUT: {str(error).removeprefix('data.mixture: ')}") from error
    drawn = rng_for(seed, "evaluation", "samples").permutation(len(index))[: sample or None]
    for row in np.sort(drawn).tolist():
        uri = f"{out}/shards/{index.shards[index.shard_N[row]]}.tar"
        try:
            yield _read_item(uri, int(index.offset_N[row]), int(index.size_N[row]))
        except (OSError, ValueError) as error:
            raise UserError(f"OUT: {error}; `somtom lint {out}` finds what is damaged") from error


def read_bins(out: str) -> int:
    """Bins along each side of the images, as the texts of a dataset have them."""
    try:
        fs, path = url_to_fs(f"{out}/job.json")
        return int(json.loads(fs.cat_file(path))["config"]["text"]["bins"])
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise UserError(
            f"OUT: {out}/job.json, which says how many bins the text has, can't be read ({error!r}); give the folder "
            f"of a finished job, or finish it: `somtom finish {out}`"
        ) from error


def table(scores: Scores) -> str:
    """The scores for people: a line for each measure, with its interval and what knowing nothing would reach."""
    left_out = f", {scores.n_actions} of robot actions left out" if scores.n_actions else ""
    lines = [f"{scores.n_samples} samples, {scores.n_answers} answers{left_out}"]
    lines.append(f"{'':22}{'value':>8}   {'95 % interval':<17} {'n':>6}   beside it")
    for score in scores.scores:
        name = f"{score.kind} {score.measure}"
        between = "" if math.isnan(score.low) else f"{_number(score.low)} to {_number(score.high)}"
        beside = f"{_number(score.baseline)} {BASELINES[score.measure]}" if not math.isnan(score.baseline) else ""
        lines.append(f"{name:<22}{_number(score.value):>8}   {between:<17} {score.n:>6}   {beside}".rstrip())
    return "\n".join(lines)


def as_json(scores: Scores) -> str:
    """The scores for programs; what there was nothing to measure of is null."""
    plain = asdict(scores)
    plain["scores"] = [
        {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in score.items()}
        for score in plain["scores"]
    ]
    return json.dumps(plain, indent=1)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _read_item(uri: str, offset: int, size: int) -> Item:
    _, members = read_sample(uri, offset, size)
    if ANNOTATION_MEMBER not in members:
        raise ValueError(f"{place(uri, offset, size)} hold no {ANNOTATION_MEMBER}")
    sample = decode_sample(members[ANNOTATION_MEMBER])
    return Item(
        sample=sample, images={name: decode_image(members, name) for name in {image.member for image in sample.images}}
    )


def _questions(number: int, item: Item) -> Iterator[_Asked]:
    """Every question of a sample that has an answer, after all that comes before it."""
    sample = item.sample
    turns: list[Turn] = []
    shown: list[Image] = []
    for exchange in exchanges_of(sample):
        turns += exchange.turns
        shown += exchange.images
        answer = turns[-1]
        if answer.role != "assistant":
            continue
        before = turns[:-1]
        acts = any(ACTION in turn.content for turn in before if turn.role == "assistant")
        chat = Chat(
            messages=[Message(role=turn.role, content=turn.content) for turn in before],
            images=[item.images[image.member] for image in shown],
            action_ids=sample.action.tokens if acts else [],
            num_crops=sample.max_crops,
        )
        last = shown[-1:]
        yield _Asked(
            number=number,
            key=sample.key,
            chat=chat,
            answer=answer,
            size_wh=(last[0].width, last[0].height) if last else (1, 1),
            n_marks=sum(mark.image < len(shown) for mark in sample.marks),
        )


def _answered(ask: Asker, questions: Sequence[_Asked]) -> list[str]:
    try:
        return ask([question.chat for question in questions])
    except ValueError as error:  # too long, or actions of another vocabulary
        keys = ", ".join(question.key for question in questions)
        raise UserError(f"OUT: one of {keys}: {error}") from error


def _counted(question: _Asked, answer: str, bins: int) -> Counts:
    stored = question.answer
    return count_answer(
        stored.kind, stored.content, answer, size_wh=question.size_wh, bins=bins, n_marks=question.n_marks
    )
