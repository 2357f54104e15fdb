"""Weights on disk: the released Magma, a LLaMA with a CLIP to begin from, and folders in the form of the release.

Tensors are read one by one, straight into the model: memory stays near the model's own size. One map of names serves
all sources. Nothing is skipped in silence: a missing, unexpected or misshapen tensor is a ValueError that names it.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import AutoConfig, GenerationConfig
from transformers.utils import logging

from model.config import MagmaConfig, MagmaVisionConfig, with_tokenizer
from model.magma import MagmaForCausalLM
from model.processor import MagmaProcessor
from model.stored import Stored, StoredTensor, fetched, in_memory, read_json, stored_tensors
from model.tokenizer import add_magma_tokens, load_tokenizer
from model.vision import Projector

_CLIP = "vision_tower.clip_vision_model."

KEY_MAP = (
    # Magma's own names, those of the release
    ("vision_tower.", "vision_tower."),
    ("multi_modal_projector.", "multi_modal_projector."),
    ("language_model.", "language_model."),
    # LLaMA in transformers
    ("model.", "language_model.model."),
    ("lm_head.", "language_model.lm_head."),
    # the image half of a CLIP in open_clip
    ("visual.trunk.", f"{_CLIP}trunk."),
    ("visual.head.", f"{_CLIP}head."),
    # the same tower in timm
    ("stem.", f"{_CLIP}trunk.stem."),
    ("stages.", f"{_CLIP}trunk.stages."),
    ("head.", f"{_CLIP}trunk.head."),
)
"""Prefix of a stored name, and what stands for it in our model; the first that fits counts."""

_CLIP_TEXT = (
    "text.",
    "transformer.",
    "token_embedding.",
    "ln_final.",
    "positional_embedding",
    "text_projection",
    "logit_scale",
    "logit_bias",
)
"""the text half of a CLIP, which Magma has no use for"""
_COMPUTED = "rotary_emb.inv_freq"
"""stored by old versions of LLaMA; a function of the configuration"""
_HEADS = (f"{_CLIP}trunk.head.", f"{_CLIP}head.")

UNUSED = (f"{_CLIP}trunk.head.norm.weight", f"{_CLIP}trunk.head.norm.bias", f"{_CLIP}head.proj.weight")
"""CLIP's head: in the released files, never used; zeros where a file has none of it"""

_VOCABULARY = ("language_model.model.embed_tokens.weight", "language_model.lm_head.weight")
_SHARD_SIZE = "5GB"


def load_magma(
    source: str | Path,
    *,
    dtype: torch.dtype | str | None = None,
    device: str | torch.device = "cpu",
    attention: str | None = None,
) -> tuple[MagmaForCausalLM, MagmaProcessor]:
    """The model and its processor from a folder, or by name from the Hugging Face hub (`microsoft/Magma-8B`).

    `dtype` None: that of the stored embedding. `attention`: "sdpa", "flash_attention_2", "flex_attention" or "eager";
    None leaves the choice to transformers. The height of the vocabulary is that of the file, the ids those of its
    tokenizer.
    """
    config, processor, stored = open_magma(source)
    if attention is not None:
        config._attn_implementation = attention
    model = empty_magma(config)
    fill(model, stored, dtype=dtype, device=device, may_lack=UNUSED)
    folder = fetched(source)
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    return model.eval(), processor


def open_magma(source: str | Path) -> tuple[MagmaConfig, MagmaProcessor, dict[str, StoredTensor]]:
    """What a folder or a name on the hub holds, its weights not read yet: for `empty_magma` and `fill`."""
    folder = fetched(source)
    config = read_config(folder)
    processor = MagmaProcessor.from_pretrained(folder)
    stored = renamed(stored_tensors(folder))
    config = with_tokenizer(config, processor.tokenizer, height=_height(stored))
    if not (folder / "processor_config.json").is_file():  # the release says these of the model alone
        processor.max_length = config.text_config.max_position_embeddings
        processor.wrap_images = config.mm_use_image_start_end
    return config, processor, stored


def read_config(folder: Path) -> MagmaConfig:
    """The configuration in a model's folder; ValueError where there is none, or that of another model."""
    file = folder / "config.json"
    if not file.is_file():
        raise ValueError(f"{folder} has no config.json; give the folder of a Magma model")
    written = read_json(file)
    if written.get("model_type") != MagmaConfig.model_type or not {"text_config", "vision_config"} <= written.keys():
        raise ValueError(f"{file} is that of a {written.get('model_type')!r}, not of a Magma")
    return MagmaConfig.from_dict(written)


def build_magma(
    llama: str | Path,
    vision: str | Path,
    *,
    vision_config: MagmaVisionConfig | None = None,
    dtype: torch.dtype | str | None = None,
    seed: int = 0,
) -> tuple[MagmaForCausalLM, MagmaProcessor]:
    """Magma before its training, as in the paper: a LLaMA-3 folder, LAION's ConvNeXt, a new projector.

    `vision`: a file or folder of open_clip (`.safetensors`, `.bin`) or of timm. Rows of added tokens are the mean of
    the others, the row separator is zero; the projector is drawn with `seed`.
    """
    llama_folder, vision_path = fetched(llama), fetched(vision, ("open_clip*", "model.safetensors"))
    tokenizer = load_tokenizer(llama_folder)
    add_magma_tokens(tokenizer)
    text_config = AutoConfig.from_pretrained(llama_folder)
    if text_config.model_type != "llama":
        raise ValueError(f"{llama_folder} holds a {text_config.model_type!r}; the language model must be a LLaMA")
    chosen = (vision_config or MagmaVisionConfig()).to_dict() | {"hidden_size": text_config.hidden_size}
    stored = _only(renamed(stored_tensors(llama_folder)), "language_model.", "a LLaMA")
    tower = _only(renamed(stored_tensors(vision_path)), _CLIP, "a CLIP's image half")
    if text_config.tie_word_embeddings:
        text_config.tie_word_embeddings = False
        stored.setdefault(_VOCABULARY[1], stored[_VOCABULARY[0]])
    height = max(len(tokenizer), _height(stored))
    config = with_tokenizer(MagmaConfig(vision_config=chosen, text_config=text_config), tokenizer, height=height)
    model = empty_magma(config)
    # the head is never used, and not every CLIP has one like the released model's
    shapes = _shapes(model)
    tower = {name: one for name, one in tower.items() if not name.startswith(_HEADS) or one.shape == shapes.get(name)}
    grown = stored | tower | {name: _grown(stored[name], height) for name in _VOCABULARY}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        projector = Projector(config.vision_config)
    grown |= {f"multi_modal_projector.{name}": in_memory(tensor) for name, tensor in projector.state_dict().items()}
    fill(model, grown, dtype=dtype or text_config.dtype, device="cpu", may_lack=UNUSED)
    return model.eval(), MagmaProcessor.for_config(config, tokenizer)


def save_magma(
    model: MagmaForCausalLM, processor: MagmaProcessor, folder: str | Path, *, state: Mapping[str, Tensor] | None = None
) -> None:
    """Writes a Hugging Face folder: after `import model`, `AutoModelForCausalLM` and `AutoProcessor` load it.

    `state`: the weights, where the model itself has but shards of them. What a folder holds already is replaced once
    all is written: no weights of another model stay beside the new ones.
    """
    height = model.config.text_config.vocab_size
    if len(processor.tokenizer) > height:
        raise ValueError(f"the tokenizer has {len(processor.tokenizer)} entries, but the model has room for {height}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as written:
        with _without_progress():
            model.save_pretrained(written, max_shard_size=_SHARD_SIZE, state_dict=state)
        processor.save_pretrained(written)
        for stale in (*folder.glob("*.safetensors"), *folder.glob("*.safetensors.index.json")):
            stale.unlink()
        mode = (Path(written) / "config.json").stat().st_mode
        for file in Path(written).iterdir():
            file.chmod(mode)  # safetensors lets nobody else read its files
            file.replace(folder / file.name)


@contextmanager
def _without_progress() -> Iterator[None]:
    """transformers shows a bar of its own, which would tear up the lines of whoever saves."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def renamed(stored: Stored) -> dict[str, StoredTensor]:
    """The tensors by our names (`KEY_MAP`); CLIP's text half is left out, any other name unknown stays as it is."""
    result: dict[str, StoredTensor] = {}
    has_image_half = any(name.startswith("visual.") for name in stored)
    for name, tensor in stored.items():
        if (has_image_half and name.startswith(_CLIP_TEXT)) or name.endswith(_COMPUTED):
            continue
        old, new = next(((old, new) for old, new in KEY_MAP if name.startswith(old)), ("", ""))
        ours = new + name.removeprefix(old)
        if ours in result:
            raise ValueError(f"{tensor.file} holds {ours} under two names, {name} being one; leave one of them out")
        result[ours] = tensor
    return result


def _only(stored: Stored, prefix: str, what: str) -> dict[str, StoredTensor]:
    strange = [name for name in stored if not name.startswith(prefix)]
    if strange:
        raise ValueError(f"{stored[strange[0]].file} holds {strange[0]}, which is no tensor of {what}; give that alone")
    return dict(stored)


def _shapes(model: MagmaForCausalLM) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def _height(stored: Stored) -> int:
    """Entries of the vocabulary that the file has room for."""
    missing = [name for name in _VOCABULARY if name not in stored]
    if missing:
        raise ValueError(f"the checkpoint lacks {missing[0]}; it is not that of a Magma or LLaMA model")
    first, second = (stored[name].shape[0] for name in _VOCABULARY)
    if first != second:
        raise ValueError(f"{_VOCABULARY[0]} has {first} rows, but {_VOCABULARY[1]} has {second}")
    return first


def _grown(stored: StoredTensor, height: int) -> StoredTensor:
    """The same matrix with rows up to `height`, each the mean of the old ones."""

    def read() -> Tensor:
        old = stored.read()
        mean = old.float().mean(dim=0, keepdim=True).to(old.dtype)
        return torch.cat([old, mean.expand(height - len(old), -1)])

    return replace(stored, shape=(height, *stored.shape[1:]), read=read)


def empty_magma(config: MagmaConfig) -> MagmaForCausalLM:
    """The network without memory for its weights (on the meta device), for `fill`."""
    with torch.device("meta"):
        return MagmaForCausalLM(config)


def fill(
    model: MagmaForCausalLM,
    stored: Stored,
    *,
    dtype: torch.dtype | str | None,
    device: str | torch.device,
    may_lack: Iterable[str] = (),
) -> None:
    """Puts every stored tensor into a model made by `empty_magma`; those that `may_lack` names are zero without one.

    `dtype` None: that of the embedding, for all. A model that is sharded already (FSDP2) stays so.
    """
    _compare(_shapes(model), stored, set(may_lack))
    kind = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype or stored[_VOCABULARY[0]].read().dtype
    if not isinstance(kind, torch.dtype):
        raise ValueError(f"dtype is {dtype!r}; give one of torch, such as bfloat16 or float32")
    for name, parameter in list(model.named_parameters()):
        tensor = stored[name].read() if name in stored else torch.zeros(parameter.shape)
        if not tensor.is_floating_point():
            raise ValueError(f"{name} is {tensor.dtype} in {stored[name].file}; weights are floating-point numbers")
        # a copy: what is mapped from a file would change with it
        tensor = tensor.to(device=device, dtype=kind, copy=True)
        if isinstance(parameter, DTensor):
            tensor = distribute_tensor(tensor, parameter.device_mesh, parameter.placements)
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, nn.Parameter(tensor, requires_grad=parameter.requires_grad))
    model.restore_rotary(device)


def _compare(wanted: Mapping[str, tuple[int, ...]], stored: Stored, may_lack: set[str]) -> None:
    findings = {
        "missing": [name for name in wanted if name not in stored and name not in may_lack],
        "not of this model": [f"{name} (in {stored[name].file})" for name in stored if name not in wanted],
        "of another shape": [
            f"{name} is {list(stored[name].shape)} in {stored[name].file}, the model's is {list(shape)}"
            for name, shape in wanted.items()
            if name in stored and stored[name].shape != shape
        ],
    }
    told = [f"{len(names)} {what}: {'; '.join(names[:3])}" for what, names in findings.items() if names]
    if told:
        raise ValueError(f"the checkpoint does not fit the model: {', and '.join(told)}")
