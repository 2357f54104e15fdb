"""Configuration of the Magma network, with the field names of the released `config.json`, and the ready sizes."""

import copy
from dataclasses import field
from typing import Any, NamedTuple

from transformers import AutoConfig, LlamaConfig, PreTrainedConfig, PreTrainedTokenizerFast
from transformers.configuration_utils import SubConfigSpec

from model.tokenizer import special_ids

STRIDE = 32
"""pixels of an image along one side of a ConvNeXt feature"""


class Grid(NamedTuple):
    """How many tiles an image is cut into, downwards and across."""

    rows: int
    cols: int


def image_tokens(grid: Grid, tile_px: int = 512) -> int:
    """How many positions an image takes in the text: its features, and a separator after each row of them."""
    side = tile_px // STRIDE
    return grid.rows * side * (grid.cols * side + 1)


_BACKBONES: dict[str, dict[str, Any]] = {
    "convnextxxlarge": {"depths": [3, 4, 30, 3], "dims": [384, 768, 1536, 3072], "norm_eps": 1e-5, "head_dim": 1024},
    "convnextlarge": {"depths": [3, 3, 27, 3], "dims": [192, 384, 768, 1536], "norm_eps": 1e-6, "head_dim": 768},
    "convnextbase": {"depths": [3, 3, 27, 3], "dims": [128, 256, 512, 1024], "norm_eps": 1e-6, "head_dim": 640},
    "convnexttiny": {"depths": [3, 3, 9, 3], "dims": [96, 192, 384, 768], "norm_eps": 1e-6, "head_dim": 1024},
}
"""the backbones of LAION's CLIPs; `head_dim` is the width of CLIP's projection, which Magma keeps but never uses"""


_NOT_GIVEN = {"depths": [], "dims": [], "norm_eps": 0.0, "head_dim": -1}


class MagmaVisionConfig(PreTrainedConfig):
    """The vision tower and the projector.

    `vision_backbone` names one of LAION's ConvNeXts; `depths` and `dims` (blocks and channels of the four stages) give
    any other size. `img_size`: side of a tile in pixels, a multiple of 32. `img_anyres_strategy`: "crop" convolves
    tiles one by one, "global" the image put together again. `mm_hidden_size` is the tower's width, `hidden_size` the
    language model's. `drop_path_rate` acts in training, and never in a frozen tower. ValueError names what is wrong.
    """

    model_type = "magma_vision"
    base_config_key = "vision_config"

    vision_backbone: str = "convnextxxlarge"
    depths: list[int] = field(default_factory=list)
    dims: list[int] = field(default_factory=list)
    norm_eps: float = 0.0
    head_dim: int = -1
    drop_path_rate: float = 0.0
    img_size: int = 512
    img_anyres_strategy: str = "crop"
    mm_projector_type: str = "mlp2x_gelu"
    mm_hidden_size: int = 0
    hidden_size: int = 4096

    def __post_init__(self, **kwargs: Any) -> None:
        known = _BACKBONES.get(self.vision_backbone.replace("_", "").replace("-", "").lower(), {})
        if not known and not (self.depths and self.dims):
            raise ValueError(
                f"vision_backbone {self.vision_backbone!r} is not known; give one of {', '.join(_BACKBONES)}, "
                "or depths and dims"
            )
        for name, value in known.items():
            if getattr(self, name) == _NOT_GIVEN[name]:
                setattr(self, name, value)
        self.norm_eps = self.norm_eps or 1e-6
        self.head_dim = max(self.head_dim, 0)
        self.mm_hidden_size = self.mm_hidden_size or self.dims[-1]
        super().__post_init__(**kwargs)
        self._check()

    def _check(self) -> None:
        if len(self.depths) != 4 or len(self.dims) != 4:
            raise ValueError(f"depths {self.depths} and dims {self.dims} must have a value for each of the four stages")
        if self.mm_hidden_size != self.dims[-1]:
            raise ValueError(f"mm_hidden_size is {self.mm_hidden_size}, but the tower's last stage has {self.dims[-1]}")
        if self.img_size < STRIDE or self.img_size % STRIDE:
            raise ValueError(f"img_size is {self.img_size}; it must be a multiple of {STRIDE}")
        if self.img_anyres_strategy not in ("crop", "global"):
            raise ValueError(f"img_anyres_strategy is {self.img_anyres_strategy!r}; strategies are crop and global")


class MagmaConfig(PreTrainedConfig):
    """Vision, language and what joins them.

    `image_token_index`: id of `<image>`. `tokenizer_vocab_size`: entries of the tokenizer without added tokens, from
    which action ids count down. `mm_use_image_start_end`: `<image>` stands between `<image_start>` and `<image_end>`.
    """

    model_type = "magma"
    attribute_map = {"image_token_id": "image_token_index"}
    sub_configs_defaults = {
        "vision_config": SubConfigSpec(config_class=MagmaVisionConfig),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama"),
    }

    vision_config: Any = None
    text_config: Any = None
    image_token_index: int = 128257
    tokenizer_vocab_size: int = 128000
    mm_use_image_start_end: bool = True
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if self.text_config.model_type != "llama" or self.text_config.tie_word_embeddings:
            raise ValueError(
                f"text_config is a {self.text_config.model_type!r} with tie_word_embeddings "
                f"{self.text_config.tie_word_embeddings}; Magma's is a LLaMA with a head of its own"
            )
        if self.vision_config.hidden_size != self.text_config.hidden_size:
            raise ValueError(
                f"vision_config.hidden_size is {self.vision_config.hidden_size}, but the language model has "
                f"{self.text_config.hidden_size}; both are the width that the projector writes"
            )


def with_tokenizer(
    config: MagmaConfig, tokenizer: PreTrainedTokenizerFast, *, height: int | None = None
) -> MagmaConfig:
    """The same model for `tokenizer`: its ids, and a vocabulary of `height` entries (None: as many as it has)."""
    height = height or len(tokenizer)
    if len(tokenizer) > height:
        raise ValueError(f"the tokenizer has {len(tokenizer)} entries, but the model has room for {height}")
    ids = special_ids(tokenizer)
    config = copy.deepcopy(config)
    config.image_token_index, config.tokenizer_vocab_size = ids.image, ids.base_vocab
    text = config.text_config
    text.vocab_size = height
    text.bos_token_id, text.eos_token_id, text.pad_token_id = ids.bos, ids.eot, ids.pad
    return config


def _llama(**fields: Any) -> LlamaConfig:
    return LlamaConfig(
        rms_norm_eps=1e-5,
        max_position_embeddings=8192,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
        **fields,
    )


def magma_8b() -> MagmaConfig:
    """The released model: ConvNeXt-XXLarge, LLaMA-3-8B, 8.9 B parameters."""
    return MagmaConfig(
        vision_config=MagmaVisionConfig(),
        text_config=_llama(
            vocab_size=128262,
            hidden_size=4096,
            intermediate_size=14336,
            num_hidden_layers=32,
            num_attention_heads=32,
            num_key_value_heads=8,
            bos_token_id=128000,
            eos_token_id=128009,
            pad_token_id=128256,
        ),
    )


def magma_300m() -> MagmaConfig:
    """ConvNeXt-Base and a LLaMA of 12 layers: about 300 M parameters, to try a recipe on one GPU."""
    return MagmaConfig(
        vision_config=MagmaVisionConfig(vision_backbone="convnextbase", head_dim=0, hidden_size=1024),
        text_config=_llama(
            vocab_size=32768,
            hidden_size=1024,
            intermediate_size=2816,
            num_hidden_layers=12,
            num_attention_heads=16,
            num_key_value_heads=4,
            pad_token_id=None,
        ),
        image_token_index=32757,
        tokenizer_vocab_size=32752,
    )


def magma_tiny() -> MagmaConfig:
    """A few million parameters: learns a small dataset on a CPU in minutes."""
    return MagmaConfig(
        vision_config=MagmaVisionConfig(
            vision_backbone="convnext",
            depths=[2, 2, 4, 2],
            dims=[24, 48, 96, 192],
            img_size=256,
            hidden_size=192,
        ),
        text_config=_llama(
            vocab_size=2064,
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=6,
            num_attention_heads=6,
            num_key_value_heads=2,
            pad_token_id=None,
        ),
        image_token_index=2054,
        tokenizer_vocab_size=2048,
    )


SIZES = {"magma-8b": magma_8b, "magma-300m": magma_300m, "magma-tiny": magma_tiny}
