"""From a YAML file and `a.b=value` overrides to a checked model, and what differs between two of them.

A mistake is a `UserError`: one line per mistake that names the field, the value and the cure.
"""

import difflib
import json
from collections.abc import Collection, Iterator, Sequence
from importlib import resources
from itertools import zip_longest
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from schemas.errors import UserError

Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Takes yes, no, on and off for words, as YAML 1.2 does: some parts are called so."""

    yaml_implicit_resolvers: dict[str, Any] = {
        first: [(tag, form) for tag, form in forms if first in "tTfF" or tag != "tag:yaml.org,2002:bool"]
        for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def load(path: str, overrides: Sequence[str], package: str, not_configs: Collection[str] = ()) -> dict[str, Any]:
    """A config as plain values, read and overridden, for `checked`.

    Args:
        path: a YAML file, or the name of one in `package`; those in `not_configs` are no configs.
        overrides: "a.b=value", value in YAML; an override of a part's `name` drops the other fields of that part.
            "a.0.b=value" reaches into a list, and adds an entry to it where the number is its length.
    """
    raw = read_yaml(_find(path, package, not_configs))
    _apply_overrides(raw, overrides)
    return raw


def checked(model: type[Model], raw: dict[str, Any]) -> Model:
    """The model of plain values; parts given without a `name` are of the default kind, or the first one."""
    raw = _with_default_names(model, raw)
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise UserError("\n".join(_lines(error, model, raw))) from error


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Lines "a.b: 1 -> 2" for each leaf in which two plain values differ; lists of mappings entry by entry."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif _is_list_of_mappings(old) and _is_list_of_mappings(new):
        for number, (before, after) in enumerate(zip_longest(old, new)):
            yield from differences(before, after, f"{path}.{number}")
    elif old != new:
        yield f"{path}: {json.dumps(old, ensure_ascii=False)} -> {json.dumps(new, ensure_ascii=False)}"


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds."""
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}; give a readable YAML file") from error
    if not isinstance(raw, dict):
        raise UserError(f"{path}: holds {type(raw).__name__}, not a mapping; write lines like `seed: 0`")
    return raw


def _is_list_of_mappings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _find(path: str, package: str, not_configs: Collection[str]) -> Path:
    if Path(path).is_file():
        return Path(path)
    packaged = Path(str(resources.files(package))) / f"{Path(path).stem}.yaml"
    if Path(path).name == path and packaged.is_file():
        return packaged
    ready = sorted(found.stem for found in packaged.parent.glob("*.yaml") if found.stem not in not_configs)
    raise UserError(f"CONFIG: {path} is not a file; give a YAML file or one of the ready ones: {', '.join(ready)}")


def _apply_overrides(raw: dict[str, Any], overrides: Sequence[str]) -> None:
    parsed = [_parse_override(text) for text in overrides]
    for path, value in sorted(parsed, key=lambda pair: pair[0][-1] != "name"):
        target: Any = raw
        for depth in range(len(path) - 1):
            place = _place(target, path, depth)
            if (target[place] if isinstance(target, list) else target.get(place)) is None:
                target[place] = [] if path[depth + 1].isdecimal() else {}
            target = target[place]
            if not isinstance(target, dict | list):
                field = ".".join(path[: depth + 1])
                raise UserError(
                    f"{'.'.join(path)}: {field} is {target!r}, which has no fields; override {field} itself"
                )
        place = _place(target, path, len(path) - 1)
        if place == "name" and target.get("name") != value:
            target.clear()
        target[place] = value


def _place(target: dict[str, Any] | list[Any], path: list[str], depth: int) -> Any:
    """Key or index of a step of an override's path; a list is made longer where it asks for the next entry."""
    if isinstance(target, dict):
        return path[depth]
    field, part, n_entries = ".".join(path[:depth]), path[depth], len(target)
    if not part.isdecimal() or int(part) > n_entries:
        there = f"entries 0 to {n_entries - 1}" if n_entries else "no entries"
        raise UserError(
            f"{'.'.join(path)}: {field} is a list with {there}, not {part!r}; {n_entries} would be the next one"
        )
    if int(part) == n_entries:
        target.append(None)
    return int(part)


def _parse_override(text: str) -> tuple[list[str], Any]:
    field, equals, value = text.partition("=")
    if not equals or not all(field.split(".")):
        raise UserError(f"{text}: is no override; write field=value, e.g. clips.length_s=3")
    return field.split("."), _value(value)


def _value(text: str) -> Any:
    """A value in YAML; what is no YAML (`*.mp4`) or plain words (`clips #2`) stands for itself."""
    try:
        value = yaml.load(text, _Loader)
    except (ValueError, RecursionError, yaml.YAMLError):
        return text
    return text if isinstance(value, str) and text[:1] not in ("'", '"') else value


def _with_default_names(model: type[BaseModel], raw: dict[str, Any]) -> dict[str, Any]:
    """`shots.threshold=30` is enough."""
    named = dict(raw)
    for part, field in model.model_fields.items():
        name = _default_name(field)
        if name and isinstance(raw.get(part), dict):
            named[part] = {"name": name, **raw[part]}
    return named


def _default_name(field: FieldInfo) -> Any:
    if not field.is_required():
        return getattr(field.default, "name", None)
    first, *_ = _alternatives(field.annotation)
    return first.model_fields["name"].default if _is_model(first) and "name" in first.model_fields else None


def _lines(error: ValidationError, model: type[BaseModel], raw: dict[str, Any]) -> Iterator[str]:
    for problem in error.errors():
        path = _without_tags(problem["loc"], raw)
        field = ".".join(map(str, path)) or "config"
        match problem["type"]:
            case "extra_forbidden":
                yield f"{field}: unknown field; {_neighbours(path, model, raw)}"
            case "missing":
                yield f"{field}: missing; give it in the file or as {field}=…"
            case "union_tag_invalid":
                yield f"{field}.name: {problem['ctx']['tag']!r} is unknown; choose {problem['ctx']['expected_tags']}"
            case "union_tag_not_found":
                yield f"{field}.name: missing; it says which kind of {field} this is"
            case "model_attributes_type":
                yield f"{field}: {problem['input']!r} is no part with fields; its kind is {field}.name"
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
        if part == "[key]":  # pydantic's word for: the key itself, not its value
            continue
        path.append(part)
        if isinstance(raw, dict):
            raw = raw.get(part)
        elif isinstance(raw, list) and isinstance(part, int):
            raw = raw[part] if part < len(raw) else None  # of a tuple that is too short
    return path


def _neighbours(path: list[int | str], model: type[BaseModel], raw: Any) -> str:
    annotation: Any = model
    for part in path[:-1]:
        if isinstance(part, int):
            (annotation,) = next(get_args(one) for one in _alternatives(annotation) if get_origin(one) is list)
            raw = raw[part]
        else:
            annotation = _member(annotation, raw).model_fields[part].annotation
            raw = raw.get(part) if isinstance(raw, dict) else None
    fields = _member(annotation, raw).model_fields
    close = difflib.get_close_matches(str(path[-1]), fields, n=1, cutoff=0.5)
    known = f"known here: {', '.join(fields)}"
    return f"did you mean {close[0]!r}? {known}" if close else known


def _member(annotation: Any, raw: Any) -> type[BaseModel]:
    """The model that a raw value is checked against: of a union, the one whose `name` it gives."""
    models: list[type[BaseModel]] = [one for one in _alternatives(annotation) if _is_model(one)]
    name = raw.get("name") if isinstance(raw, dict) else None
    named = (model for model in models if name in get_args(model.model_fields["name"].annotation))
    return models[0] if len(models) == 1 else next(named)


def _alternatives(annotation: Any) -> list[Any]:
    """The types of a union, or the type itself; without what `Annotated` adds."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _alternatives(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [one for each in get_args(annotation) for one in _alternatives(each)]
    return [annotation]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
