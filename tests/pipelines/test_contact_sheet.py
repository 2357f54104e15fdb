"""The contact sheet, and single samples read by byte range."""

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from beam_runner import main
from pipelines.inspect import ranking
from pipelines.inspect.contact_sheet import _read_index, _spread, _value, _wrapped, contact_sheet
from pipelines.inspect.ranking import highest
from pipelines.inspect.reading import read_members
from schemas.errors import UserError
from schemas.sample import Image as ImageEntry
from schemas.sample import Mark, Provenance, Sample, Source, Trace, Turn
from schemas.tables import INDEX

SHARD = "train-000000"


def _sample(place: int, text: str = "a cup") -> Sample:
    xy = [[40.0 + 5 * t, 30.0] for t in range(9)]
    return Sample(
        key=f"key-{place}",
        split="train",
        tasks=["tom"],
        text=text,
        images=[ImageEntry(member="jpg", role="marked", width=160, height=90)],
        turns=[
            Turn(role="user", kind="tom", content="<image>\nWhere?"),
            Turn(role="assistant", kind="tom", content="Mark 1 at [1,2] should be moved " * 20),
        ],
        marks=[Mark(id=1, image=0, kind="moving", xy=xy[0])],
        traces=[Trace(mark=1, times_s=[t / 8 for t in range(9)], xy=xy, visible=[True] * 9)],
        source=Source(dataset="demo", uri="a.mp4", record_key="r", record_id="a"),
        provenance=Provenance(config_hash="h", code_version="0"),
    )


def _jpeg(grey: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((90, 160, 3), grey, np.uint8)).save(file, format="JPEG")
    return file.getvalue()


def _index_row(sample: Sample, offset: int, size: int) -> dict[str, object]:
    empty: dict[str, object] = {
        field.name: "" if pa.types.is_string(field.type) else 0 for field in INDEX if not field.nullable
    }
    known = {"key": sample.key, "split": sample.split, "tasks": list(sample.tasks), "dataset": "demo"}
    return {**empty, **known, "shard": SHARD, "offset": offset, "size": size, "camera_moving": False}


def _write(out: Path, samples: list[Sample]) -> list[dict[str, object]]:
    (out / "shards").mkdir(parents=True)
    rows = []
    with tarfile.open(out / "shards" / f"{SHARD}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        for place, sample in enumerate(samples):
            start = tar.offset
            for member, data in {"json": sample.model_dump_json().encode(), "jpg": _jpeg(40 + place)}.items():
                entry = tarfile.TarInfo(f"{sample.key}.{member}")
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
            rows.append(_index_row(sample, start, tar.offset - start))
    pq.write_table(pa.Table.from_pylist(rows, schema=INDEX), out / "index.parquet", row_group_size=2)
    return rows


@pytest.fixture
def dataset(tmp_path):
    """A folder with five samples in three row groups, and its index's rows."""
    out = tmp_path / "data"
    return str(out), _write(out, [_sample(place) for place in range(5)])


def test_each_sample_reads_back_by_its_range(dataset):
    out, rows = dataset
    for place, row in enumerate(rows):
        members = read_members(out, SHARD, row["offset"], row["size"])
        assert set(members) == {"json", "jpg"}
        assert Sample.model_validate_json(members["json"]).key == f"key-{place}"
        assert members["jpg"] == _jpeg(40 + place)


@pytest.mark.parametrize(("shift", "grow"), [(7, 0), (512, 0), (0, -1024), (0, 1024), (10**9, 0)])
def test_a_wrong_range_is_an_error_that_names_the_shard(dataset, shift, grow):
    out, rows = dataset
    with pytest.raises(UserError, match=r"train-000000\.tar.*not one sample"):
        read_members(out, SHARD, rows[1]["offset"] + shift, rows[1]["size"] + grow)


def test_dots_in_member_names_stay(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        entry = tarfile.TarInfo("key-1.clean.jpg")
        tar.addfile(entry, io.BytesIO())
    (tmp_path / "shards").mkdir()
    (tmp_path / "a.tar").rename(tmp_path / "shards" / "a.tar")
    assert read_members(str(tmp_path), "a", 0, 512) == {"clean.jpg": b""}


def test_a_sheet_is_the_same_for_the_same_seed(dataset):
    out, _ = dataset
    first, second = contact_sheet(out, 3, 7), contact_sheet(out, 3, 7)
    assert first.mode == "RGB"
    assert first.tobytes() == second.tobytes()


def test_a_sheet_grows_with_what_it_shows_and_never_shows_more_than_there_is(dataset):
    out, _ = dataset
    assert contact_sheet(out, 1, 0).height < contact_sheet(out, 5, 0).height
    assert contact_sheet(out, 50, 0).size == contact_sheet(out, 5, 0).size


def test_traces_and_marks_are_drawn(dataset):
    out, _ = dataset
    pixels = np.asarray(contact_sheet(out, 1, 0)).astype(int)
    assert ((pixels[..., 0] > 220) & (pixels[..., 1] < 40) & (pixels[..., 2] < 40)).sum() > 200
    assert ((pixels[..., 0] < 60) & (pixels[..., 1] > 200) & (pixels[..., 2] > 200)).sum() > 50


def test_an_empty_dataset_has_a_header_only(tmp_path):
    _write(tmp_path / "none", [])
    assert contact_sheet(str(tmp_path / "none"), 4, 0).height < 150


def test_a_text_only_sample_has_a_cell(tmp_path):
    sample = _sample(0).model_copy(update={"images": [], "turns": [], "marks": [], "traces": [], "text": ""})
    _write(tmp_path / "text", [sample])
    assert contact_sheet(str(tmp_path / "text"), 1, 0).height > 400


def test_a_folder_without_index_is_an_error_with_a_cure(tmp_path):
    with pytest.raises(UserError, match=r"index\.parquet.*finish"):
        contact_sheet(str(tmp_path), 4, 0)


def test_less_than_one_sample_is_an_error(dataset):
    with pytest.raises(UserError, match="1 or more"):
        contact_sheet(dataset[0], 0, 0)


@pytest.mark.parametrize(("n_rows", "n", "n_picked"), [(0, 3, 0), (2, 3, 2), (3, 3, 3), (1000, 10, 10)])
def test_picks_are_spread_over_the_rows(n_rows, n, n_picked):
    rows = _spread(n_rows, n, seed=1)
    assert len(set(rows)) == n_picked
    assert [row * n_picked // n_rows for row in rows] == list(range(n_picked))


@pytest.mark.parametrize(
    ("text", "n_lines"), [("", 0), ("short", 1), ("word " * 40, 2), ("x" * 500, 1), ("[[1,2],[3,4],[5,6]]," * 30, 2)]
)
def test_wrapped_lines_fit(text, n_lines):
    from PIL import ImageFont

    lines = _wrapped(text, 13, 200, 2)
    assert len(lines) == n_lines
    assert all(ImageFont.load_default(13).getlength(line) <= 200 for line in lines)
    assert lines[-1].endswith("…") if len(text) > 20 else not any("…" in line for line in lines)


def _losses(path: Path, rows: list[tuple[str, int, float | None]]) -> str:
    """As a training writes them: key, step, loss."""
    names = {"key": pa.string(), "dataset": pa.string(), "step": pa.int64(), "loss": pa.float32()}
    table = [dict(zip(names, (key, "demo", step, loss), strict=True)) for key, step, loss in rows]
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(table, schema=pa.schema(names)), path, row_group_size=2)
    return str(path)


def _ranked(out: str, sort: str, join: str = "", n: int = 3) -> list[tuple[int, float]]:
    with (Path(out) / "index.parquet").open("rb") as file:
        return highest(pq.ParquetFile(file), sort, join, n)


@pytest.fixture(params=[1, 2, 1000])
def pieces(request, monkeypatch):
    """Pieces of the index and batches of the joined table from tiny to whole."""
    monkeypatch.setattr(ranking, "_ROWS_AT_ONCE", request.param)


def test_samples_are_sorted_by_a_column_of_the_index(dataset, pieces):
    out, rows = dataset
    offsets = [row["offset"] for row in rows]
    assert _ranked(out, "offset") == [(row, offsets[row]) for row in (4, 3, 2)]
    assert _ranked(out, "-offset") == [(row, offsets[row]) for row in (0, 1, 2)]
    assert [row for row, _ in _ranked(out, "width", n=9)] == [0, 1, 2, 3, 4]


def test_of_several_rows_of_a_key_the_latest_counts(dataset, tmp_path, pieces):
    rows = [("key-0", 9, 0.5), ("key-1", 1, 2.0), ("key-0", 1, 8.0), ("key-3", 2, 3.0), ("other", 5, 99.0)]
    join = _losses(tmp_path / "losses.parquet", rows)
    assert _ranked(dataset[0], "loss", join) == [(3, 3.0), (1, 2.0), (0, 0.5)]
    assert _ranked(dataset[0], "-loss", join, n=1) == [(0, 0.5)]


def test_a_folder_of_tables_is_one_table(dataset, tmp_path, pieces):
    _losses(tmp_path / "losses" / "b.parquet", [("key-2", 1, 7.0), ("key-4", 1, 5.0)])
    _losses(tmp_path / "losses" / "a.parquet", [("key-2", 2, 1.0), ("key-4", 0, 9.0)])
    (tmp_path / "losses" / "notes.txt").write_text("no table")
    assert _ranked(dataset[0], "loss", str(tmp_path / "losses")) == [(4, 5.0), (2, 1.0)]


def test_what_has_no_value_is_not_shown(dataset, tmp_path):
    rows = [("key-0", 1, 2.0), ("key-0", 2, None), ("key-1", 1, float("nan")), ("key-2", 1, 1.0)]
    assert _ranked(dataset[0], "loss", _losses(tmp_path / "losses.parquet", rows)) == [(2, 1.0)]


def test_without_steps_the_last_row_counts(dataset, tmp_path):
    table = pa.table({"key": ["key-1", "key-1", "key-2"], "score": [5, 1, 3]})
    pq.write_table(table, tmp_path / "scores.parquet")
    assert _ranked(dataset[0], "score", str(tmp_path / "scores.parquet")) == [(2, 3.0), (1, 1.0)]


@pytest.mark.parametrize(
    ("sort", "rows", "words"),
    [
        ("los", [("key-0", 1, 1.0)], "--sort: 'los' is no column.*step, loss, offset, size"),
        ("-text", [("key-0", 1, 1.0)], "--sort: 'text' is no column"),
        ("loss", [("other", 1, 1.0)], "no key in common"),
        ("track_share", [("key-0", 1, 1.0)], "no sample of this dataset has a track_share"),
        ("", [("key-0", 1, 1.0)], "--sort COL"),
    ],
)
def test_nothing_to_sort_by_is_an_error_with_a_cure(dataset, tmp_path, sort, rows, words):
    with pytest.raises(UserError, match=words):
        contact_sheet(dataset[0], 3, 0, sort, _losses(tmp_path / "losses.parquet", rows))


@pytest.mark.parametrize(
    ("content", "words"), [(None, "is not there"), (b"PNG", "is no Parquet file"), ({"loss": [1.0]}, "no column 'key'")]
)
def test_a_table_that_can_not_be_joined_is_an_error(dataset, tmp_path, content, words):
    path = tmp_path / "losses.parquet"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        pq.write_table(pa.table(content), path)
    with pytest.raises(UserError, match=words):
        contact_sheet(dataset[0], 3, 0, "loss", str(path))


def test_a_folder_without_tables_is_an_error(dataset, tmp_path):
    (tmp_path / "losses").mkdir()
    with pytest.raises(UserError, match="no Parquet file"):
        contact_sheet(dataset[0], 3, 0, "loss", str(tmp_path / "losses"))


def test_a_sorted_sheet_shows_the_samples_in_order_with_their_values(dataset, tmp_path):
    out, rows = dataset
    join = _losses(tmp_path / "losses.parquet", [("key-0", 1, 0.5), ("key-3", 1, 2.314), ("key-1", 1, 1.0)])
    _, picks = _read_index(out, 2, 0, "loss", join)
    assert [(pick["offset"], pick["value"]) for pick in picks] == [
        (rows[3]["offset"], "loss 2.31"),
        (rows[1]["offset"], "loss 1"),
    ]
    sorted_sheet, other_seed = contact_sheet(out, 2, 0, "loss", join), contact_sheet(out, 2, 1, "loss", join)
    assert sorted_sheet.tobytes() == other_seed.tobytes() != contact_sheet(out, 2, 0).tobytes()


def test_the_command_line_sorts(dataset, tmp_path, capsys):
    png = tmp_path / "sheet.png"
    assert main(["preview", dataset[0], "--sort=-offset", "--sample", "2", "--png", str(png)]) == 0
    with Image.open(png) as shown:
        assert shown.tobytes() == contact_sheet(dataset[0], 2, 0, "-offset").tobytes()
    assert main(["preview", dataset[0], "--sort", "loss", "--join", str(tmp_path / "none")]) == 2
    assert "--join" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.314, "x 2.31"), (0.00123, "x 0.00123"), (12345.6, "x 12,346"), (3.0, "x 3"), (-0.5, "x -0.5")],
)
def test_values_are_short(value, text):
    assert _value("x", value) == text


def test_an_empty_dataset_is_sorted_too(tmp_path):
    _write(tmp_path / "none", [])
    assert contact_sheet(str(tmp_path / "none"), 4, 0, "width").height < 150


def test_looking_at_a_dataset_needs_neither_beam_nor_torch():
    code = (
        "import sys, pipelines.inspect.contact_sheet\n"
        "assert not {name.partition('.')[0] for name in sys.modules} & {'apache_beam', 'torch'}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
