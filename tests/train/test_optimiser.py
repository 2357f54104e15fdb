"""Learning rates of steps and parts, what is decayed, and AdamW whose bfloat16 is rounded by chance."""

import pytest
import torch

from schemas.training import OptimiserConfig
from tests.model.small import small_magma
from tests.train.data import config
from train.optimiser import RoundedAdamW, build_optimiser, rate_factor, set_learning_rate


@pytest.mark.parametrize(
    ("fields", "steps", "want"),
    [
        ({"warmup": 0.5}, 4, [0.5, 1, 1, 1]),
        ({"warmup": 0}, 3, [1, 1, 1]),
        ({"warmup": 1}, 4, [0.25, 0.5, 0.75, 1]),
        ({"warmup": 0.01}, 3, [1, 1, 1]),
        ({"warmup": 0}, 1, [1]),
        ({"warmup": 1}, 1, [1]),
        ({"warmup": 0, "schedule": "cosine"}, 1, [1]),
        ({"warmup": 1, "schedule": "cosine"}, 2, [0.5, 1]),
        ({"warmup": 0, "schedule": "cosine"}, 4, [1, 0.853553, 0.5, 0.146447]),
        ({"warmup": 0.5, "schedule": "cosine"}, 4, [0.5, 1, 1, 0.5]),
    ],
)
def test_the_learning_rate_rises_and_then_stays_or_falls(fields: dict, steps: int, want: list[float]) -> None:
    optimiser = OptimiserConfig(**fields)
    assert [rate_factor(step, steps, optimiser) for step in range(steps)] == pytest.approx(want, abs=1e-6)


def test_each_part_has_its_own_rate_and_only_matrices_are_decayed() -> None:
    network = small_magma()
    network.vision_tower.requires_grad_(False)
    made = config("data", model={"projector": {"lr": 0.5}}, optimiser={"lr": 0.1, "weight_decay": 0.3})
    optimiser = build_optimiser(network, made)
    set_learning_rate(optimiser, 0.5)
    names = {one: name for name, one in network.named_parameters()}
    seen = set()
    for group in optimiser.param_groups:
        for one in group["params"]:
            name = names[one]
            seen.add(name)
            assert group["lr"] == pytest.approx(0.25 if name.startswith("multi_modal") else 0.05), name
            assert (group["weight_decay"] > 0) == (one.squeeze().ndim > 1), name
    assert seen == {name for name, one in network.named_parameters() if one.requires_grad}
    assert {name.partition(".")[0] for name in seen} == {"multi_modal_projector", "language_model"}


@pytest.mark.parametrize("numbers", [("bfloat16", "float32"), ("float32", "bfloat16"), ("float32", "float32")])
def test_moments_are_kept_in_the_numbers_asked_for(numbers: tuple[str, str]) -> None:
    weights, state = numbers
    network = small_magma().to(getattr(torch, weights))
    optimiser = build_optimiser(network, config("data", model={"weights": weights}, optimiser={"state": state}))
    for one in network.parameters():
        one.grad = torch.ones_like(one) if one.requires_grad else None
    optimiser.step()
    kinds = {state["exp_avg_sq"].dtype for state in optimiser.state.values()}
    assert kinds == {getattr(torch, state)}


def test_in_float32_it_is_adamw() -> None:
    torch.manual_seed(0)
    start = [torch.randn(7, 5), torch.randn(3)]
    groups = [[one.clone().requires_grad_() for one in start] for _ in range(2)]
    options = {"lr": 0.01, "betas": (0.9, 0.99), "eps": 1e-6}
    ours = RoundedAdamW(
        [{"params": groups[0][:1], "weight_decay": 0.1}, {"params": groups[0][1:]}], state=torch.float32, **options
    )
    theirs = torch.optim.AdamW(
        [{"params": groups[1][:1], "weight_decay": 0.1}, {"params": groups[1][1:], "weight_decay": 0.0}], **options
    )
    for _ in range(20):
        for pair in zip(*groups, strict=True):
            gradient = torch.randn_like(pair[0])
            for one in pair:
                one.grad = gradient.clone()
        ours.step()
        theirs.step()
    for one, other in zip(*groups, strict=True):
        assert not torch.equal(one, start[0][: len(one)])
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


def test_weights_in_bfloat16_move_on_average_by_steps_that_rounding_would_lose() -> None:
    torch.manual_seed(0)
    n, rate, steps = 20_000, 1e-4, 10
    weight = torch.ones(n, dtype=torch.bfloat16, requires_grad=True)  # the next number below is 0.00390625 away
    optimiser = RoundedAdamW([{"params": [weight]}], state=torch.float32, lr=rate, betas=(0.9, 0.999), eps=1e-8)
    for _ in range(steps):
        weight.grad = torch.ones_like(weight)
        optimiser.step()
    # the same gradient every time: AdamW moves by its rate; five standard errors of n Bernoulli variables
    spread = 0.00390625 * (steps * rate / 0.00390625 / n) ** 0.5
    moved = 1 - weight.detach().double().mean().item()
    assert moved == pytest.approx(steps * rate, abs=5 * spread)


def test_a_second_moment_in_bfloat16_decays() -> None:
    torch.manual_seed(0)
    weight = torch.zeros(5000, requires_grad=True)
    optimiser = RoundedAdamW([{"params": [weight]}], state=torch.bfloat16, lr=1e-3, betas=(0.9, 0.999), eps=1e-8)
    weight.grad = torch.full_like(weight, 30.0)
    optimiser.step()
    first = optimiser.state[weight]["exp_avg_sq"].double().mean()
    weight.grad = torch.zeros_like(weight)
    for _ in range(200):
        optimiser.step()
    second = optimiser.state[weight]["exp_avg_sq"].double().mean()
    assert (second / first).item() == pytest.approx(0.999**200, rel=0.005)  # 1: to nearest it would never move


def test_numbers_that_bfloat16_holds_stay_as_they_are() -> None:
    weight = torch.randn(1000).bfloat16().requires_grad_()
    before = weight.detach().clone()
    weight.grad = torch.randn_like(weight)
    RoundedAdamW([{"params": [weight]}], state=torch.bfloat16, lr=0.0, betas=(0.9, 0.999), eps=1e-8).step()
    assert torch.equal(weight, before)
