"""Networks for tests in the form of Segment Anything: the real architecture, but small; and one that sees colours."""

from pathlib import Path
from typing import Any

import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch.nn import Embedding, Module
from torch.nn.functional import adaptive_avg_pool2d

SIDE, PATCH, CHANNELS = 64, 16, 32
COLOUR_SIDE, COLOUR_CELLS = 256, 64


def make_tiny_sam(seed: int = 2) -> Any:
    """64 pixels wide, with random weights, so large that masks differ; the same seed gives the same ones."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        encoder = ImageEncoderViT(
            img_size=SIDE,
            patch_size=PATCH,
            embed_dim=32,
            depth=2,
            num_heads=2,
            out_chans=CHANNELS,
            use_rel_pos=True,
            window_size=3,
            global_attn_indexes=(1,),
        )
        cells = (SIDE // PATCH, SIDE // PATCH)
        prompts = PromptEncoder(CHANNELS, image_embedding_size=cells, input_image_size=(SIDE, SIDE), mask_in_chans=4)
        transformer = TwoWayTransformer(depth=2, embedding_dim=CHANNELS, num_heads=2, mlp_dim=64)
        decoder = MaskDecoder(transformer_dim=CHANNELS, transformer=transformer, iou_head_hidden_dim=32)
        network = Sam(image_encoder=encoder, prompt_encoder=prompts, mask_decoder=decoder)
        for weight in network.parameters():
            weight += 0.15 * torch.randn_like(weight)
        for layer in (decoder.output_upscaling[0], decoder.output_upscaling[3]):
            layer.weight *= 6
        for head in decoder.output_hypernetworks_mlps:
            head.layers[-1].weight *= 20
            head.layers[-1].bias *= 20
    return network.eval()


def save_tiny_sam(folder: Path, seed: int = 2) -> str:
    """Path of a file of such weights, in the form of the published ones."""
    path = folder / f"tiny{seed}.pth"
    torch.save(make_tiny_sam(seed).state_dict(), path)
    return str(path)


def make_colour_sam() -> Any:
    """Its masks are what has the colour under the point (in the middle of the box), exact to a cell, 4 pixels of 256.

    Three for each prompt, of quality 0.95, 0.9 and 0.5: the last one is everything.
    """
    return Sam(image_encoder=_Colours(), prompt_encoder=_Places(), mask_decoder=_SameColour()).eval()


class _Colours(Module):
    img_size = COLOUR_SIDE

    def forward(self, inputs_I3hw: torch.Tensor) -> torch.Tensor:
        return adaptive_avg_pool2d(inputs_I3hw, COLOUR_CELLS)


class _Places(Module):
    """Tokens are places, in shares of the square."""

    def __init__(self) -> None:
        super().__init__()
        self.no_mask_embed = Embedding.from_pretrained(torch.zeros(1, 3))

    def get_dense_pe(self) -> torch.Tensor:
        return torch.zeros(1, 3, COLOUR_CELLS, COLOUR_CELLS)

    def forward(self, *, points: Any, boxes: Any, masks: None) -> tuple[torch.Tensor, torch.Tensor]:
        places_B12 = points[0] if boxes is None else boxes.reshape(-1, 2, 2).mean(1, keepdim=True)
        return places_B12 / COLOUR_SIDE, self.no_mask_embed.weight


class _SameColour(Module):
    num_multimask_outputs = 3

    def forward(
        self,
        *,
        dense_prompt_embeddings: torch.Tensor,
        sparse_prompt_embeddings: torch.Tensor,
        multimask_output: bool,
        **_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        pictures_B3hw = dense_prompt_embeddings
        column_B, row_B = (sparse_prompt_embeddings[:, 0].T * COLOUR_CELLS).long().clamp(0, COLOUR_CELLS - 1)
        colour_B3 = pictures_B3hw[torch.arange(len(row_B)), :, row_B, column_B]
        off_Bhw = (pictures_B3hw - colour_B3[:, :, None, None]).abs().amax(1)
        masks = [10 - 5 * off_Bhw, 9 - 5 * off_Bhw, torch.full_like(off_Bhw, 10)]
        n_masks = 3 if multimask_output else 1
        quality_3 = torch.tensor([0.95, 0.9, 0.5])
        return torch.stack(masks, dim=1)[:, :n_masks], quality_3[:n_masks].expand(len(row_B), -1)
