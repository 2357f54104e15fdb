"""Dataflow without the service: the job it would be sent, and workers that know the project by its package only."""

import base64
import bz2
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from apache_beam.portability.api import beam_runner_api_pb2 as runner

from tests.jobs import FAST, ROOT, fingerprint, somtom, write_scenes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout: building its package leaves files in it."""
    source = tmp_path_factory.mktemp("checkout") / "source"
    return shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "out"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("inputs") / "videos", 4)


@pytest.fixture(scope="module")
def submitted(source: Path, videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the launcher hands to Dataflow: a template (job.json), the graph (pipeline.pb) and the package."""
    folder = tmp_path_factory.mktemp("dataflow")
    flags = [
        *("--runner=DataflowRunner", "--dataflow_endpoint=http://localhost:1", "--no_auth", "--setup_file=./setup.py"),
        *("--project=some-project", "--region=europe-west4", "--job_name=somtom"),
        *(f"--temp_location={folder}", f"--staging_location={folder}", f"--template_location={folder / 'job.json'}"),
    ]
    words = ["run", "video", f"source.uris={videos}", *FAST, "--out", str(folder / "out"), "--", *flags]
    done = somtom(*words, cwd=source, timeout=60)
    # a template is no run: the launcher finds its shards undone and says so
    assert (done.returncode, "shards are not done" in done.stderr) == (2, True), done.stderr
    return folder


@pytest.fixture(scope="module")
def graph(submitted: Path) -> Any:
    return runner.Pipeline.FromString((submitted / "pipeline.pb").read_bytes()).components


def test_the_job_has_one_environment_with_the_package_staged(submitted: Path, graph: Any) -> None:
    (name, environment), *others = graph.environments.items()
    assert not others, "a second environment breaks fusion"
    assert {step.environment_id for step in graph.transforms.values()} <= {name, ""}
    assert not environment.resource_hints
    staged = [runner.ArtifactStagingToRolePayload.FromString(found.role_payload) for found in environment.dependencies]
    assert "workflow.tar.gz" in {found.staged_name for found in staged}
    job = json.loads((submitted / "job.json").read_text())
    (pool,) = job["environment"]["workerPools"]
    assert {"name": "workflow.tar.gz", "location": str(submitted / "workflow.tar.gz")} in pool["packages"]
    options = {shown["key"]: shown["value"] for shown in job["environment"]["sdkPipelineOptions"]["display_data"]}
    assert options["save_main_session"] is False
    assert not list(submitted.glob("*main_session*"))


def test_shards_are_spread_before_they_are_made(graph: Any) -> None:
    steps = {step.unique_name: step for step in graph.transforms.values()}
    spread, make = steps["Curate/SpreadShards"], steps["Curate/CurateShard"]
    assert spread.spec.urn == "beam:transform:reshuffle:v1"
    shards = _only(steps["Shards"].outputs)
    assert _only(spread.inputs) == shards
    assert _only(make.inputs) == _only(spread.outputs)


def test_nothing_pickled_is_of_the_main_module(graph: Any) -> None:
    pickled = {
        step.unique_name: bz2.decompress(
            base64.b64decode(runner.ParDoPayload.FromString(step.spec.payload).do_fn.payload)
        )
        for step in graph.transforms.values()
        if step.spec.urn == "beam:transform:pardo:v1"
    }
    assert b"_CurateShard" in pickled["Curate/CurateShard"]
    for name, data in pickled.items():
        assert b"__main__" not in data and b"beam_runner" not in data, name
    assert len(pickled["Curate/CurateShard"]) < 20_000


def test_the_package_holds_the_code_and_the_configs_and_no_tests(submitted: Path, source: Path) -> None:
    with tarfile.open(submitted / "workflow.tar.gz") as package:
        held = {name.partition("/")[2] for name in package.getnames()}
    folders = ("schemas", "transforms", "pipelines", "model", "train")
    wanted = {
        str(path.relative_to(source))
        for folder in folders
        for path in (source / folder).rglob("*")
        if path.suffix in (".py", ".yaml") and "__pycache__" not in path.parts
    }
    wanted.add("beam_runner.py")
    assert {"pipelines/configs/video.yaml", "pipelines/inspect/lint.py", "transforms/trackers/__init__.py"} <= wanted
    assert wanted <= held
    assert not [name for name in held if name.startswith(("tests", "bench", "demo"))]


@pytest.fixture
def worker_pool(tmp_path: Path) -> Iterator[str]:
    """Address of a pool of SDK containers in a neutral folder; what they print goes to a file there."""
    neutral = tmp_path / "neutral"
    neutral.mkdir()
    boot = neutral / "boot"
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(_alone(neutral)))}"
    boot.write_text(f'#!/bin/sh\nexec {command} "$@" >>{shlex.quote(str(neutral / "log"))} 2>&1\n')
    boot.chmod(0o755)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    pool = subprocess.Popen(
        [
            *(sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main"),
            *(f"--service_port={port}", f"--container_executable={boot}"),
        ],
        cwd=neutral,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not _answers(port):
            assert pool.poll() is None and time.monotonic() < deadline, "the worker pool did not start"
            time.sleep(0.1)
        yield f"localhost:{port}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(pool.pid, signal.SIGKILL)
        pool.wait()


def _run_in_containers(pool: str, videos: Path, out: Path, source: Path, *flags: str) -> Any:
    portable = ("--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=EXTERNAL")
    beam_flags = [*portable, f"--environment_config={pool}", *flags]
    words = ["run", "video", f"source.uris={videos}", *FAST, "--out", str(out), "--", *beam_flags]
    return somtom(*words, cwd=source, timeout=120)


def test_workers_that_have_only_the_package_make_the_same(
    worker_pool: str, videos: Path, source: Path, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    local = somtom("run", "video", f"source.uris={videos}", *FAST, "--out", str(here), "--workers", "1")
    assert local.returncode == 0, local.stderr
    done = _run_in_containers(worker_pool, videos, there, source, "--setup_file=./setup.py")
    assert done.returncode == 0, done.stderr + (tmp_path / "neutral" / "log").read_text()
    assert list((tmp_path / "neutral").glob("worker */site/pipelines/graph.py"))
    assert fingerprint(there) == fingerprint(here)


def test_workers_without_the_package_fail(worker_pool: str, videos: Path, source: Path, tmp_path: Path) -> None:
    done = _run_in_containers(worker_pool, videos, tmp_path / "out", source)
    assert done.returncode != 0
    assert "No module named 'pipelines'" in done.stderr


def _only(named: Any) -> str:
    (value,) = named.values()
    return str(value)


def _alone(folder: Path) -> Path:
    """The boot program where it has no neighbours: Python puts a program's own folder on its path."""
    return Path(shutil.copy(ROOT / "tests" / "sdk_boot.py", folder / "sdk_boot.py"))


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) == 0
