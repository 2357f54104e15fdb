"""The config of a training, and what differs between that of a saved one and a new one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.stored import read_json
from schemas.errors import UserError
from schemas.loading import checked, differences, load
from schemas.training import DatasetConfig, TrainConfig

CONFIG = "config.json"
"""in the folder of a training"""


def load_config(path: str, overrides: Sequence[str] = ()) -> TrainConfig:
    """Reads, overrides and checks a config; its datasets are found from any folder afterwards.

    Args:
        path: a YAML file, or the name of one that comes with the project.
        overrides: "a.b=value" or "data.mixture.0.path=OUT", value in YAML.
    """
    config = checked(TrainConfig, load(path, overrides, "train.configs"))
    mixture = [_from_anywhere(dataset) for dataset in config.data.mixture]
    return config.model_copy(update={"data": config.data.model_copy(update={"mixture": mixture})})


def saved_config(run: Path) -> dict[str, Any]:
    """The config that the training in a folder began with, as plain values."""
    try:
        return read_json(run / CONFIG)
    except ValueError as error:
        raise UserError(f"{error}; give the folder of a training") from error


def config_differences(saved: dict[str, Any], new: TrainConfig) -> list[str]:
    """Lines "a.b: 1 -> 2" for what a saved config (plain values) learns otherwise; `run` is free to change."""
    before = {part: value for part, value in saved.items() if part != "run"}
    return list(differences(before, new.model_dump(mode="json", exclude={"run"})))


def _from_anywhere(dataset: DatasetConfig) -> DatasetConfig:
    if "://" in dataset.path:
        return dataset
    return dataset.model_copy(update={"path": str(Path(dataset.path).expanduser().absolute())})
