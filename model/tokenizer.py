"""Tokenizers of LLaMA-3 and what Magma adds to them; a small one of the same form can be trained from a few texts.

Ids differ from one tokenizer to the next (the release's own are known in part only), so they are read, never written
down: `special_ids`. Base entries are those of the model's own vocabulary, without any token added to it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from model.actions import ACTION_BINS

BOS = "<|begin_of_text|>"
END_OF_TEXT = "<|end_of_text|>"
START_HEADER = "<|start_header_id|>"
END_HEADER = "<|end_header_id|>"
EOT = "<|eot_id|>"
PAD = "<pad>"
IMAGE = "<image>"
IMAGE_START, IMAGE_END = "<image_start>", "<image_end>"
TRACE_START, TRACE_END = "<trace_start>", "<trace_end>"
ACTION = "<action>"

_MIN_BASE_VOCAB = 256 + ACTION_BINS
"""every byte is an entry; with fewer than these, actions would take the ids of bytes"""

CHAT_TEMPLATE = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    "+ message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
"""the public one of LLaMA-3-Instruct; `model.chat` writes the same, this is for other programs"""

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""how LLaMA-3 cuts text before merging: digits in groups of up to three"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialIds:
    """Ids of one tokenizer; None where it has no such token. Action ids are the last 256 below `base_vocab`."""

    bos: int
    start_header: int
    end_header: int
    eot: int
    pad: int
    image: int
    image_start: int | None = None
    image_end: int | None = None
    action: int | None = None
    trace_start: int | None = None
    trace_end: int | None = None
    base_vocab: int


def special_ids(tokenizer: PreTrainedTokenizerFast) -> SpecialIds:
    """What `tokenizer` calls the tokens of chats and of Magma; ValueError names one that is missing and the cure."""
    return SpecialIds(
        bos=_required_id(tokenizer, BOS),
        start_header=_required_id(tokenizer, START_HEADER),
        end_header=_required_id(tokenizer, END_HEADER),
        eot=_required_id(tokenizer, EOT),
        pad=_required_id(tokenizer, PAD),
        image=_required_id(tokenizer, IMAGE),
        image_start=_id(tokenizer, IMAGE_START),
        image_end=_id(tokenizer, IMAGE_END),
        action=_id(tokenizer, ACTION),
        trace_start=_id(tokenizer, TRACE_START),
        trace_end=_id(tokenizer, TRACE_END),
        base_vocab=tokenizer.vocab_size,
    )


def _required_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    found = _id(tokenizer, token)
    if found is not None:
        return found
    if token in (PAD, IMAGE):
        raise ValueError(f"the tokenizer has no token {token}; call model.tokenizer.add_magma_tokens on it")
    raise ValueError(f"the tokenizer has no token {token}; take one of LLaMA-3, then model.tokenizer.add_magma_tokens")


def _id(tokenizer: PreTrainedTokenizerFast, token: str) -> int | None:
    found = tokenizer.convert_tokens_to_ids(token)
    # a tokenizer with an unknown token answers with that one
    return found if isinstance(found, int) and tokenizer.convert_ids_to_tokens(found) == token else None


def add_magma_tokens(tokenizer: PreTrainedTokenizerFast, *, trace: bool = False) -> int:
    """Adds to a tokenizer of LLaMA-3 what Magma needs and returns how many tokens that were; those it has are kept.

    <pad> and <image> come first, so that LLaMA-3's get the ids of the release, 128256 and 128257. `trace` adds
    <trace_start> and <trace_end> too. Answers end with <|eot_id|> and pads are <pad> from now on.
    """
    traces = [TRACE_START, TRACE_END] if trace else []
    wanted = [PAD, IMAGE, IMAGE_START, IMAGE_END, *traces, ACTION]
    missing = [token for token in wanted if _id(tokenizer, token) is None]
    tokenizer.add_tokens([_special(token) for token in missing], special_tokens=True)
    tokenizer.eos_token = EOT
    tokenizer.pad_token = PAD
    return len(missing)


def _special(token: str) -> AddedToken:
    return AddedToken(token, special=True, normalized=False)


def load_tokenizer(folder_or_name: str | Path) -> PreTrainedTokenizerFast:
    """The fast tokenizer of a folder or of a model's name; ValueError where there is none, with the cure."""
    cure = "give a folder with tokenizer.json and tokenizer_config.json, such as that of LLaMA-3-Instruct or Magma-8B"
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder_or_name))
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"no tokenizer in {str(folder_or_name)!r}; {cure}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ValueError(f"{str(folder_or_name)!r} holds a {type(tokenizer).__name__}, which is not a fast one; {cure}")
    return tokenizer


def train_tokenizer(texts: Iterable[str], *, vocab_size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE in LLaMA-3's form, with Magma's tokens; the same texts give the same tokenizer.

    `vocab_size` counts base entries, 512 at least: 256 bytes, then merges, then entries that no text is made of. These
    are 256 at least, so that no action id is also a piece of a word, as some rare ones are in LLaMA-3's vocabulary.
    """
    if vocab_size < _MIN_BASE_VOCAB:
        raise ValueError(f"vocab_size is {vocab_size}; bytes and actions take {_MIN_BASE_VOCAB}, ask for that or more")
    core = _filled(_trained(texts, vocab_size - ACTION_BINS), vocab_size)
    core.add_special_tokens([_special(token) for token in (BOS, END_OF_TEXT, START_HEADER, END_HEADER, EOT)])
    core.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, core.token_to_id(BOS))]
    )
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call, unused-ignore]
        tokenizer_object=core, bos_token=BOS, eos_token=EOT
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    add_magma_tokens(tokenizer)
    return tokenizer


def _trained(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    core.train_from_iterator(texts, trainer)
    return core


def _filled(core: Tokenizer, vocab_size: int) -> Tokenizer:
    """`core` with entries up to `vocab_size` to which no merge leads, so that no text becomes one of them."""
    state = json.loads(core.to_str())
    vocab = state["model"]["vocab"]
    vocab |= {f"<|unused_{entry}|>": entry for entry in range(len(vocab), vocab_size)}
    return Tokenizer.from_str(json.dumps(state))
