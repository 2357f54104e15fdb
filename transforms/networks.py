"""What all networks of parts share: their device and precision, opening their weights, running out of memory.

Imported by the files of such parts alone, for it imports torch.
"""

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import Any

import torch

from schemas.errors import UserError
from schemas.networks import Precision

_SHOWN = 3
"""names of parameters that an error lists"""


def find_device(name: str) -> torch.device:
    """The device of a name (`run.device`); auto: the first GPU, else the CPU. UserError where there is no such one."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    there = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available()), "cpu": 1}[device.type]
    if (device.index or 0) >= there:
        raise UserError(f"run.device: {name!r} is not there ({there} of this kind); choose another, or 'auto'")
    return device


def compute_type(precision: Precision, device: torch.device) -> torch.dtype:
    """What a network computes in; its weights stay float32 (`autocast`)."""
    if precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


@contextmanager
def computing(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Runs a network in the block: no gradients, in `dtype`.

    Raises:
        MemoryError: the device's memory is used up.
        SystemExit: the device has failed otherwise; after that it refuses all work of this process, so another has to
            take over.
    """
    try:
        with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            yield
    except (torch.OutOfMemoryError, torch.AcceleratorError) as error:
        first, _, _ = str(error).partition("\n")[0].partition(". ")
        full = isinstance(error, torch.OutOfMemoryError) or "out of memory" in first
        raise (MemoryError if full else SystemExit)(first) from error


def read_state(weights: str, *, part: str) -> dict[str, Any]:
    """The parameters in a file of torch's own format, or safetensors, opened without running any code that it holds.

    Raises:
        UserError: it is no such file, is cut off, or holds more than numbers; `part` is the config field it is for.
    """
    if weights.endswith(".safetensors"):
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return dict(load_file(weights))
        except (OSError, SafetensorError) as error:
            raise unreadable(weights, part, error) from error
    if _is_program(weights):
        raise UserError(
            f"{part}.weights: {weights} is a TorchScript program, which would be run to be opened; give the same "
            "parameters as safetensors"
        )
    try:
        found = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:
        raise unreadable(weights, part, error) from error
    for wrapper in ("model", "state_dict"):
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping):
        raise UserError(f"{part}.weights: {weights} holds {type(found).__name__}, no parameters; give another file")
    return dict(found)


def load_state(network: torch.nn.Module, state: Mapping[str, Any], *, part: str, what: str) -> None:
    """Gives a network its parameters; all of them and no others, in their shapes.

    Raises:
        UserError: they are those of another architecture; `what` names the one that was built.
    """
    own = network.state_dict()
    wrong = [f"lacks {name}" for name in own if name not in state]
    wrong += [f"has {name}, which is unknown" for name in state if name not in own]
    wrong += [
        f"has {name} as {tuple(state[name].shape)}, want {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise UserError(
            f"{part}.weights: the file is not of {what}: it {'; '.join(wrong[:_SHOWN])}{more}; give the file of that "
            f"model, or choose the model of the file"
        )
    network.load_state_dict(state)


def _is_program(weights: str) -> bool:
    """Whether a file is what `torch.jit.save` writes, as OpenAI did with CLIP."""
    if not zipfile.is_zipfile(weights):
        return False
    with zipfile.ZipFile(weights) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def unreadable(weights: str, part: str, error: Exception) -> UserError:
    """What to raise where a file of weights can't be opened."""
    # torch.load itself puts the advice to run the file's code in front of what is wrong
    cause = error.__context__ if isinstance(error, UnpicklingError) else None
    first, _, _ = (str(cause or error).splitlines() or [type(error).__name__])[0].partition(". ")
    return UserError(
        f"{part}.weights: {weights} can't be opened: {first.removesuffix('.')}; "
        "it may be cut off (fetch it again) or another kind of file"
    )
