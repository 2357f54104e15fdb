"""Opening the checkpoints of ultralytics, and the library itself, with nothing happening beside.

A checkpoint is a pickle of the network's objects, so a forged one could run any code. Here only the parameters and the
layers are taken from it: what it names is looked up in a closed list, none of it can be called while it is read, and
what is neither a layer nor a number (settings of the training) becomes an empty object.
"""

import importlib
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from schemas.errors import UserError
from transforms.networks import unreadable

_KINDS = ("DetectionModel", "SegmentationModel")
"""what the networks that give boxes are called"""
_LAYERS = ("torch.nn.modules.", "ultralytics.nn.modules.", "ultralytics.nn.tasks.")
_IGNORED = ("ultralytics.utils.", "ultralytics.yolo.", "pathlib.", "numpy.")
"""settings of the training, its losses, paths and numbers: not needed, so never looked up"""
_RENAMED = {
    "ultralytics.nn.modules.block.Silence": "torch.nn.modules.linear.Identity",
    "ultralytics.nn.tasks.YOLOv10DetectionModel": "ultralytics.nn.tasks.DetectionModel",
}
"""of older versions"""
_METHODS = ("forward", "forward_fuse")
"""what layers of older versions keep of others"""
_QUIET = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}
_CURE = (
    "pip install '.[yolo]' (it brings opencv-python; where cv2 can't be imported after that, pip uninstall "
    "opencv-python and pip install --force-reinstall opencv-python-headless)"
)


def load_library() -> None:
    """Imports what is used of ultralytics; it looks for no network, keeps no settings, and changes nothing else.

    On import it would ask a name server whether the machine is online, write settings into the user's home, and put
    functions of its own in the place of `torch.save` and `PIL.Image.open`; the latter installs packages. All is put
    back, and the folder that it gets for its settings is removed.

    Raises:
        UserError: it is not installed.
    """
    with tempfile.TemporaryDirectory() as folder, _as_before(), warnings.catch_warnings():
        os.environ.update(_QUIET, YOLO_CONFIG_DIR=folder)
        try:
            for module in ("torchvision", "ultralytics.nn.tasks", "ultralytics.utils.nms"):
                importlib.import_module(module)
        except ImportError as error:
            raise UserError(f"proposer.name=yolo needs {error.name or error}: {_CURE}") from error


def open_network(weights: str) -> Any:
    """The network in a checkpoint, on the CPU, in float32, ready to be run; `load_library` comes before.

    Raises:
        UserError: it is no checkpoint of a detector or of a network for segmentation, is cut off, or names what such
            a network has no use for.
    """
    found = _read(weights)
    holder = found if isinstance(found, dict) else {}
    network = holder.get("ema") or holder.get("model")
    if not isinstance(network, torch.nn.Module):
        held = "parameters alone" if _is_state(found) else "no network"
        raise UserError(
            f"proposer.weights: {weights} holds {held}; name=yolo wants a checkpoint (.pt) that ultralytics has saved"
        )
    for module in network.modules():
        module.__class__ = _unguarded(type(module))
    return _checked(network, weights).float().eval().requires_grad_(False).fuse(verbose=False)


def _checked(network: Any, weights: str) -> Any:
    """The network, if it is one for boxes in colour pictures.

    Raises:
        UserError: as `open_network`.
    """
    kind = type(network).__name__
    if kind not in _KINDS:
        raise UserError(
            f"proposer.weights: {weights} holds a {kind}; give one for detection or segmentation ({', '.join(_KINDS)})"
        )
    channels = network.yaml.get("channels", 3)
    if channels != 3:
        raise UserError(f"proposer.weights: {weights} is for pictures of {channels} channels; give one for colour, 3")
    n_classes, n_names = network.model[-1].nc, len(network.names)
    if n_classes != n_names:
        raise UserError(
            f"proposer.weights: {weights} has {n_classes} classes and {n_names} names; save it with a name for each"
        )
    return network


def _read(weights: str) -> Any:
    """What a file of torch holds, with layers as guarded classes.

    Raises:
        UserError: as `open_network`.
    """
    try:
        with _only_safe([]):
            named = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(weights))
    except Exception as error:
        raise unreadable(weights, "proposer", error) from error
    guarded = {}
    for name in named:
        stand_in = _stand_in(name)
        if stand_in is None:
            raise UserError(
                f"proposer.weights: {weights} names {name}, which is no part of a detector of the installed "
                f"ultralytics; it is not opened: give a checkpoint of ultralytics 8 from a source that you trust"
            )
        guarded[name] = stand_in
    try:
        with _only_safe([(stand_in, name) for name, stand_in in guarded.items()]):
            return torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:
        raise unreadable(weights, "proposer", error) from error


def _stand_in(name: str) -> Callable[..., Any] | None:
    """What a name in a checkpoint is taken for; None: it may not be there."""
    if name == "builtins.getattr":
        return _method
    name = _RENAMED.get(name, name)
    module, _, attribute = name.rpartition(".")
    if name.startswith(_IGNORED):
        return type(attribute, (_Ignored,), {})
    if not name.startswith(_LAYERS):
        return None
    try:
        layer = getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return None
    if not (isinstance(layer, type) and issubclass(layer, torch.nn.Module)):
        return None
    return type(attribute, (layer,), {"__init__": _refuse, "_guarded": layer})


class _Ignored:
    """Takes the place of what is not needed."""

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _refuse(layer: Any, *args: Any, **kwargs: Any) -> None:
    """Layers in a checkpoint are filled, never made: what makes them evaluates text and fetches files."""
    raise UnpicklingError(f"it makes a {type(layer).__name__} while it is read")


def _method(holder: Any, name: str) -> Any:
    """`getattr`, as far as layers need it."""
    kind = holder if isinstance(holder, type) else type(holder)
    layer = _unguarded(kind)
    if layer is kind or name not in _METHODS:
        raise UnpicklingError(f"it asks for {kind.__name__}.{name}")
    method = getattr(layer, name)
    return method if holder is kind else method.__get__(holder)


def _unguarded(kind: type) -> type:
    layer: type = kind.__dict__.get("_guarded", kind)
    return layer


def _is_state(found: Any) -> bool:
    values = found.values() if isinstance(found, dict) else ()
    return any(isinstance(value, torch.Tensor | dict) for value in values)


@contextmanager
def _only_safe(classes: Sequence[Any]) -> Iterator[None]:
    """In the block a file may name these and what torch itself allows, whatever else the process allows elsewhere."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(list(classes))
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


@contextmanager
def _as_before() -> Iterator[None]:
    """Puts back what an import changes: the environment, how numbers are printed, threads, functions of others."""
    environment = dict(os.environ)
    printing = np.get_printoptions()
    threads = cv2.getNumThreads()
    save, load, open_image = torch.save, torch.load, Image.open
    try:
        yield
    finally:
        torch.save, torch.load, Image.open = save, load, open_image
        cv2.setNumThreads(threads)
        np.set_printoptions(**printing)
        for key in set(os.environ) - set(environment):
            del os.environ[key]
        os.environ.update(environment)
