"""From a marked picture to a finished sample: annotation, images, arrays.

Positions are rounded first (`BoxMark`) and text is made from the rounded values, so that the stored numbers explain it.
"""

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from schemas.flow import BoxMark, FinishedSample, MarkedPicture, Regions, Rejected
from schemas.sample import (
    CLEAN_MEMBER,
    MARKED_MEMBER,
    Image,
    ImageRole,
    Mark,
    MarkKind,
    Provenance,
    Quality,
    Sample,
    Source,
    Target,
    Task,
    Turn,
)
from transforms.prompts import Templates, clean_narration, question, som_answer
from transforms.traces import to_bins

_IMAGE = "<image>\n"
_MAX_CROPS = 4
"""tiles of an image that the paper gives to pictures and screens"""


def build_screen_sample(
    marked: MarkedPicture,
    turns: Sequence[Turn],
    targets: Sequence[Target],
    *,
    dataset: str,
    proposer: str,
    keep_clean: bool,
    provenance: Provenance,
) -> FinishedSample | Rejected:
    """The sample of a screen with its conversation; filtered where nothing is asked."""
    if not turns:
        return Rejected(reason="nothing_asked", value=0, threshold=1)
    tasks: list[Task] = sorted({"qa" if turn.kind == "qa" else "grounding" for turn in turns})
    page = marked.picture.page
    text = next((task.text for task in page.tasks), marked.picture.ref.text)
    sample = Sample(
        tasks=tasks,
        text=" ".join(text.split()),
        images=[_image(marked, MARKED_MEMBER, "marked")],
        turns=list(turns),
        targets=list(targets),
        **_shared(marked, dataset, proposer, "element", provenance, image=0),
    )
    return _finished(marked, sample, keep_clean=keep_clean)


def build_image_sample(
    marked: MarkedPicture,
    *,
    dataset: str,
    proposer: str,
    templates: Templates,
    bins: int,
    keep_clean: bool,
    provenance: Provenance,
) -> FinishedSample:
    """The sample of a picture, "locate all marks". A caption is told first, on the clean picture if it is kept."""
    size_wh, caption = marked.picture.size_wh, clean_narration(marked.picture.ref.text)
    places = to_bins([list(mark.xy) for mark in marked.marks], size_wh, bins)
    positions = {mark.id: place for mark, place in zip(marked.marks, places, strict=True)}
    asked = question(templates, "som", bins=bins, marks=sorted(positions), text=caption, steps=0, speed=None)
    turns = [
        Turn(role="user", kind="som", content=asked),
        Turn(role="assistant", kind="som", content=som_answer(positions)),
    ]
    images = [_image(marked, MARKED_MEMBER, "marked")]
    if caption:
        what = question(templates, "semantic", bins=0, marks=[], text="", steps=0, speed=None)
        told = Turn(role="assistant", kind="semantic", content=f"{caption}\n")
        on_clean = [turns[0].model_copy(update={"content": _IMAGE + asked})] if keep_clean else [turns[0]]
        turns = [Turn(role="user", kind="semantic", content=_IMAGE + what), told, *on_clean, turns[1]]
        images = [_image(marked, CLEAN_MEMBER, "clean"), *images] if keep_clean else images
    else:
        turns[0] = turns[0].model_copy(update={"content": _IMAGE + asked})
    sample = Sample(
        tasks=["som"],
        text=marked.picture.ref.text,
        images=images,
        turns=turns,
        **_shared(marked, dataset, proposer, "object", provenance, image=len(images) - 1),
    )
    return _finished(marked, sample, keep_clean=keep_clean)


def _finished(marked: MarkedPicture, sample: Sample, *, keep_clean: bool) -> FinishedSample:
    images = {MARKED_MEMBER: marked.marked_HW3}
    if keep_clean:
        images[CLEAN_MEMBER] = marked.picture.image_HW3
    return FinishedSample(
        sample=sample, source_key=marked.picture.ref.source_key, images=images, arrays=region_arrays(marked.regions)
    )


def _shared(
    marked: MarkedPicture, dataset: str, proposer: str, kind: MarkKind, provenance: Provenance, *, image: int
) -> dict[str, Any]:
    picture = marked.picture
    whole = (0, 0, *picture.page_wh)
    return {
        "key": picture.key,
        "split": picture.ref.split,
        "marks": [_mark(mark, marked.regions, proposer, kind, image) for mark in marked.marks],
        "max_crops": _MAX_CROPS,
        "source": Source(
            dataset=dataset,
            uri=picture.ref.uri,
            record_key=picture.ref.record_key,
            record_id=picture.record_id,
            licence=picture.ref.licence,
            window_xyxy=[] if picture.window_xyxy == whole else [float(side) for side in picture.window_xyxy],
        ),
        "quality": [Quality(name=name, value=round(value, 4)) for name, value in marked.legibility.items()],
        "provenance": provenance,
    }


def _mark(mark: BoxMark, regions: Regions, proposer: str, kind: MarkKind, image: int) -> Mark:
    return Mark(
        id=mark.id,
        image=image,
        kind=kind,
        xy=list(mark.xy),
        box_xyxy=list(mark.box_xyxy),
        label=str(regions.label_R[mark.region]),
        score=round(float(regions.score_R[mark.region]), 4),
        proposer=proposer,
        region=mark.region,
    )


def _image(marked: MarkedPicture, member: str, role: ImageRole) -> Image:
    width, height = marked.picture.size_wh
    return Image(member=member, role=role, width=width, height=height)


def region_arrays(regions: Regions) -> dict[str, npt.NDArray[Any]]:
    """What `KEY.npz` holds of regions."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "regions_xyxy_R4": regions.xyxy_R4,
        "regions_score_R": regions.score_R,
        "regions_label_R": regions.label_R,
        "regions_role_R": regions.role_R,
        "regions_reason_R": regions.reason_R,
    }
    if regions.point_R2 is not None:
        arrays["regions_point_R2"] = regions.point_R2
    if regions.mask_R is not None:
        arrays["regions_mask_R"] = regions.mask_R
    return arrays
