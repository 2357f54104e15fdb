"""Configs of the parts that are networks with weights, and what these parts share.

Where weights lie (`weights`) and what they run on (`run.device`, `run.batch`) is not in the config hash; which weights
they are (`sha256`) is: in what a dataset stores of its config, places are empty.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from schemas.fields import Config, Count, Share

Weights = str
"""a file with weights: a path, a URL that is fetched once into a cache, or a name of WEIGHTS.md"""
Sha256 = Annotated[
    str,
    BeforeValidator(lambda given: given.lower() if isinstance(given, str) else given),
    Field(pattern=r"^([0-9a-f]{64})?$"),
]
"""of that file; empty: it is worked out for a local file, and known for those of WEIGHTS.md"""
Precision = Literal["auto", "float32", "bfloat16", "float16"]
"""auto: bfloat16 on a GPU that has it, float16 on an older one, float32 on a CPU"""


class SamProposer(Config):
    """Segment Anything: masks of all that is under a grid of points, or in the boxes of the dataset."""

    name: Literal["sam"] = "sam"
    model: Literal["vit_b", "vit_l", "vit_h"] = "vit_b"
    weights: Weights = ""
    sha256: Sha256 = ""
    precision: Precision = "auto"
    prompts: Literal["grid", "given"] = "grid"
    """grid: points over the whole picture; given: the boxes that come with the dataset, each to its mask"""
    points_per_side: Annotated[int, Field(ge=1, le=128)] = 32
    points_per_batch: Count = 64
    """prompts that the mask decoder takes at once, of one picture or of several"""
    min_iou: Share = 0.88
    """masks whose quality the network itself puts lower are left out"""
    min_stability: Share = 0.95
    """masks that change more with the threshold are left out"""
    max_iou: Share = 0.7
    """of two masks whose boxes overlap more the better one stays"""
    most: Count = 100
    """regions, the best first"""
    masks: bool = False
    """store every region's mask too, as COCO's compressed run lengths (regions_mask_R)"""


class YoloProposer(Config):
    """Any detection or segmentation checkpoint of ultralytics; OmniParser's icon_detect among them."""

    name: Literal["yolo"] = "yolo"
    weights: Weights = ""
    sha256: Sha256 = ""
    precision: Precision = "auto"
    image_px: Annotated[int, Field(ge=32)] = 640
    """longer side of what the network sees"""
    min_score: Share = 0.25
    """OmniParser: 0.05"""
    max_iou: Share = 0.7
    """of two boxes that overlap more the better one stays (OmniParser: 0.1)"""
    most: Count = 300
    text: Literal["none", "ocr"] = "none"
    """ocr: words are read too and put together with the boxes by OmniParser's rules"""
    min_text_score: Share = 0.5
    """words that the OCR is less sure of are left out"""


class CoTrackerTracker(Config):
    """CoTracker, from its own repository: installed, or a checkout by path."""

    name: Literal["cotracker"] = "cotracker"
    model: Annotated[Literal["3_offline", "3_online", "2"], BeforeValidator(str)] = "3_offline"
    weights: Weights = ""
    sha256: Sha256 = ""
    precision: Precision = "auto"
    repository: str = ""
    """folder of a checkout of facebookresearch/co-tracker; empty: the installed package"""
    min_visibility: Share = 0.6
    """a point whose visibility is not above it is hidden; of CoTracker 3, its visibility times its confidence (0.6: as
    its authors evaluate it)"""
    support_grid: Annotated[int, Field(ge=0, le=32)] = 6
    """side of a grid of points that are tracked beside those asked for: they steady the rest"""


class ClipGate(Config):
    """Whether a clip's frames show what its narration says: the cosine of CLIP's picture and text (open_clip).

    A clip without a narration has no score and passes.
    """

    name: Literal["clip"] = "clip"
    mode: Literal["score", "filter"] = "filter"
    """score: the similarity is stored only; filter: clips below `min_similarity` are filtered(text_mismatch)"""
    model: str = "ViT-L-14-336-quickgelu"
    """architecture, by open_clip's name; OpenAI's weights want one that ends in -quickgelu, and no file tells of it"""
    weights: Weights = ""
    sha256: Sha256 = ""
    precision: Precision = "auto"
    min_similarity: Annotated[float, Field(ge=-1, le=1)] = 0.25
    frames: Annotated[int, Field(ge=1, le=64)] = 4
    """of the clip, evenly spaced; the one that fits best counts"""


class NoGate(Config):
    """Narrations are taken as they are."""

    name: Literal["off"] = "off"


GateConfig = Annotated[NoGate | ClipGate, Field(discriminator="name")]

NetworkConfig = SamProposer | YoloProposer | CoTrackerTracker | ClipGate
"""every part that has weights"""

Device = Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")]
