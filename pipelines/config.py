"""The config of a curation job: read, checked, resolved; its hash.

A mistake is a `UserError`: one line per mistake that names the field, the value and the cure.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import reduce
from importlib import resources
from operator import getitem
from pathlib import Path
from typing import Any

from pipelines import sources
from pipelines.extras import check_extras
from pipelines.parts import check_licences, network_parts, with_part
from pipelines.weights import resolve_weights
from schemas.config import ManifestSource, RegionObjects, VideoJob, VideosSource
from schemas.errors import UserError
from schemas.jobs import JOBS, JobConfig, PictureJob
from schemas.loading import checked, load, read_yaml
from schemas.loading import differences as differences
from schemas.networks import ClipGate, SamProposer
from schemas.pictures import KeepDuplicates, PicturesSource, UiJob
from schemas.proposers import AndroidProposer, DomProposer, GivenProposer, ProposerConfig
from transforms.datasets import build_unpacker

_PACKAGE = "pipelines.configs"
_TEMPLATES, _UI_TEMPLATES = "prompts", "ui_prompts"
_RECIPE = "video"
"""of a config that names none"""


def load_config(path: str, overrides: Sequence[str] = ()) -> JobConfig:
    """Reads, overrides, checks and resolves a config; afterwards it depends on no other file but the inputs.

    Args:
        path: a YAML file, or the name of one that comes with the project ("video", "ui", "image").
        overrides: "a.b=value", value in YAML; an override of a part's `name` drops the other fields of that part.
    """
    return check_config(load(path, overrides, _PACKAGE, not_configs=[_TEMPLATES, _UI_TEMPLATES]))


def load_video_config(overrides: Sequence[str] = ()) -> VideoJob:
    """The ready config of the video recipe, overridden."""
    config = load_config("video", overrides)
    if not isinstance(config, VideoJob):
        raise UserError(f"recipe: {config.recipe!r} is not what this is for; leave it out")
    return config


def check_config(raw: dict[str, Any]) -> JobConfig:
    """Validates a config given as plain values; resolves its source's root, its templates and its weights."""
    recipe = raw.get("recipe", _RECIPE)
    if recipe not in JOBS:
        raise UserError(f"recipe: {recipe!r} is unknown; choose {', '.join(JOBS)}")
    config: JobConfig = checked(JOBS[recipe], raw)
    check_extras(config)
    _check_fit(config)
    resolved = config.model_copy(update={"source": sources.resolve(config.source), "text": _with_templates(config)})
    for field, part in network_parts(resolved):
        resolved = with_part(resolved, field, resolve_weights(part, field))
    check_licences(resolved)
    try:
        config_hash(resolved)
    except UnicodeEncodeError as error:
        raise UserError(f"config: {error.object!r} is not valid UTF-8; rename or re-encode it") from error
    return resolved


def hashed_part(config: JobConfig) -> dict[str, Any]:
    """The config without what says only how and where a job runs, or what it refuses to make."""
    plain = config.model_dump(mode="json", exclude={"run": True, "license": True, "source": {"root"}})
    for name in ("path", "pictures"):
        if name in plain["source"]:
            plain["source"][name] = Path(plain["source"][name]).name
    for field, _ in network_parts(config):
        part = reduce(getitem, field.split("."), plain)
        part.update({name: "" for name in ("weights", "repository") if name in part})
    return plain


def config_hash(config: JobConfig) -> str:
    """16 hex digits over `hashed_part`."""
    text = json.dumps(hashed_part(config), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _with_templates(config: JobConfig) -> Any:
    from transforms.prompts import parse_templates
    from transforms.ui_prompts import parse_ui_templates

    name, parse = (_UI_TEMPLATES, parse_ui_templates) if isinstance(config, UiJob) else (_TEMPLATES, parse_templates)
    templates: Any = config.text.templates
    if isinstance(templates, str):
        path = Path(templates) if templates else Path(str(resources.files(_PACKAGE))) / f"{name}.yaml"
        if not path.is_file():
            raise UserError(
                f"text.templates: {templates!r} is not a file; give a YAML file like pipelines/configs/{name}.yaml"
            )
        templates = read_yaml(path)
    try:
        parse(templates)
    except ValueError as error:
        raise UserError(f"text.templates: {error}") from error
    return config.text.model_copy(update={"templates": templates})


def _check_fit(config: JobConfig) -> None:
    """That a source gives what the parts read."""
    match config:
        case VideoJob():
            if isinstance(config.gate, ClipGate) and isinstance(config.source, VideosSource) and not config.source.text:
                raise UserError(
                    "gate.name: 'clip' compares clips with what is said of them, source 'videos' says nothing: give "
                    "source.text, choose source 'manifest', or gate 'off'"
                )
            if isinstance(config.objects, RegionObjects) and _reads_given_boxes(config.objects.proposer):
                raise UserError("objects.proposer.prompts: 'given' needs boxes, and videos have none; choose 'grid'")
        case _:
            _check_pictures_fit(config)


def _check_pictures_fit(config: PictureJob) -> None:
    if build_unpacker(config.source) and not isinstance(config.duplicates, KeepDuplicates):
        raise UserError(
            f"duplicates.name: {config.duplicates.name!r} compares files; those of source {config.source.name!r} hold "
            "many pictures each: choose 'keep'"
        )
    if _reads_given_boxes(config.proposer) and isinstance(config.source, PicturesSource | ManifestSource):
        field = "name" if isinstance(config.proposer, GivenProposer) else "prompts"
        raise UserError(
            f"proposer.{field}: 'given' marks boxes of a dataset, source {config.source.name!r} has none; choose "
            "another"
        )
    if not isinstance(config.proposer, DomProposer | AndroidProposer):
        return
    reads = f"proposer.name: {config.proposer.name!r} reads a file beside each picture"
    if not isinstance(config.source, PicturesSource):
        raise UserError(f"{reads}, which source {config.source.name!r} has not; choose 'given' or 'pixels'")
    if not config.source.tree:
        raise UserError(f"{reads}; say which with source.tree, e.g. source.tree=.json")


def _reads_given_boxes(proposer: ProposerConfig) -> bool:
    return isinstance(proposer, GivenProposer) or (isinstance(proposer, SamProposer) and proposer.prompts == "given")
