import os
import pathlib
import subprocess
import sys
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from schemas.errors import UserError
from tests.transforms.proposers.yolo_checkpoints import make_network, needs_library, save_trained
from transforms.proposers.yolo_weights import load_library, open_network

ROOT = Path(__file__).parents[3]
pytestmark = needs_library


@pytest.fixture(scope="module")
def network() -> Any:
    load_library()
    return make_network("yolov8n", names=("icon",))


class Calls:
    """What a pickle makes a call of."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


def test_a_checkpoint_of_a_training_is_opened_for_use(network: Any, tmp_path: Path) -> None:
    from ultralytics.utils import IterableSimpleNamespace

    network.args = IterableSimpleNamespace(box=7.5, cls=0.5, dfl=1.5, overlap_mask=True)
    network.criterion = network.init_criterion()
    left = {"best_fitness": np.float64(0.5), "train_args": {"data": pathlib.PosixPath("data.yaml")}, "optimizer": None}
    opened = open_network(save_trained(network, tmp_path / "icons.pt", ema=network, **left))
    assert opened.names == {0: "icon"}
    assert not opened.training
    assert {parameter.dtype for parameter in opened.parameters()} == {torch.float32}
    assert {type(layer).__init__.__name__ for layer in opened.modules()} == {"__init__"}, "layers are the real ones"


def test_what_was_opened_computes_what_was_saved(network: Any, tmp_path: Path) -> None:
    opened = open_network(save_trained(network, tmp_path / "icons.pt"))
    pictures = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = network.float()(pictures)[0]
        torch.testing.assert_close(opened(pictures)[0], expected, atol=1e-3, rtol=1e-4)


def test_a_network_saved_after_its_layers_were_merged_is_opened(network: Any, tmp_path: Path) -> None:
    from copy import deepcopy

    fused = deepcopy(network).fuse(verbose=False)
    opened = open_network(save_trained(fused, tmp_path / "fused.pt"))
    pictures = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(opened(pictures)[0], network.float()(pictures)[0], atol=1e-3, rtol=1e-4)


def test_a_head_of_version_8_0_that_keeps_a_method_is_opened(tmp_path: Path) -> None:
    from ultralytics.nn.modules import Detect

    load_library()
    network = make_network("yolov8n-seg")
    network.model[-1].detect = Detect.forward
    assert open_network(save_trained(network, tmp_path / "old.pt")).model[-1].detect is Detect.forward


def test_no_code_in_a_checkpoint_is_run(network: Any, tmp_path: Path) -> None:
    from ultralytics.nn.modules import Conv
    from ultralytics.nn.tasks import DetectionModel

    ran = tmp_path / "ran"
    evil = f"__import__('pathlib').Path({str(ran)!r}).touch()"
    settings = {"nc": 1, "activation": evil, "backbone": [], "head": []}
    calls = {
        "names posix.system": Calls(os.system, f"touch {ran}"),
        "names builtins.eval": Calls(eval, evil),
        "makes a DetectionModel": Calls(DetectionModel, settings),
        "asks for Conv.default_act": Calls(getattr, Conv, "default_act"),
        "asks for Conv.__init__": Calls(getattr, Conv, "__init__"),
    }
    for told, call in calls.items():
        for fields in ({"model": call}, {"optimizer": call}):
            weights = save_trained(network, tmp_path / "evil.pt", **fields)
            with pytest.raises(UserError, match=rf"^proposer\.weights: .*evil\.pt.* {told}"):
                open_network(weights)
    assert not ran.exists()


def test_what_another_part_of_the_process_allows_is_still_refused(network: Any, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    weights = save_trained(network, tmp_path / "evil.pt", optimizer=Calls(os.mkdir, str(ran)))
    with torch.serialization.safe_globals([os.mkdir]):
        with pytest.raises(UserError, match=r"names posix\.mkdir"):
            open_network(weights)
        assert os.mkdir in torch.serialization.get_safe_globals()
    assert not ran.exists()


@pytest.mark.parametrize("kind", ["ClassificationModel", "PoseModel", "OBBModel"])
def test_a_network_for_something_else_is_named(kind: str, tmp_path: Path) -> None:
    from ultralytics.nn import tasks

    load_library()
    suffix = {"ClassificationModel": "cls", "PoseModel": "pose", "OBBModel": "obb"}[kind]
    network = getattr(tasks, kind)(f"yolov8n-{suffix}.yaml", verbose=False)
    with pytest.raises(UserError, match=rf"holds a {kind}; give one for detection or segmentation"):
        open_network(save_trained(network, tmp_path / "other.pt"))


def test_other_files_are_no_checkpoints(network: Any, tmp_path: Path) -> None:
    whole = Path(save_trained(network, tmp_path / "whole.pt")).read_bytes()
    state = OrderedDict({"image_encoder.pos_embed": torch.zeros(1, 4, 4, 8)})
    with warnings.catch_warnings(action="ignore"):
        script = torch.jit.script(torch.nn.Linear(2, 2))
        torch.jit.save(script, str(tmp_path / "script.pt"))
    made: dict[str, Any] = {
        "sam.pth": lambda path: torch.save(state, path),
        "wrapped.pth": lambda path: torch.save({"model": state}, path),
        "list.pt": lambda path: torch.save([1, 2], path),
        "layers.pt": lambda path: torch.save({"model": torch.nn.Sequential()}, path),
        "cut.pt": lambda path: path.write_bytes(whole[: len(whole) // 2]),
        "empty.pt": lambda path: path.write_bytes(b""),
        "page.pt": lambda path: path.write_bytes(b"<html>404 not found</html>"),
        "script.pt": lambda path: None,
        "none.pt": lambda path: None,
    }
    told = {
        "sam.pth": "holds parameters alone",
        "wrapped.pth": "holds parameters alone",
        "list.pt": "holds no network",
        "layers.pt": "holds a Sequential",
    }
    for name, write in made.items():
        write(tmp_path / name)
        with pytest.raises(UserError, match=rf"^proposer\.weights: .*{name}.*{told.get(name, 'be opened')}") as caught:
            open_network(str(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_names_of_older_versions_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ultralytics.nn import tasks
    from ultralytics.nn.modules import block

    load_library()
    network = make_network("yolo11n")
    for module, name, kind in ((block, "Silence", torch.nn.Identity), (tasks, "YOLOv10DetectionModel", type(network))):
        monkeypatch.setattr(module, name, type(name, (kind,), {"__module__": module.__name__}), raising=False)
    network.__class__ = tasks.YOLOv10DetectionModel
    network.model[-1].first = block.Silence()
    weights = save_trained(network, tmp_path / "older.pt")
    monkeypatch.undo()
    opened = open_network(weights)
    assert (type(opened).__name__, type(opened.model[-1].first).__name__) == ("DetectionModel", "Identity")


def test_classes_without_names_are_told(network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "names", {0: "icon", 1: "text"})
    with pytest.raises(UserError, match="has 1 classes and 2 names"):
        open_network(save_trained(network, tmp_path / "more.pt"))


def test_a_layer_that_the_installed_library_lacks_is_named(network: Any, tmp_path: Path) -> None:
    from ultralytics.nn.modules import block

    class Newer(torch.nn.Module):
        pass

    Newer.__module__, Newer.__qualname__ = "ultralytics.nn.modules.block", "Newer"
    block.Newer = Newer  # type: ignore[attr-defined]
    try:
        weights = save_trained(network, tmp_path / "newer.pt", more=Newer())
    finally:
        del block.Newer
    with pytest.raises(UserError, match=r"names ultralytics\.nn\.modules\.block\.Newer"):
        open_network(weights)


def test_a_missing_library_is_told_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ultralytics.nn.tasks", None)
    with pytest.raises(UserError, match=r"proposer\.name=yolo needs ultralytics.*pip install '\.\[yolo\]'"):
        load_library()


WATCHED = """
import os, sys, warnings
import cv2, numpy as np, torch
from PIL import Image

def state():
    torch_state = torch.save, torch.load, set(torch.serialization.get_safe_globals())
    return *torch_state, Image.open, cv2.getNumThreads(), np.get_printoptions(), warnings.filters[:], dict(os.environ)

import torchvision
before, wrong = state(), []

def watch(event, args):
    if event.startswith(("socket.", "subprocess.", "os.system", "os.posix_spawn")):
        wrong.append((event, args))
        raise OSError("refused: " + event)

sys.addaudithook(watch)
from schemas.networks import YoloProposer
from transforms.proposers.yolo import find_boxes, load_detector
from transforms.proposers.yolo_weights import load_library
load_library()
weights = sys.argv[1]
detector = load_detector(YoloProposer(weights=weights, image_px=64), weights, "cpu")
find_boxes(detector, [np.zeros((40, 60, 3), dtype=np.uint8)])
assert not wrong, wrong
after = state()
assert after == before, [pair for pair in zip(before, after) if pair[0] != pair[1]]
import threading
assert threading.active_count() == 1, threading.enumerate()
"""


@pytest.mark.slow
def test_nothing_is_sent_nor_kept_nor_changed(network: Any, tmp_path: Path) -> None:
    weights = save_trained(network, tmp_path / "icons.pt")
    folders = {name: tmp_path / name for name in ("home", "here", "temporary")}
    for folder in folders.values():
        folder.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("YOLO", "XDG"))}
    environment |= {"HOME": str(folders["home"]), "TMPDIR": str(folders["temporary"]), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, weights],
        cwd=folders["here"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    left = [path for folder in folders.values() for path in folder.rglob("*") if path.is_file()]
    assert not left
