"""Checkpoints: whole or not there, a snapshot of their step, the last few kept, and what is said of damaged ones."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from schemas.errors import UserError
from train.checkpoints import Checkpoints, latest, read_state, restore, steps
from train.optimiser import RoundedAdamW
from train.ranks import joined


def network(value: float = 0.0) -> nn.Module:
    made = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.fill_(value)
    return made


def learn(made: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    made(torch.ones(2, 4)).sum().backward()
    optimiser.step()
    optimiser.zero_grad()


def save_some(run: Path, *saved: int, keep: int = 3) -> None:
    """Checkpoints of these steps, in each of which the weights are its number."""
    with joined("cpu") as ranks, Checkpoints(run, keep, ranks) as checkpoints:
        for step in saved:
            made = network(step)
            checkpoints.save(step, made, torch.optim.AdamW(made.parameters()), {"read": step})
        checkpoints.settle()


def restored(run: Path, step: int) -> float:
    made = network()
    with joined("cpu"):
        restore(run, step, made)
    (value,) = {value for parameter in made.parameters() for value in parameter.flatten().tolist()}
    return value


def test_the_last_few_are_kept_under_their_names(tmp_path: Path) -> None:
    assert latest(tmp_path) is None
    save_some(tmp_path, 1, 2, 10, 100, keep=2)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-00000010", "step-00000100"]
    assert (latest(tmp_path), steps(tmp_path)) == (100, [10, 100])
    assert read_state(tmp_path, 10) == {"step": 10, "read": 10}
    assert (restored(tmp_path, 10), restored(tmp_path, 100)) == (10.0, 100.0)


def test_what_is_learnt_while_it_is_written_is_not_in_it(tmp_path: Path) -> None:
    made = network(1.0)
    optimiser = torch.optim.AdamW(made.parameters(), lr=0.1)
    learn(made, optimiser)
    kept = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    moment = optimiser.state[made[0].weight]["exp_avg"].clone()
    with joined("cpu") as ranks, Checkpoints(tmp_path, 3, ranks) as checkpoints:
        checkpoints.save(1, made, optimiser, {})
        assert steps(tmp_path) == []
        for _ in range(3):
            learn(made, optimiser)
        checkpoints.settle()
        again = network()
        theirs = torch.optim.AdamW(again.parameters())
        restore(tmp_path, 1, again, theirs)
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, kept[name])
    state = theirs.state[again[0].weight]
    assert torch.equal(state["exp_avg"], moment)
    assert float(state["step"]) == 1


@pytest.mark.parametrize(("weights", "moments"), [(torch.float32, torch.bfloat16), (torch.bfloat16, torch.float32)])
def test_moments_come_back_in_their_own_type(tmp_path: Path, weights: torch.dtype, moments: torch.dtype) -> None:
    def made() -> tuple[nn.Module, RoundedAdamW]:
        one = network(1.0).to(weights)
        return one, RoundedAdamW([{"params": [*one.parameters()]}], state=moments, lr=0.1, betas=(0.9, 0.99), eps=1e-8)

    learning, optimiser = made()
    learning(torch.rand(2, 4, dtype=weights)).sum().backward()
    optimiser.step()
    with joined("cpu") as ranks, Checkpoints(tmp_path, 3, ranks) as checkpoints:
        checkpoints.save(1, learning, optimiser, {})
        checkpoints.settle()
        again, theirs = made()
        restore(tmp_path, 1, again, theirs)
    for mine, other in zip(learning.parameters(), again.parameters(), strict=True):
        for name in ("exp_avg", "exp_avg_sq"):
            restored = theirs.state[other][name]
            assert restored.dtype == moments
            assert torch.equal(restored, optimiser.state[mine][name])
        assert float(theirs.state[other]["step"]) == 1


def test_a_checkpoint_has_its_name_once_it_is_written(tmp_path: Path) -> None:
    with joined("cpu") as ranks, Checkpoints(tmp_path, 3, ranks) as checkpoints:
        checkpoints.poll()
        made = network(1.0)
        checkpoints.save(1, made, torch.optim.AdamW(made.parameters()), {})
        assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [".step-00000001"]
        checkpoints._pending[1].result()
        checkpoints.poll()
        assert steps(tmp_path) == [1]
        checkpoints.poll()


def test_what_was_left_half_written_is_removed(tmp_path: Path) -> None:
    save_some(tmp_path, 1)
    half = tmp_path / "checkpoints" / ".step-00000002"
    half.mkdir()
    (half / "__0_0.distcp").write_bytes(b"half")
    (tmp_path / "checkpoints" / ".DS_Store").write_bytes(b"")
    assert steps(tmp_path) == [1]
    save_some(tmp_path, 3)
    assert not half.exists()
    assert steps(tmp_path) == [1, 3]


def test_a_training_that_fails_still_finishes_what_it_had_begun_to_write(tmp_path: Path) -> None:
    made = network(1.0)
    failing = pytest.raises(UserError, match="something else")
    with failing, joined("cpu") as ranks, Checkpoints(tmp_path, 3, ranks) as checkpoints:
        checkpoints.save(1, made, torch.optim.AdamW(made.parameters()), {})
        raise UserError("something else")
    assert restored(tmp_path, 1) == 1.0


def test_a_checkpoint_that_cannot_be_written_leaves_the_others(tmp_path: Path) -> None:
    save_some(tmp_path, 1)
    made = network(2.0)
    with joined("cpu") as ranks, Checkpoints(tmp_path, 3, ranks) as checkpoints:
        blocking = tmp_path / "checkpoints" / ".step-00000002"
        blocking.write_bytes(b"")  # a file where its folder should be
        with pytest.raises(UserError, match=r"--out: .*step-00000002 can't be written: .*what was saved before"):
            checkpoints.save(2, made, torch.optim.AdamW(made.parameters()), {})
            checkpoints.settle()
    assert restored(tmp_path, 1) == 1.0


def truncated(folder: Path) -> None:
    shard = next(folder.glob("*.distcp"))
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])


def without(name: str):
    return lambda folder: next(folder.glob(name)).unlink()


def written(name: str, text: str):
    return lambda folder: (folder / name).write_text(text)


DAMAGES = {
    "truncated shard": truncated,
    "shard of zeros": lambda folder: [one.write_bytes(bytes(one.stat().st_size)) for one in folder.glob("*.distcp")],
    "no shard": without("*.distcp"),
    "no metadata": without(".metadata"),
    "damaged metadata": written(".metadata", "nothing"),
    "empty metadata": written(".metadata", ""),
    "no state": without("state.json"),
    "empty state": written("state.json", ""),
    "state of another kind": written("state.json", "[1]"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_with_its_cure(tmp_path: Path, damage: str) -> None:
    save_some(tmp_path, 1, 2)
    folder = tmp_path / "checkpoints" / "step-00000002"
    DAMAGES[damage](folder)
    with joined("cpu"), pytest.raises(UserError, match=r"step-00000002.*; remove step-00000002 and") as told:
        read_state(tmp_path, 2)
        made = network()
        restore(tmp_path, 2, made, torch.optim.AdamW(made.parameters()))
    assert "\n" not in str(told.value) and len(str(told.value)) < 700
    assert restored(tmp_path, 1) == 1.0


def test_the_state_lies_beside_the_weights_as_plain_text(tmp_path: Path) -> None:
    save_some(tmp_path, 7)
    file = tmp_path / "checkpoints" / "step-00000007" / "state.json"
    assert json.loads(file.read_text()) == {"step": 7, "read": 7}
