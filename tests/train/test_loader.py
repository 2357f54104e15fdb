"""The stream of samples: the same for any number of processes and ranks, and resumed; what is bad is a value."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import yaml

from model.processor import Sample as ModelSample
from schemas.errors import UserError
from tests import fixtures
from tests.model.small import small_processor
from tests.train.data import config, conversation, train_only, write_dataset
from train import loader, preparing
from train.index import read_index
from train.loader import Loader, StepData
from train.mixture import make_mixture
from train.preparing import Bad, Settings, check_bad, prepare

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> str:
    """Twenty samples in train: chats about a picture, ToM, text alone, several images."""
    makers = (fixtures.chat, fixtures.video_tom, fixtures.text_only, fixtures.multi_image)
    numbers = [number for number in range(25) if fixtures.split_of(number) == "train"]
    samples = [makers[number % 4](number) for number in numbers]
    return write_dataset(tmp_path_factory.mktemp("loader") / "out", samples, per_shard=6)


def steps(made, n: int, *, rank: int = 0, ranks: int = 1, step: int = 0) -> list[StepData]:
    with Loader(made, small_processor(), rank=rank, ranks=ranks, step=step) as stream:
        return [data for data, _ in zip(stream, range(n), strict=False)]


def keys(data: StepData) -> list[str]:
    return [prepared.key for prepared in data.samples]


def assert_same(one: StepData, other: StepData) -> None:
    assert (one.step, keys(one), one.bad, one.passed_over) == (other.step, keys(other), other.bad, other.passed_over)
    for ours, theirs in zip(one.samples, other.samples, strict=True):
        assert (ours.dataset, ours.task, ours.source) == (theirs.dataset, theirs.task, theirs.source)
        for name in ModelSample.__slots__:
            torch.testing.assert_close(getattr(ours.sample, name), getattr(theirs.sample, name), rtol=0, atol=0)


def workers_of(stream: Loader) -> list[psutil.Process]:
    """Those of the only loader there is."""
    return [one for one in psutil.Process().children(recursive=True) if not one.children() and _reads(one)]


def runs(process: int) -> bool:
    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE


def _reads(process: psutil.Process) -> bool:
    parent = process.parent()
    return parent is not None and parent.pid != os.getpid() and "forkserver" in " ".join(parent.cmdline())


def test_a_step_has_its_samples_ready_for_the_network(out: str) -> None:
    (data,) = steps(config(out, model={"compute": "bfloat16"}, batch=20), 1)
    assert len(set(keys(data))) == 20 and not data.bad
    assert {prepared.dataset for prepared in data.samples} == {fixtures.DATASET}
    assert {prepared.task for prepared in data.samples} == {"qa", "tom"}
    assert len({prepared.source for prepared in data.samples}) == 20
    for prepared in data.samples:
        assert prepared.sample.pixel_values.dtype == torch.bfloat16
        assert prepared.sample.input_ids.shape == prepared.sample.labels.shape


def test_what_a_training_is_told_of_its_data(out: str) -> None:
    with Loader(config(out, epochs=2, batch=8), small_processor(), rank=0, ranks=1) as stream:
        assert (stream.n_samples, stream.total_steps) == (20, 5)
        assert stream.warnings == []
    bold = config(out, batch=32, data={"max_length": 600, "row_length": 600})
    with Loader(bold, small_processor(), rank=0, ranks=1) as stream:
        assert [line.partition(":")[0] for line in stream.warnings] == ["batch", "data.max_length"]


def test_ranks_share_a_step(out: str) -> None:
    (alone,) = steps(config(out, batch=7), 1)
    parts = [steps(config(out, batch=7), 1, rank=rank, ranks=3)[0] for rank in range(3)]
    assert [keys(part) for part in parts] == [keys(alone)[rank::3] for rank in range(3)]


def test_a_resumed_stream_goes_on_where_it_was(out: str) -> None:
    through = steps(config(out), 6)
    for one, other in zip(steps(config(out), 3, step=3), through[3:], strict=True):
        assert_same(one, other)


def test_fewer_samples_than_ranks_is_told(out: str) -> None:
    with pytest.raises(UserError, match="batch: 2 samples are too few for 3 processes"):
        Loader(config(out, batch=2), small_processor(), rank=0, ranks=3)


@pytest.mark.slow
def test_processes_change_nothing_survive_signals_and_end_when_closed(out: str) -> None:
    alone = steps(config(out), 6)
    state = torch.get_rng_state()
    parallel = config(out, run={"workers": 2, "prefetch": 3})
    with Loader(parallel, small_processor(), rank=0, ranks=1) as stream:
        ahead = iter(stream)
        first = [next(ahead) for _ in range(3)]
        workers = workers_of(stream)
        assert len(workers) == 2
        for process in (*workers, workers[0].parent()):  # and their server
            for number in (signal.SIGINT, signal.SIGTERM):
                process.send_signal(number)
        for one, other in zip([*first, *(next(ahead) for _ in range(3))], alone, strict=True):
            assert_same(one, other)
        start = time.perf_counter()
    assert time.perf_counter() - start < 4
    assert not [worker for worker in workers if worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE]
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.slow
def test_a_process_that_is_killed_is_told_with_the_cure(out: str) -> None:
    with Loader(config(out, run={"workers": 1, "prefetch": 1}), small_processor(), rank=0, ranks=1) as stream:
        ahead = iter(stream)
        next(ahead)
        for worker in workers_of(stream):
            worker.kill()
        with pytest.raises(UserError, match=r"run.workers: a process that reads data was killed .*fewer run.workers"):
            for _ in range(5):
                next(ahead)


@pytest.mark.slow
def test_processes_end_with_a_training_that_is_killed(out: str, tmp_path: Path) -> None:
    script = tmp_path / "training.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import os, psutil, signal
            from tests.model.small import small_processor
            from tests.train.data import config
            from train.loader import Loader

            if __name__ == "__main__":
                made = config({out!r}, run={{"workers": 2}})
                stream = Loader(made, small_processor(), rank=0, ranks=1)
                next(iter(stream))
                print(*(one.pid for one in psutil.Process().children(recursive=True)), flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            """
        )
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    processes = [int(word) for word in done.stdout.split()]
    assert len(processes) >= 3  # their server too
    deadline = time.monotonic() + 10
    while any(map(runs, processes)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [process for process in processes if runs(process)]


def test_bad_samples_are_counted_with_their_reasons_and_the_rest_is_read(tmp_path: Path) -> None:
    out = write_dataset(tmp_path / "out", train_only(fixtures.video_tom, 16), per_shard=4)
    (tmp_path / "out/shards/train-000001.tar").unlink()
    second = tmp_path / "out/shards/train-000002.tar"
    second.write_bytes(second.read_bytes().replace(b'"schema_version":1', b'"schema_version":2'))
    third = tmp_path / "out/shards/train-000003.tar"
    third.write_bytes(third.read_bytes().replace(b"\xff\xd9", b"\xff\x00"))
    (data,) = steps(config(out, batch=16), 1)
    assert len(data.samples) == 4
    reasons = sorted((bad.reason, bad.key.partition(":")[0].endswith(".tar")) for bad in data.bad)
    assert reasons == 8 * [("invalid", False)] + 4 * [("unreadable", True)]
    told = {bad.error.partition(" ")[0] for bad in data.bad if bad.reason == "invalid"}
    assert told == {"1", "jpg"}  # "1 validation error", "jpg is no whole JPEG"
    assert all("\n" not in bad.error for bad in data.bad)


def test_damage_is_a_value_wherever_it_is(tmp_path: Path) -> None:
    out = write_dataset(tmp_path / "out", [fixtures.video_tom(1)])
    tar = tmp_path / "out/shards/train-000001.tar"
    whole, rng = tar.read_bytes(), np.random.default_rng(0)
    made = config(out, batch=1)
    (draw,) = make_mixture(made, [read_index(made.data.mixture[0])]).draw(0)
    settings = Settings(config=made, processor=small_processor(), redraw=(None,))
    found = Counter()
    for _ in range(80):
        damaged = np.frombuffer(whole, np.uint8).copy()
        # headers and annotation are at the front
        places = rng.integers(0, rng.choice([512, 3000, draw.size]), rng.choice([1, 20]))
        damaged[places] = rng.integers(0, 256, len(places))
        tar.write_bytes(damaged.tobytes())
        found[getattr(prepare(draw, settings), "reason", "fine")] += 1
    assert min(found[kind] for kind in ("fine", "unreadable", "invalid")) > 5


def test_a_sample_that_takes_too_many_positions_is_told_apart(out: str) -> None:
    (whole,) = steps(config(out, batch=20), 1)
    lengths = sorted(len(prepared.sample.input_ids) for prepared in whole.samples)
    (data,) = steps(config(out, batch=20, data={"max_length": lengths[10]}), 1)
    assert {bad.reason for bad in data.bad} == {"too_long"}
    assert sorted(len(prepared.sample.input_ids) for prepared in data.samples) == [
        length for length in lengths if length <= lengths[10]
    ]


def test_samples_of_which_nothing_is_left_are_passed_over_and_not_bad(out: str) -> None:
    (data,) = steps(config({"path": out, "drop_turns": {"tom": 1}}, batch=20), 1)
    n_tom = data.passed_over
    assert n_tom > 0 and not data.bad
    assert len(data.samples) == 20 - n_tom
    assert "tom" not in {prepared.task for prepared in data.samples}


def test_actions_that_do_not_fit_the_tokenizer_are_bad_samples(tmp_path: Path) -> None:
    robot = conversation(("action", "What now?"))
    answer = robot.sample.turns[1].model_copy(update={"content": "<action><action>"})
    turns = [robot.sample.turns[0], answer]
    path = write_dataset(
        tmp_path / "out",
        [fixtures.finished(robot.sample.model_copy(update={"turns": turns}), {})],
    )
    (data,) = steps(config(path, batch=1), 1)
    assert [bad.reason for bad in data.bad] == ["invalid"]
    assert "2 <action> but 0 action ids" in data.bad[0].error


def test_a_bug_is_raised_and_no_bad_sample(out: str, monkeypatch) -> None:
    monkeypatch.setattr(preparing, "decode_sample", lambda data: data.no_such_method())
    with pytest.raises(AttributeError, match="no_such_method"):
        steps(config(out), 1)


def test_marks_are_redrawn_in_every_epoch_and_only_by_a_finished_job(tmp_path: Path) -> None:
    made = fixtures.video_tom(1)
    times_s = [0.0, 0.125, 0.25, 0.375, 0.5]
    assert made.arrays["times_s_T"].tolist() == times_s
    out = write_dataset(tmp_path / "out", [made])
    job = tmp_path / "out/job.json"
    content = json.loads(job.read_text())
    content["config"]["text"]["templates"] = yaml.safe_load((ROOT / "pipelines/configs/prompts.yaml").read_text())
    job.write_text(json.dumps(content))
    redrawn = config({"path": out, "marks": "redrawn"}, batch=1)
    epochs = steps(redrawn, 4)
    assert not [data.bad for data in epochs if data.bad]
    assert len({tuple(data.samples[0].sample.input_ids.tolist()) for data in epochs}) > 1
    for one, other in zip(steps(redrawn, 2, step=2), epochs[2:], strict=True):
        assert_same(one, other)
    job.unlink()
    with pytest.raises(UserError, match=r"data.mixture: .*job.json, by which marks are drawn anew"):
        steps(redrawn, 1)


def bad(reason: str, number: int) -> Bad:
    return Bad(key=f"key-{number}", dataset=0, reason=reason, error="gone")


@pytest.mark.parametrize(
    ("n_bad", "n_read", "limit", "enough", "stops"),
    [
        (50, 99, 0.01, 100, False),
        (1, 100, 0.01, 100, False),
        (2, 100, 0.01, 100, True),
        (1, 10_000, 0, 100, True),
        (7, 7, 0.5, 7, True),
        (0, 100, 0, 100, False),
    ],
)
def test_too_large_a_share_of_bad_samples_stops_a_training(n_bad, n_read, limit, enough, stops) -> None:
    examples = [bad("too_long" if number % 3 else "unreadable", number) for number in range(n_bad)]
    if not stops:
        return check_bad(n_bad, n_read, examples, limit, enough)
    with pytest.raises(UserError, match=f"data.max_bad_share: {n_bad} of {n_read} samples are bad") as caught:
        check_bad(n_bad, n_read, examples, limit, enough)
    assert str(caught.value).count(": gone") == min(3, n_bad)
    assert "unreadable" in str(caught.value)


@pytest.mark.parametrize(("soft", "hard", "want"), [(256, 4096, 2000), (3000, 4096, None), (256, -1, 2000)])
def test_as_many_files_may_be_open_as_samples_are_on_their_way(monkeypatch, soft, hard, want) -> None:
    done = []
    monkeypatch.setattr(loader.resource, "getrlimit", lambda kind: (soft, hard))
    monkeypatch.setattr(loader.resource, "setrlimit", lambda kind, limits: done.append(limits))
    loader._allow_open_files(2000)
    assert done == ([(want, hard)] if want else [])


def test_too_few_open_files_are_told_with_the_cure(monkeypatch) -> None:
    monkeypatch.setattr(loader.resource, "getrlimit", lambda kind: (256, 1000))
    with pytest.raises(UserError, match="take up to 2000 open files, the system allows 1000"):
        loader._allow_open_files(2000)
