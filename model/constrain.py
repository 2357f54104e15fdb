"""Answers held to their formats while they are generated: objects for `model.generate(logits_processor=[...])`.

Formats: MAGMA.md 2.4 j, k (text) and 4, Actions (ids). They serve greedy search, sampling and beams, alone and in
batches; not assisted decoding, which adds several ids at once. The end id of an answer must be one at which generate
ends, and nothing else may forbid what they leave: no min_new_tokens beyond an answer's length.
"""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from types import ModuleType
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedTokenizerFast

from model.actions import ACTION_BINS, ACTION_DIMS
from model.tokenizer import special_ids

State = TypeVar("State")

_MOVED = " should be moved, and their future positions are:"
_NAMED = re.compile(r"Mark (\d+) at \[\d+,\d+\]", re.ASCII)


class ActionsOnly(LogitsProcessor):
    """The answer is n action ids (base_vocab - 256 .. base_vocab - 1) and then the end id.

    It takes n + 1 new ids. Make an object for each call of generate.
    """

    def __init__(self, base_vocab: int, eot: int, n: int = ACTION_DIMS) -> None:
        if base_vocab < ACTION_BINS or n < 1:
            raise ValueError(f"want base_vocab of 256 or more and n of 1 or more; got {base_vocab} and {n}")
        self._base_vocab, self._eot, self._n = base_vocab, eot, n
        self._rows = _Rows(0, lambda count, _: count + 1)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """[rows, length] ids and [rows, vocabulary] scores -> scores with -inf where an id is not allowed."""
        counts = torch.tensor(self._rows.states(input_ids), device=scores.device)
        ids = torch.arange(scores.shape[1], device=scores.device)
        actions = (ids >= self._base_vocab - ACTION_BINS) & (ids < self._base_vocab)
        allowed = torch.where(counts[:, None] < self._n, actions, ids == self._eot)
        return _with_a_choice(scores.masked_fill(~allowed, -torch.inf))


class TraceAnswer(LogitsProcessor):
    """The answer is a ToM answer without its closing newlines (as it is trained), then <|eot_id|>.

    `marks`: ids it may name, each at most once, in increasing order; None: 1 .. 999. It gives the paths of exactly
    those that its head names. `steps`: positions per path; None: 1 or more. Coordinates are 0 .. bins - 1. All rows
    share these, so a batch of differing images wants None or one call per image. Make an object for each call of
    generate.

    An answer of m marks takes at most 53 + m (41 + 10 steps) new ids with marks and bins of three digits: that is one
    a character, and a trained vocabulary needs about half. A lower max_new_tokens may leave an answer incomplete.
    ValueError on arguments that no answer fits; ImportError without llguidance.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        *,
        marks: Sequence[int] | None = None,
        steps: int | None = None,
        bins: int = 256,
    ) -> None:
        if steps is not None and steps < 1:
            raise ValueError(f"steps is {steps}; want 1 or more, or None for any number")
        ids = _checked(range(1, 1000) if marks is None else marks, bins)
        self._text = _Text(tokenizer, partial(_trace_grammar, marks=ids, steps=steps, bins=bins))

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """[rows, length] ids and [rows, vocabulary] scores -> scores with -inf where an id is not allowed."""
        return self._text.masked(input_ids, scores)


class SomAnswer(LogitsProcessor):
    """The answer says where each of the marks is, by id, without the closing newline; the rest as for `TraceAnswer`."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, *, marks: Sequence[int], bins: int = 256) -> None:
        located = (f'"Mark {mark} at " POINT' for mark in _checked(marks, bins))
        grammar = _grammar(' ". " '.join(located), bins)
        self._text = _Text(tokenizer, lambda _: grammar)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """[rows, length] ids and [rows, vocabulary] scores -> scores with -inf where an id is not allowed."""
        return self._text.masked(input_ids, scores)


def _with_a_choice(scores: Tensor) -> Tensor:
    if bool((scores == -torch.inf).all(dim=1).any()):
        raise ValueError(
            "what the format asks for next is forbidden otherwise; leave out min_new_tokens, suppress_tokens and such"
        )
    return scores


def _checked(marks: Sequence[int], bins: int) -> tuple[int, ...]:
    ids = [operator.index(mark) for mark in marks]
    if not ids or min(ids) < 0 or len(set(ids)) < len(ids):
        raise ValueError(f"marks are {ids}; want at least one id, each 0 or more and named once")
    if bins < 1:
        raise ValueError(f"bins is {bins}; want 1 or more")
    return tuple(sorted(ids))


def _trace_grammar(text: str, *, marks: Sequence[int], steps: int | None, bins: int) -> str:
    """Grammar of the answers that may still come of `text`.

    No grammar of fair size knows the marks of the head in the lines. So it holds for the marks named so far: before the
    head is complete it has no lines, and marks to come are later than those named, though not yet than one another.
    """
    head, moved, _ = text.partition(_MOVED[:7])
    named = [int(mark) for mark in _NAMED.findall(head)]
    parts = [' ", " '.join(f'"Mark {mark} at " POINT' for mark in named)]
    later = [] if moved else [mark for mark in marks if not named or mark > named[-1]]
    if later:
        more = _any_mark(later)
        if later[1:]:
            # one token may hold "]," and so promise another mark, which nothing can keep after the last
            more = f'({_any_mark(later[:-1])} ", ")* {more}'
        parts.append(f'(", " {more})?' if named else more)
    parts.append(f'"{_MOVED}"')
    if moved:
        points = ' "," '.join(["POINT"] * steps) if steps else 'POINT ("," POINT)*'
        parts += [f'"\\n\\n\\"Mark {mark}\\": \\"[" {points} "]\\""' for mark in named]
    return _grammar(" ".join(parts), bins)


def _any_mark(marks: Sequence[int]) -> str:
    return f'"Mark " /{"|".join(map(str, marks))}/ " at " POINT'


def _grammar(answer: str, bins: int) -> str:
    """Lark grammar with one lexeme, so that it is matched as one regular expression."""
    numbers = "|".join(map(str, range(bins)))
    return f'start: ANSWER\nANSWER: {answer}\nPOINT: "[" NUMBER "," NUMBER "]"\nNUMBER: /{numbers}/\n'


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Matched:
    """What a row has generated, the grammar for what follows and its matcher, stopped after eot or a forbidden id."""

    tokens: tuple[int, ...]
    grammar: str
    matcher: Any


class _Text:
    """Masks the ids that lead out of `grammar(text so far)`, which may only get narrower as the text grows."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, grammar: Callable[[str], str]) -> None:
        self._lexicon = _lexicon(tokenizer, len(tokenizer))
        self._grammar = grammar
        self._rows = _Rows(self._matching(grammar(""), ()), self._next)

    def masked(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        masked = torch.full_like(scores, -torch.inf)
        for row, state in enumerate(self._rows.states(input_ids)):
            # one byte an id of the tokenizer, not 0 where allowed; a stopped matcher allows eot, so that a row which
            # generate keeps beside unfinished ones, or beams fill up with, has something to choose
            bias = np.frombuffer(state.matcher.compute_logit_bias(), np.uint8)
            allowed = torch.from_numpy(np.flatnonzero(bias > 0)).to(scores.device)
            masked[row, allowed] = scores[row, allowed]
        return _with_a_choice(masked)

    def _next(self, state: _Matched, token: int) -> _Matched:
        tokens = (*state.tokens, token)
        matcher = state.matcher.deep_copy()
        if matcher.consume_token(token):
            grammar = self._grammar(self._lexicon.decode_str(list(tokens)))
            if grammar != state.grammar:
                return self._matching(grammar, tokens)
        return _Matched(tokens=tokens, grammar=state.grammar, matcher=matcher)

    def _matching(self, grammar: str, tokens: tuple[int, ...]) -> _Matched:
        matcher = _llguidance().LLMatcher(self._lexicon, grammar, log_level=0)
        if matcher.is_error():
            raise ValueError(f"llguidance does not take the grammar of the answer: {matcher.get_error()}")
        matcher.consume_tokens(list(tokens))
        return _Matched(tokens=tokens, grammar=grammar, matcher=matcher)


class _Rows(Generic[State]):
    """A state of every row's generated ids, found by all its ids but the last: beams reorder and repeat rows.

    A row that continues none of the call before starts an answer: generate was called anew. The prompt's length is not
    needed, which matters where the model makes its own of it.
    """

    def __init__(self, start: State, advance: Callable[[State, int], State]) -> None:
        self._start, self._advance = start, advance
        self._last: dict[tuple[int, ...], State] = {}

    def states(self, input_ids: Tensor) -> list[State]:
        now: dict[tuple[int, ...], State] = {}
        rows = [tuple(row) for row in input_ids.tolist()]
        for row in rows:
            if row not in now:
                known = row and row[:-1] in self._last
                now[row] = self._advance(self._last[row[:-1]], row[-1]) if known else self._start
        self._last = now
        return [now[row] for row in rows]


def _llguidance() -> ModuleType:
    try:
        import llguidance.hf
    except ImportError as error:
        raise ImportError("answers held to a text format need llguidance: pip install '.[guided]'") from error
    return llguidance


@lru_cache(maxsize=2)
def _lexicon(tokenizer: PreTrainedTokenizerFast, size: int) -> Any:
    """The tokenizer as llguidance reads it, kept because that takes about a second for 128,000 ids.

    `size`: its length, which changes where tokens are added to it.
    """
    return _llguidance().hf.from_tokenizer(tokenizer, eos_token=special_ids(tokenizer).eot)
