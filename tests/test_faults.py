"""What is wrong with the machine or the request: one clear line, exit code 2, no traceback; the next run goes on."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.jobs import FAST, ROOT, fingerprint, somtom, write_scenes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("inputs") / "videos", 4)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    # a slow machine has time to tell how far it is
    lines = [line for line in done.stderr.splitlines() if line.strip() and not re.match(r"\d+/\d+ shards, ", line)]
    assert len(lines) == 1, done.stderr
    return lines[0]


def words(videos: Path, out: Path, *more: str) -> list[str]:
    return ["run", "video", f"source.uris={videos}", *FAST, "--out", str(out), "--workers", "1", *more]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 600 kB."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_full_disk_is_one_line_and_the_next_run_goes_on(
    videos: Path, small_disk: Path, tmp_path: Path, workers: str
) -> None:
    out = small_disk / "out"
    line = one_line(somtom(*words(videos, out, "--workers", workers)))
    assert "No space left on device" in line and "--out" in line and "goes on where it stopped" in line
    assert not (out / "job.json").exists()
    assert not list(out.rglob(".partial-*"))
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    assert somtom(*words(videos, out)).returncode == 0
    assert somtom(*words(videos, tmp_path / "fresh")).returncode == 0
    assert fingerprint(out) == fingerprint(tmp_path / "fresh")


def test_a_file_larger_than_allowed_is_one_line_and_the_next_run_goes_on(videos: Path, tmp_path: Path) -> None:
    """The same on any machine: the kernel refuses the write in the middle of a tar."""
    out = tmp_path / "out"
    command = [sys.executable, str(ROOT / "beam_runner.py"), *words(videos, out)]
    limited = subprocess.run(
        ["bash", "-c", 'ulimit -f 100; exec "$@"', "limited", *command], capture_output=True, text=True, check=False
    )
    assert "File too large" in one_line(limited)
    assert somtom(*words(videos, out)).returncode == 0


def test_a_folder_that_cannot_be_written_is_one_line(videos: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        inside = tmp_path / "a file"
        inside.write_text("")
        line = one_line(somtom(*words(videos, inside / "out")))
        assert "Not a directory" in line or "File exists" in line
    else:
        tmp_path.chmod(0o500)
        line = one_line(somtom(*words(videos, tmp_path / "out")))
        tmp_path.chmod(0o700)
        assert "Permission denied" in line
    assert "--out" in line


def test_another_config_is_refused_and_what_changed_is_listed(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert somtom(*words(videos, out)).returncode == 0
    before = fingerprint(out)
    line = one_line(somtom(*words(videos, out, "seed=3", "tracker.levels=2")))
    assert "seed: 0 -> 3" in line and "tracker.levels: 3 -> 2" in line and "another --out" in line
    assert fingerprint(out) == before
    assert somtom(*words(videos, out, "run.deadline_s=99")).returncode == 0, "how a job runs may change"


def test_another_version_of_a_library_is_refused(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert somtom(*words(videos, out)).returncode == 0
    path = out / "plan/plan.json"
    plan = json.loads(path.read_text())
    plan["versions"]["numpy"] = "1.0"
    path.write_text(json.dumps(plan))
    assert 'versions.numpy: "1.0" -> ' in one_line(somtom(*words(videos, out)))


def test_two_writers_are_kept_apart_and_a_crash_releases(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, str(ROOT / "beam_runner.py"), *words(videos, out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        while not (out / "plan/plan.json").exists():
            assert first.poll() is None
            time.sleep(0.02)
        line = one_line(somtom(*words(videos, out)))
        assert f"is being written by process {first.pid}" in line
        assert "a process is writing to it" in somtom("status", str(out)).stdout
        first.kill()
    assert somtom(*words(videos, out)).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "video", "--out", "OUT"], "source.uris: missing"),
        (["run", "video", "source.uris=nowhere", "--out", "OUT"], "source.uris: no video in"),
        (["run", "video", "tracker.name=magic", "source.uris=.", "--out", "OUT"], "tracker.name: 'magic'"),
        (["run", "vidoe", "--out", "OUT"], "CONFIG: vidoe is not a file"),
        (["plan", "video", "source.uris=.", "sed=1"], "sed: unknown field; did you mean 'seed'?"),
        (["finish", "OUT"], "holds no plan"),
        (["status", "OUT"], "holds no dataset"),
        (["lint", "OUT"], "holds no dataset"),
        (["run", "video", "source.uris=foo://bar", "--out", "OUT"], "foo://bar"),
        (["run", "video", "source.uris=.", "output.shard_cost_s=1", "--out", "OUT"], "make it 4.0 or more"),
        (["explain", "OUT", "key"], "OUT"),
        (["preview", "OUT"], "index.parquet is not there"),
        (["try", "nowhere.mp4"], "nowhere.mp4"),
    ],
)
def test_a_mistake_is_one_line_with_the_cure(tmp_path: Path, arguments: list[str], expected: str) -> None:
    assert expected in one_line(somtom(*arguments, cwd=tmp_path))


def test_an_unknown_option_or_verb_is_argparses_own_error(tmp_path: Path) -> None:
    for arguments in (["run", "video", "--ouch"], ["fly"], ["run", "video", "--out", "o", "seed"]):
        done = somtom(*arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_progress_in_plain_lines_and_the_summary(videos: Path, tmp_path: Path) -> None:
    done = somtom(*words(videos, tmp_path / "out"))
    assert "records   4 kept, 0 filtered, 0 quarantined" in done.stdout
    assert "items     8 kept" in done.stdout
    assert re.search(r"^time      .* s of work after .* s of start-up, bound by [a-z]+ \(", done.stdout, re.MULTILINE)
    assert "\r" not in done.stderr
    assert "shards, 8 items: 8 kept" in done.stderr


def _children(pid: int) -> list[psutil.Process]:
    """The child processes of a job, once there are any."""
    while not (children := psutil.Process(pid).children()):
        time.sleep(0.02)
    return children


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_ends_with_a_word_and_leaves_no_process(videos: Path, tmp_path: Path, workers: str) -> None:
    out = tmp_path / "out"
    command = [sys.executable, str(ROOT / "beam_runner.py"), *words(videos, out, "--workers", workers)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while not (out / "plan/plan.json").exists():
            time.sleep(0.02)
        children = _children(process.pid)
        timer = threading.Timer(60, process.kill)
        timer.start()
        process.send_signal(2)
        _, told = process.communicate()
        timer.cancel()
    assert process.returncode == 130, told
    assert "goes on from here" in told and "Traceback" not in told
    psutil.wait_procs(children, timeout=10)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert somtom(*words(videos, out)).returncode == 0


def test_a_damaged_sidecar_is_made_again(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert somtom(*words(videos, out)).returncode == 0
    before = fingerprint(out)
    sidecar = next((out / "shards").glob("*.parquet"))
    (out / "shards" / "notes.parquet").write_bytes(b"stray")
    for damage in (b"", sidecar.read_bytes()[:500]):
        sidecar.write_bytes(damage)
        assert somtom("status", str(out)).returncode == 0
        assert "are not done" in one_line(somtom("finish", str(out)))
        assert somtom(*words(videos, out)).returncode == 0
    (out / "shards" / "notes.parquet").unlink()
    assert fingerprint(out) == before


def test_shards_without_their_plan_are_not_gone_on_with(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert somtom(*words(videos, out)).returncode == 0
    (out / "plan/plan.json").unlink()
    assert "no plan/plan.json; choose another --out" in one_line(somtom(*words(videos, out, "seed=7")))


def test_a_folder_with_a_readme_of_its_own_is_left_alone(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    assert "README.md but no plan" in one_line(somtom(*words(videos, tmp_path)))
    assert (tmp_path / "README.md").read_text() == "mine"


def test_the_lock_holds_however_out_is_spelled(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = somtom("run", "video", f"source.uris={videos}", *FAST, "--out", f"file://{out}/", cwd=tmp_path)
    assert done.returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert (out / ".lock").exists()


def test_a_name_with_a_quote_and_a_glob_are_taken_as_they_are(videos: Path, tmp_path: Path) -> None:
    shutil.copy(next(videos.rglob("*.mp4")), tmp_path / "it's #1.mp4")
    assert "it's #1.gif" in somtom("try", "it's #1.mp4", *FAST, cwd=tmp_path).stdout
    assert "records   1," in somtom("plan", "video", "source.uris=*.mp4", *FAST, cwd=tmp_path).stdout
    assert "records   1," in somtom("plan", "video", "source.uris=it's #1.mp4", *FAST, cwd=tmp_path).stdout
