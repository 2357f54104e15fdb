"""The Magma network, its processor and its checkpoints; importing it makes transformers' `Auto…` classes know them."""

from transformers import AutoConfig, AutoImageProcessor, AutoModelForCausalLM, AutoProcessor

from model.checkpoint import build_magma, load_magma, save_magma
from model.config import SIZES, MagmaConfig, MagmaVisionConfig
from model.images import MagmaImageProcessor
from model.magma import MagmaForCausalLM
from model.processor import MagmaProcessor

__all__ = [
    "SIZES",
    "MagmaConfig",
    "MagmaForCausalLM",
    "MagmaImageProcessor",
    "MagmaProcessor",
    "MagmaVisionConfig",
    "build_magma",
    "load_magma",
    "save_magma",
]

AutoConfig.register(MagmaConfig.model_type, MagmaConfig)
AutoModelForCausalLM.register(MagmaConfig, MagmaForCausalLM)
AutoImageProcessor.register(
    MagmaConfig, image_processor_classes={"torchvision": MagmaImageProcessor, "pil": MagmaImageProcessor}
)
AutoProcessor.register(MagmaConfig, MagmaProcessor)
