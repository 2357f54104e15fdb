"""Every write is whole or not there at all."""

from pathlib import Path

import fsspec
import pytest

from pipelines import store
from schemas.errors import UserError


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    uri = str(tmp_path / "a/b/file")
    with store.writing(uri) as file:
        file.write(b"half")
        assert not store.exists(uri)
    assert store.read_bytes(uri) == b"half"
    assert store.size(uri) == 4
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["file"]


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    uri = str(tmp_path / "file")
    store.write_bytes(uri, b"old")
    with pytest.raises(RuntimeError), store.writing(uri) as file:
        file.write(b"new")
        raise RuntimeError
    assert store.read_bytes(uri) == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_killed_writer_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".partial-x").write_bytes(b"half")
    store.write_bytes(str(tmp_path / "file"), b"whole")
    assert store.names(str(tmp_path)) == ["file"]
    store.remove_partials(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_error_of_the_system_is_one_line_with_the_cure(tmp_path: Path) -> None:
    store.write_bytes(str(tmp_path / "file"), b"")
    with pytest.raises(UserError, match=r"--out: .*file/inside.* can't be written: .*again"):
        store.write_bytes(str(tmp_path / "file/inside"), b"")


@pytest.mark.parametrize("uri", ["nosuch://bucket/file", "msd://host/file"])
def test_a_place_that_cannot_be_used_is_one_line(uri: str) -> None:
    with pytest.raises(UserError, match=f"^{uri}: .*; install"):
        store.exists(uri)


def test_a_remote_file_is_put_at_once() -> None:
    memory = fsspec.filesystem("memory")
    with store.writing("memory://bucket/shards/a.tar") as file:
        file.write(b"x" * 10)
        assert not memory.exists("/bucket/shards/a.tar")
    store.write_bytes("memory://bucket/shards/b.parquet", b"y")
    assert store.names("memory://bucket/shards") == ["a.tar", "b.parquet"]
    assert store.names("memory://bucket/shards", ".tar") == ["a.tar"]
    store.remove("memory://bucket/shards/a.tar")
    store.remove("memory://bucket/shards/a.tar")
    assert not store.exists("memory://bucket/shards/a.tar")


def test_an_error_of_reading_inside_a_write_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), store.writing(str(tmp_path / "file")):
        (tmp_path / "nowhere").read_bytes()
