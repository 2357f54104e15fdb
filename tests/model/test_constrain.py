"""Answers held to a format: whatever an untrained network prefers, they can be read back."""

import re
import sys
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import transformers

from model.actions import ACTION_DIMS, action_ids, action_values
from model.constrain import ActionsOnly, SomAnswer, TraceAnswer
from model.tokenizer import special_ids, train_tokenizer
from transforms.prompts import parse_som_answer, parse_tom_answer, som_answer, tom_answer

NUMBER = r"(?:0|[1-9]\d{0,2})"
POINT = rf"\[{NUMBER},{NUMBER}\]"
TRACE = re.compile(
    rf"(Mark {NUMBER} at {POINT}(?:, Mark {NUMBER} at {POINT})*) should be moved, and their future positions are:"
    rf'((?:\n\n"Mark {NUMBER}": "\[{POINT}(?:,{POINT})*\]")+)'
)
EXAMPLE = {3: [(12, 200), (13, 201), (14, 205)], 17: [(0, 255), (1, 254), (100, 99)]}
PROMPTS = ("what moves next", "a", "the person is opening a drawer with the left hand")
MODES = {
    "greedy": {"do_sample": False},
    "sampled": {"do_sample": True, "temperature": 2.0},
    "beams": {"do_sample": False, "num_beams": 2, "num_return_sequences": 2},
    "sampled beams": {"do_sample": True, "num_beams": 3, "temperature": 2.0},
}
modes = pytest.mark.parametrize("options", MODES.values(), ids=MODES.keys())


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer([*PROMPTS, tom_answer(EXAMPLE) * 3], vocab_size=700)


@pytest.fixture(scope="module")
def network(tokenizer: Any) -> Any:
    """An untrained LLaMA with more ids than the tokenizer has; large weights, so that it is sure of odd things."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer) + 37,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        initializer_range=0.5,
    )
    return transformers.LlamaForCausalLM(config).eval()


def answers(network: Any, tokenizer: Any, processor: Any, budget: int, **options: Any) -> list[list[int]]:
    """New ids of every row of a left padded batch, up to the end id and that included; only pads may follow it."""
    torch.manual_seed(1)
    batch = tokenizer(list(PROMPTS), return_tensors="pt", padding=True, padding_side="left")
    assert batch["attention_mask"][1, 0] == 0
    eot, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    out = network.generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        logits_processor=[processor],
        max_new_tokens=budget,
        eos_token_id=eot,
        pad_token_id=pad,
        **options,
    )
    cut = []
    for row in out[:, batch["input_ids"].shape[1] :].tolist():
        end = row.index(eot) + 1
        assert set(row[end:]) <= {pad}
        cut.append(row[:end])
    return cut


def texts(network: Any, tokenizer: Any, processor: Any, budget: int, **options: Any) -> list[str]:
    rows = answers(network, tokenizer, processor, budget, **options)
    return [tokenizer.decode(row[:-1], clean_up_tokenization_spaces=False) for row in rows]


def trace_budget(marks: int, steps: int) -> int:
    return 53 + marks * (41 + 10 * steps)


@modes
@pytest.mark.parametrize("bins", [256, 10])
def test_any_network_writes_traces_that_can_be_read(network: Any, tokenizer: Any, options: Any, bins: int) -> None:
    marks = [17, 2, 5, 130]
    processor = TraceAnswer(tokenizer, marks=marks, steps=3, bins=bins)
    for text in texts(network, tokenizer, processor, trace_budget(4, 3), **options):
        found = TRACE.fullmatch(text)
        assert found, text
        head, lines = found.groups()
        named = [int(mark) for mark in re.findall(r"Mark (\d+) at", head)]
        assert named == sorted(set(named)) and set(named) <= set(marks)
        assert [int(mark) for mark in re.findall(r'"Mark (\d+)"', lines)] == named
        for path in parse_tom_answer(text).values():
            assert len(path) == 1 + 3
            assert all(0 <= x < bins and 0 <= y < bins for x, y in path)


def test_marks_that_nobody_named_rise_too(network: Any, tokenizer: Any) -> None:
    for text in texts(network, tokenizer, TraceAnswer(tokenizer, steps=1), 2000, do_sample=False):
        named = list(parse_tom_answer(text))
        assert named == sorted(named) and named[0] >= 1 and named[-1] <= 999
        assert TRACE.fullmatch(text)


@modes
def test_every_mark_is_located(network: Any, tokenizer: Any, options: Any) -> None:
    for text in texts(network, tokenizer, SomAnswer(tokenizer, marks=[4, 1, 12]), 100, **options):
        assert list(parse_som_answer(text)) == [1, 4, 12]


@modes
def test_actions_and_nothing_else(network: Any, tokenizer: Any, options: Any) -> None:
    ids = special_ids(tokenizer)
    processor = ActionsOnly(ids.base_vocab, ids.eot)
    for _ in range(2):
        for row in answers(network, tokenizer, processor, 20, **options):
            assert len(row) == ACTION_DIMS + 1
            values = action_values(row[:-1], ids.base_vocab)
            assert (abs(values) <= 1).all()


@pytest.mark.parametrize("steps", [2, None])
@pytest.mark.parametrize("marks", [[3, 8, 17], None])
def test_answers_of_the_data_are_allowed(tokenizer: Any, marks: Sequence[int] | None, steps: int | None) -> None:
    processor = TraceAnswer(tokenizer, marks=marks, steps=steps)
    assert_allowed(tokenizer, processor, tom_answer(EXAMPLE))
    assert_allowed(tokenizer, processor, tom_answer({17: EXAMPLE[17]}))


def test_located_marks_of_the_data_are_allowed(tokenizer: Any) -> None:
    assert_allowed(tokenizer, SomAnswer(tokenizer, marks=[1, 2]), som_answer({1: (0, 10), 2: (255, 100)}))


def assert_allowed(tokenizer: Any, processor: Any, answer: str) -> None:
    """`answer` as it is trained, after a prompt, one id after another."""
    row = tokenizer.encode("what moves?")
    for token in [*tokenizer.encode(answer.strip(), add_special_tokens=False), tokenizer.eos_token_id]:
        assert allowed(tokenizer, processor, row)[token], tokenizer.decode(row)
        row = [*row, token]


def allowed(tokenizer: Any, processor: Any, row: list[int]) -> Any:
    scores = torch.zeros(1, len(tokenizer) + 5, dtype=torch.bfloat16)
    masked = processor(torch.tensor([row], dtype=torch.long), scores)
    assert masked.dtype == scores.dtype and masked.shape == scores.shape and not scores.any()
    return masked[0] == 0


def test_it_ends_where_the_format_says(tokenizer: Any) -> None:
    eot = tokenizer.eos_token_id
    processor = TraceAnswer(tokenizer, marks=[3, 17], steps=2)
    row: list[int] = []
    for token in tokenizer.encode(tom_answer(EXAMPLE).strip(), add_special_tokens=False):
        assert not allowed(tokenizer, processor, row)[eot]
        row = [*row, token]
    for after in (eot, tokenizer.pad_token_id, tokenizer.pad_token_id):
        assert allowed(tokenizer, processor, row).nonzero().flatten().tolist() == [eot]
        row = [*row, after]


def test_rows_may_change_places_and_come_twice(tokenizer: Any) -> None:
    ids = [tokenizer.encode(f"Mark {mark}", add_special_tokens=False) for mark in (3, 17)]
    first, second = ids[0], ids[1][: len(ids[0])]
    assert first[:-1] == second[:-1] and first != second
    processor = TraceAnswer(tokenizer, marks=[3, 17])
    for length in range(len(first)):
        processor(torch.tensor([first[:length], second[:length]], dtype=torch.long), torch.zeros(2, len(tokenizer)))
    together = processor(torch.tensor([second, second, first]), torch.zeros(3, len(tokenizer)))
    for row, prefix in zip(together, (second, second, first), strict=True):
        alone = TraceAnswer(tokenizer, marks=[3, 17])
        for length in range(len(prefix)):
            allowed(tokenizer, alone, prefix[:length])
        assert torch.equal(row == 0, allowed(tokenizer, alone, prefix)[: len(tokenizer)])


def test_a_call_after_another_starts_anew(tokenizer: Any) -> None:
    ids = special_ids(tokenizer)
    processor = ActionsOnly(ids.base_vocab, ids.eot, n=1)
    action = int(action_ids([0.0], ids.base_vocab)[0])
    for prompt in ([], [5, 6], [5, 6], [5, 7, 8]):
        assert allowed(tokenizer, processor, prompt).sum() == 256
        assert allowed(tokenizer, processor, [*prompt, action]).nonzero().flatten().tolist() == [ids.eot]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"marks": []}, "at least one id"),
        ({"marks": [1, 2, 1]}, "named once"),
        ({"marks": [-1, 2]}, "0 or more"),
        ({"steps": 0}, "steps is 0; want 1 or more"),
        ({"bins": 0}, "bins is 0"),
    ],
)
def test_what_no_answer_fits_is_an_error(tokenizer: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TraceAnswer(tokenizer, **options)
    if "steps" not in options:
        with pytest.raises(ValueError, match=message):
            SomAnswer(tokenizer, **({"marks": [1]} | options))


def test_actions_need_a_vocabulary_that_holds_them() -> None:
    with pytest.raises(ValueError, match="256 or more"):
        ActionsOnly(255, 2)
    with pytest.raises(ValueError, match="n of 1 or more"):
        ActionsOnly(1000, 2, n=0)


def test_without_llguidance_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    monkeypatch.setitem(sys.modules, "llguidance.hf", None)
    plain = train_tokenizer(["a"], vocab_size=512)
    with pytest.raises(ImportError, match=re.escape("pip install '.[guided]'")):
        TraceAnswer(plain)
    ActionsOnly(512, special_ids(plain).eot)


@pytest.mark.slow
def test_a_large_vocabulary_is_taken() -> None:
    large = train_tokenizer([tom_answer(EXAMPLE)], vocab_size=128_000)
    processor = TraceAnswer(large, marks=range(1, 21), steps=16)
    paths = {mark: [(mark, 10 * step) for step in range(17)] for mark in range(1, 6)}
    tokens = large.encode(tom_answer(paths).strip(), add_special_tokens=False)
    scores = torch.zeros(1, len(large))
    for end, token in enumerate([*tokens, special_ids(large).eot]):
        allowed_ids = processor(torch.tensor([tokens[:end]], dtype=torch.long), scores)[0].isfinite()
        assert allowed_ids[token], large.decode(tokens[:end])
    assert allowed_ids.sum() == 1


@pytest.mark.parametrize("marks", [[1.0, 2.0], [1.5], ["1"]])
def test_marks_are_whole_numbers(tokenizer: Any, marks: Any) -> None:
    with pytest.raises(TypeError):
        TraceAnswer(tokenizer, marks=marks)


@pytest.mark.parametrize("forbidden", [{"min_new_tokens": 12}, {"suppress_tokens": "eot"}])
def test_what_leaves_no_choice_is_an_error(network: Any, tokenizer: Any, forbidden: Any) -> None:
    ids = special_ids(tokenizer)
    options = {name: [ids.eot] if value == "eot" else value for name, value in forbidden.items()}
    with pytest.raises(ValueError, match="is forbidden otherwise"):
        answers(network, tokenizer, ActionsOnly(ids.base_vocab, ids.eot), 20, do_sample=False, **options)
