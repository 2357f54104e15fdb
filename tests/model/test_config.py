from pathlib import Path

import pytest
import torch
from transformers import AutoConfig

from model.config import SIZES, MagmaConfig, MagmaVisionConfig, with_tokenizer
from model.magma import MagmaForCausalLM
from tests.model.small import small_config, tokenizer


@pytest.mark.parametrize("size", sorted(SIZES))
def test_a_config_survives_its_file(size: str, tmp_path: Path) -> None:
    config = SIZES[size]()
    config.save_pretrained(tmp_path)
    read = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(read, MagmaConfig)
    assert read.to_dict() | {"_name_or_path": ""} == config.to_dict()


def test_the_released_files_form_is_read() -> None:
    """Older names of the rotary settings, the language model's fields once more at the top, fields unknown to us."""
    text = {"model_type": "llama", "hidden_size": 64, "rope_theta": 500000.0, "rope_scaling": None, "vocab_size": 512}
    config = MagmaConfig(
        vision_config={"vision_backbone": "convnextxxlarge", "mm_hidden_size": 3072, "hidden_size": 64, "img_size": 512}
        | {"vision_feature_layer": "clip_vis_dense", "mm_vision_select_layer": -2},
        text_config=text,
        image_token_index=501,
        torch_dtype="bfloat16",
        mm_use_trace_speed=True,
        **text,
    )
    assert config.text_config.rope_parameters["rope_theta"] == 500000.0
    assert config.vision_config.dims == [384, 768, 1536, 3072]
    assert config.vision_config.norm_eps == 1e-5
    assert config.image_token_id == 501


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"vision_backbone": "resnet50"}, "'resnet50' is not known"),
        ({"img_size": 500}, "500; it must be a multiple of 32"),
        ({"img_anyres_strategy": "tile"}, "'tile'"),
        ({"mm_hidden_size": 1024}, "mm_hidden_size is 1024, but the tower's last stage has 3072"),
        ({"depths": [1, 1], "dims": [8, 8]}, "four stages"),
    ],
)
def test_what_does_not_fit_is_named(fields: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        MagmaVisionConfig(**fields)


def test_both_halves_must_have_one_width() -> None:
    with pytest.raises(ValueError, match=r"vision_config.hidden_size is 4096, but the language model has 64"):
        MagmaConfig(vision_config={}, text_config={"hidden_size": 64, "num_attention_heads": 4})


def test_a_size_without_a_head_has_none() -> None:
    assert MagmaVisionConfig(vision_backbone="convnextbase", head_dim=0).head_dim == 0
    assert SIZES["magma-300m"]().vision_config.head_dim == 0


@pytest.mark.parametrize("text", [{"tie_word_embeddings": True}, {"model_type": "gpt2"}])
def test_another_language_model_is_named(text: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="Magma's is a LLaMA with a head of its own"):
        MagmaConfig(vision_config={}, text_config=text)


def test_ids_are_those_of_the_tokenizer() -> None:
    config = with_tokenizer(small_config(), tokenizer(), height=700)
    assert config.image_token_index == tokenizer().convert_tokens_to_ids("<image>")
    assert config.text_config.vocab_size == 700
    assert config.tokenizer_vocab_size == 560
    text = config.text_config
    named = ["<|begin_of_text|>", "<|eot_id|>", "<pad>"]
    assert [text.bos_token_id, text.eos_token_id, text.pad_token_id] == tokenizer().convert_tokens_to_ids(named)
    with pytest.raises(ValueError, match=f"has {len(tokenizer())} entries, but the model has room for 500"):
        with_tokenizer(small_config(), tokenizer(), height=500)


@pytest.mark.parametrize(("size", "least", "most"), [("magma-tiny", 2e6, 6e6), ("magma-300m", 2.5e8, 3.5e8)])
def test_smaller_sizes_are_of_the_size_they_say(size: str, least: float, most: float) -> None:
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in MagmaForCausalLM(SIZES[size]()).parameters())
    assert least < count < most
