"""The config of a video job, and what all jobs share: frozen pydantic models, every default here.

Thresholds survive a change of fps and resolution: lengths are fractions of the image diagonal, speeds diagonals per
second, times seconds. Fields under `run` and `source.root` say how and where a job runs, not what it makes: they are
left out of the config hash (pipelines/config.py).
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from schemas.fields import Config, NotNegative, Positive, Share, Uris
from schemas.networks import CoTrackerTracker, Device, GateConfig, NoGate, SamProposer, YoloProposer
from schemas.proposers import GridProposer, RegionsConfig, SegmentsProposer


class VideosSource(Config):
    """Video files: paths, folders (searched through), globs; local or any URL that fsspec knows."""

    name: Literal["videos"] = "videos"
    uris: Uris
    root: str = ""
    """URIs in the data are relative to it; empty: the folder that all `uris` share"""
    text: str = ""
    licence: str = ""
    extensions: list[str] = ["mp4", "mov", "m4v", "mkv", "webm", "avi", "ts", "mpg", "mpeg", "ogv", "3gp"]
    """what counts as a video inside a folder; a file or glob named outright is taken as it is"""


class ManifestSource(Config):
    """A CSV, JSONL or Parquet table, a row per record: uri, start_s, end_s, text, text_override, id, licence."""

    name: Literal["manifest"] = "manifest"
    required: ClassVar[tuple[str, ...]] = ("uri",)
    """columns that the table must have"""
    path: str
    root: str = ""
    """`uri` of the rows is relative to it; empty: the folder of the table"""
    licence: str = ""


VideoSourceConfig = Annotated[VideosSource | ManifestSource, Field(discriminator="name")]


class DecodeConfig(Config):
    backend: Literal["pyav", "decord"] = "pyav"
    fps: Positive = 8.0
    """frames per second of a clip; never more than the source has"""
    long_side_px: Annotated[int, Field(ge=64)] = 512
    """frames are shrunk to it, never enlarged"""
    min_side_px: Annotated[int, Field(ge=1)] = 64
    """videos whose shorter side is below it after shrinking are filtered(too_small)"""


class ContentShots(Config):
    """PySceneDetect's ContentDetector."""

    name: Literal["content"] = "content"
    threshold: Positive = 27.0
    min_shot_s: Positive = 0.5


class NoShots(Config):
    """The segment is one shot (for datasets that are cut already)."""

    name: Literal["none"] = "none"


ShotsConfig = Annotated[ContentShots | NoShots, Field(discriminator="name")]


class ClipsConfig(Config):
    length_s: Positive = 2.0
    stride_s: Annotated[float, Field(ge=0.01, allow_inf_nan=False)] = 2.0
    min_length_s: Positive = 1.0
    """the last clip of a shot may be this short; a shot shorter than it is filtered(too_short)"""

    @model_validator(mode="after")
    def _lengths_fit(self) -> "ClipsConfig":
        if self.min_length_s > self.length_s:
            raise ValueError(f"min_length_s {self.min_length_s} is above length_s {self.length_s}; make it shorter")
        return self


class PointsConfig(Config):
    """A point in every cell of a grid of grid x grid cells on the first frame (paper: s = 15)."""

    grid: Annotated[int, Field(ge=2, le=64)] = 15
    place: Literal["textured", "middle"] = "textured"
    """where in its cell: at the nearest place that can be tracked, or in the middle (paper)"""
    stretch_s: Positive = 4.0
    """longer clips are tracked in stretches of this length: a point's first look ages"""
    overlap_s: NotNegative = 0.5
    """of two stretches. A stretch also ends, and points are put in anew, where half of its points are lost"""


class LucasKanadeTracker(Config):
    """Pyramidal Lucas-Kanade (OpenCV) with checks of the way back and of the point's own first look."""

    name: Literal["lucas_kanade"] = "lucas_kanade"
    window: Annotated[float, Field(gt=0, le=0.5)] = 0.035
    """side of the search window, in diagonals"""
    levels: Annotated[int, Field(ge=0, le=8)] = 3
    """of the pyramid, above one of half the size"""
    max_forward_backward: Positive = 0.004
    """a point whose way back misses its start by more is lost, in diagonals"""
    min_similarity: Share = 0.5
    """a point whose patch is less like its first one (correlation) is lost"""


TrackerConfig = Annotated[LucasKanadeTracker | CoTrackerTracker, Field(discriminator="name")]


class HomographyCamera(Config):
    """One homography per frame to the reference frame, by consensus of whole tracks."""

    name: Literal["homography"] = "homography"
    max_residual: Positive = 0.004
    """a track that is off by more (root mean square) is no background, in diagonals; twice as much where that fails"""
    min_inlier_ratio: Share = 0.3
    """of the visible points, in the worst frame; half of it where the camera stands still"""


class NoCamera(Config):
    """The camera is known to stand still."""

    name: Literal["none"] = "none"


CameraConfig = Annotated[HomographyCamera | NoCamera, Field(discriminator="name")]


class MotionConfig(Config):
    min_visible_share: Share = 0.4
    """a point counts if it is visible on the reference frame and in more than this share of the clip"""
    min_usable_points: Annotated[int, Field(ge=4)] = 16
    min_displacement: Positive = 0.018
    """moving: at least this far from its start at some time, and farther than noise gets, in diagonals"""
    max_parallax: Share = 0.15
    """more points that depth explains (nearer or farther than the background) make the clip filtered(parallax)"""
    min_moving_points: Annotated[int, Field(ge=1)] = 2
    """fewer make a SoM sample: locate all marks (paper: at most one foreground track)"""


class MarksConfig(Config):
    k: Literal["groups", "paper"] = "groups"
    """marks on what moves. groups: at least one on every motion group; paper: k clusters of all moving points
    (algorithm 2). k is drawn from 1..min(`max_moving`, moving points), static points get 2k marks"""
    max_moving: Annotated[int, Field(ge=1)] = 5
    min_gap: NotNegative = 0.05
    """marks closer to one another than this are not both drawn, in diagonals"""


class PointObjects(Config):
    """Marks are put on tracked points."""

    name: Literal["points"] = "points"


class RegionObjects(Config):
    """Marks are put on things: the regions of the reference frame that a share of their points says move.

    How many there are depends on these alone: `marks.k`, `marks.max_moving` and `motion.min_moving_points` don't count.
    """

    name: Literal["regions"] = "regions"
    proposer: Annotated[SegmentsProposer | SamProposer | YoloProposer | GridProposer, Field(discriminator="name")] = (
        SegmentsProposer()
    )
    regions: RegionsConfig = RegionsConfig(max_share=0.6)
    min_points: Annotated[int, Field(ge=1)] = 2
    """in a region that is to be marked"""
    min_moving_share: Share = 0.5
    """of the points in a region; with as many of them moving, or more, it moves"""


ObjectsConfig = Annotated[PointObjects | RegionObjects, Field(discriminator="name")]


class TracesConfig(Config):
    """What is told of a mark's way: positions at even steps of time from the reference frame on."""

    start_share: Share = 0.5
    """the reference frame is drawn from the frames before this share of the clip's motion; 0: always the first"""
    steps: Annotated[int, Field(ge=1)] = 16
    """most positions after the start"""
    interval_s: Positive = 0.125
    max_gap_s: NotNegative = 0.3
    """a point that is hidden no longer than this is interpolated (and flagged); a longer gap ends the trace"""
    min_share: Share = 0.5
    """a trace with fewer steps than this share of those that the clip has room for is left out of the answer"""
    min_reach_bins: NotNegative = 2.0
    """a trace that never gets this far from its start is left out of the answer, in bins of the text"""


class TextConfig(Config):
    """Questions come from a template file; the answers' formats are fixed, programs parse them."""

    templates: str | dict[str, str] = ""
    """the questions, or a YAML file with them, in place of the built-in `pipelines/configs/prompts.yaml`"""
    bins: Annotated[int, Field(ge=2)] = 256
    """coordinates in text are whole numbers 0..bins-1 of the image's width and height"""
    speed: bool = False
    """the question also gives the mean speed of the marks"""


class OutputConfig(Config):
    clean: bool = True
    """store the reference frame without marks too (`derive` needs it)"""
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = 95
    shard_cost_s: Positive = 600.0
    """seconds of source video per shard; longer videos are spread over several, and no clip reaches from one to the
    next"""

    @property
    def shard_cost(self) -> float:
        return self.shard_cost_s


class RunConfig(Config):
    """How a job runs. Not in the config hash."""

    max_quarantined: Share = 0.05
    """a job with a larger share of quarantined records ends with exit code 3"""
    deadline_s: Annotated[float, Field(gt=0, le=1e6)] = 300.0
    """work on one item (or a batch of a network) that makes no progress for this long is quarantined(timeout)"""
    probe_threads: Annotated[int, Field(ge=1)] = 8
    """container headers read at once by the plan"""
    device: Device = "auto"
    """what networks run on; auto: the first GPU, where there is one"""
    batch: Annotated[int, Field(ge=0)] = 0
    """items that a network takes at once; 0: as many as fit its memory (one on a CPU)"""


class LicenseConfig(Config):
    permissive_only: bool = False
    """refuse parts (code or weights) whose licence is not permissive: AGPL, non-commercial"""


class VideoJob(Config):
    recipe: Literal["video"] = "video"
    dataset: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]+$")] = "videos"
    """name of the dataset; part of every key"""
    seed: int = 0
    val_share: Share = 0.05
    """share of the sources in split val; a source is never in two splits"""
    limit: Annotated[int, Field(ge=0)] = 0
    """read only this many records; 0: all"""
    source: VideoSourceConfig
    decode: DecodeConfig = DecodeConfig()
    shots: ShotsConfig = ContentShots()
    clips: ClipsConfig = ClipsConfig()
    gate: GateConfig = NoGate()
    points: PointsConfig = PointsConfig()
    tracker: TrackerConfig = LucasKanadeTracker()
    camera: CameraConfig = HomographyCamera()
    motion: MotionConfig = MotionConfig()
    marks: MarksConfig = MarksConfig()
    objects: ObjectsConfig = PointObjects()
    traces: TracesConfig = TracesConfig()
    text: TextConfig = TextConfig()
    output: OutputConfig = OutputConfig()
    license: LicenseConfig = LicenseConfig()
    run: RunConfig = RunConfig()

    @model_validator(mode="after")
    def _clips_fit(self) -> "VideoJob":
        least = 2 * self.clips.length_s
        if self.output.shard_cost_s < least:
            raise ValueError(
                f"output.shard_cost_s {self.output.shard_cost_s} is below two clips; make it {least} or more"
            )
        if self.traces.interval_s > self.clips.length_s:
            raise ValueError(
                f"traces.interval_s {self.traces.interval_s} is longer than a clip (clips.length_s "
                f"{self.clips.length_s}): no trace would have a step; make it shorter"
            )
        return self
