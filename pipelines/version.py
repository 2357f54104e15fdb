"""What made a dataset: a hash of this project's own code, and the versions of the libraries that touch bytes."""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import schemas

_CODE_FOLDERS = ("schemas", "transforms", "pipelines")
_LIBRARIES = (
    "apache-beam",
    "av",
    "fsspec",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "pyarrow",
    "pydantic",
    "scenedetect-headless",
)


@cache
def code_version() -> str:
    """16 hex digits over the code and templates of curation, the same from a checkout and an installed package."""
    root = Path(schemas.__file__).parent.parent
    digest = hashlib.sha256()
    for folder in _CODE_FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".py", ".yaml"):
                digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def library_versions(of_parts: Sequence[str] = ()) -> dict[str, str]:
    """Installed versions by distribution name, of what every job uses and of its parts; "" for one not installed."""
    return {name: _version(name) for name in (*_LIBRARIES, *of_parts)}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
