"""Reads single samples out of a dataset's shards by byte range, without reading the shards."""

from pipelines import store
from pipelines.shards import tar_uri
from schemas.errors import UserError
from transforms.encoding import split_members

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
        return split_members(data)[1]
    except ValueError as error:
        raise UserError(f"{uri}: bytes {offset} to {offset + size} are not one sample: {error}; {_CURE}") from error
