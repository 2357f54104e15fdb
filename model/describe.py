"""What a Magma of some configuration takes: parameters, image tokens, work and memory, told before any weight exists.

Counts are of the real network on the meta device, where tensors have shapes and no memory. Letters: B samples of a
batch, L positions of a sample, H width of the language model.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache

from model.checkpoint import UNUSED, empty_magma, read_config
from model.config import SIZES, STRIDE, Grid, MagmaConfig, image_tokens
from model.images import choose_grid
from model.magma import LOSS_CHUNK, MagmaForCausalLM

TYPICAL_WH = (
    (224, 224),
    (512, 512),
    (640, 480),
    (1024, 1024),
    (1280, 720),
    (1920, 1080),
    (2560, 1440),
    (3840, 2160),
    (390, 844),
    (1080, 1920),
    (1080, 2400),
    (1700, 2200),
    (2000, 500),
)
"""sizes of thumbnails, photos, videos, desktops, phones, a page at 200 dpi and a banner"""
MAX_TILES = 4
"""tiles of one image, as in the release"""

_BF16, _FLOAT32 = 2, 4
_ADAMW = 2 * _FLOAT32
"""bytes of the two moments of a parameter"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Parameters of each part; `vision_unused_head` is CLIP's, which the release holds and nothing reads."""

    vision_used: int
    vision_unused_head: int
    projector: int
    embedding: int
    layers_and_norm: int
    lm_head: int

    @property
    def total(self) -> int:
        return sum(asdict(self).values())


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCut:
    """The tiles that an image of a size is cut into, and the positions that it takes."""

    size_wh: tuple[int, int]
    grid: Grid
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flops:
    """Floating-point operations of one forward pass of one sample, two for a multiply-add.

    Convolutions and matrix products alone. `scores`: both products of attention, over the L * (L + 1) / 2 pairs that
    the causal mask leaves. `head`: over the positions of the text, as if all of it were supervised.
    """

    vision: int
    projector: int
    layers: int
    scores: int
    head: int

    @property
    def forward(self) -> int:
        return sum(asdict(self).values())

    @property
    def train(self) -> int:
        """The backward pass is two products for each of the forward pass, one for inputs and one for weights."""
        return 3 * self.forward

    @property
    def train_checkpointed(self) -> int:
        """The forward pass is done once more; by rounding up, that of the head too."""
        return 4 * self.forward


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleCost:
    """One sample: its images, then `text_tokens` positions of text. `kv_bytes`: its keys and values in bf16."""

    images: tuple[ImageCut, ...]
    text_tokens: int
    length: int
    flops: Flops
    kv_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes for `batch` samples with weights in bf16; activations by formula (`activation_bytes`), the rest counted."""

    batch: int
    weights: int
    gradients: int
    adamw: int
    float32_copy: int
    activations: int
    activations_checkpointed: int
    kv_cache: int

    @property
    def training(self) -> int:
        return self.weights + self.gradients + self.adamw + self.activations

    @property
    def training_checkpointed(self) -> int:
        return self.weights + self.gradients + self.adamw + self.activations_checkpointed

    @property
    def answering(self) -> int:
        return self.weights + self.kv_cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """All that is told of a configuration; `sizes` are typical images, `grids` all that up to `max_tiles` can form."""

    name: str
    vocabulary: int
    context: int
    parts: Parts
    sizes: tuple[ImageCut, ...]
    grids: tuple[ImageCut, ...]
    sample: SampleCost
    memory: Memory


def find_config(name: str) -> tuple[str, MagmaConfig]:
    """The configuration of a size of `SIZES` or of a folder with config.json; ValueError tells what there is."""
    if name in SIZES:
        return name, SIZES[name]()
    if not Path(name).is_dir():
        raise ValueError(f"{name!r} is neither one of {', '.join(SIZES)} nor a folder")
    return name, read_config(Path(name))


def describe(
    config: MagmaConfig,
    *,
    name: str,
    images_wh: Sequence[tuple[int, int]] = ((1280, 720),),
    text_tokens: int = 256,
    batch: int = 1,
    max_tiles: int = MAX_TILES,
) -> Description:
    """Counts a network without making it; `images_wh` width and height of the sample's images in pixels.

    ValueError where there is nothing to count.
    """
    if text_tokens < 1 or batch < 1:
        raise ValueError(f"text_tokens={text_tokens}, batch={batch}: both must be at least 1")
    tile_px = config.vision_config.img_size
    model = empty_magma(config)
    images = tuple(_cut(size_wh, tile_px, max_tiles) for size_wh in images_wh)
    sample = _sample_cost(model, images, text_tokens)
    return Description(
        name=name,
        vocabulary=config.text_config.vocab_size,
        context=config.text_config.max_position_embeddings,
        parts=count_parts(model),
        sizes=tuple(_cut(size_wh, tile_px, max_tiles) for size_wh in TYPICAL_WH),
        grids=tuple(_grids(tile_px, max_tiles)),
        sample=sample,
        memory=_memory(model, sample, batch),
    )


def count_parts(model: MagmaForCausalLM) -> Parts:
    """Parameters by part; every parameter is of exactly one."""
    counts = dict.fromkeys(Parts.__dataclass_fields__, 0)
    for name, parameter in model.named_parameters():
        counts[_part_of(name)] += parameter.numel()
    return Parts(**counts)


def _part_of(name: str) -> str:
    if name.startswith("vision_tower."):
        return "vision_unused_head" if name in UNUSED else "vision_used"
    if name.startswith("multi_modal_projector."):
        return "projector"
    if name.startswith("language_model.lm_head."):
        return "lm_head"
    return "embedding" if ".embed_tokens." in name else "layers_and_norm"


def _cut(size_wh: tuple[int, int], tile_px: int, max_tiles: int) -> ImageCut:
    grid = choose_grid(size_wh, tile=tile_px, max_tiles=max_tiles)
    return ImageCut(size_wh=size_wh, grid=grid, tokens=image_tokens(grid, tile_px))


def _grids(tile_px: int, max_tiles: int) -> Iterator[ImageCut]:
    for rows in range(1, max_tiles + 1):
        for cols in range(1, max_tiles // rows + 1):
            grid = Grid(rows=rows, cols=cols)
            yield ImageCut(size_wh=(cols * tile_px, rows * tile_px), grid=grid, tokens=image_tokens(grid, tile_px))


def _sample_cost(model: MagmaForCausalLM, images: Sequence[ImageCut], text_tokens: int) -> SampleCost:
    length = text_tokens + sum(image.tokens for image in images)
    flops, cache = count_flops(model, [image.grid for image in images], text_tokens=text_tokens)
    return SampleCost(
        images=tuple(images),
        text_tokens=text_tokens,
        length=length,
        flops=flops,
        kv_bytes=_BF16 * sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers),
    )


@torch.no_grad()
def count_flops(model: MagmaForCausalLM, grids: list[Grid], *, text_tokens: int) -> tuple[Flops, DynamicCache]:
    """The work of one sample, counted by torch while a network on the meta device runs; and the cache it leaves."""
    vision = model.config.vision_config
    tiles = sum(rows * cols for rows, cols in grids)
    length = text_tokens + sum(image_tokens(grid, vision.img_size) for grid in grids)
    with torch.device("meta"):
        pixels = torch.empty(tiles, 3, vision.img_size, vision.img_size)
        features = torch.empty(tiles * (vision.img_size // STRIDE) ** 2, 1, vision.mm_hidden_size)
        embeds_1LH = torch.empty(1, length, model.config.text_config.hidden_size)
        # with a cache transformers does not look for packed documents among positions, whose values meta lacks
        cache = DynamicCache()
        projector = _counted(lambda: model.multi_modal_projector([features]))[0] if grids else 0
        # the tower and the projector: tiles on their own or as one raster, as the model does it
        both = _counted(lambda: model.image_features(pixels, grids))[0] if grids else 0
        run_layers = model.language_model.model
        layers, scores = _counted(lambda: run_layers(inputs_embeds=embeds_1LH, past_key_values=cache, use_cache=True))
        head, _ = _counted(lambda: model.language_model.lm_head(embeds_1LH[:, -text_tokens:]))
    causal = scores * (length + 1) // (2 * length)
    flops = Flops(vision=both - projector, projector=projector, layers=layers, scores=causal, head=head)
    return flops, cache


def _counted(work: Callable[[], object]) -> tuple[int, int]:
    """Operations of linear layers and convolutions, and of all else: attention, for which counters have many names."""
    with FlopCounterMode(display=False) as counter:
        work()
    of_all: dict[Any, int] = counter.get_flop_counts().get("Global", {})
    linear = sum(n for operation, n in of_all.items() if str(operation) in _LINEAR)
    return linear, sum(of_all.values()) - linear


_LINEAR = ("aten.mm", "aten.addmm", "aten.convolution")


def activation_bytes(config: MagmaConfig, *, tiles: int, length: int, text_tokens: int) -> tuple[int, int]:
    """Bytes that one sample keeps for its backward pass: all activations, and with checkpointing. An estimate.

    Weights and activations in bf16, all parts trained. A LLaMA layer keeps per position 20 H + 4 KV + 8 F bytes (two
    norms 16 H, of which float32 8 H; queries and attention's output 4 H; keys and values 4 KV; the MLP 8 F); a ConvNeXt
    block 24 C per feature; the projector 2 C + 4 H per vector; the loss 10 bytes per entry of the vocabulary, for at
    most 1024 positions at once. Checkpointing keeps the input of every layer and block, and one of them whole at a
    time: the largest.
    """
    text, vision = config.text_config, config.vision_config
    keys = text.num_key_value_heads * text.head_dim
    layer = length * (20 * text.hidden_size + 4 * keys + 8 * text.intermediate_size)
    sides = [vision.img_size // 4 // 2**stage for stage in range(4)]
    blocks = [tiles * side**2 * dim for side, dim in zip(sides, vision.dims, strict=True)]
    projector = tiles * sides[-1] ** 2 * (2 * vision.mm_hidden_size + 4 * text.hidden_size)
    # of further chunks only the hidden states stay, which are of no account beside the logits
    loss = 10 * text.vocab_size * min(text_tokens, LOSS_CHUNK)
    whole = 24 * sum(values * depth for values, depth in zip(blocks, vision.depths, strict=True))
    whole += text.num_hidden_layers * layer + projector + loss
    inputs = _BF16 * sum(values * depth for values, depth in zip(blocks, vision.depths, strict=True))
    inputs += _BF16 * text.num_hidden_layers * length * text.hidden_size
    # the loss is over before the layers are run again
    return whole, inputs + projector + max(loss, layer, 24 * max(blocks))


def _memory(model: MagmaForCausalLM, sample: SampleCost, batch: int) -> Memory:
    total = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    tiles = sum(image.grid.rows * image.grid.cols for image in sample.images)
    whole, checkpointed = activation_bytes(
        model.config, tiles=batch * tiles, length=batch * sample.length, text_tokens=batch * sample.text_tokens
    )
    return Memory(
        batch=batch,
        weights=_BF16 * total,
        gradients=_BF16 * trained,
        adamw=_ADAMW * trained,
        float32_copy=_FLOAT32 * trained,
        activations=whole,
        activations_checkpointed=checkpointed,
        kv_cache=batch * sample.kv_bytes,
    )
