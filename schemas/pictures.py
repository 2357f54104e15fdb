"""The configs of jobs on pictures: screens (`ui`) and pictures of any kind (`image`).

Lengths are shares of the picture's shorter side where they are to survive a change of resolution, else pixels.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from schemas.config import LicenseConfig, ManifestSource, RunConfig
from schemas.fields import Config, Count, NotNegative, Positive, Share, Uris
from schemas.proposers import PixelsProposer, ProposerConfig, RegionsConfig, SegmentsProposer
from schemas.ui_datasets import UiDatasetConfig


class PicturesSource(Config):
    """Picture files: paths, folders (searched through), globs; local or any URL that fsspec knows."""

    name: Literal["pictures"] = "pictures"
    uris: Uris
    root: str = ""
    """URIs in the data are relative to it; empty: the folder that all `uris` share"""
    tree: str = ""
    """ending of the file beside each picture that tells its elements: ".json" for page.png and page.json"""
    text: str = ""
    licence: str = ""
    extensions: list[str] = ["png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "gif"]
    """what counts as a picture inside a folder; a file or glob named outright is taken as it is"""

    @field_validator("tree")
    @classmethod
    def _is_an_ending(cls, value: str) -> str:
        if value and "." not in value:
            raise ValueError(f"{value!r} is no ending; write it with its dot: .{value}")
        return value


class PictureConfig(Config):
    """How pictures are read."""

    max_pixels: Annotated[int, Field(ge=1)] = 50_000_000
    """larger ones, be they long pages too, are filtered(too_large) before they are decoded"""
    min_side_px: Count = 64
    """those whose shorter side is below it are filtered(too_small)"""
    max_side_px: Annotated[int, Field(ge=0)] = 0
    """shrunk to it, never enlarged; 0: as they are"""
    max_ratio: Positive = 3.0
    """a page taller than so many widths is cut into windows of its full width"""
    window_px: Count = 1344
    """height of a window (paper); one lies around each thing that is asked for, or one below the other"""


class BoxMarksConfig(Config):
    most: Count = 40
    """marks on a picture: what is asked for first, then fields to type into, what can be clicked, all else; among
    equals those of the highest score, then as drawn by the seed"""
    least: Count = 1
    """fewer are filtered(too_few_regions)"""
    min_legibility: Share = 0.5
    """where the worst label is below it a quarter of the marks is left out, as often as it takes; pictures of which too
    few are left are filtered(illegible). The product of how much of a label is free, how large its digits are, and how
    well they stand out"""

    @model_validator(mode="after")
    def _can_be_met(self) -> "BoxMarksConfig":
        if self.least > self.most:
            raise ValueError(f"least {self.least} is above most {self.most}; no picture would be kept: lower least")
        return self


class UiTextConfig(Config):
    """Questions come from a template file; the answers' formats are fixed, programs parse them."""

    templates: str | dict[str, list[str]] = ""
    """the questions, or a YAML file with them, in place of the built-in `pipelines/configs/ui_prompts.yaml`"""
    weights: dict[
        Literal["text_2_point", "text_2_bbox", "point_2_text", "bbox_2_text"],
        NotNegative,
    ] = {"text_2_point": 0.4, "text_2_bbox": 0.4, "point_2_text": 0.1, "bbox_2_text": 0.1}
    """how likely each kind of question about an element with words is (paper)"""
    input_weights: dict[Literal["input_2_point", "input_2_bbox"], NotNegative] = {
        "input_2_point": 0.5,
        "input_2_bbox": 0.5,
    }
    """how likely each kind of question about all fields to type into is; none is asked where both are 0"""
    questions: Annotated[int, Field(ge=0)] = 3
    """about elements, in one conversation (paper: 1)"""

    @model_validator(mode="after")
    def _can_be_drawn(self) -> "UiTextConfig":
        if self.questions and not sum(self.weights.values()):
            raise ValueError("weights are all 0; give one a weight, or set questions=0")
        return self


class ImageTextConfig(Config):
    """The questions of the video recipe that are about marks which stand still."""

    templates: str | dict[str, str] = ""
    """the questions, or a YAML file with them, in place of the built-in `pipelines/configs/prompts.yaml`"""
    bins: Annotated[int, Field(ge=2)] = 256
    """coordinates in text are whole numbers 0..bins-1 of the picture's width and height"""


class PictureOutput(Config):
    clean: bool = True
    """store the picture without marks too (`derive` needs it)"""
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = 95
    shard_pictures: Positive = 500.0
    """per shard; a file that holds many pictures is a shard of its own"""

    @property
    def shard_cost(self) -> float:
        return self.shard_pictures


class ExactDuplicates(Config):
    """Files with the same bytes: the record with the smallest key stays. Reads every picture before the plan."""

    name: Literal["exact"] = "exact"


class NearDuplicates(Config):
    """Pictures that look the same, by a perceptual hash of 64 bits. Decodes every picture before the plan."""

    name: Literal["near"] = "near"
    max_distance: Annotated[int, Field(ge=0, le=7)] = 4
    """bits that may differ"""


class KeepDuplicates(Config):
    """Pictures are not compared."""

    name: Literal["keep"] = "keep"


DuplicatesConfig = Annotated[KeepDuplicates | ExactDuplicates | NearDuplicates, Field(discriminator="name")]

PictureSourceConfig = Annotated[PicturesSource | ManifestSource | UiDatasetConfig, Field(discriminator="name")]


class UiJob(Config):
    """Screens with elements to marks on them and questions about them."""

    recipe: Literal["ui"] = "ui"
    dataset: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]+$")] = "screens"
    """name of the dataset; part of every key"""
    seed: int = 0
    val_share: Share = 0.05
    """share of the sources in split val; a source (a page, an episode) is never in two splits"""
    limit: Annotated[int, Field(ge=0)] = 0
    """read only this many records; 0: all"""
    source: PictureSourceConfig
    duplicates: DuplicatesConfig = KeepDuplicates()
    picture: PictureConfig = PictureConfig()
    proposer: ProposerConfig = PixelsProposer()
    regions: RegionsConfig = RegionsConfig()
    marks: BoxMarksConfig = BoxMarksConfig()
    text: UiTextConfig = UiTextConfig()
    output: PictureOutput = PictureOutput()
    license: LicenseConfig = LicenseConfig()
    run: RunConfig = RunConfig()


class ImageJob(Config):
    """Pictures of any kind to marks on their regions, all of which are to be located."""

    recipe: Literal["image"] = "image"
    dataset: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]+$")] = "images"
    """name of the dataset; part of every key"""
    seed: int = 0
    val_share: Share = 0.05
    """share of the sources in split val"""
    limit: Annotated[int, Field(ge=0)] = 0
    """read only this many records; 0: all"""
    source: PictureSourceConfig
    duplicates: DuplicatesConfig = KeepDuplicates()
    picture: PictureConfig = PictureConfig()
    proposer: ProposerConfig = SegmentsProposer()
    regions: RegionsConfig = RegionsConfig(max_share=0.6)
    marks: BoxMarksConfig = BoxMarksConfig(most=15)
    text: ImageTextConfig = ImageTextConfig()
    output: PictureOutput = PictureOutput()
    license: LicenseConfig = LicenseConfig()
    run: RunConfig = RunConfig()
