"""The trained network as a Hugging Face folder, which `model.load_magma` and `somtom predict` read.

`python -m train.export RUN [--step N] [--out FOLDER]` makes one of any checkpoint of a training.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from model.checkpoint import empty_magma, save_magma
from model.magma import MagmaForCausalLM
from model.processor import MagmaProcessor
from schemas.errors import UserError
from schemas.loading import checked
from schemas.training import TrainConfig
from train.checkpoints import explained, restore, steps, whole_state
from train.config import saved_config
from train.ranks import Ranks, joined
from train.start import blueprint, merged, start


def export(
    network: MagmaForCausalLM, processor: MagmaProcessor, config: TrainConfig, folder: Path, ranks: Ranks
) -> None:
    """Writes the whole network, adapters merged into it, in the numbers it computes with. All ranks must call it."""
    state: Mapping[str, Tensor] = whole_state(network)
    if ranks.is_first:
        if config.model.lora:
            state = merged(state, config.model.lora)
        kind = getattr(torch, config.model.compute)
        with explained(folder):
            plain = empty_magma(network.config).to(kind)
            numbers = {name: one.to(kind) for name, one in state.items()}
            try:
                save_magma(plain, processor, folder, state=numbers)
            except SafetensorError as error:  # what it makes of an OSError
                raise OSError(str(error)) from error
    ranks.wait()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m train.export", description="A checkpoint of a training as a Hugging Face folder."
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a training")
    parser.add_argument("--step", type=int, metavar="N", help="of the checkpoint (the newest)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="(RUN/export-N)")
    asked = parser.parse_args()
    try:
        print(_export_checkpoint(asked.run, asked.step, asked.out))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _export_checkpoint(run: Path, step: int | None, folder: Path | None) -> Path:
    config = checked(TrainConfig, saved_config(run))
    known = steps(run)
    if not known:
        raise UserError(f"RUN: {run} has no checkpoint yet; let it train until run.save_every steps are done")
    chosen = known[-1] if step is None else step
    if chosen not in known:
        raise UserError(
            f"--step: {run} has no checkpoint of step {chosen}; it has those of {', '.join(map(str, known))}"
        )
    tokenizer = run / "processor" / "tokenizer.json"
    if not tokenizer.is_file():  # of random weights another one would be made, which gives words other numbers
        raise UserError(f"RUN: {tokenizer} is not there; copy it from RUN/export, which the training's end writes")
    folder = folder or run / f"export-{chosen}"
    with joined("cpu") as ranks:
        # the way to attend changes no weight, and may not be at hand here
        plan = blueprint(
            config.model.model_copy(update={"attention": ""}), config.data.max_length, list, run / "processor"
        )
        network = start(plan, config, ranks)
        restore(run, chosen, network)
        export(network, plan.processor, config, folder, ranks)
    return folder


if __name__ == "__main__":
    sys.exit(main())
