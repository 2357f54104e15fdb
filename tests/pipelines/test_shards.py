"""Shards: the same bytes from the same rows, whole or not there, byte ranges that hold, and what counts as done."""

import hashlib
import io
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.shards import ShardCounts, read_sidecar, read_sidecar_counts, shard_is_done, write_shard
from schemas.tables import SIDECAR
from tests import fixtures

SHARD = "train-000003"


def rows(n_kept=3):
    """Kept records with a filtered one and a quarantined one between them."""
    kept = [fixtures.encoded(make(number)) for number, make in zip(range(n_kept), fixtures.MAKERS, strict=False)]
    broken = fixtures.record_row("broken", "quarantined", stage="open", reason="error", error="no video stream")
    yield from fixtures.too_short("short")
    yield (broken, None)
    for number, sample in enumerate(kept):
        yield from fixtures.rows_of(sample, f"record-{number}")


def files(out):
    return sorted(path.name for path in Path(out).rglob("*") if path.is_file())


def test_written_twice_gives_the_same_bytes(tmp_path):
    counts = [write_shard(str(tmp_path / name), SHARD, rows()) for name in "ab"]
    assert counts[0] == counts[1]
    for suffix in ("tar", "parquet"):
        a, b = ((tmp_path / name / "shards" / f"{SHARD}.{suffix}").read_bytes() for name in "ab")
        assert a == b


def test_counts_are_those_of_the_rows_and_of_the_footer(tmp_path):
    out = str(tmp_path)
    counts = write_shard(out, SHARD, rows())
    tar = (tmp_path / "shards" / f"{SHARD}.tar").read_bytes()
    assert counts == ShardCounts(
        tar_size=len(tar),
        tar_sha256=hashlib.sha256(tar).hexdigest(),
        records=5,
        items=4,
        kept=3,
        filtered=1,
        quarantined=0,
        quarantined_records=1,
        members=("clean.jpg", "img01.jpg", "jpg", "json"),
    )
    assert read_sidecar_counts(out, SHARD) == counts
    table, again = read_sidecar(out, SHARD)
    assert again == counts
    assert table.schema.equals(SIDECAR, check_metadata=False)
    assert [row["key"] for row in table.to_pylist()] == [row.key for row, _ in rows()]
    quarantined = table.to_pylist()[2]
    assert (quarantined["value"], quarantined["error"], quarantined["offset"]) == (None, "no video stream", None)


def test_byte_ranges_hold_their_samples(tmp_path):
    out = str(tmp_path)
    write_shard(out, SHARD, rows(n_kept=8))
    tar = (tmp_path / "shards" / f"{SHARD}.tar").read_bytes()
    samples = {sample.key: sample for _, sample in rows(n_kept=8) if sample}
    end = 0
    for row in read_sidecar(out, SHARD)[0].to_pylist():
        if row["shard"] is None:
            continue
        assert (row["shard"], row["offset"]) == (SHARD, end)
        end = row["offset"] + row["size"]
        with tarfile.open(fileobj=io.BytesIO(tar[row["offset"] : end]), mode="r:") as part:
            held = [(member.name, part.extractfile(member).read()) for member in part]
        assert held == [(f"{row['key']}.{suffix}", data) for suffix, data in samples.pop(row["key"]).members]
    assert not samples
    assert not any(tar[end:])


def test_tar_tells_nothing_of_who_made_it_and_when(tmp_path):
    write_shard(str(tmp_path), SHARD, rows())
    with tarfile.open(tmp_path / "shards" / f"{SHARD}.tar") as tar:
        told = {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode, m.isfile()) for m in tar}
    assert told == {(0, 0, 0, "", "", 0o644, True)}


def test_nothing_kept_no_tar_even_where_there_was_one(tmp_path):
    out = str(tmp_path)
    write_shard(out, SHARD, rows())
    counts = write_shard(out, SHARD, fixtures.too_short("short"))
    assert (counts.tar_size, counts.tar_sha256, counts.kept, counts.members) == (0, "", 0, ())
    assert files(out) == [f"{SHARD}.parquet"]
    assert shard_is_done(out, SHARD)


def test_no_rows_at_all(tmp_path):
    counts = write_shard(str(tmp_path), SHARD, [])
    assert (counts.records, counts.items) == (0, 0)
    assert shard_is_done(str(tmp_path), SHARD)


@pytest.mark.parametrize("after", range(8))
def test_killed_in_the_middle_leaves_nothing_of_a_new_shard(tmp_path, after):
    def breaking():
        for number, row in enumerate(rows()):
            if number == after:
                raise KeyboardInterrupt
            yield row

    with pytest.raises(KeyboardInterrupt):
        write_shard(str(tmp_path), SHARD, breaking())
    assert files(tmp_path) == []


def test_killed_in_the_middle_leaves_an_old_shard_as_it_was(tmp_path):
    out = str(tmp_path)
    before = write_shard(out, SHARD, rows())

    def breaking():
        yield from rows()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(out, SHARD, breaking())
    assert shard_is_done(out, SHARD)
    assert read_sidecar_counts(out, SHARD) == before
    assert len(files(out)) == 2


def _cut(path):
    path.write_bytes(path.read_bytes()[:-700])


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _flip_in_page(path):
    data = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(1)
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    path.write_bytes(data)


def _without_metadata(path):
    pq.write_table(pq.read_table(path).replace_schema_metadata(), path)


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        ("tar", _cut),
        ("tar", _flip),
        ("tar", Path.unlink),
        ("tar", lambda path: path.write_bytes(b"")),
        ("parquet", _cut),
        ("parquet", _flip_in_page),
        ("parquet", Path.unlink),
        ("parquet", lambda path: path.write_bytes(b"")),
        ("parquet", _without_metadata),
    ],
)
def test_damaged_is_not_done(tmp_path, suffix, damage):
    out = str(tmp_path)
    assert not shard_is_done(out, SHARD)
    write_shard(out, SHARD, rows())
    assert shard_is_done(out, SHARD)
    damage(tmp_path / "shards" / f"{SHARD}.{suffix}")
    assert not shard_is_done(out, SHARD)


def test_a_tar_too_many_is_not_done(tmp_path):
    write_shard(str(tmp_path), SHARD, fixtures.too_short("short"))
    (tmp_path / "shards" / f"{SHARD}.tar").write_bytes(b"left over")
    assert not shard_is_done(str(tmp_path), SHARD)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (lambda sample, item, record: [(item, None)], "kept without a sample"),
        (lambda sample, item, record: [(record, sample)], "kept with a sample"),
        (lambda sample, item, record: [(item, sample), (item, sample)], "comes twice"),
        (lambda sample, item, record: [(fixtures.item_row(record, 7.0), sample)], "is named"),
    ],
)
def test_rows_that_do_not_fit_their_samples_are_refused(tmp_path, pairs, message):
    sample = fixtures.encoded(fixtures.chat(0))
    (item, _), (record, _) = fixtures.rows_of(sample, "record-0")
    with pytest.raises(ValueError, match=message):
        write_shard(str(tmp_path), SHARD, pairs(sample, item, record))
    assert files(tmp_path) == []


def test_memory_holds_one_sample_at_a_time(tmp_path):
    alive = []

    class Watched(bytes):
        def __new__(cls, data):
            alive.append(1)
            return super().__new__(cls, data)

        def __del__(self):
            alive.pop()

    def streaming():
        most = 0
        for number in range(20):
            sample = fixtures.encoded(fixtures.text_only(number))
            big = type(sample)(key=sample.key, members=(("json", Watched(1000)),), index_row=sample.index_row)
            item, record = fixtures.rows_of(big, f"record-{number}")
            del big, sample
            most = max(most, len(alive))
            yield item
            del item
            yield record
        assert most <= 2

    assert write_shard(str(tmp_path), SHARD, streaming()).kept == 20
