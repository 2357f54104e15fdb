"""A finished sample to the bytes of its tar members and back. The same sample gives the same bytes, everywhere.

Nothing here knows files or tars; `pipelines/shards.py` writes what this makes.
"""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from schemas.flow import EncodedSample, FinishedSample
from schemas.sample import ANNOTATION_MEMBER, ARRAYS, ARRAYS_MEMBER, CLEAN_MEMBER, IMAGE_MEMBER, MARKED_MEMBER, Sample
from schemas.tables import QUALITY_NAMES

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


def encode_sample(finished: FinishedSample, *, jpeg_quality: int) -> EncodedSample:
    """Members in their fixed order: annotation, marked image, clean image, further images, arrays.

    ValueError where images or arrays are not what the annotation and the contract say.
    """
    _check_images(finished)
    sample = finished.sample
    members = [(ANNOTATION_MEMBER, sample.model_dump_json().encode())]
    members += [(name, _encode_jpeg(finished.images[name], jpeg_quality)) for name in member_order(finished.images)]
    if finished.arrays:
        members.append((ARRAYS_MEMBER, encode_arrays(finished.arrays)))
    return EncodedSample(key=sample.key, members=tuple(members), index_row=index_row(sample, finished.source_key))


def decode_sample(data: bytes) -> Sample:
    """The annotation from `KEY.json`; pydantic's ValidationError (a ValueError) where it breaks the contract."""
    return Sample.model_validate_json(data)


def split_members(data: bytes) -> tuple[str, dict[str, bytes]]:
    """Key and members of one sample, by what follows `KEY.` in their names, from the bytes that it takes in its tar.

    ValueError where they are not those of exactly one sample.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            members = {member.name: _content(tar, member) for member in tar if member.isfile()}
    except tarfile.ReadError as error:
        raise ValueError(str(error)) from error
    keys = {name.partition(".")[0] for name in members}
    if len(keys) != 1:
        raise ValueError(f"it holds {len(keys)} samples")
    return keys.pop(), {name.partition(".")[2]: content for name, content in members.items()}


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    content = b"" if file is None else file.read()
    if len(content) != member.size:
        raise tarfile.ReadError(f"{member.name} ends after {len(content)} of {member.size} bytes")
    return content


def member_order(members: Mapping[str, Any]) -> list[str]:
    """Names of image members in the order they have in a tar."""
    first = {MARKED_MEMBER: 0, CLEAN_MEMBER: 1}
    return sorted(members, key=lambda name: (first.get(name, 2), name))


def index_row(sample: Sample, source_key: str) -> dict[str, Any]:
    """The sample's row of the index, without its place (shard, offset, size). Width and height are the main image's."""
    main = next((image for image in sample.images if image.member == MARKED_MEMBER), None)
    quality = {str(entry.name): entry.value for entry in sample.quality}
    return {
        "key": sample.key,
        "split": sample.split,
        "tasks": list(sample.tasks),
        "dataset": sample.source.dataset,
        "text": sample.text,
        "uri": sample.source.uri,
        "licence": sample.source.licence,
        "start_s": sample.source.start_s,
        "end_s": sample.source.end_s,
        "width": main.width if main else 0,
        "height": main.height if main else 0,
        "n_images": len(sample.images),
        "n_turns": len(sample.turns),
        "n_marks": len(sample.marks),
        "n_moving": sum(mark.kind == "moving" for mark in sample.marks),
        "n_traces": len(sample.traces),
        "camera_moving": sample.camera.moving,
        **{name: quality.get(name) for name in QUALITY_NAMES},
        "source_key": source_key,
    }


def encode_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """An .npz of the arrays in the order given, each in the type that the contract names.

    Stored, not deflated: zlib's output differs between its versions, and tracks hardly shrink.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=_ZIP_EPOCH)
            entry.create_system = _UNIX
            entry.external_attr = 0o644 << 16
            content = io.BytesIO()
            np.lib.format.write_array(content, _as_stored(name, array), allow_pickle=False)
            archive.writestr(entry, content.getvalue())
    return buffer.getvalue()


def decode_arrays(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """The arrays of `KEY.npz`; ValueError or zipfile.BadZipFile where it is not a plain .npz (pickles included)."""
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _as_stored(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if name not in ARRAYS:
        raise ValueError(f"array {name!r} is not in the contract; want one of {', '.join(ARRAYS)}")
    is_text = ARRAYS[name] == "string"
    kind = array.dtype if is_text else np.dtype(ARRAYS[name])
    fits = array.dtype.kind == "U" if is_text else np.can_cast(array.dtype, kind, "same_kind")
    n_axes = len(name.rsplit("_", 1)[1])
    if array.ndim != n_axes or not fits:
        raise ValueError(f"array {name} is {array.dtype}{list(array.shape)}; want {ARRAYS[name]} with {n_axes} axes")
    # C order: the header would tell a transposed array from an equal one
    return np.ascontiguousarray(array, dtype=kind)


def _encode_jpeg(image_HW3: npt.NDArray[np.uint8], quality: int) -> bytes:
    """RGB to JPEG; colour at full resolution, so that red marks stay crisp."""
    buffer = io.BytesIO()
    Image.fromarray(image_HW3).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def _check_images(finished: FinishedSample) -> None:
    for name, image in finished.images.items():
        if not IMAGE_MEMBER.fullmatch(name):
            raise ValueError(f"image member {name!r}; want jpg, clean.jpg or img01.jpg ...")
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"image {name} is {image.dtype}{list(image.shape)}; want uint8[height, width, 3]")
    for declared in finished.sample.images:
        if declared.member not in finished.images:
            raise ValueError(f"the annotation uses image {declared.member!r}; there are {list(finished.images)}")
        height, width = finished.images[declared.member].shape[:2]
        if (declared.width, declared.height) != (width, height):
            raise ValueError(
                f"image {declared.member} is {width}x{height}, declared {declared.width}x{declared.height}"
            )
    unused = set(finished.images) - {declared.member for declared in finished.sample.images} - {CLEAN_MEMBER}
    if unused:
        raise ValueError(f"images {sorted(unused)} are in no turn")
