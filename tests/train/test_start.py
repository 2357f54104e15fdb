"""The network that a training begins with: drawn by rules, adapted, and put together again."""

from pathlib import Path

import pytest
import torch

from schemas.errors import UserError
from schemas.training import LoraConfig
from tests.model.small import small_magma
from tests.train.small import make_config
from train.ranks import joined
from train.start import add_adapters, blueprint, merged, start


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("small")


def begun(folder: Path, **fields) -> dict[str, torch.Tensor]:
    config = make_config(folder, **fields)
    with joined("cpu") as ranks:
        plan = blueprint(config.model, config.data.max_length, lambda: ["a text of marks"] * 9)
        network = start(plan, config, ranks)
        return {name: one.full_tensor().detach() for name, one in network.named_parameters()}


def test_random_weights_are_a_function_of_the_seed(folder: Path) -> None:
    model = {"start": "magma-tiny", "tile_px": 64}
    first, again, other = (begun(folder, seed=seed, model=model) for seed in (1, 1, 2))
    for name, tensor in first.items():
        assert torch.equal(tensor, again[name])
        assert torch.equal(tensor, other[name]) == (tensor.min() == tensor.max()).item(), name
    assert first["language_model.model.norm.weight"].eq(1).all()
    assert first["multi_modal_projector.row_seperator"].eq(0).all()
    head = first["language_model.lm_head.weight"]
    assert head.std().item() == pytest.approx(head.shape[1] ** -0.5, rel=0.05)
    gammas = [tensor for name, tensor in first.items() if name.endswith("gamma")]
    assert gammas and all(gamma.eq(0.5).all() for gamma in gammas)


def test_adapters_begin_as_nothing_on_the_stored_weights(folder: Path) -> None:
    plain, adapted = begun(folder), begun(folder, model={"lora": {"rank": 2, "targets": ["q_proj", "up_proj"]}})
    lora = {name for name in adapted if ".lora_" in name}
    assert len(lora) == 2 * 2 * 2  # layers, targets, sides
    for name, tensor in adapted.items():
        if name in lora:
            assert tensor.any().item() == (".lora_A." in name), name
        else:
            assert torch.equal(tensor, plain[name.replace(".base_layer.", ".")]), name


def test_merged_weights_do_what_weight_and_adapter_did() -> None:
    lora = LoraConfig(rank=2, alpha=3, dropout=0, targets=["q_proj", "down_proj"])
    network = small_magma()
    add_adapters(network, lora)
    torch.manual_seed(1)
    for name, one in list(network.named_parameters()):
        if ".lora_" in name:
            parent, _, leaf = name.rpartition(".")
            setattr(network.get_submodule(parent), leaf, torch.nn.Parameter(torch.randn(one.shape)))
    plain = small_magma(seed=5)
    plain.load_state_dict(merged(network.state_dict(), lora))
    ids = torch.arange(40)[None]
    torch.testing.assert_close(plain(input_ids=ids).logits, network(input_ids=ids).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": {"lora": {"targets": ["nothing_proj"]}}}, r"model\.lora\.targets: \['nothing_proj'\]"),
        ({"data": {"max_length": 600, "row_length": 600}}, r"data\.max_length: 600 is beyond .* 512"),
        ({"model": {"attention": "flash_attention_3"}}, r"model\.attention: .*FlashAttention3"),
        ({"model": {"start": "nowhere/at-all"}}, r"model\.start: "),
        ({"model": {"start": "magma-tiny", "tokenizer": "/nowhere"}}, r"model\.\w+: .*nowhere"),
    ],
)
def test_what_cannot_be_had_is_named(folder: Path, fields: dict, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=message):
        begun(folder, **fields)
