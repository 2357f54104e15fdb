"""A dataset's questions asked and scored: by askers that know the answers, and by a network that knows nothing."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import beam_runner
from model.checkpoint import save_magma
from schemas.errors import UserError
from schemas.flow import FinishedSample
from tests.fixtures import BINS, chat, make_dataset, multi_image, robot, text_only, ui, video_som, video_tom
from tests.model.small import small_magma, small_processor
from train.chats import Chat
from train.evaluate import Item, as_json, evaluate, read_bins, read_items, score_answers, table

MAKERS = (video_tom, video_som, ui, multi_image, chat, text_only)


def items(made: Sequence[FinishedSample]) -> list[Item]:
    return [Item(sample=one.sample, images=one.images) for one in made]


def truths(made: Sequence[FinishedSample]) -> dict[str, str]:
    """The last question before each answer -> that answer."""
    turns = [one.sample.turns for one in made]
    return {before.content: after.content for of in turns for before, after in zip(of[::2], of[1::2], strict=True)}


def knowing(answers: dict[str, str], heard: list[list[Chat]]) -> Callable[[Sequence[Chat]], list[str]]:
    """An asker that looks the answers up."""

    def ask(chats: Sequence[Chat]) -> list[str]:
        heard.append(list(chats))
        return [answers[one.messages[-1]["content"]] for one in chats]

    return ask


def test_true_answers_score_in_full() -> None:
    made = [make(number) for number, make in enumerate(MAKERS)]
    heard: list[list[Chat]] = []
    scores = score_answers(knowing(truths(made), heard), items(made), bins=BINS, batch=4, seed=0)
    assert (scores.n_samples, scores.n_answers) == (len(MAKERS), sum(len(one.sample.turns) // 2 for one in made))
    assert all(
        score.value == 1 for score in scores.scores if score.measure in ("exact", "located", "precision", "mark")
    )
    assert (scores.of("tom", "ade").value, scores.of("som", "error_bins").value) == (0, 0)
    assert scores.of("tom", "fde").baseline > 0.1
    assert scores.of("grounding", "mark").baseline == 1 / 2
    assert max(map(len, heard)) == 4


def test_a_question_comes_with_all_that_was_said_and_shown_before() -> None:
    made = [multi_image(), chat()]
    heard: list[list[Chat]] = []
    score_answers(knowing(truths(made), heard), items(made), bins=BINS, batch=1, seed=0)
    asked = {one.messages[-1]["content"]: one for (one,) in heard}
    for sample, images in ((one.sample, one.images) for one in made):
        shown = 0
        for number in range(0, len(sample.turns), 2):
            told = sample.turns[: number + 1]
            shown += told[-1].content.count("<image>")
            one = asked[told[-1].content]
            assert [message["content"] for message in one.messages] == [turn.content for turn in told]
            assert [id(image) for image in one.images] == [id(images[image.member]) for image in sample.images[:shown]]


def test_standing_still_is_as_good_as_its_baseline_and_wrong_marks_are_not() -> None:
    made = [video_tom(number) for number in range(3)]
    answer = made[0].sample.turns[-1].content
    start = answer.partition("[")[2].partition("]")[0]
    future = answer.partition('"Mark 1": "[')[2].partition(']"')[0]
    still = ",".join([f"[{start}]"] * len(future.split("],")))
    said = f'Mark 1 at [{start}] should be moved, and their future positions are:\n\n"Mark 1": "[{still}]"'
    scores = score_answers(lambda chats: [said] * len(chats), items(made), bins=BINS, batch=2, seed=0)
    assert scores.of("tom", "ade").value == pytest.approx(scores.of("tom", "ade").baseline)
    assert (scores.of("tom", "precision").value, scores.of("tom", "recall").value) == (1, 0.5)
    assert scores.of("tom", "unreadable").value == 0


def test_samples_go_through_in_windows_and_batches_change_nothing() -> None:
    made = [video_som(number) for number in range(40)]
    answers = truths(made)
    read: list[int] = []
    read_when_asked: list[int] = []

    def stream() -> Iterator[Item]:
        for number, item in enumerate(items(made)):
            read.append(number)
            yield item

    def ask(chats: Sequence[Chat]) -> list[str]:
        read_when_asked.append(len(read))
        return knowing(answers, [])(chats)

    told: list[str] = []
    one = score_answers(ask, stream(), bins=BINS, batch=2, seed=0, tell=told.append)
    assert read_when_asked == [16] * 8 + [32] * 8 + [40] * 4
    assert told[0] == "2 answers to 0 samples and the next 16"
    other = score_answers(knowing(answers, []), items(made), bins=BINS, batch=7, seed=0)
    assert one == other


def test_robot_actions_are_counted_and_left_out() -> None:
    made = [robot()]
    scores = score_answers(
        lambda chats: [made[0].sample.turns[-1].content] * len(chats), items(made), bins=BINS, batch=1, seed=0
    )
    assert (scores.n_actions, scores.n_answers, scores.of("tom", "exact").value) == (1, 1, 1)
    assert "1 of robot actions left out" in table(scores)


def test_a_network_that_knows_nothing_is_unreadable_and_says_so() -> None:
    scores = evaluate(
        small_magma(), small_processor(), items([video_tom(), video_som()]), bins=BINS, batch=2, max_new_tokens=8
    )
    assert (scores.of("tom", "unreadable").value, scores.of("som", "unreadable").value) == (1, 1)
    assert math.isnan(scores.of("tom", "ade").value)
    plain = json.loads(as_json(scores))
    assert [one["value"] for one in plain["scores"] if one["measure"] == "ade"] == [None]


def test_a_sample_that_is_too_long_is_named() -> None:
    processor = small_processor()
    processor.max_length = 20
    made = video_tom()
    with pytest.raises(UserError, match=rf"OUT: one of {made.sample.key}: the chat takes \d+ positions"):
        evaluate(small_magma(), processor, items([made]), bins=BINS)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    makers = (video_tom, video_som)
    return make_dataset(tmp_path_factory.mktemp("data") / "out", [makers[n % 2](n) for n in range(40)])


def keys(dataset: str, **asked: object) -> list[str]:
    options = {"split": "val", "tasks": [], "sample": 0, "seed": 0} | asked
    return [item.sample.key for item in read_items(dataset, **options)]  # type: ignore[arg-type]


def test_samples_are_drawn_from_a_split_by_seed(dataset: str) -> None:
    every = keys(dataset)
    assert len(every) == 8
    assert keys(dataset, sample=99) == every
    some = keys(dataset, sample=3)
    assert some == keys(dataset, sample=3) == [key for key in every if key in some]
    assert any(keys(dataset, sample=3, seed=seed) != some for seed in range(1, 4))
    assert len(keys(dataset, tasks=["tom"])) == len(keys(dataset, tasks=["som"])) == 4
    assert len(keys(dataset, split="train")) == 32


def test_items_hold_the_images_that_their_turns_show(dataset: str) -> None:
    for item in read_items(dataset, split="val", tasks=[], sample=2, seed=0):
        assert {name: image.shape[:2] for name, image in item.images.items()} == {
            image.member: (image.height, image.width) for image in item.sample.images
        }
    assert read_bins(dataset) == BINS


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "OUT: nowhere has no index.parquet"),
        (["DATA", "--split", "test"], "OUT: .* has no sample of split 'test'"),
        (["DATA", "--tasks", "qa"], "OUT: .* has no sample of split 'val' and one of the tasks qa"),
    ],
)
def test_what_a_dataset_lacks_is_told_without_a_model(dataset: str, words: list[str], told: str) -> None:
    out, *options = words
    with pytest.raises(UserError, match=told):
        asked = dict(zip(options[::2], options[1::2], strict=True))
        keys(
            dataset if out == "DATA" else out,
            split=asked.get("--split", "val"),
            tasks=[asked["--tasks"]] if "--tasks" in asked else [],
        )


def test_eval_prints_a_table_and_writes_json(dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_magma(small_magma(), small_processor(), tmp_path / "model")
    words = [
        "eval",
        str(tmp_path / "model"),
        dataset,
        "--tasks",
        "som",
        "--sample",
        "3",
        "--max-tokens",
        "4",
        "--batch",
        "2",
    ]
    assert beam_runner.main([*words, "--json", str(tmp_path / "scores.json"), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("3 samples, 3 answers\n")
    assert "som located" in printed
    assert json.loads((tmp_path / "scores.json").read_text())["n_answers"] == 3
