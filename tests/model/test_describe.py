"""What is told of a configuration: published counts, formulas written a second time, and the command line."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model.__main__ import main
from model.checkpoint import empty_magma
from model.config import SIZES, Grid, MagmaConfig, image_tokens
from model.describe import Description, activation_bytes, count_flops, count_parts, describe, find_config
from model.describe_text import as_plain, lines
from model.magma import MagmaForCausalLM


def told_of(name: str, **asked: Any) -> Description:
    return describe(SIZES[name](), name=name, **asked)


@pytest.fixture(scope="module")
def released() -> Description:
    return told_of("magma-8b")


def test_the_release_has_its_published_number_of_parameters(released: Description) -> None:
    assert released.vocabulary == 128_262
    assert released.parts.total == 8_906_226_560
    assert released.memory.weights == 17_812_453_120


def test_the_parts_are_those_of_the_release(released: Description) -> None:
    if "SOMTOM_TEST_DATA" not in os.environ:
        pytest.skip("SOMTOM_TEST_DATA names no folder with parity/magma_8b_params.json")
    file = Path(os.environ["SOMTOM_TEST_DATA"]) / "parity" / "magma_8b_params.json"
    known = json.loads(file.read_text(encoding="utf-8"))["per_part_params"]
    assert {name.removeprefix("llm_").replace("embed_tokens", "embedding"): n for name, n in known.items()} == asdict(
        released.parts
    )


def test_the_eight_grids_of_up_to_four_tiles(released: Description) -> None:
    assert {cut.grid: cut.tokens for cut in released.grids} == {
        (1, 1): 272,
        (1, 2): 528,
        (1, 3): 784,
        (1, 4): 1040,
        (2, 1): 544,
        (2, 2): 1056,
        (3, 1): 816,
        (4, 1): 1088,
    }
    assert {cut.tokens for cut in released.sizes} <= {cut.tokens for cut in released.grids}


def test_keys_and_values_are_those_of_grouped_attention(released: Description) -> None:
    assert released.sample.length == 1056 + 256
    assert released.sample.kv_bytes == 1312 * 32 * 2 * 8 * 128 * 2


def linear_flops(config: MagmaConfig, grids: list[Grid], text_tokens: int) -> dict[str, int]:
    """The formula: two operations for a multiply-add, each weight once per position that it meets."""
    text, vision = config.text_config, config.vision_config
    tiles = sum(rows * cols for rows, cols in grids)
    length = text_tokens + sum(image_tokens(grid, vision.img_size) for grid in grids)
    places = [tiles * (vision.img_size // 4 // 2**stage) ** 2 for stage in range(4)]
    of_vision = places[0] * 4 * 4 * 3 * vision.dims[0]
    for stage, (n, dim, depth) in enumerate(zip(places, vision.dims, vision.depths, strict=True)):
        of_vision += n * depth * (7 * 7 * dim + 2 * 4 * dim * dim)
        of_vision += n * 2 * 2 * vision.dims[stage - 1] * dim if stage else 0
    width, keys = text.hidden_size, text.num_key_value_heads * text.head_dim
    per_layer = width * (2 * width + 2 * keys + 3 * text.intermediate_size)
    pairs = length * (length + 1) // 2
    return {
        "vision": 2 * of_vision,
        "projector": 2 * places[-1] * width * (vision.mm_hidden_size + width),
        "layers": 2 * length * text.num_hidden_layers * per_layer,
        "scores": 2 * text.num_hidden_layers * pairs * 2 * width,
        "head": 2 * text_tokens * width * text.vocab_size,
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_counted_work_is_that_of_the_formula(name: str) -> None:
    config, grids = SIZES[name](), [Grid(2, 1), Grid(1, 3)]
    flops, _ = count_flops(empty_magma(config), grids, text_tokens=70)
    assert asdict(flops) == linear_flops(config, grids, 70)


def test_both_strategies_take_the_same_work() -> None:
    config = SIZES["magma-tiny"]()
    apart, _ = count_flops(empty_magma(config), [Grid(2, 2)], text_tokens=8)
    config.vision_config.img_anyres_strategy = "global"
    assert count_flops(empty_magma(config), [Grid(2, 2)], text_tokens=8)[0] == apart


def test_a_sample_without_images_has_no_vision() -> None:
    told = told_of("magma-tiny", images_wh=(), text_tokens=10)
    flops = told.sample.flops
    assert (told.sample.length, flops.vision, flops.projector) == (10, 0, 0)
    assert flops.train == 3 * (flops.layers + flops.scores + flops.head)
    assert "no image and 10 tokens of text" in "\n".join(lines(told))


def test_memory_grows_with_the_batch_and_weights_do_not() -> None:
    one, four = (told_of("magma-tiny", batch=batch).memory for batch in (1, 4))
    assert four.weights == one.weights and four.adamw == one.adamw == 4 * one.gradients
    assert four.kv_cache == 4 * one.kv_cache
    assert four.activations == 4 * one.activations  # 256 positions a sample: the loss does so too
    assert one.activations_checkpointed < one.activations
    assert one.training == one.weights + one.gradients + one.adamw + one.activations


class Saved:
    """Bytes that autograd keeps, each storage once, weights and what is made of them alone left out."""

    def __init__(self, model: nn.Module) -> None:
        self.weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        self.kept: dict[int, Tensor] = {}

    def of(self, work: Callable[[], Any]) -> int:
        with torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor):
            self.result = work()
        return sum(tensor.untyped_storage().nbytes() for tensor in self.kept.values())

    def _keep(self, tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in self.weights:
            self.kept[place] = tensor
        return tensor


def test_estimated_activations_are_near_those_that_autograd_keeps() -> None:
    config = SIZES["magma-tiny"]()
    model = MagmaForCausalLM(config).bfloat16().train()
    tokens, side = image_tokens(Grid(1, 1), config.vision_config.img_size), config.vision_config.img_size
    ids = torch.cat([torch.full((1, tokens), config.image_token_index), torch.randint(0, 2000, (1, 200))], dim=1)
    inputs = {
        "input_ids": ids,
        "labels": torch.where(ids == config.image_token_index, -100, ids),
        "pixel_values": torch.randn(1, 3, side, side),
        "image_sizes": torch.tensor([[1, 1]]),
    }
    kept = Saved(model).of(lambda: model(**inputs).loss)
    whole, checkpointed = activation_bytes(config, tiles=1, length=tokens + 200, text_tokens=200)
    assert whole == pytest.approx(kept, rel=0.15)
    model.checkpoint_activations()
    kept = Saved(model).of(lambda: model(**inputs).loss)
    # what is kept, without the layer that is run again
    assert kept < checkpointed < 0.5 * whole


@pytest.mark.parametrize("name", SIZES)
def test_every_parameter_is_of_one_part(name: str) -> None:
    model = empty_magma(SIZES[name]())
    assert count_parts(model).total == sum(parameter.numel() for parameter in model.parameters())


def test_longer_than_the_context_is_said() -> None:
    assert "longer than the context of 8,192 positions" in lines(told_of("magma-tiny", text_tokens=9000))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"text_tokens": 0}, "text_tokens=0"),
        ({"batch": 0}, "batch=0"),
        ({"max_tiles": 0}, "max_tiles=0"),
        ({"images_wh": [(0, 10)]}, "0x10 pixels"),
    ],
)
def test_what_can_not_be_counted(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        told_of("magma-tiny", **asked)


def test_a_folder_is_described_as_its_size(tmp_path: Path) -> None:
    config = SIZES["magma-tiny"]()
    config.save_pretrained(tmp_path)
    name, found = find_config(str(tmp_path))
    assert name == str(tmp_path)
    assert describe(found, name="x").parts == told_of("magma-tiny").parts


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (None, "has no config.json"),
        ("{", "can't be read"),
        ("[]", "holds a list"),
        ('{"model_type": "llama"}', "'llama'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    config: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config, encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["describe", str(tmp_path)])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("asked", [["--image", "1280"], ["--image", "0x5"], ["--text", "0"], ["--batch", "-1"]])
def test_options_that_mean_nothing(asked: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["describe", "magma-tiny", *asked])
    assert ended.value.code == 2


def test_tables_and_json_tell_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["describe", "magma-tiny", "--image", "512x256", "--image", "256x256", "--text", "100", "--batch", "2"]
    assert main([*asked, "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    told = told_of("magma-tiny", images_wh=[(512, 256), (256, 256)], text_tokens=100, batch=2)
    assert plain == json.loads(json.dumps(as_plain(told)))
    assert plain["sample"]["length"] == 100 + 8 * (16 + 1) + 8 * (8 + 1)
    assert plain["parts"]["total"] == told.parts.total and plain["memory"]["training"] == told.memory.training
    assert main(asked) == 0
    shown = capsys.readouterr().out
    assert f"{told.parts.total:,}" in shown and "512x256, 256x256 and 100 tokens of text" in shown


def test_build_tells_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for out, said in ((tmp_path / "new", "does not exist"), (tmp_path, "is there already")):
        (tmp_path / "file").touch()
        with pytest.raises(SystemExit) as ended:
            main(["build", "--llama", str(tmp_path / "no" / "llama"), "--vision", "x", "--out", str(out)])
        assert ended.value.code == 2
        assert said in capsys.readouterr().err.splitlines()[-1]
