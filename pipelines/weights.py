"""The files of networks' weights: found, fetched once into a cache, and their sha256 checked before they are opened.

A fetched file lies in the cache under its sha256. The cache is the folder SOMTOM_CACHE, else `somtom` in
XDG_CACHE_HOME, else ~/.cache/somtom.
"""

import fcntl
import hashlib
import os
import posixpath
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

from fsspec.callbacks import Callback

from pipelines import store
from pipelines.known_weights import KNOWN, known_weights
from pipelines.parts import network_parts
from pipelines.progress import Teller
from schemas.errors import UserError
from schemas.jobs import JobConfig
from schemas.networks import CoTrackerTracker, NetworkConfig

_WAITS_S = (1.0, 4.0, 15.0)
"""before each further try to fetch"""
_NO_ANSWER_S = 60.0
_TOLD_BYTES = 50e6
"""progress is shown of files from this size on"""
_PASSING = (408, 425, 429)
"""HTTP's codes below 500 that another try may mend"""


def resolve_weights(part: NetworkConfig, field: str) -> NetworkConfig:
    """A part with its weights' place made absolute, a known name's URL filled in, and its sha256.

    The sha256 is the one given; else the known one (WEIGHTS.md) of a file of that name or URL; else it is worked out,
    for a local file. Nothing is fetched, and a file with a sha256 given is not read: that is for `weights_file`.

    Raises:
        UserError: no such file, or its sha256 can't be known; `field` is that of the part.
    """
    where, known = part.weights, known_weights(part.weights)
    names = ", ".join(each.name for each in KNOWN if each.part == part.name)
    if not where:
        raise UserError(f"{field}.weights: is missing; give a file, a URL, or a name that is known: {names}")
    if known and known.part != part.name and not part.sha256:
        raise UserError(f"{field}.weights: {known.name} is for {known.part!r}, not for {part.name!r}; give {names}")
    if not store.is_remote(where):
        path = _absolute(where, f"{field}.weights")
        if path.is_file():
            sha256 = part.sha256 or (known.sha256 if known else _sha256(path, field))
            return _with_places(part, str(path), sha256, field)
        if known is None or where != known.name:
            raise UserError(
                f"{field}.weights: {path} is no file; give the path of one, a URL, or a name that is known (WEIGHTS.md)"
            )
        where = known.url
    sha256 = part.sha256 or (known.sha256 if known else "")
    if not sha256:
        raise UserError(
            f"{field}.sha256: is missing, and that of {where} is not known; give it (`sha256sum FILE` tells it, and so "
            "do most pages that offer weights)"
        )
    return _with_places(part, where, sha256, field)


def weights_file(part: object, field: str) -> str:
    """The path of a local file with a part's weights, its sha256 checked; "" for a part that has none.

    Every process that opens a file checks it once itself (again only if it has changed): it reads the file anyway, so
    that a check takes about a second per GB, and what another process has found may no longer be so. The launcher
    checks before workers start, so a mistake shows there.

    Raises:
        UserError: another sha256, or the file can't be had; `field` is that of the part.
    """
    if not isinstance(part, NetworkConfig):
        return ""
    part = resolve_weights(part, field)
    if store.is_remote(part.weights):
        return str(_fetched(part.weights, part.sha256, field))
    found = _sha256(Path(part.weights), field)
    if found != part.sha256:
        raise UserError(_wrong_hash(part.weights, found, part.sha256, field))
    return part.weights


def check_weights(config: JobConfig) -> None:
    """Sees to it that all weights of a config are here and right, before a job begins."""
    for field, part in network_parts(config):
        weights_file(part, field)


def fetch_weights(config: JobConfig) -> None:
    """Fetches what is not in the cache of this machine, for the processes to come; what is there they check."""
    for field, part in network_parts(config):
        if store.is_remote(part.weights) and not _cached(part.weights, part.sha256).is_file():
            weights_file(part, field)


def cache_folder() -> Path:
    own, xdg = os.environ.get("SOMTOM_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(own) if own else (Path(xdg) if xdg else Path.home() / ".cache") / "somtom"


def _with_places(part: NetworkConfig, weights: str, sha256: str, field: str) -> NetworkConfig:
    places = {"weights": weights, "sha256": sha256}
    if isinstance(part, CoTrackerTracker) and part.repository:
        places["repository"] = str(_absolute(part.repository, f"{field}.repository"))
    return part.model_copy(update=places)


def _absolute(path: str, field: str) -> Path:
    try:
        return Path(os.path.abspath(Path(path.removeprefix("file://")).expanduser()))  # noqa: PTH100
    except RuntimeError as error:
        raise UserError(f"{field}: {path!r}: {error}; give a path") from error


def _cached(url: str, sha256: str) -> Path:
    return cache_folder() / f"{sha256}{Path(posixpath.basename(url.partition('?')[0])).suffix}"


def _fetched(url: str, sha256: str, field: str) -> Path:
    """The cached copy of a URL, fetched where there is none or where it is damaged."""
    path = _cached(url, sha256)
    if not _is_right(path, sha256, field):
        with _alone(path.parent):
            if not _is_right(path, sha256, field):  # another process may have fetched it meanwhile
                _fetch(url, path, sha256, field)
    return path


def _is_right(path: Path, sha256: str, field: str) -> bool:
    return path.is_file() and _sha256(path, field) == sha256


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lets one process at a time write to the cache, and clears what one that was killed left there."""
    with store.explained(str(folder), field="SOMTOM_CACHE"):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with store.explained(str(folder), field="SOMTOM_CACHE"):
            _take(handle, folder)
        store.remove_partials(str(folder))
        yield
    finally:
        os.close(handle)


def _take(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        Teller().say(f"{folder}: waiting for another process that fetches weights")
        fcntl.flock(handle, fcntl.LOCK_EX)


def _fetch(url: str, path: Path, sha256: str, field: str) -> None:
    """Puts a URL's file in place, whole and right, or not at all.

    The hash is taken of what arrived on the disk.
    """
    temporary = path.with_name(f".partial-{path.name}")
    try:
        with store.explained(str(path), store.NO_ROOM, field="SOMTOM_CACHE"):
            _download(url, temporary, field)
        found = _sha256(temporary, field)
        if found != sha256:
            raise UserError(_wrong_hash(url, found, sha256, field))
        with store.explained(str(path), field="SOMTOM_CACHE"):
            store.put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _download(url: str, path: Path, field: str) -> None:
    from aiohttp import ClientError

    teller = Teller()
    for wait_s in (*_WAITS_S, None):
        try:
            fs, remote = store.filesystem(url, **_options(url))
            fs.get_file(remote, str(path), callback=Callback(hooks={"tell": partial(_tell, teller, url)}))
        except (OSError, ClientError) as error:
            told = _told(error)
            if getattr(error, "errno", None) in store.NO_ROOM:
                raise
            if wait_s is None or _is_final(error):
                raise UserError(
                    f"{field}.weights: {url} can't be fetched: {told}; fetch it yourself and give its path"
                ) from error
            teller.say(f"{url}: {told}; tried again in {wait_s:g} s")
            time.sleep(wait_s)
        else:
            teller.close()
            return


def _options(url: str) -> dict[str, Any]:
    """For HTTP: proxies of the environment; no limit on the whole time, but on how long nothing comes."""
    if not url.startswith(("http://", "https://")):
        return {}
    from aiohttp import ClientTimeout

    timeout = ClientTimeout(total=None, sock_connect=_NO_ANSWER_S, sock_read=_NO_ANSWER_S)
    return {"client_kwargs": {"timeout": timeout, "trust_env": True}}


def _told(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing came for {_NO_ANSWER_S:g} s"
    return f"{type(error).__name__} {' '.join(str(error).split())}"


def _is_final(error: Exception) -> bool:
    status = getattr(error, "status", 0)
    return isinstance(error, FileNotFoundError | PermissionError) or (400 <= status < 500 and status not in _PASSING)


def _tell(teller: Teller, url: str, n_bytes: int | None, done: int, **_: object) -> None:
    if (n_bytes or done) >= _TOLD_BYTES:
        whole = f" of {n_bytes / 1e6:.0f}" if n_bytes else ""
        teller.update(f"{url}: {done / 1e6:.0f}{whole} MB")


def _wrong_hash(where: str, found: str, sha256: str, field: str) -> str:
    return (
        f"{field}.sha256: {where} has {found}, not {sha256}; it is damaged or another file: fetch it again, or, if you "
        f"trust it, give {field}.sha256={found}"
    )


def _sha256(path: Path, field: str) -> str:
    try:
        state = path.stat()
        return _sha256_as_of(path, state.st_size, state.st_mtime_ns, state.st_ino)
    except OSError as error:
        raise UserError(f"{field}.weights: {path} can't be read: {error.strerror or error}; give another") from error


@cache
def _sha256_as_of(path: Path, n_bytes: int, changed_ns: int, inode: int) -> str:
    """The sha256 of a file in a state that the arguments tell from others, taken once in a process."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
