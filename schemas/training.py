"""The config of a training: frozen pydantic models, every default here; those of the paper's pretraining.

Fields under `run` say how a training runs, not what it learns: a resumed run may change them.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from schemas.fields import Config, Count, NotNegative, Positive, Share
from schemas.sample import Task, TurnKind

Number = Literal["float32", "bfloat16"]


class DatasetConfig(Config):
    """A dataset of the mixture, or its samples for some tasks; the same `path` may stand in it more than once."""

    path: str
    """folder or URL that `somtom run` wrote"""
    split: str = "train"
    tasks: list[Task] = []
    """only samples that have one of these; empty: all"""
    weight: Positive | None = None
    """share of the samples drawn, relative to the other datasets'; all or none have one. None: by number of samples"""
    limit: Annotated[int, Field(ge=0)] = 0
    """only the first N of its samples, in the order of the index; 0: all"""
    drop_turns: dict[TurnKind, Share] = {}
    """how likely a question of a kind is left out with its answer. Below 1 no sample loses its last one; at 1 one that
    has nothing else is passed over. {som: 0.2, tom: 0.2}: a fifth is semantic only, as in the paper"""
    marks: Literal["stored", "redrawn", "none"] = "stored"
    """redrawn: which marks, their numbers and the text are drawn anew in every epoch, from the clean image and the
    tracks; none: the clean image in place of the marked one (with drop_turns {som: 1, tom: 1}: the paper's ablation)"""
    max_crops: Annotated[int, Field(ge=0)] = 0
    """most tiles of an image; 0: as the sample says"""


class DataConfig(Config):
    mixture: list[DatasetConfig]
    max_length: Annotated[int, Field(ge=16)] = 4096
    """positions that a sample may take; longer ones are bad samples"""
    row_length: Annotated[int, Field(ge=16)] = 4096
    """positions that go through the network at once: samples are packed into rows of at most so many"""
    block: Count = 32
    """so many samples that lie side by side in a shard are drawn near one another, to be read near one another"""
    window: Count = 128
    """blocks whose samples are shuffled together; blocks themselves are shuffled over the whole epoch"""
    max_bad_share: Share = 0.01
    """bad samples are counted and skipped; a larger share of those read so far stops the training"""

    @field_validator("mixture")
    @classmethod
    def _all_or_none_weighted(cls, mixture: list[DatasetConfig]) -> list[DatasetConfig]:
        if not mixture:
            raise ValueError("names no dataset; give one: data.mixture.0.path=OUT")
        weighted = [dataset.weight is not None for dataset in mixture]
        if any(weighted) and not all(weighted):
            raise ValueError("some datasets have a weight and some have none; give all of them one, or none")
        return mixture

    @model_validator(mode="after")
    def _samples_fit(self) -> "DataConfig":
        if self.row_length < self.max_length:
            raise ValueError(
                f"row_length {self.row_length} is below max_length {self.max_length}: a sample would fit into no row; "
                "make max_length shorter or row_length longer"
            )
        return self


class PartConfig(Config):
    """A part of the network: the vision tower, the projector, the language model."""

    frozen: bool = False
    lr: Positive | None = None
    """its learning rate at most; None: that of the optimiser"""


class LoraConfig(Config):
    """Low-rank adapters on the language model's layers; what they adapt stays as it is (needs the extra `lora`)."""

    rank: Count = 64
    alpha: Positive = 16
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    targets: list[str] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    """linear layers of a LLaMA layer by name"""


class ModelConfig(Config):
    start: str = "magma-tiny"
    """what is trained: a folder of `model` or a name on the Hugging Face hub, or random weights of a size:
    magma-8b, magma-300m, magma-tiny"""
    tokenizer: str = ""
    """of random weights: a folder or a name on the hub; empty: one is made from the texts of the data"""
    tile_px: Annotated[int, Field(ge=32, multiple_of=32)] | None = None
    """side of an image tile (paper: image resolution); None: as the model says"""
    weights: Number = "float32"
    """as they are kept and updated; bfloat16 is rounded stochastically"""
    compute: Number = "bfloat16"
    attention: Literal["", "eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3"] = ""
    """empty: what transformers chooses"""
    checkpointing: bool = True
    """activations are computed again in the backward pass, not kept"""
    compile: bool = False
    """torch.compile, layer by layer and block by block"""
    vision: PartConfig = PartConfig()
    projector: PartConfig = PartConfig()
    language: PartConfig = PartConfig()
    lora: LoraConfig | None = None


class OptimiserConfig(Config):
    """AdamW."""

    lr: Positive = 1e-5
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.0
    """of matrices; biases, norms and separators have none"""
    state: Number = "float32"
    """of its two moments; bfloat16 is rounded stochastically"""
    clip: Positive = 1.0
    """largest norm of all gradients"""
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: Share = 0.03
    """share of the steps in which the learning rate rises from 0"""


class RunConfig(Config):
    """How a training runs, not what it learns."""

    workers: Annotated[int, Field(ge=0)] = 4
    """processes of each rank that read, decode and tile; 0: none beside the one that trains"""
    prefetch: Count = 16
    """samples that each of them works ahead"""
    log_every: Count = 10
    save_every: Count = 500
    """steps between two checkpoints"""
    keep: Count = 3
    """checkpoints; older ones are removed"""
    loggers: list[Literal["tensorboard", "wandb"]] = []
    """beside the lines on the screen and metrics.jsonl"""
    sample_losses: bool = True
    """writes the loss of every sample by its key, for `somtom preview --sort loss`"""
    device: Literal["", "cpu", "cuda"] = ""
    """empty: GPUs where there are some"""


class TrainConfig(Config):
    seed: int = 0
    batch: Count = 1024
    """samples of a step, over all ranks"""
    epochs: Positive = 3.0
    """of the mixture: as many samples as it has, whatever the weights"""
    steps: Annotated[int, Field(ge=0)] = 0
    """stops here in place of after `epochs`; 0: does not. Warm-up and cosine go by the steps that there will be"""
    model: ModelConfig = ModelConfig()
    data: DataConfig
    optimiser: OptimiserConfig = OptimiserConfig()
    run: RunConfig = RunConfig()
