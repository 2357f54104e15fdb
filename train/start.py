"""The network that a training begins with: built, frozen, adapted and sharded before a weight is read.

Weights are read or drawn tensor by tensor, straight into their shards: no rank ever holds more than its share and one
tensor. What is drawn is a function of the seed and the tensor's name, whatever the number of ranks.
"""

import importlib.util
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from model.checkpoint import UNUSED, empty_magma, fill, open_magma
from model.config import SIZES, MagmaConfig, with_tokenizer
from model.magma import MagmaForCausalLM
from model.processor import MagmaProcessor
from model.stored import StoredTensor
from model.tokenizer import add_magma_tokens, load_tokenizer, train_tokenizer
from schemas.errors import UserError
from schemas.training import LoraConfig, ModelConfig, TrainConfig
from train.ranks import Ranks
from transforms.keys import stable_hash

PARTS = {"vision": "vision_tower.", "projector": "multi_modal_projector.", "language": "language_model."}
"""the parts of `ModelConfig`, and how the names of their parameters begin"""

_ADAPTER = "default"
_LAYER_SCALE = 0.5
"""of the blocks of the ConvNeXt; timm's 1e-6 takes hundreds of epochs to grow"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blueprint:
    """A network before it is made; `stored` None: its weights are to be drawn."""

    config: MagmaConfig
    processor: MagmaProcessor
    stored: Mapping[str, StoredTensor] | None


def blueprint(
    model: ModelConfig, max_length: int, texts: Callable[[], Iterable[str]], folder: Path | None = None
) -> Blueprint:
    """What `model` describes, fitted to the data: size of tiles, length of samples, way to attend.

    `texts`: of which a tokenizer is made where random weights have none; `folder`: the processor that a training wrote
    when it began. UserError where a part of it can't be had.
    """
    try:
        if model.start in SIZES:
            config, processor = _random_size(model, texts, folder)
            stored = None
        else:
            config, processor, stored = open_magma(model.start)
    except ValueError as error:
        raise UserError(f"model.start: {error}") from error
    if model.tile_px:
        config.vision_config.img_size = model.tile_px
        processor.image_processor.base_img_size = model.tile_px
    if model.attention:
        config._attn_implementation = model.attention
    _check_length(max_length, config)
    processor.max_length = max_length
    return Blueprint(config=config, processor=processor, stored=stored)


def _random_size(
    model: ModelConfig, texts: Callable[[], Iterable[str]], folder: Path | None
) -> tuple[MagmaConfig, MagmaProcessor]:
    config = SIZES[model.start]()
    if folder is not None and (folder / "tokenizer.json").is_file():
        tokenizer = load_tokenizer(folder)
    elif model.tokenizer:
        tokenizer = load_tokenizer(model.tokenizer)
        add_magma_tokens(tokenizer)
    else:
        tokenizer = train_tokenizer(texts(), vocab_size=config.tokenizer_vocab_size)
    config = with_tokenizer(config, tokenizer)
    return config, MagmaProcessor.for_config(config, tokenizer)


def _check_length(max_length: int, config: MagmaConfig) -> None:
    context = config.text_config.max_position_embeddings
    if max_length > context:
        raise UserError(f"data.max_length: {max_length} is beyond the model's context of {context}; make it shorter")


def start(plan: Blueprint, config: TrainConfig, ranks: Ranks) -> MagmaForCausalLM:
    """The network of a blueprint on this rank, in training mode; its weights are those at the beginning."""
    model = config.model
    try:
        network = empty_magma(plan.config)
    except (ImportError, ValueError) as error:  # of a way to attend that is not installed, or not for this GPU
        raise UserError(f"model.attention: {' '.join(str(error).split())}; install it, or leave it out") from error
    network.train()
    for part, prefix in PARTS.items():
        if getattr(model, part).frozen:
            network.get_submodule(prefix.rstrip(".")).requires_grad_(False)
    if model.lora:
        add_adapters(network, model.lora)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise UserError("model: all of its parts are frozen, so that nothing would be trained; leave one free")
    if model.checkpointing:
        network.checkpoint_activations()
    if model.compile:
        for block in _blocks(network):
            block.compile()
    _shard(network, model, ranks)
    drawn = drawn_tensors(network, config.seed)
    if plan.stored is not None:  # what such a folder lacks is an error, but for the adapters
        adapters = {name: tensor for name, tensor in drawn.items() if ".lora_" in name}
        drawn = {**adapters, **_stored_tensors(network, plan.stored)}
    try:
        fill(network, drawn, dtype=model.weights, device=ranks.device, may_lack=UNUSED)
    except ValueError as error:
        raise UserError(f"model.start: {error}") from error
    return network


def _blocks(network: MagmaForCausalLM) -> Iterator[nn.Module]:
    """What is sharded, compiled and computed again as one: the layers of the LLaMA, the blocks of the ConvNeXt."""
    yield from network.language_model.model.layers
    for stage in network.vision_tower.trunk.stages:
        yield from stage.blocks


def _shard(network: MagmaForCausalLM, model: ModelConfig, ranks: Ranks) -> None:
    if ranks.count > 1 and network.config.vision_config.img_anyres_strategy == "global":
        raise UserError(
            'model.start: its images are convolved as a whole (img_anyres_strategy "global"), for which ranks would '
            "make different calls; train it on one rank"
        )
    precision = MixedPrecisionPolicy(param_dtype=getattr(torch, model.compute), reduce_dtype=torch.float32)
    for block in _blocks(network):
        fully_shard(block, mesh=ranks.mesh, mp_policy=precision)
    fully_shard(network, mesh=ranks.mesh, mp_policy=precision)


def add_adapters(network: MagmaForCausalLM, lora: LoraConfig) -> None:
    """Puts low-rank adapters on the language model, of which nothing else is trained then."""
    if importlib.util.find_spec("peft") is None:
        raise UserError("model.lora: peft is not installed; run: pip install '.[lora]', or leave model.lora out")
    from peft import LoraConfig as PeftConfig
    from peft import inject_adapter_in_model

    wanted = PeftConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type, unused-ignore]
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
    )
    try:
        with torch.device("meta"):
            inject_adapter_in_model(wanted, network.language_model, adapter_name=_ADAPTER)
    except ValueError as error:
        raise UserError(f"model.lora.targets: {lora.targets}: {error}") from error


def _stored_tensors(network: MagmaForCausalLM, stored: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """What is stored, by the network's names: a layer with an adapter has its own weights one step deeper."""
    adapted = {name.replace(".base_layer.", "."): name for name, _ in network.named_parameters()}
    return {adapted.get(name, name): tensor for name, tensor in stored.items()}


def drawn_tensors(network: MagmaForCausalLM, seed: int) -> dict[str, StoredTensor]:
    """First weights of a network, by the rules of its parts."""
    return {
        name: StoredTensor(
            file=Path("random"), shape=tuple(parameter.shape), read=_drawing(name, parameter.shape, seed)
        )
        for name, parameter in network.named_parameters()
    }


def _drawing(name: str, shape: torch.Size, seed: int) -> Callable[[], Tensor]:
    def draw() -> Tensor:
        generator = torch.Generator().manual_seed(int(stable_hash("weights", str(seed), name)[:15], 16))
        if name.endswith((".bias", "row_seperator")) or ".lora_B." in name:
            return torch.zeros(shape)
        if name.endswith(".gamma"):
            return torch.full(shape, _LAYER_SCALE)
        if ".lora_A." in name:
            limit = 1 / math.sqrt(shape[1])
            return torch.empty(shape).uniform_(-limit, limit, generator=generator)
        if len(shape) == 1:
            return torch.ones(shape)  # of a norm
        # at LLaMA-3's width of 4096 about the usual 0.02
        std = 1 / math.sqrt(math.prod(shape[1:]))
        return torch.empty(shape).normal_(0, std, generator=generator)

    return draw


def merged(state: Mapping[str, Tensor], lora: LoraConfig) -> dict[str, Tensor]:
    """The weights of a network with adapters as those of one without: W + alpha / rank B A, under the old names."""
    whole: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if ".lora_A." in name or ".lora_B." in name:
            continue
        stem, found, leaf = name.partition(".base_layer.")
        if found and leaf == "weight":
            down, up = (state[f"{stem}.{side}.{_ADAPTER}.weight"].float() for side in ("lora_A", "lora_B"))
            tensor = (tensor.float() + lora.alpha / lora.rank * up @ down).to(tensor.dtype)
        whole[f"{stem}.{leaf}" if found else name] = tensor
    return whole
