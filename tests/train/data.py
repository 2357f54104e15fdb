"""Small datasets in the contract's form, and configs of trainings on them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.flow import FinishedSample
from schemas.sample import Image, Turn, TurnKind
from schemas.tables import INDEX
from schemas.training import TrainConfig
from tests import fixtures

MAX_LENGTH = 512
"""of the small network"""


def train_only(make: Any, n: int) -> list[FinishedSample]:
    """`n` samples of one kind, all in split train."""
    numbers = (number for number in range(2 * n) if fixtures.split_of(number) == "train")
    return [make(number) for number, _ in zip(numbers, range(n), strict=False)]


def write_dataset(out: Path, samples: Iterable[FinishedSample], per_shard: int = 8) -> str:
    return fixtures.make_dataset(out, samples, per_shard=per_shard)


def write_index(out: Path, rows: Iterable[dict[str, Any]], group: int = 7) -> str:
    """An index alone, of rows that name what matters."""
    out.mkdir(parents=True)
    blank = {field.name: _blank(field.type) for field in INDEX}
    table = pa.Table.from_pylist([{**blank, **row} for row in rows], schema=INDEX)
    pq.write_table(table, out / "index.parquet", row_group_size=group)
    return str(out)


def _blank(kind: pa.DataType) -> Any:
    return pa.scalar([] if pa.types.is_list(kind) else "" if pa.types.is_string(kind) else 0).cast(kind).as_py()


def config(*datasets: dict[str, Any] | str, **fields: Any) -> TrainConfig:
    """A training on these datasets, inline and in float32; `data` and `run` in `fields` are added to."""
    mixture = [{"path": dataset} if isinstance(dataset, str) else dataset for dataset in datasets]
    data = {"mixture": mixture, "max_length": MAX_LENGTH, "row_length": 2 * MAX_LENGTH, **fields.pop("data", {})}
    run = {"workers": 0, **fields.pop("run", {})}
    model = {"compute": "float32", **fields.pop("model", {})}
    return TrainConfig.model_validate({"batch": 8, **fields, "data": data, "run": run, "model": model})


def conversation(*exchanges: tuple[TurnKind, str], images: Sequence[Image] = ()) -> FinishedSample:
    """A question and an answer of each kind; the question holds as many `<image>` as its text says, in words."""
    turns: list[Turn] = []
    for kind, asked in exchanges:
        turns.append(Turn(role="user", kind=kind, content=asked))
        turns.append(Turn(role="assistant", kind=kind, content=f"{kind} answer"))
    pictures = {image.member: fixtures.picture(seed) for seed, image in enumerate(images)}
    pictures.setdefault("clean.jpg", fixtures.picture(99))
    return fixtures.finished(fixtures.sample_of(0, turns=turns, images=list(images)), pictures)


def image(member: str, role: Any = "marked") -> Image:
    return Image(member=member, role=role, width=fixtures.WIDTH, height=fixtures.HEIGHT)
