"""Tensors in files: what a checkpoint holds by its headers alone, each tensor read when it is asked for."""

import json
import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError, safe_open
from torch import Tensor

_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_LFS = b"version https://git-lfs"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredTensor:
    """A tensor that is not read yet; `file` says where it is, for messages."""

    file: Path
    shape: tuple[int, ...]
    read: Callable[[], Tensor]


Stored = Mapping[str, StoredTensor]


def fetched(source: str | Path, wanted: Iterable[str] = ("*.json", "*.jinja", "*.safetensors")) -> Path:
    """`source` as a path; of what is no path but a name on the hub, the `wanted` files are downloaded, once."""
    path = Path(source)
    if path.exists():
        return path
    name = str(source)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ValueError(f"{name} does not exist; give a folder, or a name on the Hugging Face hub such as org/model")
    try:
        return Path(snapshot_download(name, allow_patterns=list(wanted)))
    except (OSError, ValueError) as error:
        raise ValueError(f"{name} is no folder here and could not be had from the hub: {error}") from error


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file; ValueError names the file where there is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} can't be read: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} holds a {type(content).__name__}, not an object")
    return content


def stored_tensors(path: str | Path) -> dict[str, StoredTensor]:
    """All tensors of a checkpoint by their stored names: a folder, sharded or not, or one file.

    ValueError names a file that is missing, cut short or of no known form, and a tensor that is in two files.
    """
    path = Path(path)
    if path.is_file():
        return _tensors_of_file(path)
    files, promised = _files_of_folder(path)
    found: dict[str, StoredTensor] = {}
    for file in files:
        tensors = _tensors_of_file(file)
        twice = sorted(found.keys() & tensors.keys())
        if twice:
            raise ValueError(f"{twice[0]} is both in {found[twice[0]].file} and in {file}; copy the folder anew")
        found |= tensors
    lacking = sorted(promised - found.keys())
    if lacking:
        raise ValueError(f"the index in {path} names {lacking[0]}, which no file holds; copy the folder anew")
    return found


def _files_of_folder(path: Path) -> tuple[list[Path], set[str]]:
    """The files of a checkpoint, and the tensors that its index promises."""
    for index in (path / name for name in _INDEXES):
        if not index.is_file():
            continue
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not all(Path(str(name)).name == name for name in weight_map.values()):
            raise ValueError(f"{index} has no weight_map from tensors to files beside it; copy the folder anew")
        files = [path / name for name in sorted(set(weight_map.values()))]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise ValueError(f"{path} lacks {', '.join(missing)}, which {index.name} names; copy the folder anew")
        return files, set(weight_map)
    files = sorted(path.glob("*.safetensors")) or sorted(path.glob("*.bin"))
    if not files:
        raise ValueError(f"{path} holds no weights: neither *.safetensors nor *.bin")
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise ValueError(f"{path} holds several files without an index ({names}); give the one that is meant")
    return files, set()


def _tensors_of_file(file: Path) -> dict[str, StoredTensor]:
    try:
        with file.open("rb") as opened:
            if opened.read(len(_LFS)) == _LFS:
                raise ValueError(f"{file} is a pointer of git LFS, not the file itself; fetch it with `git lfs pull`")
    except OSError as error:
        raise ValueError(f"{file} can't be read: {error}") from error
    return _tensors_of_safetensors(file) if file.suffix == ".safetensors" else _tensors_of_pickle(file)


def _tensors_of_safetensors(file: Path) -> dict[str, StoredTensor]:
    try:
        with safe_open(file, framework="pt") as opened:
            shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{file} can't be read: {error}; it is cut short or no safetensors file") from error

    def reader(name: str) -> Callable[[], Tensor]:
        def read() -> Tensor:
            # opened for each tensor: what is mapped of the file is then let go of after each
            with safe_open(file, framework="pt") as opened:
                return opened.get_tensor(name)

        return read

    return {name: StoredTensor(file=file, shape=shape, read=reader(name)) for name, shape in shapes.items()}


def _tensors_of_pickle(file: Path) -> dict[str, StoredTensor]:
    try:
        try:
            loaded = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # a file of the old form can't be mapped
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{file} can't be read as weights: {error}") from error
    tensors = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else {}
    if not tensors or not all(isinstance(one, Tensor) and isinstance(name, str) for name, one in tensors.items()):
        raise ValueError(f"{file} holds no weights by name")
    return {name.removeprefix("module."): in_memory(tensor, file) for name, tensor in tensors.items()}


def in_memory(tensor: Tensor, file: Path = Path()) -> StoredTensor:
    """A tensor that was made here, among those of files."""
    return StoredTensor(file=file, shape=tuple(tensor.shape), read=lambda: tensor)
