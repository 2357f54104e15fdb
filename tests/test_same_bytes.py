"""The same inputs and config give the same bytes, however, wherever and in how many pieces a job runs."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.jobs import FAST, ROOT, fingerprint, somtom, write_scene, write_scenes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_scenes(tmp_path_factory.mktemp("inputs") / "videos", 6)
    write_scene(folder / "spans several shards.mp4", seed=9, n_frames=81)
    return folder


@pytest.fixture(scope="module")
def expected(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one process makes."""
    out = tmp_path_factory.mktemp("one") / "out"
    done = somtom("run", "video", f"source.uris={videos}", *FAST, "--out", str(out), "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert len(list((out / "shards").glob("*.tar"))) >= 3
    return fingerprint(out)


@pytest.mark.parametrize(
    "flags",
    [
        ["--workers", "2"],
        ["--workers", "2", "--", "--direct_running_mode=multi_processing"],
        ["--", "--runner=BundleBasedDirectRunner"],
    ],
    ids=["two workers", "two Beam processes", "another runner"],
)
def test_any_runner_makes_the_same(videos: Path, expected: dict[str, str], tmp_path: Path, flags: list[str]) -> None:
    out = tmp_path / "out"
    done = somtom("run", "video", f"source.uris={videos}", *FAST, "--out", str(out), *flags)
    assert done.returncode == 0, done.stderr
    assert fingerprint(out) == expected


def test_the_installed_package_elsewhere_with_moved_inputs_makes_the_same(
    videos: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", str(site)]
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".venv", ".git", "build", "*.egg-info", "out"))
    subprocess.run([*pip, str(source)], check=True, cwd=tmp_path)
    assert not (site / "tests").exists()
    moved = tmp_path / "moved inputs"
    shutil.copytree(videos, moved)
    neutral = tmp_path / "neutral"
    neutral.mkdir()
    command = [sys.executable, str(site / "bin" / "somtom"), "run", "video", "source.uris=../moved inputs", *FAST]
    environment = dict(os.environ, PYTHONPATH=str(site))
    subprocess.run([*command, "--out", "out", "--workers", "2"], check=True, cwd=neutral, env=environment)
    assert fingerprint(neutral / "out") == expected


@pytest.mark.parametrize("after_shards", [0, 2])
def test_a_job_killed_half_way_goes_on_to_the_same(
    videos: Path, expected: dict[str, str], tmp_path: Path, after_shards: int
) -> None:
    out = tmp_path / "out"
    words = ["run", "video", f"source.uris={videos}", *FAST, "--out", str(out), "--workers", "1"]
    with subprocess.Popen([sys.executable, str(ROOT / "beam_runner.py"), *words], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while len(list((out / "shards").glob("*.parquet"))) < after_shards or not (out / "plan/plan.json").exists():
            assert process.poll() is None and time.monotonic() < deadline, "the job ended before it could be killed"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert not (out / "job.json").exists()
    assert "not finished" in somtom("status", str(out)).stdout
    done_before = {path.name: path.stat().st_mtime_ns for path in (out / "shards").glob("*.tar")}
    finished = somtom(*words)
    assert finished.returncode == 0, finished.stderr
    assert fingerprint(out) == expected
    sidecars_before = {name for name in done_before if after_shards}
    untouched = [name for name, when in done_before.items() if (out / "shards" / name).stat().st_mtime_ns == when]
    assert len(untouched) >= min(after_shards, len(sidecars_before))


def test_a_second_run_changes_nothing(videos: Path, expected: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["run", "video", f"source.uris={videos}", *FAST, "--out", str(out)]
    assert somtom(*words).returncode == 0
    when = {path: path.stat().st_mtime_ns for path in (out / "shards").iterdir()}
    assert somtom(*words).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "shards").iterdir()} == when
    assert fingerprint(out) == expected


def test_a_damaged_shard_is_made_again(videos: Path, expected: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["run", "video", f"source.uris={videos}", *FAST, "--out", str(out)]
    assert somtom(*words).returncode == 0
    tars = sorted((out / "shards").glob("*.tar"))
    data = bytearray(tars[0].read_bytes())
    data[len(data) // 2] ^= 1
    tars[0].write_bytes(data)
    tars[1].unlink()
    assert somtom("lint", str(out)).returncode == 1
    assert somtom(*words).returncode == 0
    assert fingerprint(out) == expected
    assert somtom("lint", str(out)).returncode == 0
