"""Whether the libraries that a config's parts need are there: what is missing, the field that asks, the command."""

import importlib.util
from pathlib import Path

from pipelines.parts import network_parts
from schemas.config import VideoJob
from schemas.errors import UserError
from schemas.jobs import JobConfig
from schemas.networks import ClipGate, CoTrackerTracker, NetworkConfig, SamProposer, YoloProposer
from schemas.proposers import PixelsProposer

_READER = ("rapidocr", "onnxruntime")
_COTRACKER = "https://github.com/facebookresearch/co-tracker"


def check_extras(config: JobConfig) -> None:
    """UserError for the first library that is missing."""
    match config:
        case VideoJob():
            if config.decode.backend == "decord":
                _need("decode.backend", "decord", ("decord",), "decord", "choose 'pyav'")
        case _:
            if isinstance(config.proposer, PixelsProposer):
                _need("proposer.name", "pixels", _READER, "ui", "choose another proposer")
    for field, part in network_parts(config):
        _check_network(field, part)


def _check_network(field: str, part: NetworkConfig) -> None:
    match part:
        case SamProposer():
            _need(f"{field}.name", "sam", ("segment_anything", "torch", "torchvision"), "sam", "choose another")
        case YoloProposer():
            _need(f"{field}.name", "yolo", ("ultralytics", "torch", "torchvision"), "yolo", "choose another")
            if part.text == "ocr":
                _need(f"{field}.text", "ocr", _READER, "ui", "choose 'none'")
        case ClipGate():
            _need(f"{field}.name", "clip", ("open_clip", "torch", "torchvision"), "clip", "choose 'off'")
        case CoTrackerTracker():
            if not _is_installed("torch"):
                raise UserError(
                    f"{field}.name: 'cotracker' needs torch; run: pip install torch, or choose 'lucas_kanade'"
                )
            _check_cotracker(field, part.repository)


def _check_cotracker(field: str, repository: str) -> None:
    if repository and not (Path(repository).expanduser() / "cotracker").is_dir():
        raise UserError(
            f"{field}.repository: {repository} has no folder cotracker; give a checkout: git clone {_COTRACKER}"
        )
    if not repository and not _is_installed("cotracker"):
        raise UserError(
            f"{field}.name: 'cotracker' is not installed; run: pip install git+{_COTRACKER} (CC-BY-NC-4.0), or give a "
            f"checkout of it as {field}.repository, or choose 'lucas_kanade'"
        )


def _need(field: str, value: str, modules: tuple[str, ...], extra: str, otherwise: str) -> None:
    missing = [module for module in modules if not _is_installed(module)]
    if missing:
        raise UserError(
            f"{field}: {value!r} needs {' and '.join(missing)}; run: pip install '.[{extra}]', or {otherwise}"
        )


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
