"""The Magma network (arXiv 2502.13130): images through a ConvNeXt and a projector into the text of a LLaMA.

The LLaMA is that of transformers and the ConvNeXt that of timm; module names are those of the released checkpoint.
"""

from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import GenerationMixin, LlamaForCausalLM, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from model.config import Grid, MagmaConfig, image_tokens
from model.merge import (
    IGNORED,
    Layout,
    expand_images,
    flatten_tiles,
    images_by_row,
    pad_tiles_by_row,
    positions,
    put_vectors,
    side_of_padding,
)
from model.vision import Projector, VisionTower, feature_rasters

_LOSS_CHUNK = 1024
"""supervised positions whose logits are in memory at once: at 128,262 entries in float32, half a gigabyte"""


class MagmaForCausalLM(PreTrainedModel, GenerationMixin):
    """Vision tower, projector and language model; `generate` is that of transformers.

    `padding_side` is where rows of different length are padded when a batch has no pad that would tell.
    """

    config_class = MagmaConfig
    base_model_prefix = "language_model"
    main_input_name = "input_ids"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _no_split_modules = ["LlamaDecoderLayer", "ConvNeXtBlock"]
    _skip_keys_device_placement = ["past_key_values"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def __init__(self, config: MagmaConfig) -> None:
        super().__init__(config)
        self.vision_tower = VisionTower(config.vision_config)
        self.multi_modal_projector = Projector(config.vision_config)
        self.language_model = LlamaForCausalLM(config.text_config)
        self.padding_side = "left"
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        for name, value in (("row_seperator", 0.0), ("gamma", 1e-6)):  # of the projector, of timm's blocks
            if isinstance(getattr(module, name, None), nn.Parameter):
                nn.init.constant_(getattr(module, name), value)

    def get_input_embeddings(self) -> nn.Embedding:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Linear:
        return self.language_model.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.language_model.lm_head = value

    def checkpoint_activations(self, *, vision: bool = True, language: bool = True) -> None:
        """Switches on or off that activations are computed again in the backward pass, to save memory."""
        self.vision_tower.checkpoint_activations(vision)
        if language:
            self.language_model.activation_checkpointing_enable()
        else:
            self.language_model.activation_checkpointing_disable()

    def image_features(self, pixel_values: Tensor, grids: list[Grid]) -> list[Tensor]:
        """Tiles [N, 3, S, S] of all images in reading order -> each image's vectors, separators included [V, H]."""
        strategy = self.config.vision_config.img_anyres_strategy
        pixels = pixel_values.to(self.multi_modal_projector.row_seperator.dtype)
        rasters = feature_rasters(self.vision_tower, pixels, grids, strategy)
        return [self.multi_modal_projector(raster) for raster in rasters]

    def layout(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        labels: Tensor | None,
        grids: list[Grid],
        counts: list[int] | None = None,
        padding_side: str | None = None,
    ) -> Layout:
        """Makes room for the images: see `expand_images`; what has room already, and text alone, stays as it is.

        `counts`: images of each row, checked where given. `padding_side`: pads all rows anew on that side.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        self._check_ids(input_ids)
        lengths = self._lengths(grids)
        per_row = self._image_tokens(input_ids, mask)
        if sum(per_row) == sum(lengths):
            _check_rows(per_row, lengths)
            if padding_side is None:
                return Layout(input_ids=input_ids, attention_mask=mask, labels=labels)
            lengths = [1] * sum(per_row)
        elif counts is not None and counts != per_row:
            row = next(row for row, (has, given) in enumerate(zip(per_row, counts, strict=True)) if has != given)
            raise ValueError(f"row {row} has {per_row[row]} image tokens, but {counts[row]} images are given for it")
        return expand_images(
            input_ids,
            mask,
            labels,
            lengths=lengths,
            image_id=self.config.image_token_index,
            padding_side=padding_side or side_of_padding(mask, self.padding_side),
        )

    def _lengths(self, grids: list[Grid]) -> list[int]:
        return [image_tokens(grid, self.config.vision_config.img_size) for grid in grids]

    def _image_tokens(self, input_ids: Tensor, mask: Tensor) -> list[int]:
        return ((input_ids == self.config.image_token_index) & mask.bool()).sum(dim=1).tolist()

    def _check_ids(self, input_ids: Tensor) -> None:
        height = self.config.text_config.vocab_size
        unknown = input_ids[(input_ids < 0) | (input_ids >= height)]
        if unknown.numel():
            raise ValueError(f"token id {int(unknown[0])} is not in the vocabulary of {height} entries")

    def embed(self, layout: Layout, vectors: list[Tensor]) -> Tensor:
        """Embeddings [B, L, H] of a layout with the image vectors in their places."""
        is_image = layout.input_ids == self.config.image_token_index
        # the embedding of <image> is never read: its row need not be trained
        embeds = self.get_input_embeddings()(layout.input_ids.masked_fill(is_image, 0))
        if not vectors:
            return embeds
        return put_vectors(embeds, is_image & layout.attention_mask.bool(), torch.cat(vectors))

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_sizes: Tensor | None = None,
        labels: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        loss_reduction: str = "mean",
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """One pass; [B, L] int64 ids with one image token for each image, or one for each of its vectors.

        `pixel_values`, `image_sizes`: see `merge.flatten_tiles`. Logits are of the expanded layout [B, L', vocabulary].
        Packed documents: expanded ids without `attention_mask`, and `position_ids` that start anew with each document;
        no document then sees another. With `labels` (-100: not supervised) `loss` is the mean next-token cross entropy
        in float32 over supervised positions, or with `loss_reduction="none"` its values in reading order; the head is
        then applied to those positions alone, and in training no logits are returned.
        """
        if inputs_embeds is None:
            if input_ids is None:
                raise ValueError("neither input_ids nor inputs_embeds are given; give one of them")
            inputs_embeds, attention_mask, labels, position_ids = self._embedded(
                input_ids, attention_mask, pixel_values, image_sizes, labels, position_ids, past_key_values
            )
        elif pixel_values is not None:
            raise ValueError("inputs_embeds have no room for images; leave pixel_values out or give input_ids")
        kwargs.pop("return_dict", None)
        outputs = self.language_model.model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=bool(use_cache),
            **kwargs,
        )
        hidden_BLH = outputs.last_hidden_state
        loss = None if labels is None else self._loss(hidden_BLH, labels, loss_reduction)
        logits = None
        if labels is None or not self.training:
            kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
            logits = self.language_model.lm_head(hidden_BLH[:, kept])
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def _embedded(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        pixel_values: Tensor | None,
        image_sizes: Tensor | None,
        labels: Tensor | None,
        position_ids: Tensor | None,
        past_key_values: Any,
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
        """Embeddings, mask, labels and positions of the expanded layout; a step of generation has no layout to make."""
        if past_key_values is not None and past_key_values.get_seq_length():
            if position_ids is None and attention_mask is not None:
                position_ids = positions(attention_mask)[:, -input_ids.shape[1] :]
            plain = Layout(input_ids=input_ids, attention_mask=torch.ones_like(input_ids), labels=None)
            return self.embed(plain, []), attention_mask, labels, position_ids
        tiles, grids, counts = _images(pixel_values, image_sizes)
        mask = attention_mask if attention_mask is not None and attention_mask.ndim == 2 else None
        layout = self.layout(input_ids, mask, labels, grids, counts)
        if layout.input_ids is not input_ids:
            if position_ids is not None:
                raise ValueError("position_ids need a position for each vector of an image; expand the image tokens")
            attention_mask = mask = layout.attention_mask
        if position_ids is None and mask is not None:
            position_ids = positions(mask)
        vectors = [] if tiles is None else self.image_features(tiles, grids)
        return self.embed(layout, vectors), attention_mask, layout.labels, position_ids

    def _loss(self, hidden_BLH: Tensor, labels: Tensor, reduction: str) -> Tensor:
        if reduction not in ("mean", "none"):
            raise ValueError(f"loss_reduction is {reduction!r}; reductions are mean and none")
        targets = labels[:, 1:]
        supervised = targets != IGNORED
        losses = token_losses(self.language_model.lm_head, hidden_BLH[:, :-1][supervised], targets[supervised])
        if reduction == "none":
            return losses
        if not len(losses):
            raise ValueError("no supervised token: every label is -100, so that there is no loss to take a mean of")
        return losses.mean()

    @torch.no_grad()
    def generate(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_sizes: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """Continues prompts of any lengths, padded on either side; `options` are those of transformers' `generate`.

        Returns ids [B, L + new]: the prompt as given (one token for an image), then what is new. `<image>` itself is
        never generated.
        """
        tiles, grids, counts = _images(pixel_values, image_sizes)
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        layout = self.layout(input_ids, mask, None, grids, counts, padding_side="left")
        if tiles is not None:
            # by row, so that transformers can repeat rows for beams and several answers
            counts = counts or images_by_row(self._image_tokens(input_ids, mask), grids, self._lengths(grids))
            options["pixel_values"], options["image_sizes"] = pad_tiles_by_row(tiles, grids, counts)
        options.setdefault("suppress_tokens", [self.config.image_token_index])
        out = super().generate(layout.input_ids, attention_mask=layout.attention_mask, **options)
        sequences = out if isinstance(out, Tensor) else out.sequences
        prompts = input_ids.repeat_interleave(len(sequences) // len(input_ids), dim=0)
        whole = torch.cat([prompts, sequences[:, layout.input_ids.shape[1] :]], dim=1)
        if isinstance(out, Tensor):
            return whole
        out.sequences = whole
        return out


def _images(
    pixel_values: Tensor | None, image_sizes: Tensor | None
) -> tuple[Tensor | None, list[Grid], list[int] | None]:
    if pixel_values is None or not pixel_values.numel():
        return None, [], None
    if image_sizes is None:
        raise ValueError("pixel_values come without image_sizes; give the rows and columns of each image")
    return flatten_tiles(pixel_values, image_sizes)


def _check_rows(tokens: list[int], lengths: list[int]) -> None:
    """Of expanded text: where a row ends, an image must end, or vectors would stand in the row of another."""
    ends = {0, *accumulate(lengths)}
    for row, total in enumerate(accumulate(tokens)):
        if total not in ends:
            raise ValueError(f"row {row} has {tokens[row]} image tokens; images of {lengths} vectors do not fill it")


def token_losses(head: nn.Module, hidden_nH: Tensor, targets_n: Tensor) -> Tensor:
    """Cross entropy of each target in float32 [n], some at a time: logits of all would not fit in memory."""

    def chunk_losses(hidden: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(head(hidden).float(), targets, reduction="none")

    if len(hidden_nH) <= _LOSS_CHUNK:
        return chunk_losses(hidden_nH, targets_n)
    chunks = zip(torch.split(hidden_nH, _LOSS_CHUNK), torch.split(targets_n, _LOSS_CHUNK), strict=True)
    return torch.cat([checkpoint(chunk_losses, hidden, targets, use_reentrant=False) for hidden, targets in chunks])
