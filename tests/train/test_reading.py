"""One sample by its byte range: the right one, from anywhere, or an error that names the place."""

from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest

from tests import fixtures
from tests.train.data import train_only, write_dataset
from train import reading
from train.reading import read_range, read_sample
from transforms.encoding import decode_sample


@pytest.fixture
def places(tmp_path: Path) -> list[tuple[str, int, int, str]]:
    """URI, offset, size and key of three samples."""
    out = write_dataset(tmp_path / "out", train_only(fixtures.video_tom, 3))
    rows = pq.read_table(f"{out}/index.parquet").to_pylist()
    return [(f"{out}/shards/{row['shard']}.tar", row["offset"], row["size"], row["key"]) for row in rows]


def test_each_sample_is_read_by_its_range(places) -> None:
    for uri, offset, size, key in places:
        for given in (uri, f"file://{uri}"):
            found, members = read_sample(given, offset, size)
            assert found == key == decode_sample(members["json"]).key
            assert list(members) == ["json", "jpg", "clean.jpg", "npz"]


def test_a_remote_range_is_the_same(places) -> None:
    uri, offset, size, _ = places[1]
    remote = "memory://reading/a.tar"
    with fsspec.open(remote, "wb") as file:
        file.write(Path(uri).read_bytes())
    assert read_sample(remote, offset, size) == read_sample(uri, offset, size)


def test_a_file_that_ends_too_early_is_named(places) -> None:
    uri, offset, size, _ = places[2]
    Path(uri).write_bytes(Path(uri).read_bytes()[: offset + size - 1])
    with pytest.raises(OSError, match=rf"train-000001.tar: bytes {offset} to {offset + size} .* ends after {size - 1}"):
        read_sample(uri, offset, size)


def test_a_server_without_byte_ranges_is_named(monkeypatch) -> None:
    class Whole:
        def cat_file(self, path: str, start: int, end: int) -> bytes:
            return bytes(99)

    monkeypatch.setattr(reading, "url_to_fs", lambda uri: (Whole(), uri))
    with pytest.raises(OSError, match=r"a.tar: bytes 5 to 10 can't be read: .*99 bytes .*no byte ranges"):
        read_range("http://server/a.tar", 5, 5)


@pytest.mark.parametrize(("shift", "grow"), [(7, 0), (512, 0), (0, 512), (0, -1024)])
def test_bytes_that_are_not_one_sample_are_named(places, shift: int, grow: int) -> None:
    uri, offset, size, _ = places[1]
    if grow > 0:
        grow += places[2][2]
    with pytest.raises(ValueError, match=rf"train-000001.tar: bytes {offset + shift} to .* are not one sample"):
        read_sample(uri, offset + shift, size + grow - shift * (shift == 7))


def test_a_file_that_is_not_there_is_named_at_once(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(reading.time, "sleep", lambda _: pytest.fail("waits for a file that is not there"))
    for uri in (str(tmp_path / "a.tar"), "memory://nowhere/a.tar"):
        with pytest.raises(OSError, match=r"a.tar: bytes 5 to 10 can't be read"):
            read_range(uri, 5, 5)


@pytest.mark.parametrize(("failures", "reads"), [(0, True), (2, True), (3, False)])
def test_a_network_that_fails_is_asked_again(monkeypatch, failures: int, reads: bool) -> None:
    asked, waits = [], []

    class Network:
        def cat_file(self, path: str, start: int, end: int) -> bytes:
            asked.append(path)
            if len(asked) <= failures:
                raise ConnectionResetError("reset")
            return bytes(end - start)

    monkeypatch.setattr(reading, "url_to_fs", lambda uri: (Network(), uri))
    monkeypatch.setattr(reading.time, "sleep", waits.append)
    if reads:
        assert read_range("gs://bucket/a.tar", 3, 4) == bytes(4)
    else:
        with pytest.raises(OSError, match=r"gs://bucket/a.tar: bytes 3 to 7 can't be read: reset"):
            read_range("gs://bucket/a.tar", 3, 4)
    assert len(waits) == min(failures, 2)
