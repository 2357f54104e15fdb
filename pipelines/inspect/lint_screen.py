"""What the texts and the picture of one screen must keep: marks that are named are drawn, places are where they say.

Letters: H height, W width.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from schemas.sample import Mark, Sample, Target
from transforms.box_drawing import mark_colours, outline_seen
from transforms.ui_prompts import DIGITS, Place, answered_places, asked_places, named_marks

Pixels = npt.NDArray[np.uint8]

_DRAWN = 0.15
"""share of an outline that has its mark's colour: labels and smaller boxes lie on some of it"""
_HALF = 0.5 * 10**-DIGITS + 1e-9
"""by how much rounding may move a coordinate"""


def check_texts(sample: Sample) -> Iterator[str]:
    """Marks and places of the turns about what is where, against the annotation."""
    marks = {mark.id: mark for mark in sample.marks}
    for number, turn in enumerate(sample.turns):
        if turn.kind != "grounding":
            continue
        for mark_id in named_marks(turn.content):
            if mark_id not in marks:
                yield f"turn {number}: names mark {mark_id}, there are {sorted(marks)}"
        places = asked_places(turn.content) if turn.role == "user" else answered_places(turn.content)
        for place in places:
            meant = sample.targets if place.mark is None else [marks[place.mark]] if place.mark in marks else []
            if meant and not any(_is_there(place, thing, sample) for thing in meant):
                what = "no target" if place.mark is None else f"not mark {place.mark}"
                yield f"turn {number}: {place.at} is {what}'s place"


def check_drawn(sample: Sample, member: str, image_HW3: Pixels) -> Iterator[str]:
    """Boxes that the picture does not show; `member`: of which picture. Marks on tracks are points, box or not."""
    boxed = [mark for mark in sample.marks if mark.box_xyxy and mark.track < 0]
    boxes = [mark for mark in boxed if sample.images[mark.image].member == member]
    colours = mark_colours([(mark.id, _box(mark)) for mark in boxes], (image_HW3.shape[1], image_HW3.shape[0]))
    for mark, colour in zip(boxes, colours, strict=True):
        seen = outline_seen(image_HW3, _box(mark), colour)
        if seen < _DRAWN:
            yield f"{member}: mark {mark.id} is not drawn: {seen:.2f} of its outline has its colour"


def _box(mark: Mark) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = mark.box_xyxy
    return x1, y1, x2, y2


def _is_there(place: Place, thing: Mark | Target, sample: Sample) -> bool:
    """A point in the box (near the point, where there is no box), a box that is the box; but for rounding."""
    image = sample.images[thing.image if isinstance(thing, Mark) else 0]
    box = _shares(thing.box_xyxy or [*thing.xy, *thing.xy], (image.width, image.height))
    if len(place.at) == 4:
        return bool(np.abs(np.array(place.at) - box).max() <= _HALF)
    x, y = place.at
    return bool(box[0] - _HALF <= x <= box[2] + _HALF and box[1] - _HALF <= y <= box[3] + _HALF)


def _shares(numbers: Sequence[float], size_wh: tuple[int, int]) -> npt.NDArray[np.float64]:
    shares_4: npt.NDArray[np.float64] = np.clip(np.array(numbers) / np.array([*size_wh, *size_wh]), 0, 1)
    return shares_4
