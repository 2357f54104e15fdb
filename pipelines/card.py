"""The dataset card, README.md: a front matter from which `datasets` learns files and types, then words for people.

The types are generated from the pydantic annotation and the contract's arrays; without them `datasets` guesses from
five samples, and drops or refuses what these did not have.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel

from schemas.reasons import MEANING
from schemas.sample import ANNOTATION_MEMBER, ARRAYS, ARRAYS_MEMBER, IMAGE_MEMBER, Part, Sample
from transforms.encoding import member_order

_VALUES = {str: "string", int: "int64", float: "float64", bool: "bool"}
_FENCE = "---\n"


def dataset_card(
    *,
    dataset: str,
    counts: Mapping[str, Any],
    splits: Mapping[str, Sequence[str]],
    members: Iterable[str],
    licences: Sequence[str],
    parts: Sequence[Part],
    config_hash: str,
    code_version: str,
) -> str:
    """The whole README.md.

    Args:
        counts: numbers by name, nested as deep as it likes; shown as one table. A name that ends in a reason, alone or
            after ": ", is explained.
        splits: split -> names of its tars, as far as there are any.
        members: what follows the key in the names of the tars' members; all that occur.
    """
    matter = front_matter(splits, members)
    header = yaml.safe_dump(matter, sort_keys=False, allow_unicode=True)
    sections = [
        f"# {dataset}",
        _WHAT,
        f"## How to load\n\n{_loading(splits)}",
        f"## What is in it\n\n{_table(('what', 'number'), _count_rows(counts))}",
        f"## Members of a sample\n\n{_MEMBERS}",
        f"## Coordinates\n\n{_COORDINATES}",
        f"## Licences\n\n{_licences(licences, parts)}",
        f"## Limits\n\n{_LIMITS}",
        f"## How it was made\n\nConfig `{config_hash}`, code `{code_version}`; {_MADE}",
    ]
    return _FENCE + header + _FENCE + "\n" + "\n\n".join(sections) + "\n"


def front_matter(splits: Mapping[str, Sequence[str]], members: Iterable[str]) -> dict[str, Any]:
    """What `datasets` reads: the files of each split that has any, and the type of every column."""
    files = [{"split": split, "path": f"shards/{split}-*.tar"} for split in sorted(splits) if splits[split]]
    if not files:
        return {"dataset_info": {"features": features(members)}}
    return {
        "configs": [{"config_name": "default", "data_files": files}],
        "dataset_info": {"features": features(members)},
    }


def parse_front_matter(card: str) -> Any:
    """The front matter of a card; ValueError (yaml.YAMLError for bad YAML) where there is none."""
    header, fence, _ = card.removeprefix(_FENCE).partition("\n" + _FENCE)
    if not card.startswith(_FENCE) or not fence:
        raise ValueError("no front matter between two lines of ---")
    return yaml.safe_load(header)


def features(members: Iterable[str]) -> list[dict[str, Any]]:
    """Columns in the form of `datasets.Features._to_yaml_list`, as its webdataset reader names them.

    `npz` is one struct; an array or a whole `npz` that a sample lacks is null. Arrays of which only the first axis
    varies are typed as arrays, the others as nested lists. That keeps mixed data readable: `datasets` converts the
    structs of a batch only if its first one holds an array with two axes, so with regions as nested lists it would
    fail at the first tracks that come after regions.
    """
    present = set(members)
    columns: list[dict[str, Any]] = [{"name": ANNOTATION_MEMBER, **_type_of(Sample)}]
    images = {name: None for name in present if IMAGE_MEMBER.fullmatch(name)}
    columns += [{"name": name, "dtype": "image"} for name in member_order(images)]
    if ARRAYS_MEMBER in present:
        columns.append({"name": ARRAYS_MEMBER, "struct": [_array_column(name) for name in ARRAYS]})
    return columns + [{"name": name, "dtype": "string"} for name in ("__key__", "__url__")]


def _array_column(name: str) -> dict[str, Any]:
    axes = name.rsplit("_", 1)[1]
    if axes[1:].isdigit():
        shape = [None, *map(int, axes[1:])]
        return {"name": name, "dtype": {f"array{len(axes)}_d": {"shape": shape, "dtype": ARRAYS[name]}}}
    column: dict[str, Any] = {"dtype": ARRAYS[name]}
    for _axis in axes:
        column = _list_of(column)
    return {"name": name, **column}


def _type_of(annotation: Any) -> dict[str, Any]:
    if get_origin(annotation) is Annotated:
        return _type_of(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return _type_of(type(get_args(annotation)[0]))
    if get_origin(annotation) is list:
        return _list_of(_type_of(get_args(annotation)[0]))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.items()
        return {"struct": [{"name": name, **_type_of(field.annotation)} for name, field in fields]}
    return {"dtype": _VALUES[annotation]}


def _list_of(inner: dict[str, Any]) -> dict[str, Any]:
    """A list of plain values or of structs is written without the inner name."""
    return {"list": inner.get("dtype") or inner.get("struct") or inner}


def _loading(splits: Mapping[str, Sequence[str]]) -> str:
    split = next((name for name in sorted(splits) if splits[name]), "")
    if not split:
        return "No sample was kept: there is nothing to load. `ledger.parquet` says why."
    return _LOADING.replace("SPLIT", split).replace("TAR", sorted(splits[split])[0])


def _count_rows(counts: Mapping[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in counts.items():
        here = (*path, str(name))
        if isinstance(value, Mapping):
            rows += _count_rows(value, here)
        else:
            reason = here[-1].rpartition(": ")[2]
            meaning = f" — {MEANING[reason]}" if reason in MEANING else ""
            rows.append((" / ".join(here) + meaning, str(value)))
    return rows


def _licences(licences: Sequence[str], parts: Sequence[Part]) -> str:
    named = sorted({licence for licence in licences if licence})
    inputs = ", ".join(named) if named else "not stated"
    if named and not all(licences):
        inputs += "; some inputs do not state one"
    rows = [(part.role, part.name, part.licence or "—", part.weights_sha256 or "no weights") for part in parts]
    table = _table(("part", "name", "licence", "sha256 of the weights"), rows)
    return (
        f"Of the inputs, as their owners or the config state them: {inputs}.\n\nOf the parts that made it:\n\n{table}"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


_WHAT = """\
Samples of Set-of-Mark (numbered marks on an image, and where they are) and Trace-of-Mark (where the marks of a moving
thing go next, with the camera's own motion taken out), as turns of a conversation, made to train Magma-like models."""

_LOADING = """\
```python
from datasets import load_dataset

dataset = load_dataset("path/to/this/folder", split="SPLIT")
stream = load_dataset("path/to/this/folder", split="SPLIT", streaming=True)
```

```python
import webdataset

samples = webdataset.WebDataset("shards/TAR", shardshuffle=False).decode("pil")
```

`index.parquet` has one flat row per sample with its place in the shards (shard, offset, size): filter there first,
then read only what you need."""

_MEMBERS = """\
| member | what |
| --- | --- |
| `json` | the annotation: turns, marks, traces, targets, camera, action, source, provenance; every field is there |
| `jpg` | the first marked image, or the only image; absent where a sample is text only |
| `clean.jpg` | the same image without marks |
| `img01.jpg` … | further images, in the order of use; `images[].member` of the annotation says which |
| `npz` | raw tracks, visibility, homographies, candidate regions; letters in the names are axes (T time, N points, R \
regions); absent where there are none |

Through `datasets`, `npz` is a struct of nested lists (null: a sample has no such array); a list of no regions loses its
inner sizes there, the member itself keeps them. Open members with `allow_pickle=False`: nothing here is a pickle."""

_COORDINATES = """\
Pixels of the stored image; x to the right, y down, origin at the outer corner of the top-left pixel. Traces are
positions in the reference frame, as a camera that stood still would see them; the first point of a trace is its mark's
own position. The text of the turns has its own, coarser coordinates, made from these."""

_MADE = """\
the whole config is in `job.json`, what became of every
input in `ledger.parquet`. `somtom lint` checks every promise again."""

_LIMITS = """\
Marks, tracks and regions come from automatic parts, not from people: expect some tracks that slip, and camera motion
that one homography per frame explains only in part (parallax). `quality` of the annotation and the quality columns of
the index say how far to trust each sample. Licences and texts are as the inputs state them; nobody has reviewed the
pictures for persons or for rights beyond that."""
