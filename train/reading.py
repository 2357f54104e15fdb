"""Reads one sample out of a shard by its byte range: from a local file or from anything that fsspec knows."""

import time

import aiohttp
from fsspec.core import url_to_fs

from transforms.encoding import split_members

_WAITS_S = (0.5, 2.0)
"""before a remote read is tried again"""


def read_sample(uri: str, offset: int, size: int) -> tuple[str, dict[str, bytes]]:
    """Key and members of the sample in these bytes of a tar.

    OSError where they can't be read, ValueError where they are not one whole sample; both name the place.
    """
    data = read_range(uri, offset, size)
    try:
        return split_members(data)
    except ValueError as error:
        raise ValueError(f"{place(uri, offset, size)} are not one sample: {error}") from error


def read_range(uri: str, offset: int, size: int) -> bytes:
    """Bytes of a file; OSError names the place where they can't be read, or where the file ends before."""
    for wait_s in (*_WAITS_S, None):
        try:
            fs, path = url_to_fs(uri)
            data: bytes = fs.cat_file(path, start=offset, end=offset + size)
            break
        except (OSError, aiohttp.ClientError) as error:
            # a network may be back in a moment, a file that is not there won't
            if wait_s is None or "://" not in uri or isinstance(error, FileNotFoundError | PermissionError):
                raise OSError(f"{place(uri, offset, size)} can't be read: {error or type(error).__name__}") from error
            time.sleep(wait_s)
    if len(data) > size:
        raise OSError(
            f"{place(uri, offset, size)} can't be read: {len(data)} bytes came in their place, so the server knows no "
            "byte ranges; choose one that does, or copy the dataset to a disk"
        )
    if len(data) != size:
        raise OSError(f"{place(uri, offset, size)} can't be read: the file ends after {len(data)} of them")
    return data


def place(uri: str, offset: int, size: int) -> str:
    """How messages name the bytes of a sample."""
    return f"{uri}: bytes {offset} to {offset + size}"
