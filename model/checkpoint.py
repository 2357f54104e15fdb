"""Weights on disk: the released Magma, a LLaMA with a CLIP to begin from, and folders in the form of the release.

Tensors are read one by one, straight into the model: memory stays near the model's own size. One map of names serves
all sources. Nothing is skipped in silence: a missing, unexpected or misshapen tensor is a ValueError that names it.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import AutoConfig

from model.config import MagmaConfig, MagmaVisionConfig, with_tokenizer
from model.magma import MagmaForCausalLM
from model.processor import MagmaProcessor
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
    ("visual.head.proj.", f"{_CLIP}head.proj."),
    # the same tower in timm
    ("stem.", f"{_CLIP}trunk.stem."),
    ("stages.", f"{_CLIP}trunk.stages."),
    ("head.norm.", f"{_CLIP}trunk.head.norm."),
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

UNUSED = (f"{_CLIP}trunk.head.norm.weight", f"{_CLIP}trunk.head.norm.bias", f"{_CLIP}head.proj.weight")
"""CLIP's head: in the released files, never used; zeros where a file has none of it"""

_VOCABULARY = ("language_model.model.embed_tokens.weight", "language_model.lm_head.weight")
_SHARD_SIZE = "5GB"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredTensor:
    """A tensor in a file, not read yet."""

    file: Path
    shape: tuple[int, ...]
    read: Callable[[], Tensor]


Stored = Mapping[str, StoredTensor]


def load_magma(
    source: str | Path,
    *,
    dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
    attention: str | None = None,
) -> tuple[MagmaForCausalLM, MagmaProcessor]:
    """The model and its processor from a folder, or by name from the Hugging Face hub (`microsoft/Magma-8B`).

    `dtype` None: as stored. `attention`: "sdpa", "flash_attention_2", "flex_attention" or "eager"; None leaves the
    choice to transformers. The height of the vocabulary is that of the file, the ids those of its tokenizer.
    """
    folder = fetched(source)
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} has no config.json; give the folder of a Magma model")
    processor = MagmaProcessor.from_pretrained(folder)
    stored = renamed(stored_tensors(folder))
    config = MagmaConfig.from_pretrained(folder)
    config = with_tokenizer(config, processor.tokenizer, height=_height(stored))
    if not (folder / "processor_config.json").is_file():  # the release says these of the model alone
        processor.max_length = config.text_config.max_position_embeddings
        processor.wrap_images = config.mm_use_image_start_end
    if attention is not None:
        config._attn_implementation = attention
    model = empty_magma(config)
    fill(model, stored, dtype=dtype, device=device, may_lack=UNUSED)
    return model.eval(), processor


def build_magma(
    llama: str | Path,
    vision: str | Path,
    *,
    vision_config: MagmaVisionConfig | None = None,
    dtype: torch.dtype | None = None,
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
    stored = renamed(stored_tensors(llama_folder)) | renamed(stored_tensors(vision_path))
    if text_config.tie_word_embeddings:
        text_config.tie_word_embeddings = False
        stored.setdefault(_VOCABULARY[1], stored[_VOCABULARY[0]])
    height = max(len(tokenizer), _height(stored))
    config = with_tokenizer(MagmaConfig(vision_config=chosen, text_config=text_config), tokenizer, height=height)
    model = empty_magma(config)
    grown = stored | {name: _grown(stored[name], height) for name in _VOCABULARY}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        projector = Projector(config.vision_config)
    grown |= {f"multi_modal_projector.{name}": _in_memory(tensor) for name, tensor in projector.state_dict().items()}
    fill(model, grown, dtype=dtype or text_config.dtype, device="cpu", may_lack=UNUSED)
    return model.eval(), MagmaProcessor.for_config(config, tokenizer)


def save_magma(model: MagmaForCausalLM, processor: MagmaProcessor, folder: str | Path) -> None:
    """Writes a Hugging Face folder: after `import model`, `AutoModelForCausalLM` and `AutoProcessor` load it."""
    model.save_pretrained(folder, max_shard_size=_SHARD_SIZE)
    processor.save_pretrained(folder)


def fetched(source: str | Path, wanted: Sequence[str] = ("*.json", "*.jinja", "*.safetensors")) -> Path:
    """`source` as a path; of what is no path but a name on the hub, the `wanted` files are downloaded, once."""
    path = Path(source)
    if path.exists():
        return path
    name = str(source)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ValueError(f"{name} does not exist; give a folder, or a name on the Hugging Face hub such as org/model")
    try:
        return Path(snapshot_download(name, allow_patterns=list(wanted)))
    except (OSError, ValueError) as error:
        raise ValueError(f"{name} is no folder here and could not be had from the hub: {error}") from error


def stored_tensors(path: str | Path) -> dict[str, StoredTensor]:
    """All tensors of a checkpoint by their stored names: a folder, sharded or not, or one file; headers alone are read.

    ValueError names a file that is missing, cut short or of no known form.
    """
    path = Path(path)
    if path.is_file():
        return _tensors_of_file(path)
    index = path / "model.safetensors.index.json"
    if index.is_file():
        weight_map: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = [path / name for name in sorted(set(weight_map.values()))]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise ValueError(f"{path} lacks {', '.join(missing)}, which {index.name} names; copy the folder anew")
    else:
        files = sorted(path.glob("*.safetensors")) or sorted(path.glob("*.bin"))
        if not files:
            raise ValueError(f"{path} holds no weights: neither *.safetensors nor *.bin")
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            raise ValueError(f"{path} holds several files without an index ({names}); give the one that is meant")
    found: dict[str, StoredTensor] = {}
    for file in files:
        found |= _tensors_of_file(file)
    if index.is_file() and (lacking := sorted(set(weight_map) - set(found))):
        raise ValueError(f"{path}: {index.name} names {lacking[0]}, which no file holds; copy the folder anew")
    return found


def _tensors_of_file(file: Path) -> dict[str, StoredTensor]:
    if file.suffix != ".safetensors":
        return _tensors_of_pickle(file)
    try:
        with safe_open(file, framework="pt") as opened:
            shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{file} can't be read: {error}; it is cut short or no safetensors file") from error

    def reader(name: str) -> Callable[[], Tensor]:
        def read() -> Tensor:
            # opened for each tensor: what is mapped of the file is then let go of after each
            with safe_open(file, framework="pt") as opened:
                return opened.get_tensor(name)

        return read

    return {name: StoredTensor(file=file, shape=shape, read=reader(name)) for name, shape in shapes.items()}


def _tensors_of_pickle(file: Path) -> dict[str, StoredTensor]:
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, OSError, ValueError) as error:
        raise ValueError(f"{file} can't be read as weights: {error}") from error
    tensors = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else {}
    if not tensors or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise ValueError(f"{file} holds no state dict")
    return {name.removeprefix("module."): _in_memory(tensor, file) for name, tensor in tensors.items()}


def _in_memory(tensor: Tensor, file: Path = Path()) -> StoredTensor:
    return StoredTensor(file=file, shape=tuple(tensor.shape), read=lambda: tensor)


def renamed(stored: Stored) -> dict[str, StoredTensor]:
    """The tensors by our names (`KEY_MAP`); CLIP's text half is left out, any other name unknown stays as it is."""
    result = {}
    has_image_half = any(name.startswith("visual.") for name in stored)
    for name, tensor in stored.items():
        if has_image_half and name.startswith(_CLIP_TEXT):
            continue
        old, new = next(((old, new) for old, new in KEY_MAP if name.startswith(old)), ("", ""))
        result[new + name.removeprefix(old)] = tensor
    return result


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

    return StoredTensor(file=stored.file, shape=(height, *stored.shape[1:]), read=read)


def empty_magma(config: MagmaConfig) -> MagmaForCausalLM:
    """The network without memory for its weights (on the meta device), for `fill`."""
    with torch.device("meta"):
        return MagmaForCausalLM(config)


def fill(
    model: MagmaForCausalLM,
    stored: Stored,
    *,
    dtype: torch.dtype | None,
    device: str | torch.device,
    may_lack: Iterable[str] = (),
) -> None:
    """Puts every stored tensor into a model made by `empty_magma`; those that `may_lack` names are zero without one."""
    wanted = dict(model.named_parameters())
    _compare({name: tuple(parameter.shape) for name, parameter in wanted.items()}, stored, set(may_lack))
    for name, parameter in wanted.items():
        if name in stored:
            # a copy: what is mapped from a file would change with it
            tensor = stored[name].read().to(device=device, dtype=dtype, copy=True)
        else:
            tensor = torch.zeros(parameter.shape, dtype=dtype, device=device)
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, nn.Parameter(tensor, requires_grad=parameter.requires_grad))
    rotary = model.language_model.model.rotary_emb  # its frequencies are in no file
    model.language_model.model.rotary_emb = type(rotary)(config=model.config.text_config).to(device)


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
