"""Segment Anything: masks of all that lies under a grid of points, or in the boxes of the dataset, made into regions.

The numbers are those of the library's own SamAutomaticMaskGenerator (one crop, no clean-up of small parts) and
SamPredictor; batches over pictures and prompts, and what is kept between the steps, are ours.

Letters: I pictures, B prompts, K points of a prompt, L tokens of one, C channels, M masks, H, W size of a picture, h, w
of what the network sees or gives.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torchvision.ops import nms

from schemas.errors import UserError
from schemas.flow import Bool, Float, Picture, Proposer, Regions
from schemas.networks import SamProposer
from transforms.box_arrays import areas
from transforms.masks import deepest_point, encode_rle
from transforms.networks import compute_type, computing, find_device, load_state, read_state
from transforms.proposers.given import propose_given
from transforms.proposers.sam_masks import Piece, boxes_of, cut_out, filled, stability
from transforms.proposers.windows import make_regions

Pixels = npt.NDArray[np.uint8]

_PIXELS_AT_ONCE = 1 << 27
"""of masks at full size that are on the device at the same time, whatever the size of the pictures"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sam:
    """A loaded network of `segment_anything`, and how it is run; `prompts_at_once` go through its decoder together."""

    network: Any
    device: torch.device
    dtype: torch.dtype
    prompts_at_once: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prompts:
    """B questions to one picture, each with K points, a box or both, in its pixels.

    `labels_BK`: 1 lies on the thing that is meant, 0 beside it, -1 is no point.
    """

    points_BK2: Float | None = None
    labels_BK: npt.NDArray[np.integer[Any]] | None = None
    boxes_B4: Float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Masks:
    """What the network says to prompts: M masks for each (1, or 3 from part to whole), and how good it thinks each."""

    masks_BMHW: Bool
    quality_BM: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Seen:
    """Pictures after the encoder; `inner_hw`: size of each in the square that the network sees, at its top left."""

    features_ICHW: torch.Tensor
    inner_hw: list[tuple[int, int]]
    sizes_hw: list[tuple[int, int]]


_Said = tuple[int, torch.Tensor, torch.Tensor]
"""number of a picture, logits_BMhw of the masks there, quality_BM"""


def build_sam(config: SamProposer, weights: str, device: str) -> Proposer:
    """The proposer with its network loaded from the file `weights`.

    Raises:
        UserError: `segment_anything` or the device is missing, or the file is not of `config.model`.
    """
    return partial(propose_sam, sam=load_sam(config, weights, device), config=config)


def load_sam(config: SamProposer, weights: str, device: str) -> Sam:
    """The network of `config.model` from a file of its weights, on the device. UserError as `build_sam`."""
    try:
        from segment_anything import sam_model_registry
    except ImportError as error:
        raise UserError(f"proposer.name=sam needs {error.name}: pip install '.[sam]'") from error
    found = find_device(device)
    network = sam_model_registry[config.model]()
    load_state(network, read_state(weights, part="proposer"), part="proposer", what=f"SAM {config.model}")
    return Sam(
        network=network.to(found).eval(),
        device=found,
        dtype=compute_type(config.precision, found),
        prompts_at_once=config.points_per_batch,
    )


def propose_sam(pictures: Sequence[Picture], *, sam: Sam, config: SamProposer) -> list[Regions]:
    """The regions of each picture, each pointed at where its mask is deepest; scores are the network's own.

    Of a grid the at most `config.most` best, best first. Of given boxes as many as there are, in their order, with
    their words and roles; one in which the network finds nothing stays as it is, with score 0.

    Raises:
        ValueError: a given box has its corners in the wrong order, or the network gives NaN.
        MemoryError: so many pictures are too many for the device.
    """
    if not pictures:
        return []
    images = [picture.image_HW3 for picture in pictures]
    if config.prompts == "given":
        return _in_given_boxes(images, propose_given(pictures), sam, with_masks=config.masks)
    prompts = [_grid(image.shape[:2], config.points_per_side) for image in images]
    with computing(sam.device, sam.dtype):
        seen = _look(images, sam)
        # a picture's prompts follow each other: it is done before the next one's come, and only its good masks are held
        by_picture = groupby(_answers(seen, prompts, sam, several=True), key=lambda said: said[0])
        return [_best_of(seen, number, said, sam, config) for number, said in by_picture]


def masks_at(images: Sequence[Pixels], prompts: Sequence[Prompts], sam: Sam, *, several: bool) -> list[Masks]:
    """The masks of each picture (RGB) at its prompts; `several`: three for each prompt, from a part to the whole.

    Raises:
        ValueError: the network gives NaN.
        MemoryError: so many pictures or masks are too many for the device.
    """
    if not images:
        return []
    n_masks = sam.network.mask_decoder.num_multimask_outputs if several else 1
    masks: list[list[Bool]] = [[np.zeros((0, n_masks, *image.shape[:2]), np.bool_)] for image in images]
    quality: list[list[npt.NDArray[np.float32]]] = [[np.zeros((0, n_masks), np.float32)] for _ in images]
    threshold = sam.network.mask_threshold
    with computing(sam.device, sam.dtype):
        seen = _look(images, sam)
        for number, logits_BMhw, quality_BM in _answers(seen, prompts, sam, several=several):
            full = _full_size(seen, number, logits_BMhw.flatten(0, 1), sam)
            masks_MHW = np.concatenate([(part_MHW > threshold).cpu().numpy() for part_MHW in full])
            masks[number].append(masks_MHW.reshape(*quality_BM.shape, *seen.sizes_hw[number]))
            quality[number].append(quality_BM.cpu().numpy())
    return [
        Masks(masks_BMHW=np.concatenate(these), quality_BM=np.concatenate(those))
        for these, those in zip(masks, quality, strict=True)
    ]


def _look(images: Sequence[Pixels], sam: Sam) -> _Seen:
    """The pictures through the encoder at once, each made as large as fits its square."""
    side = sam.network.image_encoder.img_size
    inputs, inner_hw, sizes_hw = [], [], []
    for image_HW3 in images:
        height, width = image_HW3.shape[:2]
        scale = side / max(height, width)
        inner = (max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5)))
        resized = Image.fromarray(image_HW3).resize(inner[::-1], Image.Resampling.BILINEAR)
        pixels_hw3 = torch.from_numpy(np.array(resized)).to(sam.device)
        inputs.append(sam.network.preprocess(pixels_hw3.permute(2, 0, 1)))
        inner_hw.append(inner)
        sizes_hw.append((height, width))
    features_ICHW = sam.network.image_encoder(torch.stack(inputs)).float()
    return _Seen(features_ICHW=features_ICHW, inner_hw=inner_hw, sizes_hw=sizes_hw)


def _answers(seen: _Seen, prompts: Sequence[Prompts], sam: Sam, *, several: bool) -> Iterator[_Said]:
    """What the decoder says to all prompts, `prompts_at_once` in one go whatever the picture; pictures in order."""
    encoder = sam.network.prompt_encoder
    with torch.autocast(sam.device.type, enabled=False):  # half precision would move places by pixels
        places_1Chw = encoder.get_dense_pe()
        tokens = [
            _tokens(each, inner, size, sam)
            for each, inner, size in zip(prompts, seen.inner_hw, seen.sizes_hw, strict=True)
        ]
    no_mask_1C11 = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
    for _, group in groupby(range(len(tokens)), key=lambda number: tokens[number].shape[1]):
        numbers = list(group)
        tokens_BLC = torch.cat([tokens[number] for number in numbers])
        of_B = np.repeat(numbers, [len(tokens[number]) for number in numbers])
        for start in range(0, len(of_B), sam.prompts_at_once):
            part = slice(start, start + sam.prompts_at_once)
            # The decoder takes one picture, but adds to it what it takes for a mask of each prompt: so each prompt
            # can have a picture of its own, added to none.
            pictures_BChw = seen.features_ICHW[torch.as_tensor(of_B[part], device=sam.device)] + no_mask_1C11
            logits_BMhw, quality_BM = sam.network.mask_decoder(
                image_embeddings=torch.zeros_like(seen.features_ICHW[:1]),
                image_pe=places_1Chw,
                sparse_prompt_embeddings=tokens_BLC[part],
                dense_prompt_embeddings=pictures_BChw,
                multimask_output=several,
            )
            if not bool(logits_BMhw.isfinite().all() & quality_BM.isfinite().all()):
                raise ValueError("SAM gives NaN or infinity for masks; take other weights, or precision=float32")
            first = 0
            for number, those in groupby(of_B[part].tolist()):
                last = first + len(list(those))
                yield number, logits_BMhw[first:last], quality_BM[first:last].float()
                first = last


def _tokens(prompts: Prompts, inner_hw: tuple[int, int], size_hw: tuple[int, int], sam: Sam) -> torch.Tensor:
    """Prompts as the decoder takes them, BLC."""
    scale_2 = np.array(inner_hw[::-1]) / np.array(size_hw[::-1])

    def placed(xy: Float) -> torch.Tensor:
        return torch.as_tensor((xy * scale_2).astype(np.float32), device=sam.device)

    points = None
    if prompts.points_BK2 is not None:
        points = (placed(prompts.points_BK2), torch.as_tensor(prompts.labels_BK, device=sam.device))
    boxes = None if prompts.boxes_B4 is None else placed(prompts.boxes_B4.reshape(-1, 2, 2)).flatten(1)
    tokens_BLC: torch.Tensor = sam.network.prompt_encoder(points=points, boxes=boxes, masks=None)[0]
    return tokens_BLC


def _grid(size_hw: tuple[int, ...], per_side: int) -> Prompts:
    """A point in the middle of each cell, row by row."""
    middle_G = (np.arange(per_side) + 0.5) / per_side
    x_GG, y_GG = np.meshgrid(middle_G * size_hw[1], middle_G * size_hw[0])
    points_BK2 = np.stack([x_GG, y_GG], axis=-1).reshape(-1, 1, 2)
    return Prompts(points_BK2=points_BK2, labels_BK=np.ones(points_BK2.shape[:2], np.int64))


def _full_size(seen: _Seen, number: int, logits_Mhw: torch.Tensor, sam: Sam) -> Iterator[torch.Tensor]:
    """The logits at the size of the picture, MHW float32, of a few masks at a time."""
    height, width = seen.sizes_hw[number]
    at_once = max(1, _PIXELS_AT_ONCE // max(height * width, sam.network.image_encoder.img_size**2))
    for start in range(0, len(logits_Mhw), at_once):
        part_M1hw = logits_Mhw[start : start + at_once, None].float()
        yield sam.network.postprocess_masks(part_M1hw, seen.inner_hw[number], (height, width))[:, 0]


def _best_of(seen: _Seen, number: int, said: Iterable[_Said], sam: Sam, config: SamProposer) -> Regions:
    """The regions of a picture from all masks of its grid: those good enough, without repeats, the best first."""
    judged = [_good_ones(seen, number, logits, quality, sam, config) for _, logits, quality in said]
    logits_Mhw, quality_M, boxes_M4 = (torch.cat(parts) for parts in zip(*judged, strict=True))
    best_M = nms(boxes_M4, quality_M, config.max_iou)[: config.most]
    pieces = [piece for piece in _pieces(seen, number, logits_Mhw[best_M], sam) if piece]
    return make_regions(
        boxes=[piece.box_xyxy for piece in pieces],
        scores=quality_M[best_M].tolist(),
        labels=[""] * len(pieces),
        roles=["segment"] * len(pieces),
        points=[_point(piece) for piece in pieces],
        masks=[_rle(piece, seen.sizes_hw[number]) for piece in pieces] if config.masks else None,
    )


def _good_ones(
    seen: _Seen, number: int, logits_BMhw: torch.Tensor, quality_BM: torch.Tensor, sam: Sam, config: SamProposer
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, quality and boxes of the masks that are good, stable and not empty; those at full size are let go."""
    good_M = quality_BM.flatten() > (config.min_iou or -inf)  # what the network guesses may be less than 0
    logits_Mhw, quality_M = logits_BMhw.flatten(0, 1)[good_M], quality_BM.flatten()[good_M]
    boxes, kept = [logits_Mhw.new_zeros((0, 4), dtype=torch.float32)], [good_M[:0]]
    threshold = sam.network.mask_threshold
    for full_MHW in _full_size(seen, number, logits_Mhw, sam):
        masks_MHW = full_MHW > threshold
        kept.append(filled(masks_MHW) & (stability(full_MHW, threshold) >= config.min_stability))
        boxes.append(boxes_of(masks_MHW).float())
    kept_M = torch.cat(kept)
    return logits_Mhw[kept_M], quality_M[kept_M], torch.cat(boxes)[kept_M]


def _in_given_boxes(images: Sequence[Pixels], given: Sequence[Regions], sam: Sam, *, with_masks: bool) -> list[Regions]:
    """Each given box as a prompt: the one mask that is meant, its box in place of the given one."""
    cut = [_cut(regions.xyxy_R4, image.shape) for regions, image in zip(given, images, strict=True)]
    asked = [np.flatnonzero(areas(cut_R4) > 0) for cut_R4 in cut]  # what lies outside can't be asked for
    prompts = [Prompts(boxes_B4=cut_R4[asked_B]) for cut_R4, asked_B in zip(cut, asked, strict=True)]
    found: list[list[tuple[Piece | None, float]]] = [[] for _ in images]
    with computing(sam.device, sam.dtype):
        seen = _look(images, sam)
        for number, logits_BMhw, quality_BM in _answers(seen, prompts, sam, several=False):
            pieces = _pieces(seen, number, logits_BMhw[:, 0], sam)
            found[number] += zip(pieces, quality_BM[:, 0].tolist(), strict=True)
    return [_replaced(*each, with_masks=with_masks) for each in zip(given, asked, found, seen.sizes_hw, strict=True)]


def _replaced(
    given: Regions,
    asked_B: npt.NDArray[np.intp],
    found: Sequence[tuple[Piece | None, float]],
    size_hw: tuple[int, int],
    *,
    with_masks: bool,
) -> Regions:
    """The given regions with the boxes, points and scores of the masks in them."""
    boxes = [(x1, y1, x2, y2) for x1, y1, x2, y2 in given.xyxy_R4.tolist()]
    points = [((x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in boxes]
    scores, masks = [0.0] * len(boxes), [""] * len(boxes)
    for region, (piece, quality) in zip(asked_B.tolist(), found, strict=True):
        if piece:
            boxes[region], points[region], scores[region] = piece.box_xyxy, _point(piece), quality
            masks[region] = _rle(piece, size_hw) if with_masks else ""
    return make_regions(
        boxes, scores, given.label_R.tolist(), given.role_R.tolist(), points=points, masks=masks if with_masks else None
    )


def _cut(xyxy_R4: Float, shape: tuple[int, ...]) -> Float:
    """Boxes cut at the edges of the picture."""
    return np.clip(xyxy_R4.astype(np.float64), 0, [shape[1], shape[0]] * 2)


def _pieces(seen: _Seen, number: int, logits_Mhw: torch.Tensor, sam: Sam) -> list[Piece | None]:
    """What leaves the device of each mask; None of an empty one."""
    threshold = sam.network.mask_threshold
    return [piece for part_MHW in _full_size(seen, number, logits_Mhw, sam) for piece in cut_out(part_MHW > threshold)]


def _point(piece: Piece) -> tuple[float, float]:
    x, y = deepest_point(piece.mask_hw)
    return piece.left + x, piece.top + y


def _rle(piece: Piece, size_hw: tuple[int, int]) -> str:
    return encode_rle(piece.mask_hw, (piece.left, piece.top), size_hw[::-1])
