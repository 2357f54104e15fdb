"""What one stored sample must keep: its members, its annotation, its images, its arrays, the numbers in its texts.

Values in, findings out; `pipelines/inspect/lint.py` adds the place.
"""

import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from pydantic import ValidationError

from pipelines.inspect import lint_screen
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
from transforms.masks import decode_rle
from transforms.prompts import parse_som_answer, parse_tom_answer
from transforms.traces import to_bins

_NOT_ARRAYS = (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile)
_END_OF_JPEG = b"\xff\xd9"
_EVEN_S = 1e-3
"""by how much the steps of a trace may differ"""
_SAME_S = 1e-6
"""times in annotations are rounded to this"""


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
    findings += _check_traces(sample)
    findings += _check_arrays(sample, content.get(ARRAYS_MEMBER))
    findings += lint_screen.check_texts(sample)
    findings += _check_drawn(sample, content)
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


def _check_drawn(sample: Sample, content: Mapping[str, bytes]) -> Iterator[str]:
    """That boxes are where the pictures say; a picture that can't be read is told of elsewhere."""
    for member in sorted({sample.images[mark.image].member for mark in sample.marks if mark.box_xyxy}):
        with suppress(OSError, KeyError), PillowImage.open(io.BytesIO(content[member])) as opened:
            yield from lint_screen.check_drawn(sample, member, np.asarray(opened.convert("RGB")))


def _by(size_wh: tuple[int, int]) -> str:
    return f"{size_wh[0]}x{size_wh[1]}"


def _check_rounding(sample: Sample) -> Iterator[str]:
    for mark in sample.marks:
        numbers = [*mark.xy, *mark.box_xyxy]
        numbers += [number for trace in sample.traces if trace.mark == mark.id for xy in trace.xy for number in xy]
        fine = [number for number in numbers if round(number, 2) != number]
        if fine:
            yield f"mark {mark.id}: coordinate {fine[0]!r} is not rounded to 2 decimals"


def _check_traces(sample: Sample) -> Iterator[str]:
    """That a trace starts at its mark is what the annotation itself refuses to be without."""
    kinds = {mark.id: mark.kind for mark in sample.marks}
    images = {mark.id: sample.images[mark.image] for mark in sample.marks}
    traced = [trace.mark for trace in sample.traces]
    wanted = [mark_id for mark_id, kind in kinds.items() if kind == "moving"]
    if sorted(traced) != sorted(wanted):
        yield f"traces are of marks {traced}, those that move are {wanted}"
    for trace in sample.traces:
        if not trace.visible[0]:
            yield f"trace of mark {trace.mark} starts hidden"
        steps_s = np.diff(trace.times_s)
        if len(steps_s) and (np.ptp(steps_s) > _EVEN_S or steps_s.min() <= 0):
            yield f"trace of mark {trace.mark}: steps of {steps_s.min():g} to {steps_s.max():g} s, want even ones"
        image = images[trace.mark]
        outside = [xy for xy in trace.xy if not (0 <= xy[0] <= image.width and 0 <= xy[1] <= image.height)]
        if outside:
            yield f"trace of mark {trace.mark}: {outside[0]} is outside its {image.width}x{image.height} image"
        if abs(trace.times_s[0] - image.time_s) > _EVEN_S:
            yield f"trace of mark {trace.mark} starts at {trace.times_s[0]:g} s, its image is of {image.time_s:g} s"


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
    ill = [
        finding for name in filter(arrays.__contains__, ARRAYS) for finding in _check_array(name, arrays[name], axes)
    ]
    yield from ill
    for mark in sample.marks:
        for axis, number in (("N", mark.track), ("R", mark.region)):
            if number >= axes.get(axis, 0):
                yield f"mark {mark.id} is number {number} of {axes.get(axis, 0)} along axis {axis} of the arrays"
    if not ill:
        yield from _check_motion(sample, arrays)
        yield from _check_masks(sample, arrays)


def _check_masks(sample: Sample, arrays: Mapping[str, npt.NDArray[Any]]) -> Iterator[str]:
    """Masks of regions are of the whole marked picture."""
    marked = next((image for image in sample.images if image.role == "marked"), None)
    for region, text in enumerate(arrays.get("regions_mask_R", np.zeros(0, np.str_)).tolist()):
        if not text or marked is None:
            continue
        try:
            decode_rle(text, (marked.width, marked.height))
        except ValueError as error:
            yield f"npz: regions_mask_R: region {region}: {error}"


def _check_motion(sample: Sample, arrays: Mapping[str, npt.NDArray[Any]]) -> Iterator[str]:
    """Arrays of good form: marks that move are on tracks that move, homographies refer to the marked frame."""
    moving_N = arrays.get("moving_N", np.zeros(0, bool))
    for mark in sample.marks:
        if mark.kind == "moving" and 0 <= mark.track < len(moving_N) and not moving_N[mark.track]:
            yield f"mark {mark.id} is moving, its track {mark.track} is not"
    marked = next((image for image in sample.images if image.role == "marked"), None)
    if marked is None or not {"times_s_T", "homographies_T33"} <= arrays.keys():
        return
    at_T = np.abs(arrays["times_s_T"] - marked.time_s) <= _SAME_S
    if not at_T.any():
        yield f"npz: no frame is of {marked.time_s:g} s, the time of the marked image"
    elif not (arrays["homographies_T33"][at_T] == np.eye(3)).all(axis=(1, 2)).any():
        yield f"npz: the homography at {marked.time_s:g} s, the time of the marked image, is not the identity"


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
        if turn.kind == "tom":
            asked = sample.turns[max(0, number - 1)].content
            yield from (f"turn {number}: {finding}" for finding in _check_steps(asked, positions))
        for mark, told in positions.items():
            if not _is_told_right(sample, mark, told, bins):
                yield f"turn {number}: mark {mark} is told at {told}, which its stored positions do not give"


def _check_steps(asked: str, positions: Mapping[int, Sequence[tuple[int, int]]]) -> Iterator[str]:
    """All marks are told equally far ahead, and as far as asked: templates are free, but they hold the number."""
    steps = sorted({len(told) - 1 for told in positions.values()})
    if len(steps) > 1 or steps[0] < 1:
        yield f"marks are told {' and '.join(map(str, steps))} steps ahead, want one number of them"
    elif not re.search(rf"(?<!\d){steps[0]}(?!\d)", asked):
        yield f"marks are told {steps[0]} steps ahead, which the question does not ask for"


def _is_told_right(sample: Sample, mark_id: int, told: list[tuple[int, int]], bins: int) -> bool:
    """The mark's own position first, then its trace's next ones, none left out."""
    mark = next((mark for mark in sample.marks if mark.id == mark_id), None)
    if mark is None:
        return False
    path = next((trace.xy for trace in sample.traces if trace.mark == mark_id), [mark.xy])
    image = sample.images[mark.image]
    return told == to_bins(path, (image.width, image.height), bins)[: len(told)]
