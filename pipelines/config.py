"""From a YAML file and `a.b=value` overrides to a checked config, its hash, and what differs between two of them.

A mistake is a `UserError`: one line per mistake that names the field, the value and the cure.
"""

import difflib
import hashlib
import importlib.util
import json
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from pipelines import sources
from schemas.config import JobConfig
from schemas.errors import UserError


def load_config(path: str, overrides: Sequence[str] = ()) -> JobConfig:
    """Reads, overrides, checks and resolves a config; afterwards it depends on no other file but the inputs.

    Args:
        path: a YAML file, or the name of one that comes with the project ("video").
        overrides: "a.b=value", value in YAML; an override of a part's `name` drops the other fields of that part.
    """
    raw = _read_yaml(_find(path))
    _apply_overrides(raw, overrides)
    return check_config(raw)


def check_config(raw: dict[str, Any]) -> JobConfig:
    """Validates a config given as plain values and resolves its source's root and its templates."""
    raw = _with_default_names(raw)
    try:
        config = JobConfig.model_validate(raw)
    except ValidationError as error:
        raise UserError("\n".join(_lines(error, raw))) from error
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


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Lines "a.b: 1 -> 2" for each leaf in which two plain values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        yield f"{path}: {json.dumps(old, ensure_ascii=False)} -> {json.dumps(new, ensure_ascii=False)}"


def _find(path: str) -> Path:
    if Path(path).is_file():
        return Path(path)
    packaged = Path(str(resources.files("pipelines.configs"))) / f"{Path(path).stem}.yaml"
    if Path(path).name == path and packaged.is_file():
        return packaged
    ready = sorted(found.stem for found in packaged.parent.glob("*.yaml") if found.stem != "prompts")
    raise UserError(f"CONFIG: {path} is not a file; give a YAML file or one of the ready ones: {', '.join(ready)}")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}; give a readable YAML file") from error
    if not isinstance(raw, dict):
        raise UserError(f"{path}: holds {type(raw).__name__}, not a mapping; write lines like `seed: 0`")
    return raw


def _apply_overrides(raw: dict[str, Any], overrides: Sequence[str]) -> None:
    parsed = [_parse_override(text) for text in overrides]
    for path, value in sorted(parsed, key=lambda pair: pair[0][-1] != "name"):
        target = raw
        for depth, part in enumerate(path[:-1]):
            target[part] = {} if target.get(part) is None else target[part]
            target = target[part]
            if not isinstance(target, dict):
                field = ".".join(path[: depth + 1])
                raise UserError(
                    f"{'.'.join(path)}: {field} is {target!r}, which has no fields; override {field} itself"
                )
        if path[-1] == "name" and target.get("name") != value:
            target.clear()
        target[path[-1]] = value


def _with_default_names(raw: dict[str, Any]) -> dict[str, Any]:
    """Parts given without a `name` are of the default kind: `shots.threshold=30` is enough."""
    named = dict(raw)
    for part, field in JobConfig.model_fields.items():
        name = "videos" if part == "source" else getattr(field.default, "name", None)
        if name and isinstance(raw.get(part), dict):
            named[part] = {"name": name, **raw[part]}
    return named


def _parse_override(text: str) -> tuple[list[str], Any]:
    field, equals, value = text.partition("=")
    if not equals or not all(field.split(".")):
        raise UserError(f"{text}: is no override; write field=value, e.g. clips.length_s=3")
    return field.split("."), _value(value)


def _value(text: str) -> Any:
    """A value in YAML; what is no YAML (`*.mp4`) or plain words (`clips #2`) stands for itself."""
    try:
        value = yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError):
        return text
    return text if isinstance(value, str) and text[:1] not in ("'", '"') else value


def _with_templates(config: JobConfig) -> Any:
    from transforms.prompts import parse_templates

    templates = config.text.templates
    if isinstance(templates, str):
        path = Path(templates) if templates else Path(str(resources.files("pipelines.configs"))) / "prompts.yaml"
        if not path.is_file():
            raise UserError(
                f"text.templates: {templates!r} is not a file; give a YAML file like pipelines/configs/prompts.yaml"
            )
        templates = _read_yaml(path)
    try:
        parse_templates(templates)
    except ValueError as error:
        raise UserError(f"text.templates: {error}") from error
    return config.text.model_copy(update={"templates": templates})


def _check_extras(config: JobConfig) -> None:
    if config.decode.backend == "decord" and importlib.util.find_spec("decord") is None:
        raise UserError("decode.backend: 'decord' is not installed; run: pip install '.[decord]', or choose 'pyav'")


def _lines(error: ValidationError, raw: dict[str, Any]) -> Iterator[str]:
    for problem in error.errors():
        path = _without_tags(problem["loc"], raw)
        field = ".".join(map(str, path)) or "config"
        match problem["type"]:
            case "extra_forbidden":
                yield f"{field}: unknown field; {_neighbours(path, raw)}"
            case "missing":
                yield f"{field}: missing; give it in the file or as {field}=…"
            case "union_tag_invalid":
                yield f"{field}.name: {problem['ctx']['tag']!r} is unknown; choose {problem['ctx']['expected_tags']}"
            case "union_tag_not_found":
                yield f"{field}.name: missing; it says which kind of {field} this is"
            case "value_error":
                yield f"{field}: {problem['ctx']['error']}"
            case _:
                message = problem["msg"].removeprefix("Input ")
                yield f"{field}: {problem['input']!r} {message}"


def _without_tags(location: tuple[int | str, ...], raw: Any) -> list[int | str]:
    path: list[int | str] = []
    for part in location:
        if isinstance(raw, dict) and part not in raw and raw.get("name") == part:
            continue
        path.append(part)
        if isinstance(raw, dict):
            raw = raw.get(part)
        elif isinstance(raw, list) and isinstance(part, int):
            raw = raw[part]
    return path


def _neighbours(path: list[int | str], raw: Any) -> str:
    fields = JobConfig.model_fields
    for part in path[:-1]:
        raw = raw.get(part) if isinstance(raw, dict) else None
        fields = _member(fields[str(part)].annotation, raw).model_fields
    close = difflib.get_close_matches(str(path[-1]), fields, n=1, cutoff=0.5)
    known = f"known here: {', '.join(fields)}"
    return f"did you mean {close[0]!r}? {known}" if close else known


def _member(annotation: Any, raw: Any) -> type[BaseModel]:
    """The model that a raw value is checked against: of a union, the one whose `name` it gives."""
    models: list[type[BaseModel]] = [one for one in get_args(annotation) or (annotation,) if issubclass(one, BaseModel)]
    name = raw.get("name") if isinstance(raw, dict) else None
    named = (model for model in models if name in get_args(model.model_fields["name"].annotation))
    return models[0] if len(models) == 1 else next(named)
