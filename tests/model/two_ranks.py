"""Run by a test as one of two processes: the small model sharded by FSDP2, its loss and gradients, saved and read."""

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import fully_shard

from model.checkpoint import empty_magma, fill, load_magma, renamed, save_magma, stored_tensors
from model.magma import MagmaForCausalLM
from tests.model.small import small_config, small_magma, small_processor, supervised


def shard(model: MagmaForCausalLM) -> MagmaForCausalLM:
    for layer in model.language_model.model.layers:
        fully_shard(layer)
    for stage in model.vision_tower.trunk.stages:
        for block in stage.blocks:
            fully_shard(block)
    fully_shard(model)
    return model


def main(rank: int, folder: Path) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    processor = small_processor()
    with_image = processor.batch([supervised(processor, [(60, 60)])])
    text_alone = processor.batch([supervised(processor, [], "Nothing at all.")])
    batches = [with_image, text_alone]
    count = sum(int((batch["labels"][:, 1:] != -100).sum()) for batch in batches)

    alone = small_magma().train()
    for batch in batches:
        (alone(**batch, loss_reduction="none").loss.sum() / count).backward()

    save_folder = folder / "whole"
    if rank == 0:
        save_magma(small_magma(), processor, save_folder)
    dist.barrier()
    sharded = shard(empty_magma(small_config()).train())
    fill(sharded, renamed(stored_tensors(save_folder)), dtype=None, device="cpu")
    # gradients are averaged over the ranks
    (sharded(**batches[rank], loss_reduction="none", black_image=True).loss.sum() * 2 / count).backward()
    for (name, one), other in zip(alone.named_parameters(), sharded.parameters(), strict=True):
        if one.requires_grad:
            assert other.grad is not None, name
            torch.testing.assert_close(
                other.grad.full_tensor(), one.grad, msg=lambda text, name=name: f"{name}: {text}"
            )

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_model_state_dict(sharded, options=options)
    if rank == 0:
        save_magma(sharded, processor, folder / "gathered", state=state)
        again, _ = load_magma(folder / "gathered")
        for name, tensor in small_magma().state_dict().items():
            assert torch.equal(again.state_dict()[name], tensor), name
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
