"""Masks while they are on the device: how stable they are, their boxes, and what of them leaves it.

Letters: M masks, H, W size of the picture, h, w that of the piece of it around a mask.
"""

from dataclasses import dataclass

import torch

from schemas.flow import Bool

_OFFSET = 1.0
"""by how much the threshold is moved, in logits"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """The part of a picture that holds a mask, no larger than it; `left`, `top`: where it lies, in pixels."""

    mask_hw: Bool
    left: int
    top: int

    @property
    def box_xyxy(self) -> tuple[float, float, float, float]:
        height, width = self.mask_hw.shape
        return float(self.left), float(self.top), float(self.left + width), float(self.top + height)


def stability(logits_MHW: torch.Tensor, threshold: float) -> torch.Tensor:
    """Share of each mask at a lower threshold that is left at a higher one, 0..1; 0 where there is nothing at either.

    Segment Anything's stability score.
    """
    inner_M = (logits_MHW > threshold + _OFFSET).sum((1, 2), dtype=torch.int32)
    outer_M = (logits_MHW > threshold - _OFFSET).sum((1, 2), dtype=torch.int32)
    return inner_M / outer_M.clamp(min=1)


def filled(masks_MHW: torch.Tensor) -> torch.Tensor:
    """Whether a mask holds any pixel."""
    return masks_MHW.flatten(1).any(1)


def boxes_of(masks_MHW: torch.Tensor) -> torch.Tensor:
    """First and last column and row of each mask, M4 int64: x1, y1, x2, y2 with the last ones inside, as the library
    compares boxes. Nothing that counts for an empty mask.
    """
    height, width = masks_MHW.shape[1:]
    rows_MH, columns_MW = masks_MHW.any(2).byte(), masks_MHW.any(1).byte()
    first_M2 = [columns_MW.argmax(1), rows_MH.argmax(1)]
    last_M2 = [width - 1 - columns_MW.flip(1).argmax(1), height - 1 - rows_MH.flip(1).argmax(1)]
    return torch.stack([*first_M2, *last_M2], dim=1)


def cut_out(masks_MHW: torch.Tensor) -> list[Piece | None]:
    """The piece around each mask, off the device in one go; None for an empty one."""
    corners = torch.cat([boxes_of(masks_MHW), filled(masks_MHW)[:, None]], dim=1).tolist()
    places = [(x1, y1, x2 + 1, y2 + 1) if any_ else (0, 0, 0, 0) for x1, y1, x2, y2, any_ in corners]
    flat = torch.cat(
        [mask_HW[y1:y2, x1:x2].flatten() for mask_HW, (x1, y1, x2, y2) in zip(masks_MHW, places, strict=True)]
    )
    flat_cpu, pieces, start = flat.cpu().numpy(), list[Piece | None](), 0
    for x1, y1, x2, y2 in places:
        end = start + (y2 - y1) * (x2 - x1)
        mask_hw = flat_cpu[start:end].reshape(y2 - y1, x2 - x1)
        pieces.append(Piece(mask_hw=mask_hw, left=x1, top=y1) if mask_hw.size else None)
        start = end
    return pieces
