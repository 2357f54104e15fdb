"""Lint: silent on a whole dataset, one line for each promise that is broken."""

import hashlib
import io
import json
import shutil
import tarfile
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipelines.finish import finish
from pipelines.inspect.dataset import gathered
from pipelines.inspect.lint import lint
from pipelines.inspect.lint_sample import check_sample
from pipelines.shards import write_shard
from schemas.config import TracesConfig
from tests import fixtures
from tests.marked import make_marked
from transforms.encoding import encode_arrays
from transforms.prompts import parse_templates
from transforms.samples import build_sample


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return Path(fixtures.make_dataset(tmp_path_factory.mktemp("lint") / "clean", fixtures.mixed()))


@pytest.fixture
def copy(clean, tmp_path):
    return Path(shutil.copytree(clean, tmp_path / "copy"))


def findings(out):
    return list(lint(str(out)))


def test_whole_datasets_have_no_findings(clean, tmp_path):
    assert findings(clean) == []
    assert findings(fixtures.make_dataset(tmp_path / "one", [fixtures.robot()], empty_first=False)) == []
    assert findings(fixtures.make_dataset(tmp_path / "nothing", [])) == []


def _edit_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _edit_rows(path, change):
    """Writes a table again, its schema and metadata kept, after `change` worked on its list of rows."""
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _rot(path):
    data = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    data[start + 4 : start + column.total_compressed_size] = bytes(column.total_compressed_size - 4)
    path.write_bytes(data)


def _first(rows, **wanted):
    return next(row for row in rows if all(row[name] == value for name, value in wanted.items()))


def _swap_rows(rows):
    rows[0], rows[-1] = rows[-1], rows[0]


def _twice(rows):
    """In place of another record's row, so that only the key is wrong."""
    records = [row for row in rows if row["kind"] == "record" and row["outcome"] == "filtered"]
    records[-1].update(records[0])


def _pair_sources(out):
    """The same in sidecar and index, as a job with a broken split would write it."""
    for path in (out / "index.parquet", out / "shards" / "val-000000.parquet"):
        table = pq.read_table(path)
        rows = table.to_pylist()
        train = _first(pq.read_table(out / "index.parquet").to_pylist(), split="train")
        _first(rows, split="val", **({"kind": "item"} if "kind" in rows[0] else {}))["source_key"] = train["source_key"]
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


DAMAGE = {
    "no plan": (lambda out: (out / "plan" / "plan.json").unlink(), "plan/plan.json: can't be read"),
    "plan of another version": (
        lambda out: _edit_json(out / "plan" / "plan.json", lambda plan: plan.update(schema_version=2)),
        "schema_version 2, want 1",
    ),
    "no job": (lambda out: (out / "job.json").unlink(), "job.json: can't be read"),
    "torn job": (lambda out: (out / "job.json").write_text('{"schema_version": 1,'), "job.json: can't be read"),
    "job of another config": (
        lambda out: _edit_json(out / "job.json", lambda job: job.update(config_hash="0" * 16)),
        "job.json: config 0000000000000000",
    ),
    "job without a tar": (
        lambda out: _edit_json(out / "job.json", lambda job: job["shards"].pop()),
        "job.json: its tars are not those of the sidecars: val-000001.tar",
    ),
    "job with other counts": (
        lambda out: _edit_json(out / "job.json", lambda job: job["counts"]["items"].update(kept=3)),
        "job.json: counts of items",
    ),
    "no index": (lambda out: (out / "index.parquet").unlink(), "index.parquet: can't be read"),
    "index without a column": (
        lambda out: pq.write_table(pq.read_table(out / "index.parquet").drop(["n_marks"]), out / "index.parquet"),
        "index.parquet: columns n_marks",
    ),
    "index with rotten pages": (lambda out: _rot(out / "index.parquet"), "index.parquet: can't be read"),
    "ledger with rotten pages": (lambda out: _rot(out / "ledger.parquet"), "ledger.parquet: can't be read"),
    "plan without a count": (
        lambda out: _edit_json(out / "plan" / "plan.json", lambda plan: plan.pop("records")),
        "plan/plan.json: can't be read",
    ),
    "index lacks a row": (
        lambda out: _edit_rows(out / "index.parquet", lambda rows: rows.pop(3)),
        "index.parquet: rows of train-000001 are not those of its sidecar",
    ),
    "index with another offset": (
        lambda out: _edit_rows(out / "index.parquet", lambda rows: rows[3].update(offset=512)),
        "index.parquet: rows of train-000001 are not those of its sidecar",
    ),
    "index with another number of marks": (
        lambda out: _edit_rows(out / "index.parquet", lambda rows: rows[-1].update(n_marks=77)),
        "index.parquet: rows of val-000001 are not those of its sidecar",
    ),
    "a source in two splits": (_pair_sources, "index.parquet: sources in two splits"),
    "no ledger": (lambda out: (out / "ledger.parquet").unlink(), "ledger.parquet: can't be read"),
    "ledger lacks an item": (
        lambda out: _edit_rows(out / "ledger.parquet", lambda rows: rows.remove(_first(rows, kind="item"))),
        "ledger.parquet: its 59 rows of items are not the 60 of the sidecars",
    ),
    "ledger with another value": (
        lambda out: _edit_rows(
            out / "ledger.parquet", lambda rows: _first(rows, kind="item", outcome="filtered").update(value=0.5)
        ),
        "ledger.parquet: its 60 rows of items are not the 60 of the sidecars",
    ),
    "ledger lacks a record": (
        lambda out: _edit_rows(
            out / "ledger.parquet", lambda rows: rows.remove(_first(rows, kind="record", stage="plan"))
        ),
        "ledger.parquet: 60 rows of records, the plan read 61",
    ),
    "ledger with a key twice": (
        lambda out: _edit_rows(out / "ledger.parquet", _twice),
        "ledger.parquet: keys with more than one row",
    ),
    "ledger with a record's better outcome": (
        lambda out: _edit_rows(
            out / "ledger.parquet", lambda rows: _first(rows, kind="record", stage="").update(outcome="quarantined")
        ),
        "its best item is",
    ),
    "README without matter": (lambda out: (out / "README.md").write_text("# hello"), "README.md: can't be read"),
    "README with bad YAML": (
        lambda out: (out / "README.md").write_text("---\na: [\n---\n"),
        "README.md: can't be read",
    ),
    "README without a column": (
        lambda out: (out / "README.md").write_text(
            (out / "README.md").read_text().replace("name: img02.jpg", "name: x")
        ),
        "README.md: dataset_info is not what the shards hold",
    ),
    "README without a split": (
        lambda out: (out / "README.md").write_text(
            (out / "README.md").read_text().replace("split: val", "split: test")
        ),
        "README.md: configs is not what the shards hold",
    ),
    "no sidecar": (
        lambda out: (out / "shards" / "train-000002.parquet").unlink(),
        "shards/train-000002.parquet: can't be read",
    ),
    "torn sidecar": (
        lambda out: (out / "shards" / "train-000002.parquet").write_bytes(b"PAR1"),
        "shards/train-000002.parquet: can't be read",
    ),
    "no tar": (lambda out: (out / "shards" / "train-000002.tar").unlink(), "shards/train-000002.tar: missing"),
    "torn tar": (
        lambda out: (out / "shards" / "train-000002.tar").write_bytes(b"x" * 700),
        "shards/train-000002.tar: size or sha256",
    ),
    "other bytes": (lambda out: _flip(out / "shards" / "train-000002.tar"), "shards/train-000002.tar: size or sha256"),
    "a tar too many": (
        lambda out: shutil.copy(out / "shards" / "train-000002.tar", out / "shards" / "train-000000.tar"),
        "shards/train-000000.tar: should not be there",
    ),
    "a file too many": (lambda out: (out / "shards" / "extra-000000.tar").touch(), "shards/extra-000000.tar: not in"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_one_finding_for_damaged_files(copy, name):
    damage, message = DAMAGE[name]
    damage(copy)
    found = findings(copy)
    assert len(found) == 1, found
    assert message in found[0]


def test_index_out_of_order_is_found(copy):
    _edit_rows(copy / "index.parquet", _swap_rows)
    assert any("not where the order of the plan has them" in line for line in findings(copy))


def with_member(finished, name, data):
    """The sample, encoded, with one member replaced (None: taken out)."""
    made = fixtures.encoded(finished)
    members = [(suffix, data if suffix == name else old) for suffix, old in made.members]
    return replace(made, members=tuple((suffix, content) for suffix, content in members if content is not None))


def with_annotation(finished, change):
    """The sample, encoded, with `change` worked on its annotation as plain values."""
    plain = json.loads(finished.sample.model_dump_json())
    change(plain)
    return with_member(finished, "json", json.dumps(plain, ensure_ascii=False).encode())


def with_extra(finished, *members):
    made = fixtures.encoded(finished)
    return replace(made, members=(*made.members, *members))


def with_arrays(finished, **changed):
    """The sample, encoded, with arrays replaced as they are (types and shapes unchecked)."""
    buffer = io.BytesIO()
    np.savez(buffer, **(finished.arrays | changed))
    return with_member(finished, "npz", buffer.getvalue())


def jpeg_of(member, finished):
    return dict(fixtures.encoded(finished).members)[member]


def _answer(*old_new):
    """Replaces pieces of the answer: old, new, old, new ..."""

    def change(plain):
        for old, new in zip(old_new[::2], old_new[1::2], strict=True):
            assert old in plain["turns"][1]["content"]
            plain["turns"][1]["content"] = plain["turns"][1]["content"].replace(old, new)

    return change


def _extend(plain, path, **values):
    for step in path:
        plain = plain[step]
    plain.update(values)


def _shifted(frame):
    homographies_T33 = np.tile(np.eye(3), (fixtures.STEPS, 1, 1))
    homographies_T33[frame, 0, 2] = 1e-9
    return homographies_T33


tom, som, ui, multi, history, chat = (
    make(0)
    for make in (
        fixtures.video_tom,
        fixtures.video_som,
        fixtures.ui,
        fixtures.multi_image,
        fixtures.history,
        fixtures.chat,
    )
)

quiet = replace(
    tom,
    sample=tom.sample.model_copy(
        update={"tasks": ["som"], "turns": som.sample.turns, "marks": tom.sample.marks, "traces": tom.sample.traces}
    ),
)
"""marks that move and have traces, of which none is told"""


def _of_trace(**values):
    return with_annotation(quiet, lambda plain: _extend(plain, ["traces", 1], **values))


BROKEN = {
    "no json": (with_member(tom, "json", None), "no annotation"),
    "json is no json": (with_member(tom, "json", b"{"), "json: sample: Invalid JSON"),
    "unknown field": (with_annotation(tom, lambda plain: plain.update(extra=1)), "json: extra: Extra inputs"),
    "null": (with_annotation(tom, lambda plain: plain.update(text=None)), "json: text: Input should be a valid string"),
    "unknown task": (with_annotation(tom, lambda plain: plain.update(tasks=["dance"])), "json: tasks.0: Input should"),
    "another key": (with_annotation(tom, lambda plain: plain.update(key="other")), "the annotation is of key other"),
    "another split": (
        with_annotation(tom, lambda plain: plain.update(split="val")),
        "the sidecar's split is not that of",
    ),
    "another config": (
        with_annotation(tom, lambda plain: _extend(plain, ["provenance"], config_hash="f" * 16)),
        "made with config ffff",
    ),
    "image without a place": (
        with_annotation(chat, lambda plain: _extend(plain, ["turns", 0], content="no picture")),
        "0 <image> in the turns but 1 images",
    ),
    "mark outside": (
        with_annotation(som, lambda plain: _extend(plain, ["marks", 2], xy=[64.5, 20.0])),
        "mark 3 at [64.5, 20.0] is outside its 64x48 image",
    ),
    "mark on no image": (
        with_annotation(som, lambda plain: _extend(plain, ["marks", 2], image=1)),
        "mark 3 lies on image 1 of 1",
    ),
    "trace starts elsewhere": (
        with_annotation(tom, lambda plain: plain["traces"][0]["xy"].reverse()),
        "trace of mark 1 starts at",
    ),
    "not rounded": (
        with_annotation(som, lambda plain: _extend(plain, ["marks", 2], xy=[40.001, 20.0])),
        "mark 3: coordinate 40.001 is not rounded",
    ),
    "SoM answer with another number": (with_annotation(som, _answer("[40,", "[41,")), "turn 1: mark 1 is told at"),
    "ToM answer with another start": (
        with_annotation(tom, _answer("Mark 1 at [40,", "Mark 1 at [41,")),
        "turn 1: mark 1",
    ),
    "ToM answer with another way": (with_annotation(tom, _answer("[72,106]", "[71,106]")), "turn 1: mark 1"),
    "ToM answer back in time": (
        with_annotation(tom, _answer("[56,106],[72,106]", "[72,106],[56,106]")),
        "turn 1: mark 1",
    ),
    "ToM answer with steps of two lengths": (
        with_annotation(tom, _answer(",[88,106],", ",")),
        "turn 1: marks are told 3 and 4 steps ahead, want one number of them",
        "turn 1: mark 1 is told at [(40, 106), (56, 106), (72, 106), (104, 106)]",
    ),
    "ToM answer that ends early for one mark": (
        with_annotation(tom, _answer(",[104,106]", "")),
        "turn 1: marks are told 3 and 4 steps ahead, want one number of them",
    ),
    "ToM answer with another number of steps than asked": (
        with_annotation(tom, lambda plain: _extend(plain, ["turns", 0], content="<image>\nIn the next 3 of 40 steps?")),
        "turn 1: marks are told 4 steps ahead, which the question does not ask for",
    ),
    "ToM answer without a step": (
        with_annotation(
            tom,
            _answer("[56,106],[72,106],[88,106],[104,106]", "", "[96,106],[112,106],[128,106],[144,106]", ""),
        ),
        "turn 1: marks are told 0 steps ahead",
    ),
    "a moving mark without a trace": (
        fixtures.encoded(replace(quiet, sample=quiet.sample.model_copy(update={"traces": quiet.sample.traces[:1]}))),
        "traces are of marks [1], those that move are [1, 2]",
    ),
    "uneven steps": (_of_trace(times_s=[0, 0.125, 0.25, 0.38, 0.5]), "trace of mark 2: steps of 0.12 to 0.13 s"),
    "steps without time": (_of_trace(times_s=[0.0] * 5), "trace of mark 2: steps of 0 to 0 s"),
    "trace at another time": (
        _of_trace(times_s=[1, 1.125, 1.25, 1.375, 1.5]),
        "trace of mark 2 starts at 1 s, its image is of 0 s",
    ),
    "trace starts hidden": (_of_trace(visible=[False] + [True] * 4), "trace of mark 2 starts hidden"),
    "trace outside": (
        _of_trace(xy=[[20.0, 20.0], [64.0, 48.0], [64.01, 20.0], [28.0, 20.0], [32.0, 20.0]]),
        "trace of mark 2: [64.01, 20.0] is outside its 64x48 image",
    ),
    "another frame is the reference": (
        with_arrays(tom, homographies_T33=_shifted(0)),
        "npz: the homography at 0 s, the time of the marked image, is not the identity",
    ),
    "the marked image is no frame": (
        with_arrays(tom, times_s_T=np.arange(1, 6) / 8),
        "npz: no frame is of 0 s, the time of the marked image",
    ),
    "moving mark on a still track": (
        with_arrays(tom, moving_N=np.array([True, False, False, False])),
        "mark 2 is moving, its track 1 is not",
    ),
    "ToM answer of no mark": (
        with_annotation(tom, _answer("Mark 2", "Mark 7")),
        "turn 1: mark 7",
    ),
    "ToM answer in another form": (
        with_annotation(tom, _answer("should be moved", "will move")),
        "turn 1: not a ToM answer",
    ),
    "no image": (with_member(chat, "jpg", None), "has images but no jpg"),
    "image is none": (with_member(chat, "jpg", b"picture"), "jpg: not an image"),
    "image cut off": (with_member(chat, "jpg", jpeg_of("jpg", chat)[:-20]), "jpg: the image is cut off"),
    "image of another size": (with_member(chat, "jpg", jpeg_of("img01.jpg", multi)), "jpg is 32x80, declared 64x48"),
    "clean image of another size": (
        with_member(tom, "clean.jpg", jpeg_of("img01.jpg", multi)),
        "clean.jpg is 32x80, declared 64x48",
    ),
    "a further image lacks": (with_member(history, "img02.jpg", None), "uses 'img02.jpg', which is not there"),
    "an image too many": (with_extra(chat, ("img01.jpg", jpeg_of("jpg", chat))), "img01.jpg is in no turn"),
    "unknown member": (with_extra(chat, ("pkl", b"")), "unknown members pkl"),
    "member twice": (with_extra(chat, ("jpg", jpeg_of("jpg", chat))), "not each once and in their fixed order"),
    "members in another order": (
        replace(fixtures.encoded(tom), members=fixtures.encoded(tom).members[::-1]),
        "not each once and in their fixed order",
    ),
    "pickle": (with_arrays(ui, regions_role_R=np.array([{}], object)), "npz: can't be opened without pickle"),
    "npz is none": (with_member(ui, "npz", b"PK"), "npz: can't be opened without pickle"),
    "unknown array": (with_arrays(ui, depth_HW=np.zeros((2, 2))), "npz: unknown arrays depth_HW"),
    "array of another type": (with_arrays(ui, regions_score_R=np.ones(3)), "regions_score_R is float64[3]"),
    "masks of another picture": (
        with_arrays(ui, regions_mask_R=np.array(["", "6", ""])),
        "regions_mask_R: region 1: run lengths add up to 6 pixels, the picture has",
    ),
    "a mask that is none": (with_arrays(ui, regions_mask_R=np.array(["", "", "0O"])), "region 2: run lengths '0O'"),
    "array with fewer axes": (with_arrays(tom, visible_TN=np.ones(5, bool)), "visible_TN is bool[5]"),
    "array of another length": (with_arrays(tom, times_s_T=np.ones(6)), "times_s_T has 6 along axis T, want 5"),
    "array of another width": (
        with_arrays(tom, homographies_T33=np.ones((5, 3, 2))),
        "homographies_T33 has 2 along axis 3, want 3",
    ),
    "mark of no track": (
        with_annotation(som, lambda plain: _extend(plain, ["marks", 2], track=4)),
        "mark 3 is number 4 of 4 along axis N",
    ),
    "mark of no region": (
        with_member(ui, "npz", encode_arrays(fixtures.region_arrays(1))),
        "mark 1 is number 1 of 1 along axis R",
    ),
    "index row of another sample": (
        replace(fixtures.encoded(tom), index_row=fixtures.encoded(tom).index_row | {"n_marks": 9, "text": ""}),
        "the sidecar's text, n_marks is not that of the sample",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_one_finding_for_a_broken_sample(tmp_path, name):
    broken, *messages = BROKEN[name]
    found = findings(fixtures.make_dataset(tmp_path, [fixtures.chat(1), broken, fixtures.chat(2)]))
    assert len(found) == len(messages), found
    for message, line in zip(messages, found, strict=True):
        assert message in line
        assert line.startswith(f"shards/train-000001.tar: {broken.key}: ")


@pytest.mark.parametrize("reference", [0, 3])
@pytest.mark.parametrize("moves", [True, False])
@pytest.mark.parametrize("camera_moves", [True, False])
def test_what_the_program_makes_has_no_findings(reference, moves, camera_moves):
    marked = make_marked(text="push it", moves=moves, camera_moves=camera_moves, reference=reference)
    templates = parse_templates(yaml.safe_load(files("pipelines.configs").joinpath("prompts.yaml").read_text()))
    made = build_sample(
        marked,
        dataset=fixtures.DATASET,
        templates=templates,
        bins=256,
        traces=TracesConfig(),
        speed=True,
        keep_clean=True,
        provenance=fixtures.PROVENANCE,
    )
    encoded = fixtures.encoded(made)
    assert check_sample(encoded.key, encoded.members, 256) == (made.sample, [])


def _apart(out, shard):
    """Writes a shard's tar again, the last member in front, with the sidecar's checksum to match."""
    path = out / "shards" / f"{shard}.tar"
    with tarfile.open(path) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for member, data in [members[-1], *members[:-1]]:
            tar.addfile(member, io.BytesIO(data))
    sidecar = path.with_suffix(".parquet")
    table = pq.read_table(sidecar)
    content = json.loads(table.schema.metadata[b"shard"])
    content["tar_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    pq.write_table(table.replace_schema_metadata({b"shard": json.dumps(content)}), sidecar)


def test_members_apart_are_found(copy):
    _apart(copy, "train-000003")
    assert any("its members are not adjacent" in line for line in findings(copy))


def test_a_sample_in_a_shard_of_another_split_is_found(tmp_path):
    sample = fixtures.encoded(fixtures.chat(4))
    write_shard(str(tmp_path), "train-000000", fixtures.rows_of(sample, "record-4"))
    fixtures.write_plan(str(tmp_path), {"train": 1}, 2)
    finish(str(tmp_path), max_quarantined=1.0)
    assert [line.rpartition(": ")[2] for line in findings(tmp_path)] == ["split val in shard train-000000"]


def test_pieces_gathered_over_files_are_the_same(monkeypatch):
    rows = [(str(number % 7), str(number)) for number in range(100)]
    in_memory = sorted(row for pile in gathered(rows, len(rows)) for row in pile)
    monkeypatch.setattr("pipelines.inspect.dataset._ROWS_IN_MEMORY", 10)
    piles = list(gathered(rows, len(rows)))
    assert len(piles) > 1
    assert sorted(row for pile in piles for row in pile) == in_memory
    for first in "0123456":
        assert sum(any(row[0] == first for row in pile) for pile in piles) == 1


def test_a_record_in_two_shards_is_one_record(tmp_path):
    """A long video has parts in several shards; its row says the best of all of them."""
    sample = fixtures.encoded(fixtures.video_tom(0))
    item, record = fixtures.rows_of(sample, "record-0")
    why = {"stage": "shots", "reason": "too_short", "value": 0.4, "threshold": 1.0}
    filtered = fixtures.item_row(record[0], 700.0, "filtered", **why)
    out = str(tmp_path)
    write_shard(out, "train-000000", [item, record])
    write_shard(out, "train-000001", [(filtered, None), (replace(record[0], outcome="filtered"), None)])
    fixtures.write_plan(out, {"train": 2}, 2)
    finish(out, max_quarantined=1.0)
    assert findings(out) == []
