"""Reads single samples out of a dataset's shards by byte range, without reading the shards."""

import io
import tarfile

from pipelines import store
from pipelines.shards import tar_uri
from schemas.errors import UserError

_CURE = "`somtom lint` finds what is damaged, running the job again mends it"


def read_members(out: str, shard: str, offset: int, size: int) -> dict[str, bytes]:
    """The members of one sample by what follows `KEY.` in their names ("json", "jpg", "clean.jpg", "npz").

    `shard`, `offset` and `size` are as the index gives them. UserError where the shard is not there or these bytes do
    not hold the members of exactly one sample.
    """
    uri = tar_uri(out, shard)
    if not store.exists(uri):
        raise UserError(f"{uri}: is not there; {_CURE}")
    with store.reading(uri) as file:
        file.seek(offset)
        data = file.read(size)
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            members = {member.name: _content(tar, member) for member in tar if member.isfile()}
    except tarfile.ReadError as error:
        raise _misplaced(uri, offset, size, str(error)) from error
    keys = {name.partition(".")[0] for name in members}
    if len(keys) != 1:
        raise _misplaced(uri, offset, size, f"it holds {len(keys)} samples")
    return {name.partition(".")[2]: content for name, content in members.items()}


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    content = b"" if file is None else file.read()
    if len(content) != member.size:
        raise tarfile.ReadError(f"{member.name} ends after {len(content)} of {member.size} bytes")
    return content


def _misplaced(uri: str, offset: int, size: int, found: str) -> UserError:
    return UserError(f"{uri}: bytes {offset} to {offset + size} are not one sample: {found}; {_CURE}")
