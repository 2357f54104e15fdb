"""Against numbers made by running the public reference with random weights; see ORACLE.md beside them."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from model.config import SIZES, MagmaConfig
from model.magma import MagmaForCausalLM
from model.merge import flatten_tiles

if "SOMTOM_TEST_DATA" not in os.environ:
    pytest.skip("SOMTOM_TEST_DATA names no folder with numbers of the reference", allow_module_level=True)

PARITY = Path(os.environ["SOMTOM_TEST_DATA"]) / "parity"
TINY = PARITY / "tiny"
CASES: dict[str, Any] = json.loads((TINY / "cases.json").read_text())
NAMES = sorted(CASES["cases"])


def reference_model(strategy: str) -> MagmaForCausalLM:
    vision = CASES["vision"]
    config = MagmaConfig(
        text_config=CASES["text"],
        vision_config=CASES["vision_config"]
        | {"depths": vision["depths"], "dims": vision["dims"], "norm_eps": vision["norm_eps"], "head_dim": 24}
        | {"img_anyres_strategy": strategy},
        image_token_index=CASES["ids"]["IMG"],
    )
    model = MagmaForCausalLM(config)
    model.load_state_dict(load_file(TINY / "tiny_state.safetensors"), strict=True)
    return model.eval()


def case(name: str) -> tuple[MagmaForCausalLM, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The model, what it is given, and what the reference made of that."""
    told = load_file(TINY / f"{name}.safetensors")
    inputs = ("input_ids", "attention_mask", "labels", "pixel_values", "image_sizes")
    model = reference_model(CASES["cases"][name]["strategy"])
    model.padding_side = CASES["cases"][name]["padding_side"]
    return model, {name: told.pop(name) for name in inputs if name in told}, told


@pytest.mark.parametrize("name", NAMES)
def test_logits_and_loss(name: str) -> None:
    model, inputs, told = case(name)
    with torch.no_grad():
        out = model(**inputs)
    real = told["merged_attention_mask"].bool()
    torch.testing.assert_close(out.logits[real], told["logits"][real], atol=1e-4, rtol=0)
    torch.testing.assert_close(out.loss, told["loss"][0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_in_training_is_the_same_and_needs_no_logits(name: str) -> None:
    model, inputs, told = case(name)
    out = model.train()(**inputs)
    torch.testing.assert_close(out.loss.detach(), told["loss"][0], atol=1e-4, rtol=0)
    assert out.logits is None


@pytest.mark.parametrize("name", [name for name in NAMES if "pixel_values" in CASES["cases"][name]["shapes"]])
def test_image_features_and_merged_layout(name: str) -> None:
    model, inputs, told = case(name)
    images = flatten_tiles(inputs["pixel_values"], inputs["image_sizes"])
    layout = model.layout(inputs["input_ids"], inputs["attention_mask"], inputs["labels"], images)
    with torch.no_grad():
        vectors = model.image_features(images.tiles, images.grids)
        embeds = model.embed(layout, images)
    torch.testing.assert_close(torch.cat(vectors), told["image_features_with_row_sep"], atol=1e-4, rtol=0)
    assert torch.equal(layout.attention_mask, told["merged_attention_mask"])
    assert torch.equal(layout.labels, told["merged_labels"])
    real = layout.attention_mask.bool()
    torch.testing.assert_close(embeds[real], told["merged_inputs_embeds"][real], atol=1e-4, rtol=0)


def test_the_8b_has_every_name_and_shape_of_the_release_in_its_order() -> None:
    with torch.device("meta"):
        model = MagmaForCausalLM(SIZES["magma-8b"]())
    with (PARITY / "magma_8b_keys.tsv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["kind"] == "param"]
    ours = [(name, "x".join(map(str, tensor.shape))) for name, tensor in model.state_dict().items()]
    assert ours == [(row["name"], row["shape"]) for row in rows]
    assert sum(parameter.numel() for parameter in model.parameters()) == 8_906_226_560
