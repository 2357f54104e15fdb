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

from pipelines.inspect.contact_sheet import _spread, _wrapped, contact_sheet
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


def test_looking_at_a_dataset_needs_neither_beam_nor_torch():
    code = (
        "import sys, pipelines.inspect.contact_sheet\n"
        "assert not {name.partition('.')[0] for name in sys.modules} & {'apache_beam', 'torch'}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
