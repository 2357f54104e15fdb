"""A Magma of a few thousand parameters, its tokenizer, and pictures for it."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, PreTrainedTokenizerFast

from model.chat import Message
from model.config import MagmaConfig, MagmaVisionConfig, with_tokenizer
from model.magma import MagmaForCausalLM
from model.processor import MagmaProcessor, Sample
from model.tokenizer import train_tokenizer

TILE = 64
SIZES_WH = ((60, 60), (120, 50), (50, 120), (150, 140), (400, 60))


@lru_cache
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(["Mark 1 at [12,34]. Where does the red cup go? To the left."] * 3, vocab_size=560)


def small_config(*, strategy: str = "crop", projector: str = "mlp2x_gelu", drop_path: float = 0.0) -> MagmaConfig:
    vision = MagmaVisionConfig(
        vision_backbone="small",
        depths=[1, 1, 2, 1],
        dims=[8, 16, 24, 32],
        head_dim=12,
        drop_path_rate=drop_path,
        img_size=TILE,
        img_anyres_strategy=strategy,
        mm_projector_type=projector,
        hidden_size=32,
    )
    text = LlamaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
    )
    return with_tokenizer(MagmaConfig(vision_config=vision, text_config=text), tokenizer())


def small_magma(seed: int = 0, **options: Any) -> MagmaForCausalLM:
    """Random weights, none of them trivial: separators and layer scales would hide mistakes at their first values."""
    torch.manual_seed(seed)
    model = MagmaForCausalLM(small_config(**options))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def small_processor(config: MagmaConfig | None = None) -> MagmaProcessor:
    return MagmaProcessor.for_config(config or small_config(), tokenizer())


def picture(size_wh: tuple[int, int], seed: int = 0) -> np.ndarray:
    width, height = size_wh
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def chat(question: str, answer: str | None = None) -> list[Message]:
    asked: list[Message] = [{"role": "user", "content": question}]
    return asked if answer is None else [*asked, {"role": "assistant", "content": answer}]


def supervised(processor: MagmaProcessor, sizes_wh: Sequence[tuple[int, int]], answer: str = "To the left.") -> Sample:
    """A chat with an answer about pictures of these sizes."""
    question = "<image>\n" * len(sizes_wh) + "Where does it go?"
    return processor.supervised(chat(question, answer), [picture(size, seed) for seed, size in enumerate(sizes_wh)])
