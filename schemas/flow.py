"""What flows through a job between reading and writing: frozen values, numpy arrays inside.

Letters: T time steps, N tracked points, H height, W width, R regions. Pixels are those of the clip (after rotation and
resizing), x right, y down, origin at the outer corner of the top-left pixel: the centre of that pixel is (0.5, 0.5).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from schemas.page import Page
from schemas.sample import QualityName, Sample, Turn

Float = npt.NDArray[np.floating[Any]]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Record:
    """A row or file of the input, as a dataset parser gives it. Seconds; `end_s` inf means the end of the file.

    `page`: what the dataset says of a picture, as JSON of `schemas.page.Page`; "" where it says nothing. `source`: what
    must not be in two splits (a page, an episode), "" for the file at `uri`.
    """

    record_id: str
    uri: str
    start_s: float = 0.0
    end_s: float = float("inf")
    text: str = ""
    licence: str = ""
    page: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BadRow:
    """A row of the input that is no record; `error` says what is wrong and what would be right."""

    record_id: str
    uri: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ref:
    """A record, or a part of a long video, as the plan hands it to a worker. `uri` is relative to the job's root.

    `cost`: seconds of footage, or pictures.
    """

    record_key: str
    record_id: str
    source_key: str
    split: str
    uri: str
    part: int
    start_s: float
    end_s: float
    text: str
    licence: str
    cost: float
    page: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rejected:
    """An expected "no": a short constant `reason` (schemas/reasons.py), what was measured, and the limit it missed."""

    reason: str
    value: float = float("nan")
    threshold: float = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """Frames of one shot at an even rate. `frame_indices_T`: their numbers in the source.

    `text_similarity`: what the gate found of frames and narration, -1..1; NaN where it did not look.
    """

    key: str
    ref: Ref
    frames_THW3: npt.NDArray[np.uint8]
    times_s_T: Float
    fps: float
    frame_indices_T: npt.NDArray[np.int64]
    text_similarity: float = float("nan")

    @property
    def size_wh(self) -> tuple[int, int]:
        return self.frames_THW3.shape[2], self.frames_THW3.shape[1]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tracks:
    """Point tracks in pixels; a point that is not visible keeps its last known position. `confidence_TN` in 0..1."""

    xy_TN2: npt.NDArray[np.float32]
    visible_TN: Bool
    confidence_TN: npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CameraMotion:
    """`homographies_T33` maps frame t to the reference frame; all identity where the camera stands still.

    The reference frame is frame 0 until marks are chosen (`Marked.reference`).
    """

    moving: bool
    model: str
    homographies_T33: npt.NDArray[np.float64]
    inlier_ratio_T: Float
    residual_px: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Motion:
    """Tracks seen from the reference camera, and what moves.

    `usable_N`: seen long enough, and either moving or standing still beyond doubt; `moving_N` is a part of it.
    """

    steady_xy_TN2: Float
    usable_N: Bool
    moving_N: Bool
    speed_N: Float
    """mean speed after removal of the camera's motion, in image diagonals per second"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PointMark:
    """A numbered mark on a tracked point; `kind` is "moving" or "static", `region` that of a thing, else -1."""

    id: int
    track: int
    kind: str
    region: int = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tracked:
    clip: Clip
    tracks: Tracks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Steadied:
    clip: Clip
    tracks: Tracks
    camera: CameraMotion


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """`regions`: of the frame that will be marked, where things are (objects.name=regions)."""

    clip: Clip
    tracks: Tracks
    camera: CameraMotion
    motion: Motion
    regions: "Regions | None" = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Marked:
    """`reference`: number of the clip's frame that is marked and that `camera` and `motion` refer to."""

    clip: Clip
    tracks: Tracks
    camera: CameraMotion
    motion: Motion
    reference: int
    marks: tuple[PointMark, ...]
    regions: "Regions | None" = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FinishedSample:
    """A sample before encoding: its annotation, its images by member name, its raw arrays by name (may be empty)."""

    sample: Sample
    source_key: str
    images: dict[str, npt.NDArray[np.uint8]]
    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncodedSample:
    """What goes into the tar: members as (suffix, bytes) in order, and the sample's row of the index but its place."""

    key: str
    members: tuple[tuple[str, bytes], ...]
    index_row: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Screen:
    """One picture out of a file that holds many, as a dataset parser gives it.

    `picture`: the bytes of an image file, or pixels RGB HW3; None where it is a file of its own, at `uri` (relative to
    the source's `pictures`), or (`uri` "") not to be had.
    """

    record_id: str
    page: Page
    picture: bytes | npt.NDArray[np.uint8] | None
    uri: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """A picture, or a window of a long page: `window_xyxy` says where it lies on the page, in the page's pixels.

    `page`: what the dataset says, boxes in pixels of `image_HW3`. `tree`: the file that tells the elements, as it is.
    """

    key: str
    ref: Ref
    record_id: str
    image_HW3: npt.NDArray[np.uint8]
    window_xyxy: tuple[int, int, int, int]
    page_wh: tuple[int, int]
    page: Page
    tree: bytes = b""

    @property
    def size_wh(self) -> tuple[int, int]:
        return self.image_HW3.shape[1], self.image_HW3.shape[0]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regions:
    """Candidates for marks, all of them: boxes in pixels of the picture, what they say, what they are.

    `role_R`: words of schemas/roles.py. `reason_R`: why a region can't be marked (schemas/reasons.py), "" if it can.
    `point_R2`: where each is pointed at; None: in the middle of its box. `mask_R`: of the whole picture, as COCO's
    compressed run lengths (transforms/masks.py), "" for a region without; None where nobody asked for masks.
    """

    xyxy_R4: npt.NDArray[np.float32]
    score_R: npt.NDArray[np.float32]
    label_R: npt.NDArray[np.str_]
    role_R: npt.NDArray[np.str_]
    reason_R: npt.NDArray[np.str_]
    point_R2: npt.NDArray[np.float32] | None = None
    mask_R: npt.NDArray[np.str_] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Proposed:
    picture: Picture
    regions: Regions


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoxMark:
    """A numbered mark on the region with this number; `xy`, `box_xyxy` are rounded to 2 decimals."""

    id: int
    region: int
    xy: tuple[float, float]
    box_xyxy: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MarkedPicture:
    """`legibility`: quality by name, of the worst label."""

    picture: Picture
    regions: Regions
    marks: tuple[BoxMark, ...]
    marked_HW3: npt.NDArray[np.uint8]
    legibility: dict[QualityName, float]


Proposer = Callable[[Sequence[Picture]], list[Regions]]
"""Finds the regions of pictures; ValueError where a picture's tree or boxes are not what they should be."""

Question = Literal["caption", "som", "tom", "click", "action"]
"""What a scene is asked: what is seen, where all marks are, where marks move, what to click, how a robot moves."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SceneMark:
    """A mark on a scene: a point, or a box with its middle at `xy`."""

    id: int
    xy: tuple[float, float]
    box_xyxy: tuple[float, ...] = ()
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """A picture, the marks on it, and a chat about it that ends with a question.

    `shown`: the pictures of the chat's `<image>` in order. `traces`: where moving marks truly go, xy_K2 by mark, its
    own place first, at most `steps` after it; empty where nobody knows. `steps`: future positions that are asked for.
    """

    name: str
    task: Question
    clean_HW3: npt.NDArray[np.uint8]
    marked_HW3: npt.NDArray[np.uint8]
    marks: tuple[SceneMark, ...]
    turns: tuple[Turn, ...]
    shown: tuple[npt.NDArray[np.uint8], ...]
    max_crops: int
    bins: int
    steps: int = 0
    traces: dict[int, Float] = field(default_factory=dict)

    @property
    def size_wh(self) -> tuple[int, int]:
        return self.clean_HW3.shape[1], self.clean_HW3.shape[0]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LedgerRow:
    """What became of a record or an item; the columns of `schemas.tables.LEDGER`. NaN: no such number."""

    kind: str
    key: str
    record_key: str
    record_id: str
    uri: str
    outcome: str
    stage: str = ""
    reason: str = ""
    value: float = float("nan")
    threshold: float = float("nan")
    error: str = ""


Row = dict[str, Any]
Parser = Callable[[Row], Record]
"""One row of a listing or table to a record; ValueError with the value and the cure where the row is bad."""

Unpacker = Callable[[BinaryIO], Iterator[Screen | BadRow]]
"""A file that holds many pictures to its screens, in the order of the file; ValueError where the file can't be read on,
after what came before was given."""

Gate = Callable[[Sequence[Clip]], list[float]]
"""How well the frames of clips, all of them narrated, show what is said: -1..1 each."""

Tracker = Callable[[Sequence[Clip], Sequence[Float]], list[Tracks]]
"""Follows points_N2 of each clip (pixels, on its frame 0) through it."""
