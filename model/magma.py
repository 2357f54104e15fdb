"""The Magma network (arXiv 2502.13130): images through a ConvNeXt and a projector into the text of a LLaMA.

The LLaMA is that of transformers and the ConvNeXt that of timm; module names are those of the released checkpoint.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import GenerationMixin, LlamaForCausalLM, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.utils.generic import can_return_tuple

from model.config import Grid, MagmaConfig, image_tokens
from model.merge import (
    IGNORED,
    Images,
    Layout,
    check_runs,
    expand_images,
    flatten_tiles,
    images_by_row,
    is_packed,
    last_images,
    pad_tiles_by_row,
    positions,
    put_vectors,
    side_of_padding,
)
from model.vision import Projector, VisionTower, feature_rasters

LOSS_CHUNK = 1024
"""supervised positions whose logits are in memory at once: at 128,262 entries half a gigabyte in float32"""


Inputs = tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]
"""embeddings [B, L, H], attention mask, labels and positions, all of the expanded layout"""


class MagmaForCausalLM(PreTrainedModel, GenerationMixin):
    """Vision tower, projector and language model; `generate` is that of transformers.

    To shard it, wrap layers, blocks and the whole; `language_model` and its `model` are not called as such.
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

    def _apply(self, fn: Any, recurse: bool = True) -> "MagmaForCausalLM":
        super()._apply(fn, recurse)
        self.restore_rotary(self.language_model.model.rotary_emb.inv_freq.device)
        return self

    def restore_rotary(self, device: torch.device | str) -> None:
        """Frequencies of the positions, in float32: no file holds them, and rounded they turn far positions about."""
        model = self.language_model.model
        model.rotary_emb = type(model.rotary_emb)(config=self.config.text_config).to(device)

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """That of transformers; `checkpoint.load_magma` is stricter. What is never used stays frozen here too."""
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        model.vision_tower.freeze_unused()
        return loaded

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

    def _images(self, pixel_values: Tensor | None, image_sizes: Tensor | None) -> Images | None:
        if pixel_values is None or not pixel_values.numel():
            if image_sizes is not None and image_sizes.any():
                raise ValueError(f"image_sizes {image_sizes.tolist()} come without pixel_values; give the tiles")
            return None
        if image_sizes is None:
            raise ValueError("pixel_values come without image_sizes; give the rows and columns of each image")
        side = self.config.vision_config.img_size
        if pixel_values.shape[-3:] != (3, side, side):
            raise ValueError(f"tiles are {list(pixel_values.shape[-3:])}, but the model's are {[3, side, side]}")
        return flatten_tiles(pixel_values, image_sizes)

    def image_features(self, pixel_values: Tensor, grids: list[Grid]) -> list[Tensor]:
        """Tiles [N, 3, S, S] of all images in reading order -> each image's vectors, separators included [V, H]."""
        strategy = self.config.vision_config.img_anyres_strategy
        return self.multi_modal_projector(feature_rasters(self.vision_tower, pixel_values, grids, strategy))

    def layout(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        labels: Tensor | None = None,
        images: Images | None = None,
        padding_side: str | None = None,
    ) -> Layout:
        """Makes room for the images: see `expand_images`; what has room already, and text alone, stays as it is.

        `padding_side`: pads all rows anew on that side. ValueError names what does not belong together.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        self._check(input_ids, mask, labels)
        lengths = self._lengths(images)
        is_image = (input_ids == self.config.image_token_index) & mask.bool()
        per_row = is_image.sum(dim=1).tolist()
        if images is not None and images.counts is not None and sum(per_row) in (len(lengths), sum(lengths)):
            counts = images_by_row(per_row, lengths)
            if counts != images.counts:
                raise ValueError(f"the rows have image tokens for {counts} images, but {images.counts} are given")
        if sum(per_row) == sum(lengths):
            if lengths:
                check_runs(is_image, lengths)
            if padding_side is None:
                hidden = is_image | ~mask.bool()
                labels = None if labels is None else labels.masked_fill(hidden, IGNORED)
                return Layout(input_ids=input_ids, attention_mask=mask, labels=labels)
            lengths = [1] * sum(per_row)
        return expand_images(
            input_ids,
            mask,
            labels,
            lengths=lengths,
            image_id=self.config.image_token_index,
            pad_id=self.config.text_config.pad_token_id or 0,
            padding_side=padding_side or side_of_padding(mask, self.padding_side),
        )

    def _check(self, input_ids: Tensor, mask: Tensor, labels: Tensor | None) -> None:
        for name, tensor in (("input_ids", input_ids), ("attention_mask", mask), ("labels", labels)):
            if tensor is not None and (tensor.ndim != 2 or tensor.shape != input_ids.shape):
                raise ValueError(f"{name} is {list(tensor.shape)} beside ids {list(input_ids.shape)}; both are [B, L]")
        height = self.config.text_config.vocab_size
        unknown = input_ids[(input_ids < 0) | (input_ids >= height)]
        if unknown.numel():
            raise ValueError(f"token id {int(unknown[0])} is not in the vocabulary of {height} entries")

    def _lengths(self, images: Images | None) -> list[int]:
        """Vectors of each image."""
        side = self.config.vision_config.img_size
        return [] if images is None else [image_tokens(grid, side) for grid in images.grids]

    def embed(self, layout: Layout, images: Images | None) -> Tensor:
        """Embeddings [B, L, H] of a layout, with the vectors of the images in their places."""
        is_image = layout.input_ids == self.config.image_token_index
        # the embedding of <image> is never read: its row need not be trained
        embeds = self.get_input_embeddings()(layout.input_ids.masked_fill(is_image, 0))
        if images is None:
            return embeds
        vectors = torch.cat(self.image_features(images.tiles, images.grids))
        return put_vectors(embeds, is_image & layout.attention_mask.bool(), vectors)

    @can_return_tuple
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
        num_items_in_batch: int | Tensor | None = None,
        black_image: bool = False,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """One pass; [B, L] int64 ids with one image token for each image, or one for each of its vectors.

        `pixel_values`, `image_sizes`: see `merge.flatten_tiles`. Logits are of the expanded layout [B, L', vocabulary].
        Packed documents: expanded ids with `position_ids` that start anew with each document; none sees another, and
        there is no cache. After a cache, `pixel_values` are those of the new text, or of all of it.

        With `labels` (-100: not supervised) `loss` is the next-token cross entropy in float32: the mean over supervised
        positions, their sum over `num_items_in_batch`, or with `loss_reduction="none"` each of them, in reading order.
        The head is then applied to those positions alone, and in training no logits are returned.

        `black_image`: text alone passes one through the tower, for a gradient of zero. In sharded training all ranks
        must make the same calls; so it also needs "crop" and `lm_head` in the root's group (the loss works in chunks).
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give input_ids or inputs_embeds, one of them")
        images = self._images(pixel_values, image_sizes)
        if input_ids is not None:
            given = (input_ids, attention_mask, labels, position_ids)
            inputs_embeds, attention_mask, labels, position_ids = self._inputs(*given, images, past_key_values)
            if images is None and black_image:
                inputs_embeds = inputs_embeds + 0 * self._black_image().to(inputs_embeds)
        elif images is not None:
            raise ValueError("inputs_embeds have no room for images; leave pixel_values out or give input_ids")
        if position_ids is not None and is_packed(position_ids, attention_mask):
            self._check_packed(attention_mask, past_key_values, use_cache, rows=len(position_ids))
            attention_mask, use_cache = None, False
        outputs = self.language_model.model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=labels is None and not self.training if use_cache is None else use_cache,
            **kwargs,
        )
        hidden_BLH = outputs.last_hidden_state
        loss = None if labels is None else self._loss(hidden_BLH, labels, loss_reduction, num_items_in_batch)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        wanted = labels is None or not self.training
        return CausalLMOutputWithPast(
            loss=loss,
            logits=self.language_model.lm_head(hidden_BLH[:, kept]) if wanted else None,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def _check_packed(self, mask: Tensor | None, past_key_values: Any, use_cache: bool | None, *, rows: int) -> None:
        if use_cache or past_key_values is not None or (mask is not None and not bool(mask.all())):
            raise ValueError("position_ids start anew within a row: packed documents have neither pads nor a cache")
        attention = self.config._attn_implementation or ""
        if rows > 1 and attention.startswith("flash"):
            raise ValueError(f"{attention} keeps packed documents apart in a batch of one row only; it has {rows}")

    def _black_image(self) -> Tensor:
        side = self.config.vision_config.img_size
        pixels = torch.zeros(1, 3, side, side, device=self.device)
        return self.image_features(pixels, [Grid(1, 1)])[0].sum()

    def _inputs(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        labels: Tensor | None,
        position_ids: Tensor | None,
        images: Images | None,
        past_key_values: Any,
    ) -> Inputs:
        if past_key_values is not None and past_key_values.get_seq_length():
            past = past_key_values.get_seq_length()
            embeds, position_ids = self._continued(input_ids, attention_mask, position_ids, images, past)
            return embeds, attention_mask, labels, position_ids
        mask = attention_mask if attention_mask is not None and attention_mask.ndim == 2 else None
        layout = self.layout(input_ids, mask, labels, images)
        if layout.input_ids is not input_ids:
            if position_ids is not None or mask is not attention_mask:
                raise ValueError(
                    "position_ids, or a mask of 4 dimensions, need a place for each vector of an image; expand the "
                    "image tokens"
                )
            attention_mask = mask = layout.attention_mask
        if position_ids is None and mask is not None:
            position_ids = positions(mask)
        return self.embed(layout, images), attention_mask, layout.labels, position_ids

    def _continued(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        position_ids: Tensor | None,
        images: Images | None,
        past: int,
    ) -> tuple[Tensor, Tensor | None]:
        """Embeddings and positions of what comes after a cache of `past` positions."""
        if attention_mask is not None and attention_mask.ndim == 2:
            total = past + input_ids.shape[1]
            if attention_mask.shape[1] != total:
                raise ValueError(
                    f"attention_mask covers {attention_mask.shape[1]} positions, but cache and ids have {total}: an "
                    "image takes one for each of its vectors; expand the image tokens, or leave the mask out"
                )
            if position_ids is None:
                position_ids = positions(attention_mask)[:, -input_ids.shape[1] :]
        layout = Layout(input_ids=input_ids, attention_mask=torch.ones_like(input_ids), labels=None)
        is_image = input_ids == self.config.image_token_index
        if images is not None:
            counts = images.counts or [len(images.grids)]
            images = last_images(images, counts, is_image.sum(dim=1).tolist(), self._lengths(images))
        elif bool(is_image.any()):
            raise ValueError("the new text has image tokens, but no images are given")
        return self.embed(layout, images if images and images.grids else None), position_ids

    def _loss(
        self, hidden_BLH: Tensor, labels: Tensor, reduction: str, num_items_in_batch: int | Tensor | None
    ) -> Tensor:
        if reduction not in ("mean", "none") or (reduction == "none" and num_items_in_batch is not None):
            raise ValueError(f"loss_reduction is {reduction!r}; it is mean, or none without num_items_in_batch")
        targets = labels[:, 1:]
        supervised = targets != IGNORED
        losses = token_losses(self.language_model.lm_head, hidden_BLH[:, :-1][supervised], targets[supervised])
        if reduction == "none":
            return losses
        if num_items_in_batch is not None:
            return losses.sum() / num_items_in_batch
        if not len(losses):
            raise ValueError("no supervised token: every label is -100, so that there is no loss to take a mean of")
        return losses.mean()

    @torch.no_grad()
    def generate(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_sizes: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """Continues prompts of any lengths, padded on either side; `options` are those of transformers' `generate`.

        Returns ids [B, L + new]: the prompt as given (one token for an image), then what is new. `<image>` itself is
        never generated. Without a mask, ids of the pad token are pads.
        """
        input_ids = options.pop("inputs", None) if input_ids is None else input_ids
        if input_ids is None:
            raise ValueError("no input_ids are given; give a prompt")
        if attention_mask is None:
            pad = self.config.text_config.pad_token_id
            attention_mask = torch.ones_like(input_ids) if pad is None else (input_ids != pad).long()
        images = self._images(pixel_values, image_sizes)
        layout = self.layout(input_ids, attention_mask, None, images, padding_side="left")
        if images is not None:
            # by row, so that transformers can repeat rows for beams and several answers
            is_image = layout.input_ids == self.config.image_token_index
            counts = images_by_row((is_image & layout.attention_mask.bool()).sum(dim=1).tolist(), self._lengths(images))
            options["pixel_values"], options["image_sizes"] = pad_tiles_by_row(images, counts)
        config = options.get("generation_config") or self.generation_config
        suppressed = options.pop("suppress_tokens", None) or config.suppress_tokens or []
        options["suppress_tokens"] = [*suppressed, self.config.image_token_index]
        out = super().generate(layout.input_ids, attention_mask=layout.attention_mask, **options)
        sequences = out if isinstance(out, Tensor) else out.sequences
        prompts = input_ids.repeat_interleave(len(sequences) // len(input_ids), dim=0)
        whole = torch.cat([prompts, sequences[:, layout.input_ids.shape[1] :]], dim=1)
        if isinstance(out, Tensor):
            return whole
        out.sequences = whole
        return out


def token_losses(head: nn.Module, hidden_nH: Tensor, targets_n: Tensor) -> Tensor:
    """Cross entropy of each target in float32 [n], some at a time: logits of all would not fit in memory."""

    def chunk_losses(hidden: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(head(hidden).float(), targets, reduction="none")

    if len(hidden_nH) <= LOSS_CHUNK:
        return chunk_losses(hidden_nH, targets_n)
    chunks = zip(torch.split(hidden_nH, LOSS_CHUNK), torch.split(targets_n, LOSS_CHUNK), strict=True)
    return torch.cat(
        [
            checkpoint(chunk_losses, hidden, targets, use_reentrant=False, preserve_rng_state=False)
            for hidden, targets in chunks
        ]
    )
