"""Checkpoints of ultralytics' own networks, with random parameters, as its training writes them."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from transforms.proposers.yolo_weights import load_library

needs_library = pytest.mark.skipif(find_spec("ultralytics") is None, reason="ultralytics is not installed: '.[yolo]'")


def make_network(architecture: str, *, names: tuple[str, ...] = ("cat", "dog", "tap")) -> Any:
    """A network whose scores differ from place to place, in the middle of 0..1."""
    load_library()  # imported plainly, the library puts functions of its own under those of others
    from ultralytics.nn import tasks

    settings = tasks.yaml_model_load(f"{architecture}.yaml")
    settings["scales"] = {settings["scale"]: [0.3, 0.1, 512]}  # thinner than any real one
    kind = tasks.SegmentationModel if architecture.endswith("-seg") else tasks.DetectionModel
    torch.manual_seed(0)
    network = kind(settings, nc=len(names), verbose=False)
    network.names = dict(enumerate(names))
    for parameter in network.parameters():
        if parameter.ndim > 1 and parameter.requires_grad:
            torch.nn.init.kaiming_normal_(parameter)
    with torch.no_grad():
        for _ in range(3):  # the batch norms learn what is usual
            network.train()(torch.rand(2, 3, 64, 96))
        head = network.model[-1]
        for scores in (*head.cv3, *getattr(head, "one2one_cv3", [])):
            scores[-1].bias.fill_(-2)
        if hasattr(head, "proto"):  # the library leaves out boxes whose mask is empty
            head.proto.cv3.bn.bias.fill_(9)
            for coefficients in head.cv4:
                coefficients[-1].bias.fill_(9)
    return network.eval()


def save_trained(network: Any, path: Path, **fields: Any) -> str:
    """Writes what a training ends with."""
    settings = {"task": "segment" if hasattr(network.model[-1], "cv4") else "detect", "imgsz": 640}
    torch.save({"epoch": -1, "model": network.half(), "ema": None, "train_args": settings, **fields}, path)
    return str(path)
