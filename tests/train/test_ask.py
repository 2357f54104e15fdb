"""Questions to a network of a few thousand parameters."""

from pathlib import Path

import pytest
import torch

from model.actions import ACTION_DIMS, action_ids
from model.checkpoint import save_magma
from model.constrain import ActionsOnly
from schemas.errors import UserError
from tests.model.small import chat, picture, small_magma, small_processor
from train.ask import answer_ids, answers, load_network
from train.chats import Chat

SIZES_WH = ((60, 60), (120, 50), (50, 120))
QUESTIONS = ("Where does it go?", "What?", "Where does the red cup go, and what is to the left of it?")


def chats() -> list[Chat]:
    return [
        Chat(messages=chat(f"<image>\n{question}"), images=[picture(size_wh, seed)], action_ids=[], num_crops=4)
        for seed, (question, size_wh) in enumerate(zip(QUESTIONS, SIZES_WH, strict=True))
    ]


def test_a_batch_answers_as_each_chat_alone() -> None:
    network, processor = small_magma(), small_processor()
    alone = [answers(network, processor, [one], max_new_tokens=12)[0] for one in chats()]
    assert answers(network, processor, chats(), max_new_tokens=12) == alone
    assert len(set(alone)) > 1, "all answers are the same: nothing is tested"


def test_answers_end_with_their_end_and_hold_what_they_are_held_to() -> None:
    network, processor = small_magma(), small_processor()
    form = ActionsOnly(processor.ids.base_vocab, processor.ids.eot)
    found = answer_ids(network, processor, chats(), max_new_tokens=40, logits_processor=[form])
    assert [len(ids) for ids in found] == [ACTION_DIMS] * 3
    assert all(0 < processor.ids.base_vocab - one <= 256 for ids in found for one in ids)


def test_actions_of_answers_before_are_told_as_ids() -> None:
    network, processor = small_magma(), small_processor()
    said = [*chat("What is done?", "<action>" * 7), *chat("And now?")]
    acts = [
        Chat(
            messages=said, images=[], action_ids=action_ids([value] * 7, processor.ids.base_vocab).tolist(), num_crops=1
        )
        for value in (-0.9, 0.9)
    ]
    first, second = answer_ids(network, processor, acts, max_new_tokens=12)
    assert first != second


def test_the_folder_of_a_training_stands_for_its_export(tmp_path: Path) -> None:
    network = small_magma()
    save_magma(network, small_processor(), tmp_path / "run" / "export")
    (tmp_path / "run" / "config.yaml").write_text("seed: 0\n")
    loaded, _ = load_network(str(tmp_path / "run"), device="cpu", dtype="float32")
    head = "language_model.lm_head.weight"
    assert torch.equal(loaded.state_dict()[head], network.state_dict()[head])


def test_a_training_that_has_not_ended_says_how_to_export_it(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.json").write_text('{"seed": 0}')
    with pytest.raises(UserError, match=rf"^MODEL: {tmp_path} .*no export yet.*`python -m train.export {tmp_path}`"):
        load_network(str(tmp_path), device="cpu")


@pytest.mark.parametrize(
    ("model", "device", "told"),
    [
        ("nowhere", "cpu", r"^MODEL: nowhere: nowhere does not exist; give a folder"),
        ("empty", "cpu", r"^MODEL: .*has no config\.json"),
        ("nowhere", "tpu9", r"^--device: tpu9 can't be had here"),
    ],
)
def test_what_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, device: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=told) as caught:
        load_network(model, device=device)
    assert "\n" not in str(caught.value)
