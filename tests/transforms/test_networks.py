"""What all networks share: what their device raises is told apart."""

from pickle import UnpicklingError

import pytest

pytest.importorskip("torch", reason="networks need torch")

import torch

from transforms.networks import computing, unreadable


@pytest.mark.parametrize(
    ("raised", "becomes", "message"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), MemoryError, "CUDA out of memory"),
        (torch.AcceleratorError("CUDA error: out of memory\nCompile with"), MemoryError, "CUDA error: out of memory"),
        (torch.AcceleratorError("CUDA error: an illegal\nCompile with"), SystemExit, "CUDA error: an illegal"),
        (ValueError("the network gives NaN"), ValueError, "the network gives NaN"),
    ],
)
def test_what_a_device_raises_is_told_apart(raised: Exception, becomes: type[BaseException], message: str) -> None:
    with pytest.raises(becomes) as told, computing(torch.device("cpu"), torch.float32):
        raise raised
    assert str(told.value) == message


def test_what_is_wrong_with_a_file_is_told_without_the_advice_to_run_its_code() -> None:
    told = UnpicklingError(
        "Unsupported global: GLOBAL a.B was not an allowed global by default. Please use "
        "`torch.serialization.add_safe_globals([a.B])` if you trust this class"
    )
    message = str(unreadable("x.pt", "gate", told))
    assert message.startswith("gate.weights: x.pt can't be opened: Unsupported global: GLOBAL a.B was not an allowed")
    assert "add_safe_globals" not in message
