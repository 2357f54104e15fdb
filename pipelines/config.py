"""The config of a curation job: read, checked, resolved; its hash.

A mistake is a `UserError`: one line per mistake that names the field, the value and the cure.
"""

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pipelines import sources
from schemas.config import JobConfig
from schemas.errors import UserError
from schemas.loading import checked, load, read_yaml
from schemas.loading import differences as differences

_PACKAGE, _TEMPLATES = "pipelines.configs", "prompts"


def load_config(path: str, overrides: Sequence[str] = ()) -> JobConfig:
    """Reads, overrides, checks and resolves a config; afterwards it depends on no other file but the inputs.

    Args:
        path: a YAML file, or the name of one that comes with the project ("video").
        overrides: "a.b=value", value in YAML; an override of a part's `name` drops the other fields of that part.
    """
    return check_config(load(path, overrides, _PACKAGE, not_configs=[_TEMPLATES]))


def check_config(raw: dict[str, Any]) -> JobConfig:
    """Validates a config given as plain values and resolves its source's root and its templates."""
    config = checked(JobConfig, raw)
    _check_extras(config)
    resolved = config.model_copy(update={"source": sources.resolve(config.source), "text": _with_templates(config)})
    try:
        config_hash(resolved)
    except UnicodeEncodeError as error:
        raise UserError(f"config: {error.object!r} is not valid UTF-8; rename or re-encode it") from error
    return resolved


def hashed_part(config: JobConfig) -> dict[str, Any]:
    """The config without what says only how and where a job runs."""
    plain = config.model_dump(mode="json", exclude={"run": True, "source": {"root"}})
    if "path" in plain["source"]:
        plain["source"]["path"] = Path(plain["source"]["path"]).name
    return plain


def config_hash(config: JobConfig) -> str:
    """16 hex digits over `hashed_part`."""
    text = json.dumps(hashed_part(config), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _with_templates(config: JobConfig) -> Any:
    from transforms.prompts import parse_templates

    templates = config.text.templates
    if isinstance(templates, str):
        path = Path(templates) if templates else Path(str(resources.files(_PACKAGE))) / f"{_TEMPLATES}.yaml"
        if not path.is_file():
            raise UserError(
                f"text.templates: {templates!r} is not a file; give a YAML file like pipelines/configs/prompts.yaml"
            )
        templates = read_yaml(path)
    try:
        parse_templates(templates)
    except ValueError as error:
        raise UserError(f"text.templates: {error}") from error
    return config.text.model_copy(update={"templates": templates})


def _check_extras(config: JobConfig) -> None:
    if config.decode.backend == "decord" and importlib.util.find_spec("decord") is None:
        raise UserError("decode.backend: 'decord' is not installed; run: pip install '.[decord]', or choose 'pyav'")
