"""The processes that train together: this one alone, and those that can't meet."""

import pytest
import torch
import torch.distributed as dist

from schemas.errors import UserError
from train.ranks import joined


def test_a_process_alone_is_a_group_of_one() -> None:
    with joined("cpu") as ranks:
        assert (ranks.rank, ranks.count, ranks.is_first, ranks.device) == (0, 1, True, torch.device("cpu"))
        assert ranks.sums([1.5, 2.0]) == [1.5, 2.0]
        assert ranks.most([1.5, -2.0]) == [1.5, -2.0]
        assert ranks.gathered({"a": 1}) == [{"a": 1}]
        ranks.wait()
    assert not dist.is_initialized()


@pytest.mark.parametrize("error", [UserError("mistake"), RuntimeError("a bug"), KeyboardInterrupt("now")])
def test_the_group_ends_with_an_error_and_the_error_stays(error: BaseException) -> None:
    with pytest.raises(type(error), match=str(error)), joined("cpu"):
        raise error
    assert not dist.is_initialized()


def test_a_lost_rank_is_told_in_a_sentence() -> None:
    with pytest.raises(UserError, match=r"another rank has ended: .* goes on from the last checkpoint"), joined("cpu"):
        raise RuntimeError("[pair.cc:534] Connection closed by peer [127.0.0.1]:1234")


@pytest.mark.parametrize(
    "given",
    [{"RANK": "0"}, {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}, {"RANK": "x", "WORLD_SIZE": "2"}],
)
def test_ranks_that_cannot_meet_are_told_what_they_need(given: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"RANK, WORLD_SIZE, .* can't meet: .*torchrun"), joined("cpu"):
        pass
    assert not dist.is_initialized()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"run\.device: rank 0 .* no GPU of its own"), joined("cuda"):
        pass


def test_ranks_that_would_share_a_gpu_are_told_what_they_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(UserError, match=r"LOCAL_RANK: is not set, .* torchrun"), joined("cuda"):
        pass


def test_too_little_memory_of_a_device_is_told_with_what_takes_less() -> None:
    full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has …")
    with pytest.raises(UserError, match=r"cpu is full: CUDA out of memory; .*data\.row_length"), joined("cpu"):
        raise full
