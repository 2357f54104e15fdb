"""Questions to a network, and what it answers: greedy, in batches."""

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import torch
from transformers import LogitsProcessor, LogitsProcessorList

from model.checkpoint import load_magma
from model.magma import MagmaForCausalLM
from model.processor import MagmaProcessor
from schemas.errors import UserError
from train.chats import Chat

EXPORT = "export"
"""the folder of a training run that holds its model in the form of `save_magma`"""


def load_network(source: str, *, device: str = "", dtype: str | None = None) -> tuple[MagmaForCausalLM, MagmaProcessor]:
    """The model of a folder, of a training run's folder, or of a name on the hub.

    `device` empty: a GPU where there is one. `dtype` None: as stored. UserError where there is no such model or device.
    """
    exported = Path(source) / EXPORT
    if (Path(source) / "checkpoints").is_dir() and not exported.is_dir():
        raise UserError(
            f"MODEL: {source} is a training that has no export yet; let it end, or make one of its newest checkpoint: "
            f"`python -m train.export {source}`, and give that"
        )
    try:
        place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"--device: {device} can't be had here: {reason}; give cpu, or leave it out") from error
    try:
        return load_magma(exported if exported.is_dir() else source, dtype=dtype, device=place)
    except (ValueError, OSError) as error:
        raise UserError(f"MODEL: {source}: {' '.join(str(error).split())}") from error


def answers(
    network: MagmaForCausalLM,
    processor: MagmaProcessor,
    chats: Sequence[Chat],
    *,
    max_new_tokens: int,
    logits_processor: Sequence[LogitsProcessor] = (),
) -> list[str]:
    """The text of each answer, without special tokens and space around it; the rest as for `answer_ids`."""
    found = answer_ids(network, processor, chats, max_new_tokens=max_new_tokens, logits_processor=logits_processor)
    return [str(processor.decode(ids, skip_special_tokens=True)).strip() for ids in found]


def answer_ids(
    network: MagmaForCausalLM,
    processor: MagmaProcessor,
    chats: Sequence[Chat],
    *,
    max_new_tokens: int,
    logits_processor: Sequence[LogitsProcessor] = (),
) -> list[list[int]]:
    """The likeliest ids one after the other, up to the end of the answer, which is left out; one batch for all chats.

    `logits_processor`: as `model.constrain` makes them, anew for each call. ValueError where a chat is too long.
    """
    prompts = [
        processor.prompt(chat.messages, chat.images, action_ids=chat.action_ids, num_crops=chat.num_crops)
        for chat in chats
    ]
    batch = processor.batch(prompts).to(network.device)
    whole = network.generate(
        **batch,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=processor.ids.eot,
        pad_token_id=processor.ids.pad,
        logits_processor=LogitsProcessorList(logits_processor),
    )
    said = whole[:, batch["input_ids"].shape[1] :].tolist()
    return [list(takewhile(lambda token: token != processor.ids.eot, row)) for row in said]
