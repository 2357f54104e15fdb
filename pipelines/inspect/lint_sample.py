"""What one stored sample must keep: its members, its annotation, its images, its arrays, the numbers in its texts.

Values in, findings out; `pipelines/inspect/lint.py` adds the place.
"""

import io
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from pydantic import ValidationError

from schemas.sample import (
    ANNOTATION_MEMBER,
    ARRAYS,
    ARRAYS_MEMBER,
    CLEAN_MEMBER,
    IMAGE_MEMBER,
    MARKED_MEMBER,
    Sample,
)
from transforms.encoding import decode_arrays, decode_sample, member_order
from transforms.prompts import parse_som_answer, parse_tom_answer

_NOT_ARRAYS = (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile)
_END_OF_JPEG = b"\xff\xd9"


def check_sample(key: str, members: tuple[tuple[str, bytes], ...], bins: int | None) -> tuple[Sample | None, list[str]]:
    """The annotation, None where it can't be read, and a line for each promise that is broken.

    `bins`: how many of them the texts count in; None where nobody knows: texts are not checked then.
    """
    findings = list(_check_members([suffix for suffix, _ in members]))
    content = dict(members)
    if ANNOTATION_MEMBER not in content:
        return None, findings or ["no annotation (json)"]
    try:
        sample = decode_sample(content[ANNOTATION_MEMBER])
    except ValidationError as error:
        return None, [*findings, *_explained(error)]
    if sample.key != key:
        findings.append(f"the annotation is of key {sample.key}")
    findings += _check_images(sample, content)
    findings += _check_rounding(sample)
    findings += _check_arrays(sample, content.get(ARRAYS_MEMBER))
    if bins is not None:
        findings += _check_texts(sample, bins)
    return sample, findings


def _check_members(suffixes: list[str]) -> Iterator[str]:
    images = {suffix: None for suffix in suffixes if IMAGE_MEMBER.fullmatch(suffix)}
    wanted = [ANNOTATION_MEMBER, *member_order(images), ARRAYS_MEMBER]
    strange = [suffix for suffix in suffixes if suffix not in wanted]
    if strange:
        yield f"unknown members {', '.join(strange)} (a key has no dots)"
    elif suffixes != [suffix for suffix in wanted if suffix in suffixes]:
        yield f"members {', '.join(suffixes)} are not each once and in their fixed order"


def _explained(error: ValidationError) -> list[str]:
    return [f"json: {'.'.join(map(str, item['loc'])) or 'sample'}: {item['msg']}" for item in error.errors()]


def _check_images(sample: Sample, content: Mapping[str, bytes]) -> Iterator[str]:
    sizes: dict[str, tuple[int, int]] = {}
    for member in filter(IMAGE_MEMBER.fullmatch, content):
        try:
            with PillowImage.open(io.BytesIO(content[member])) as opened:
                sizes[member] = opened.size
        except (OSError, PillowImage.DecompressionBombError) as error:
            yield f"{member}: not an image: {error}"
            continue
        if not content[member].endswith(_END_OF_JPEG):
            yield f"{member}: the image is cut off"
    used = {image.member: (image.width, image.height) for image in sample.images}
    if used and MARKED_MEMBER not in content:
        yield f"has images but no {MARKED_MEMBER}"
    if CLEAN_MEMBER in content:
        used.setdefault(CLEAN_MEMBER, used.get(MARKED_MEMBER, (0, 0)))
    for member in sorted(used.keys() - content.keys() - {MARKED_MEMBER}):
        yield f"the annotation uses {member!r}, which is not there"
    for member in sorted(sizes.keys() - used.keys()):
        yield f"{member} is in no turn"
    for image in sample.images:
        if (image.width, image.height) != used[image.member]:
            yield f"{image.member} is declared with two sizes"
    for member in sorted(sizes.keys() & used.keys()):
        if sizes[member] != used[member]:
            yield f"{member} is {_by(sizes[member])}, declared {_by(used[member])}"


def _by(size_wh: tuple[int, int]) -> str:
    return f"{size_wh[0]}x{size_wh[1]}"


def _check_rounding(sample: Sample) -> Iterator[str]:
    for mark in sample.marks:
        numbers = [*mark.xy, *mark.box_xyxy]
        numbers += [number for trace in sample.traces if trace.mark == mark.id for xy in trace.xy for number in xy]
        fine = [number for number in numbers if round(number, 2) != number]
        if fine:
            yield f"mark {mark.id}: coordinate {fine[0]!r} is not rounded to 2 decimals"


def _check_arrays(sample: Sample, data: bytes | None) -> Iterator[str]:
    try:
        arrays = decode_arrays(data) if data is not None else {}
    except _NOT_ARRAYS as error:
        yield f"npz: can't be opened without pickle: {error}"
        return
    strange = sorted(arrays.keys() - ARRAYS.keys())
    if strange:
        yield f"npz: unknown arrays {', '.join(strange)}"
    axes: dict[str, int] = {}
    for name in filter(arrays.__contains__, ARRAYS):
        yield from _check_array(name, arrays[name], axes)
    for mark in sample.marks:
        for axis, number in (("N", mark.track), ("R", mark.region)):
            if number >= axes.get(axis, 0):
                yield f"mark {mark.id} is number {number} of {axes.get(axis, 0)} along axis {axis} of the arrays"


def _check_array(name: str, array: npt.NDArray[Any], axes: dict[str, int]) -> Iterator[str]:
    letters = name.rsplit("_", 1)[1]
    kind_is_right = array.dtype.kind == "U" if ARRAYS[name] == "string" else array.dtype == np.dtype(ARRAYS[name])
    if not kind_is_right or array.ndim != len(letters):
        yield f"npz: {name} is {array.dtype}{list(array.shape)}, want {ARRAYS[name]} with {len(letters)} axes"
        return
    for letter, length in zip(letters, array.shape, strict=True):
        wanted = int(letter) if letter.isdigit() else axes.setdefault(letter, length)
        if length != wanted:
            yield f"npz: {name} has {length} along axis {letter}, want {wanted}"


def _check_texts(sample: Sample, bins: int) -> Iterator[str]:
    for number, turn in enumerate(sample.turns):
        if turn.role != "assistant" or turn.kind not in ("som", "tom"):
            continue
        try:
            if turn.kind == "tom":
                positions = parse_tom_answer(turn.content)
            else:
                positions = {mark: [at] for mark, at in parse_som_answer(turn.content).items()}
        except ValueError as error:
            yield f"turn {number}: {error}"
            continue
        for mark, told in positions.items():
            if not _is_told_right(sample, mark, told, bins):
                yield f"turn {number}: mark {mark} is told at {told}, which its stored positions do not give"


def _is_told_right(sample: Sample, mark_id: int, told: list[tuple[int, int]], bins: int) -> bool:
    """The mark's own position first, then any of its trace's later ones, in their order."""
    mark = next((mark for mark in sample.marks if mark.id == mark_id), None)
    if mark is None:
        return False
    path = next((trace.xy for trace in sample.traces if trace.mark == mark_id), [mark.xy])
    image = sample.images[mark.image]
    stored = [(_binned(x, image.width, bins), _binned(y, image.height, bins)) for x, y in path]
    later = iter(stored[1:])
    return told[0] == stored[0] and all(point in later for point in told[1:])


def _binned(position_px: float, length_px: int, bins: int) -> int:
    return min(max(int(bins * position_px / length_px), 0), bins - 1)
