"""AdamW over the parts of the network, its moments and the weights in float32 or in bfloat16, and the learning rate.

In bfloat16 a step of 1e-5 of a weight is lost if it is rounded to the nearest number, and so is the slow decay of the
second moment. Stochastic rounding keeps both right on average: a value becomes one of its two neighbours, the nearer
the likelier.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from schemas.training import ModelConfig, OptimiserConfig, TrainConfig
from train.start import PARTS

_CHUNK = 1 << 24
"""numbers that are updated at a time in float32: of a whole embedding they would take gigabytes"""


def build_optimiser(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW with a group for each part that learns, its matrices apart from all else (weight decay)."""
    optimiser = config.optimiser
    groups = list(_groups(network, config.model, optimiser))
    options: dict[str, Any] = {"lr": optimiser.lr, "betas": optimiser.betas, "eps": optimiser.eps}
    if optimiser.state == config.model.weights == "float32":
        return torch.optim.AdamW(groups, fused=True, **options)
    return RoundedAdamW(groups, state=getattr(torch, optimiser.state), **options)


def _groups(network: nn.Module, model: ModelConfig, optimiser: OptimiserConfig) -> Iterator[dict[str, Any]]:
    for part, prefix in PARTS.items():
        named = [(name, one) for name, one in network.named_parameters() if name.startswith(prefix)]
        learning = [one for _, one in named if one.requires_grad]
        most = getattr(model, part).lr or optimiser.lr
        for decay, chosen in (
            (optimiser.weight_decay, [one for one in learning if _is_matrix(one)]),
            (0.0, [one for one in learning if not _is_matrix(one)]),
        ):
            if chosen:
                yield {"params": chosen, "weight_decay": decay, "lr": most, "most": most}


def _is_matrix(parameter: Tensor) -> bool:
    return sum(side > 1 for side in parameter.shape) > 1


def set_learning_rate(optimiser: torch.optim.Optimizer, factor: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = group["most"] * factor


def rate_factor(step: int, steps: int, config: OptimiserConfig) -> float:
    """Share of the highest learning rate in step 0, 1, …: it rises evenly, then stays or falls as a cosine to 0."""
    warmup = math.ceil(config.warmup * steps)
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "constant" or steps <= warmup:
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / (steps - warmup))))


class RoundedAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter 2019) of weights in any type with moments in `state`; bfloat16 rounds by chance."""

    def __init__(self, params: Iterable[dict[str, Any]], *, state: torch.dtype, **options: Any) -> None:
        super().__init__(params, {"weight_decay": 0.0, **options})
        self._state_dtype = state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over moments in the type they come in; torch's own turns them into that of the weights."""
        super().load_state_dict({**state_dict, "state": {}})
        for mine, theirs in zip(self.param_groups, state_dict["param_groups"], strict=True):
            for parameter, name in zip(mine["params"], theirs["params"], strict=True):
                if name in state_dict["state"]:
                    self.state[parameter] = dict(state_dict["state"][name])

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Updates every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(parameter, dtype=self._state_dtype)
            state["exp_avg_sq"] = torch.zeros_like(parameter, dtype=self._state_dtype)
        state["step"] += 1
        steps, (beta1, beta2) = float(state["step"]), group["betas"]
        rate, decay = float(group["lr"]), 1 - float(group["lr"]) * group["weight_decay"]
        tensors = (parameter, parameter.grad, state["exp_avg"], state["exp_avg_sq"])
        for weight, grad, first, second in zip(*map(_chunks, tensors), strict=True):
            gradient = grad.float()
            mean = first.float().lerp_(gradient, 1 - beta1)
            square = second.float().mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            _store(first, mean)
            _store(second, square)
            below = (square / (1 - beta2**steps)).sqrt_().add_(group["eps"])  # `square` is the state itself in float32
            _store(weight, weight.float().mul_(decay).addcdiv_(mean, below, value=-rate / (1 - beta1**steps)))


def _chunks(tensor: Tensor) -> tuple[Tensor, ...]:
    """This rank's numbers, some at a time; they share the tensor's memory."""
    local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return torch.split(local.view(-1), _CHUNK)


def _store(target: Tensor, value: Tensor) -> None:
    """Puts float32 numbers into a tensor; into bfloat16 up or down by chance."""
    if target.dtype == torch.bfloat16:
        # bfloat16 is the upper half of a float32: a random lower half carries over as often as it should
        bits = value.view(torch.int32)
        value = (bits + torch.randint_like(bits, 1 << 16)).bitwise_and_(-(1 << 16)).view(torch.float32)
    target.copy_(value)
