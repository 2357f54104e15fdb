"""Weights are found, fetched once, and what is opened is what was asked for."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipelines import weights
from pipelines.config import check_config
from pipelines.known_weights import KNOWN, KnownWeights
from pipelines.weights import cache_folder, check_weights, fetch_weights, resolve_weights
from schemas.config import LucasKanadeTracker
from schemas.errors import UserError
from schemas.networks import ClipGate, CoTrackerTracker, NetworkConfig, SamProposer, YoloProposer
from tests.jobs import ROOT

DATA = os.urandom(300_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
OTHER = "0" * 64
PARTS = {"sam": SamProposer, "yolo": YoloProposer, "cotracker": CoTrackerTracker, "clip": ClipGate}


@dataclass
class Server:
    """Gives DATA; `answers` are what it does to the first requests instead."""

    url: str
    answers: list[str] = field(default_factory=list)
    n_requests: int = 0
    go_on: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    server_state: Server

    def do_GET(self) -> None:
        state = self.server_state
        state.n_requests += 1
        answer = state.answers.pop(0) if state.answers else "whole"
        if answer.isdecimal():
            self.send_error(int(answer))
            return
        if answer == "dropped":
            self.connection.close()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(DATA)))
        self.end_headers()
        with suppress(OSError):
            self._send(answer)

    def _send(self, answer: str) -> None:
        if answer == "cut":
            self.wfile.write(DATA[:1000])
            self.wfile.flush()
            self.connection.close()
        elif answer == "stalled":
            self.wfile.write(DATA[:1000])
            time.sleep(1)
        elif answer == "held":
            self.server_state.go_on.wait(20)
            self.wfile.write(DATA)
        elif answer == "slow":
            for start in range(0, len(DATA), 100_000):
                self.wfile.write(DATA[start : start + 100_000])
                self.wfile.flush()
                time.sleep(0.3)
        else:
            self.wfile.write(DATA)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(weights, "_WAITS_S", (0.0, 0.0, 0.0))
    handler = type("OneHandler", (Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        state = Server(url=f"http://127.0.0.1:{listening.server_address[1]}/a/tiny.pth?download=true")
        handler.server_state = state  # type: ignore[attr-defined]
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield state
        listening.shutdown()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("SOMTOM_CACHE", str(folder))
    return folder


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.pth"
    path.write_bytes(DATA)
    return path


def sam(where: object, sha256: str = "") -> SamProposer:
    return SamProposer(weights=str(where), sha256=sha256)


def weights_file(part: object) -> str:
    return weights.weights_file(part, "proposer")


def mistake(part: NetworkConfig) -> str:
    with pytest.raises(UserError) as caught:
        weights_file(part)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_local_file_is_checked_and_given_as_it_is(local: Path) -> None:
    assert weights_file(sam(local, SHA256)) == str(local)
    assert weights_file(LucasKanadeTracker()) == ""


def test_a_local_file_gets_its_hash_and_an_absolute_path(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(local.parent)
    (local.parent / "checkout").mkdir()
    part = CoTrackerTracker(weights="tiny.pth", repository="checkout")
    resolved = resolve_weights(part, "tracker")
    assert resolved == CoTrackerTracker(weights=str(local), sha256=SHA256, repository=str(local.parent / "checkout"))
    assert resolve_weights(resolved, "tracker") == resolved


def test_a_wrong_hash_says_both_and_deletes_nothing(local: Path) -> None:
    text = mistake(sam(local, OTHER))
    assert text.startswith(f"proposer.sha256: {local} has {SHA256}, not {OTHER}; ")
    assert local.read_bytes() == DATA


def test_a_truncated_file_has_another_hash(local: Path) -> None:
    part = resolve_weights(sam(local), "proposer")
    local.write_bytes(DATA[:-1])
    assert f"not {SHA256}" in mistake(part)
    assert resolve_weights(sam(local), "proposer").sha256 == hashlib.sha256(DATA[:-1]).hexdigest()


def test_a_local_file_of_a_known_name_must_be_that_file(tmp_path: Path) -> None:
    path = tmp_path / "sam_vit_b_01ec64.pth"
    path.write_bytes(DATA)
    text = mistake(sam(path))
    assert "not ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912" in text
    assert f"proposer.sha256={SHA256}" in text
    assert weights_file(sam(path, SHA256)) == str(path)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (SamProposer(), ["proposer.weights: is missing", "sam_vit_b_01ec64.pth"]),
        (sam("nowhere/tiny.pth"), ["proposer.weights: ", "/nowhere/tiny.pth is no file", "give the path"]),
        (YoloProposer(weights="nowhere/yolo11n.pt"), ["/nowhere/yolo11n.pt is no file"]),
        (sam("yolo11n.pt"), ["yolo11n.pt is for 'yolo', not for 'sam'", "give sam_vit_b_01ec64.pth, "]),
        (sam("~no_such_user/tiny.pth"), ["proposer.weights: '~no_such_user/tiny.pth'", "give a path"]),
        (
            sam("https://example.org/tiny.pth"),
            ["proposer.sha256: is missing", "https://example.org/tiny.pth", "sha256sum"],
        ),
    ],
)
def test_a_mistake_is_one_line_with_the_cure(part: NetworkConfig, words: list[str]) -> None:
    text = mistake(part)
    for word in words:
        assert word in text


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_a_known_name_or_url_needs_no_hash(known: KnownWeights) -> None:
    for where in (known.name, known.url, f"{known.url}?download=true", f"https://mirror.example.org/{known.name}"):
        part = resolve_weights(PARTS[known.part](weights=where), "proposer")
        assert part.sha256 == known.sha256
        assert part.weights == (known.url if where == known.name else where)


def test_a_url_is_fetched_once_into_the_cache(server: Server, cache: Path) -> None:
    path = weights_file(sam(server.url, SHA256))
    assert path == str(cache / f"{SHA256}.pth")
    assert Path(path).read_bytes() == DATA
    assert weights_file(sam(server.url, SHA256)) == path
    assert server.n_requests == 1
    assert sorted(file.name for file in cache.iterdir()) == [".lock", f"{SHA256}.pth"]


@pytest.mark.parametrize("answer", ["503", "429", "cut", "dropped", "slow"])
def test_what_passes_is_tried_again(server: Server, cache: Path, answer: str) -> None:
    server.answers += [answer] * (1 if answer == "slow" else 2)
    assert Path(weights_file(sam(server.url, SHA256))).read_bytes() == DATA
    assert server.n_requests == (1 if answer == "slow" else 3)


def test_a_server_that_falls_silent_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_NO_ANSWER_S", 0.2)
    monkeypatch.setattr(weights, "_WAITS_S", ())
    server.answers += ["stalled"]
    assert "can't be fetched: nothing came for 0.2 s;" in mistake(sam(server.url, SHA256))


@pytest.mark.parametrize(("answer", "n_requests"), [("404", 1), ("403", 1), ("500", 4)])
def test_what_does_not_pass_is_one_line_that_names_the_url(
    server: Server, cache: Path, answer: str, n_requests: int
) -> None:
    server.answers += [answer] * 4
    text = mistake(sam(server.url, SHA256))
    assert text.startswith(f"proposer.weights: {server.url} can't be fetched: ")
    assert text.endswith("fetch it yourself and give its path")
    assert server.n_requests == n_requests
    assert [file.name for file in cache.iterdir()] == [".lock"]


def test_without_a_network_the_url_is_named(server: Server) -> None:
    closed = "http://127.0.0.1:9/tiny.pth"
    assert mistake(sam(closed, SHA256)).startswith(f"proposer.weights: {closed} can't be fetched: ClientConnectorError")


def test_a_wrong_file_from_the_network_is_not_kept(server: Server, cache: Path) -> None:
    text = mistake(sam(server.url, OTHER))
    assert f"{server.url} has {SHA256}, not {OTHER}" in text
    assert server.n_requests == 1
    assert [file.name for file in cache.iterdir()] == [".lock"]


@pytest.mark.parametrize("damaged", [DATA[:-1], b"", DATA[:-1] + b"?"])
def test_a_damaged_cache_is_fetched_anew(server: Server, cache: Path, damaged: bytes) -> None:
    path = Path(weights_file(sam(server.url, SHA256)))
    path.write_bytes(damaged)
    assert Path(weights_file(sam(server.url, SHA256))).read_bytes() == DATA
    assert server.n_requests == 2


def test_what_a_killed_fetch_left_is_cleared(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / ".partial-old.pth").write_bytes(b"half")
    weights_file(sam(server.url, SHA256))
    assert not list(cache.glob(".partial-*"))


def test_two_processes_at_once_fetch_one_file(server: Server, cache: Path) -> None:
    server.answers += ["held"]
    code = (
        "import sys; from pipelines.weights import weights_file; from schemas.networks import SamProposer\n"
        "print(weights_file(SamProposer(weights=sys.argv[1], sha256=sys.argv[2]), 'proposer'))"
    )
    command = [sys.executable, "-c", code, server.url, SHA256]
    reading, writing = os.pipe()
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=writing, text=True) for _ in range(2)]
    os.close(writing)
    with os.fdopen(reading) as told:
        assert told.readline() == f"{cache}: waiting for another process that fetches weights\n"
        server.go_on.set()
        assert told.read() == ""
    paths = [process.communicate(timeout=60)[0].strip() for process in both]
    assert paths == [str(cache / f"{SHA256}.pth")] * 2
    assert server.n_requests == 1


def test_a_cache_that_cannot_be_written_names_its_variable(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("SOMTOM_CACHE", str(tmp_path / "file"))
    assert mistake(sam(server.url, SHA256)).startswith(f"SOMTOM_CACHE: {tmp_path}/file can't be written: ")
    assert server.n_requests == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_may_only_be_read_serves_what_it_holds(server: Server, cache: Path) -> None:
    path = Path(weights_file(sam(server.url, SHA256)))
    (cache / ".lock").unlink()
    cache.chmod(0o555)
    try:
        assert weights_file(sam(server.url, SHA256)) == str(path)
        assert "SOMTOM_CACHE" in mistake(sam(server.url.replace("tiny", "other"), OTHER))
    finally:
        cache.chmod(0o755)


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() != Path("/x/somtom")
    monkeypatch.delenv("SOMTOM_CACHE")
    assert cache_folder() == Path("/x/somtom")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/somtom"


def test_a_job_has_its_weights_before_it_begins(server: Server, cache: Path, tmp_path: Path) -> None:
    raw = {"recipe": "image", "source": {"uris": [str(tmp_path)]}, "proposer": sam(server.url, SHA256).model_dump()}
    config = check_config(raw)
    assert server.n_requests == 0
    fetch_weights(config)
    check_weights(config)
    fetch_weights(config)
    assert server.n_requests == 1
    (cache / f"{SHA256}.pth").write_bytes(b"damaged")
    check_weights(config)
    assert server.n_requests == 2


def test_other_kinds_of_urls_go_through_fsspec(cache: Path) -> None:
    import fsspec

    with fsspec.open("memory://bucket/tiny.pt", "wb") as file:
        file.write(DATA)
    path = weights_file(YoloProposer(weights="memory://bucket/tiny.pt", sha256=SHA256))
    assert path == str(cache / f"{SHA256}.pt")
    assert Path(path).read_bytes() == DATA
