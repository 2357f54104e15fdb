"""What all networks share: what their device raises is told apart."""

import pytest

pytest.importorskip("torch", reason="networks need torch")

import torch

from transforms.networks import computing


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
