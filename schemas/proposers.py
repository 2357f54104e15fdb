"""The configs of the proposers of regions, and of which regions can be marked."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.fields import Config, Count, NotNegative, Share
from schemas.networks import SamProposer, YoloProposer


class DomProposer(Config):
    """Elements of a web page as `somtom capture` stores them; the source's `tree` says where."""

    name: Literal["dom"] = "dom"


class AndroidProposer(Config):
    """A uiautomator dump (XML) or a view tree (JSON of DroidBot or Rico); the source's `tree` says where."""

    name: Literal["android"] = "android"


class PixelsProposer(Config):
    """A bare screenshot: words by OCR (rapidocr), icons and fields by contours and edges."""

    name: Literal["pixels"] = "pixels"
    min_text_score: Share = 0.5
    """words that the OCR is less sure of are left out"""


class GivenProposer(Config):
    """The boxes that come with the dataset."""

    name: Literal["given"] = "given"


class SegmentsProposer(Config):
    """Graph-based segmentation, merged and ranked."""

    name: Literal["segments"] = "segments"
    most: Count = 40
    """regions, the best first"""


class GridProposer(Config):
    """The cells of a grid: the baseline."""

    name: Literal["grid"] = "grid"
    columns: Count = 6
    rows: Count = 4


ProposerConfig = Annotated[
    DomProposer
    | AndroidProposer
    | PixelsProposer
    | GivenProposer
    | SegmentsProposer
    | GridProposer
    | SamProposer
    | YoloProposer,
    Field(discriminator="name"),
]


class RegionsConfig(Config):
    """Which regions can be marked; each of the others is stored with its reason (schemas/reasons.py)."""

    min_side: Share = 0.006
    """shorter than this (or partly outside, with less than this inside): zero_area, off_screen"""
    max_share: Share = 0.5
    """of the picture; larger regions without words are containers"""
    max_iou: Share = 0.9
    """of two boxes that overlap more the one that says more stays"""
    min_contrast: NotNegative = 4.0
    """grey levels between the dark and the light of a crop; less is blank"""
