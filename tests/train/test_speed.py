"""How much work a step is."""

import pytest
import torch

from model.checkpoint import empty_magma
from model.config import SIZES, Grid, MagmaConfig, image_tokens
from model.describe import count_flops
from schemas.training import ModelConfig
from tests.model.small import small_config
from train import speed
from train.speed import matmul_rate, peak_flops, step_cost

TEXT = 300


@pytest.mark.parametrize("config", [small_config(), SIZES["magma-tiny"]()], ids=["small", "magma-tiny"])
def test_a_step_costs_what_is_counted_of_the_network(config: MagmaConfig) -> None:
    grids = [Grid(2, 3), Grid(1, 1)]
    flops, _ = count_flops(empty_magma(config), grids, text_tokens=TEXT)
    length = TEXT + sum(image_tokens(grid, config.vision_config.img_size) for grid in grids)
    tiles = sum(grid.rows * grid.cols for grid in grids)
    cost = step_cost(config, ModelConfig())
    told = cost.of(tiles=tiles, positions=length, pairs=length * (length + 1) // 2, supervised=TEXT)
    assert told == pytest.approx(flops.train, rel=0.01)


def test_what_is_frozen_costs_less() -> None:
    whole = step_cost(small_config(), ModelConfig())
    model = ModelConfig.model_validate({"vision": {"frozen": True}, "language": {"frozen": True}})
    some = step_cost(small_config(), model)
    assert some.position == pytest.approx(whole.position * 2 / 3)
    assert some.supervised == pytest.approx(whole.supervised * 2 / 3)
    assert some.pair == whole.pair  # scores have no weights: two products lead back through them
    assert 1 / 3 < some.tile / whole.tile < 1 / 3 + 0.1  # the projector learns


def test_a_cpu_is_measured() -> None:
    peak, said = peak_flops(torch.device("cpu"), torch.float32)
    assert "measured" in said
    assert 0.2 < matmul_rate(torch.device("cpu"), torch.float32, 512) / peak < 5


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA of tomorrow", 5),
    ],
)
def test_the_peak_of_a_gpu_by_its_name(name: str, teraflops: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    monkeypatch.setattr(speed, "matmul_rate", lambda device, dtype, side: 5e12)
    peak, peak_of = peak_flops(torch.device("cuda"), torch.bfloat16)
    assert peak == teraflops * 1e12
    assert name in peak_of
