"""The text-video gate: how well the frames of a clip show what its narration says, by CLIP (open_clip).

Letters: F frames, of all clips of a call, B clips, D numbers of an embedding.
"""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image

from schemas.errors import UserError
from schemas.flow import Clip, Gate
from schemas.networks import ClipGate
from transforms.networks import compute_type, computing, find_device, load_state, read_state
from transforms.prompts import clean_narration

_PART = "gate"
_SEEN = ("mean", "std", "interpolation", "resize_mode")
"""what published weights say about the pictures that they were trained on"""
_PARALLEL = "module."
"""what a network that was trained on several GPUs puts before every name"""


def build_gate(config: ClipGate, weights: str, device: str) -> Gate:
    """The gate that `config` describes, with the weights in the file `weights`; nothing is downloaded.

    It gives the cosine of the embeddings of a clip's narration, as `clean_narration` leaves it and cut after 77 tokens,
    and of those `config.frames` frames, evenly spaced from the first to the last, that fits it best (MAGMA.md 2.2).

    Raises:
        UserError: no such model, or one that can't be built from its name alone; weights that are not of it.
    """
    network, prepare = _open(config.model, weights)
    tokenize = open_clip.get_tokenizer(config.model)
    place = find_device(device)
    network.to(place)
    dtype = compute_type(config.precision, place)

    def gate(clips: Sequence[Clip]) -> list[float]:
        if not clips:
            return []
        frames = [clip.frames_THW3[number] for clip in clips for number in _numbers(clip, config.frames)]
        n_frames_B = [len(_numbers(clip, config.frames)) for clip in clips]
        pixels_F3SS = torch.stack([prepare(Image.fromarray(frame)) for frame in frames])
        tokens_BL = tokenize([clean_narration(clip.ref.text) for clip in clips])
        with computing(place, dtype):
            shown_FD = network.encode_image(pixels_F3SS.to(place)).float().cpu()
            said_BD = network.encode_text(tokens_BL.to(place)).float().cpu()
        said_FD = said_BD.repeat_interleave(torch.tensor(n_frames_B), dim=0)
        cosine_F = torch.cosine_similarity(shown_FD, said_FD)
        return [_best(of_clip) for of_clip in torch.split(cosine_F, n_frames_B)]

    return gate


def _numbers(clip: Clip, most: int) -> list[int]:
    """Numbers of up to `most` frames of a clip, evenly spaced from its first to its last."""
    n_frames = len(clip.frames_THW3)
    return [int(number) for number in np.linspace(0, n_frames - 1, min(most, n_frames), dtype=int)]


def _best(cosine: torch.Tensor) -> float:
    best = float(cosine.max())
    if not np.isfinite(best):
        raise ValueError(
            f"CLIP gave {best} for the narration and the frames, want a number from -1 to 1: try gate.precision="
            "float32, or other weights"
        )
    return best


def _open(model: str, weights: str) -> tuple[Any, Callable[[Image.Image], torch.Tensor]]:
    """A network with its parameters, and what turns a picture into what it sees."""
    shape, seen = _architecture(model)
    kind = open_clip.CustomTextCLIP if shape.pop("custom_text", False) else open_clip.CLIP
    network = kind(**shape).eval()
    state = {name.removeprefix(_PARALLEL): value for name, value in read_state(weights, part=_PART).items()}
    load_state(network, state, part=_PART, what=f"open_clip's {model}")
    return network, open_clip.image_transform(network.visual.image_size, is_train=False, **seen)


def _architecture(model: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What open_clip knows of a model: its shape, and how pictures must be prepared for it.

    The latter is not in the file of the weights, but the same for all that are published of a model (or there are none:
    CLIP's own way); a model for which it differs would be a guess.
    """
    known = open_clip.list_models()
    if model not in known:
        near = get_close_matches(model, known, n=3, cutoff=0.4)
        raise UserError(f"gate.model: open_clip has no {model!r}; choose {', '.join(near) or 'one of list_models()'}")
    shape = open_clip.get_model_config(model)
    tags = open_clip.list_pretrained_tags_by_model(model)
    published = [open_clip.get_pretrained_cfg(model, tag) for tag in tags]
    ways = [{name: one[name] for name in _SEEN if name in one} for one in published]
    if any(name.startswith("hf_") for name in shape["text_cfg"]):
        wrong = "reads text with a tokenizer that must be downloaded"
    elif "multimodal_cfg" in shape:
        wrong = "also writes captions"
    elif any(way != ways[0] for way in ways):
        wrong = "has weights that want their pictures prepared in different ways"
    else:
        return shape, ways[0] if ways else {}
    raise UserError(f"gate.model: {model!r} {wrong}; choose another, e.g. {ClipGate.model_fields['model'].default!r}")
