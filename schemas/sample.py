"""The annotation of one sample, `KEY.json` in a shard: the contract with everyone who reads the data.

Pixels of the stored image are the only coordinates: x to the right, y down, origin at the outer corner of the top-left
pixel. Every field is always present; what does not apply is an empty list or an empty string, never null.
"""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCHEMA_VERSION: Literal[1] = 1

Task = Literal["som", "tom", "action", "grounding", "qa"]
TurnKind = Literal["semantic", "som", "tom", "action", "grounding", "qa"]
MarkKind = Literal["element", "object", "moving", "static"]
ImageRole = Literal["marked", "clean", "history", "frame"]
QualityName = Literal[
    "track_share",
    "moving_share",
    "speed_per_s",
    "inlier_ratio",
    "residual_share",
    "text_similarity",
    "label_free",
    "label_px",
    "label_contrast",
    "legibility",
]

MARKED_MEMBER = "jpg"
CLEAN_MEMBER = "clean.jpg"
ANNOTATION_MEMBER = "json"
ARRAYS_MEMBER = "npz"
IMAGE_MEMBER = re.compile(r"jpg|clean\.jpg|img\d\d\.jpg")
"""What follows `KEY.` for an image: the first marked one, the same without marks, further ones in the order of use."""

ARRAYS = {
    "tracks_xy_TN2": "float32",
    "visible_TN": "bool",
    "confidence_TN": "float16",
    "moving_N": "bool",
    "homographies_T33": "float64",
    "inlier_ratio_T": "float64",
    "times_s_T": "float64",
    "regions_xyxy_R4": "float32",
    "regions_score_R": "float32",
    "regions_label_R": "string",
    "regions_role_R": "string",
    "regions_reason_R": "string",
    "regions_point_R2": "float32",
    "regions_mask_R": "string",
}
"""The arrays of `KEY.npz` and their types. Names end in their axes: T time steps, N points, R regions, digits fixed."""

Point = Annotated[list[float], Field(min_length=2, max_length=2)]
Box = Annotated[list[float], Field(max_length=4)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Image(_Closed):
    """One `<image>` of the turns; `member` is what follows `KEY.` in the tar (several images may share one member)."""

    member: str
    role: ImageRole
    width: int
    height: int
    time_s: float = 0.0
    camera: str = ""


class Turn(_Closed):
    role: Literal["user", "assistant"]
    kind: TurnKind
    content: str


class Mark(_Closed):
    """A numbered mark; `region` and `track` index the arrays of `KEY.npz`, -1 where there is none."""

    id: int
    image: int
    kind: MarkKind
    xy: Point
    box_xyxy: Box = []
    label: str = ""
    score: float = 0.0
    proposer: str = ""
    region: int = -1
    track: int = -1


class Target(_Closed):
    """What an instruction asks for; `mark` is a mark's id, -1 where the target has none."""

    mark: int
    xy: Point
    box_xyxy: Box = []
    operation: str = ""
    value: str = ""


class Trace(_Closed):
    """The camera-motion-free path of a mark, as the reference frame's camera sees it, at even steps of time.

    `xy[0]` is the mark's own position at the time of its image. What frames hid is interpolated and not `visible`.
    """

    mark: int
    times_s: list[float]
    xy: list[Point]
    visible: list[bool]


class Camera(_Closed):
    moving: bool = False
    model: Literal["none", "homography"] = "none"
    inlier_ratio: float = 1.0
    residual_px: float = 0.0


class Action(_Closed):
    values: list[float] = []
    tokens: list[int] = []
    statistics: str = ""
    episode: str = ""
    step: int = -1
    is_last: bool = False


class Source(_Closed):
    """Where a sample comes from; `uri` is relative to the declared root, `frame_index` that of the reference frame.

    `window_xyxy`: the part of a long page that is shown, in pixels of the whole; empty where all of it is.
    """

    dataset: str
    uri: str
    record_key: str
    record_id: str
    licence: str = ""
    start_s: float = 0.0
    end_s: float = 0.0
    fps: float = 0.0
    frame_index: int = -1
    window_xyxy: Box = []


class Quality(_Closed):
    name: QualityName
    value: float


class Part(_Closed):
    """A part that took a share in making the sample: a tracker, a proposer, a camera model."""

    role: str
    name: str
    weights_sha256: str = ""
    licence: str = ""


class Provenance(_Closed):
    config_hash: str
    code_version: str
    parts: list[Part] = []


class Sample(_Closed):
    """One training sample. The validator holds what a single sample can promise; `lint` holds the rest."""

    schema_version: Literal[1] = SCHEMA_VERSION
    key: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]+$")]
    split: Annotated[str, Field(pattern=r"^[a-z]+$")]
    tasks: list[Task]
    text: str = ""
    images: list[Image] = []
    turns: list[Turn] = []
    marks: list[Mark] = []
    targets: list[Target] = []
    traces: list[Trace] = []
    camera: Camera = Camera()
    action: Action = Action()
    source: Source
    max_crops: int = 1
    quality: list[Quality] = []
    provenance: Provenance

    @model_validator(mode="after")
    def _is_consistent(self) -> "Sample":
        n_placeholders = sum(turn.content.count("<image>") for turn in self.turns)
        if n_placeholders != len(self.images):
            raise ValueError(f"{n_placeholders} <image> in the turns but {len(self.images)} images")
        ids = [mark.id for mark in self.marks]
        if len(set(ids)) != len(ids):
            raise ValueError(f"mark ids are not unique: {ids}")
        position = {mark.id: mark.xy for mark in self.marks}
        for mark in self.marks:
            _check_mark(mark, self.images)
        for trace in self.traces:
            if not len(trace.times_s) == len(trace.xy) == len(trace.visible) > 0:
                raise ValueError(f"trace of mark {trace.mark}: times_s, xy and visible differ in length or are empty")
            if trace.xy[0] != position.get(trace.mark):
                raise ValueError(f"trace of mark {trace.mark} starts at {trace.xy[0]}, not at its mark")
        for target in self.targets:
            if target.mark != -1 and target.mark not in position:
                raise ValueError(f"target names mark {target.mark}, which is not among {ids}")
        return self


def _check_mark(mark: Mark, images: list[Image]) -> None:
    if not 0 <= mark.image < len(images):
        raise ValueError(f"mark {mark.id} lies on image {mark.image} of {len(images)}")
    image = images[mark.image]
    if not (0 <= mark.xy[0] <= image.width and 0 <= mark.xy[1] <= image.height):
        raise ValueError(f"mark {mark.id} at {mark.xy} is outside its {image.width}x{image.height} image")
    if len(mark.box_xyxy) not in (0, 4):
        raise ValueError(f"mark {mark.id}: box_xyxy has {len(mark.box_xyxy)} numbers, want 0 or 4")
