"""Weights whose sha256, licence and origin are known; WEIGHTS.md shows the same table to people."""

import posixpath
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownWeights:
    """A published file of weights; `part`: the kind of part that it is for."""

    name: str
    """what `weights` can be set to: the file's own name, or ours where its own says nothing"""
    part: str
    n_bytes: int
    """0: not known"""
    sha256: str
    licence: str
    url: str


_SAM = "https://dl.fbaipublicfiles.com/segment_anything"
_HUB = "https://huggingface.co"

KNOWN = (
    KnownWeights(
        name="sam_vit_b_01ec64.pth",
        part="sam",
        n_bytes=375_042_383,
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        licence="Apache-2.0",
        url=f"{_SAM}/sam_vit_b_01ec64.pth",
    ),
    KnownWeights(
        name="sam_vit_l_0b3195.pth",
        part="sam",
        n_bytes=1_249_524_607,
        sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        licence="Apache-2.0",
        url=f"{_SAM}/sam_vit_l_0b3195.pth",
    ),
    KnownWeights(
        name="sam_vit_h_4b8939.pth",
        part="sam",
        n_bytes=2_564_550_879,
        sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        licence="Apache-2.0",
        url=f"{_SAM}/sam_vit_h_4b8939.pth",
    ),
    KnownWeights(
        name="omniparser_v2_icon_detect.pt",
        part="yolo",
        n_bytes=40_623_819,
        sha256="dab3d4351ad00b035db829909a4db98354d5a90f6990e4ac00222a9a95d4bf57",
        licence="AGPL-3.0",
        url=f"{_HUB}/microsoft/OmniParser-v2.0/resolve/6600256cb0f1b07651e3bc86166196307bad7e2d/icon_detect/model.pt",
    ),
    KnownWeights(
        name="yolo11n.pt",
        part="yolo",
        n_bytes=5_613_764,
        sha256="0ebbc80d4a7680d14987a577cd21342b65ecfd94632bd9a8da63ae6417644ee1",
        licence="AGPL-3.0",
        url="https://github.com/ultralytics/assets/releases/download/v8.3.0/yolo11n.pt",
    ),
    KnownWeights(
        name="scaled_offline.pth",
        part="cotracker",
        n_bytes=101_890_938,
        sha256="2670d4562ed69326dda775a26e54883925cd11b6fc9b24cb7aa9f8078bce7834",
        licence="CC-BY-NC-4.0",
        url=f"{_HUB}/facebook/cotracker3/resolve/main/scaled_offline.pth",
    ),
    KnownWeights(
        name="scaled_online.pth",
        part="cotracker",
        n_bytes=101_695_610,
        sha256="205d34789f19699d64b22cf93f9b697f15f28d4025240e31532e504109837218",
        licence="CC-BY-NC-4.0",
        url=f"{_HUB}/facebook/cotracker3/resolve/main/scaled_online.pth",
    ),
    KnownWeights(
        name="cotracker2.pth",
        part="cotracker",
        n_bytes=0,
        sha256="362f5274376d610dc987b6daf2c2fefe63e06e1835f4ec1a10d0a15c5a4eef4f",
        licence="CC-BY-NC-4.0",
        url=f"{_HUB}/facebook/cotracker/resolve/main/cotracker2.pth",
    ),
    KnownWeights(
        name="clip_vit_l_14_336_openai.safetensors",
        part="clip",
        n_bytes=1_711_828_444,
        sha256="fbc415c3d0d7b79faed8f5ccfb740c32b7c4f5ffe7283b851f89c6231c01a8e0",
        licence="MIT",
        url=f"{_HUB}/timm/vit_large_patch14_clip_336.openai/resolve/81e38efc4637de5023b10e75a7f9bd1c6fa6b010/"
        "open_clip_model.safetensors",
    ),
)


def known_weights(weights: str) -> KnownWeights | None:
    """The known file that a path, URL or bare name speaks of, by its name or its whole URL."""
    url = weights.partition("?")[0]
    name = posixpath.basename(url)
    return next((known for known in KNOWN if url == known.url or name == known.name), None)


def known_by_hash(sha256: str) -> KnownWeights | None:
    return next((known for known in KNOWN if known.sha256 == sha256), None)
