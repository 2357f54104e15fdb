"""A record that kills or hangs its process costs itself, and nothing else is lost."""

import hashlib
from pathlib import Path

import pytest

from pipelines.config import load_config
from pipelines.driver import Done
from pipelines.isolate import Worker
from schemas.config import RegionObjects, VideoJob
from schemas.errors import UserError
from schemas.flow import Ref
from schemas.networks import SamProposer
from tests.jobs import FAST, write_scene
from tests.scenes import fake_ref

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number, name in enumerate(("a", "clip-kills", "open-kills", "once-kills", "clip-hangs", "slow-shots", "z")):
        write_scene(folder / f"{name}.mp4", seed=number, n_frames=25)
    return folder


def config(folder: Path, *overrides: str) -> VideoJob:
    return load_config("video", [f"source.uris={folder}", *FAST, *overrides])


@pytest.fixture
def together(tmp_path: Path) -> Worker:
    """A worker whose child takes clips in threads and batches."""
    return Worker(
        load_config("video", [f"source.uris=['{tmp_path}/x.mp4']", "run.deadline_s=2"]), "tests.threaded_child"
    )


def refs(*names: str) -> list[Ref]:
    fields = {"end_s": float("inf"), "text": ""}
    return [fake_ref(record_id=name, record_key=name, uri=f"{name}.mp4", **fields) for name in names]


def told(done: Done) -> tuple[str, str, str]:
    return done.row.key, done.row.outcome, done.row.reason


def run(worker: Worker, *names: str) -> list[tuple[str, str, str]]:
    try:
        return [told(done) for done in worker.run(refs(*names), {})]
    finally:
        worker.close()


def kept(name: str) -> list[tuple[str, str, str]]:
    items = [f"{name}-{start_ms:09d}" for start_ms in (0, 1000, 2000)]
    return [(key, "kept", "") for key in (*items, name)]


def test_a_child_gives_what_this_process_would(folder: Path) -> None:
    seconds: dict[str, float] = {}
    worker = Worker(config(folder))
    first = [told(done) for done in worker.run(refs("a", "z"), seconds)]
    again = run(worker, "z")
    assert first == [*kept("a"), *kept("z")]
    assert again == kept("z")
    assert seconds["decode"] > 0


def test_a_clip_that_kills_its_process_twice_is_quarantined_and_all_else_is_kept(folder: Path) -> None:
    rows = run(Worker(config(folder), "tests.dying_child"), "a", "clip-kills", "z")
    assert rows == [
        *kept("a"),
        ("clip-kills-000000000", "kept", ""),
        ("clip-kills-000001000", "quarantined", "crashed"),
        ("clip-kills-000002000", "quarantined", "crashed"),
        ("clip-kills", "kept", ""),
        *kept("z"),
    ]


def test_a_record_that_kills_its_process_when_opened_is_quarantined(folder: Path) -> None:
    rows = run(Worker(config(folder), "tests.dying_child"), "a", "open-kills", "z")
    dead = [("open-kills-rest0", "quarantined", "crashed"), ("open-kills", "quarantined", "crashed")]
    assert rows == [*kept("a"), *dead, *kept("z")]


def test_what_kills_its_process_once_only_is_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DYING_CHILD_MARK", str(tmp_path / "mark"))
    assert run(Worker(config(folder), "tests.dying_child"), "once-kills", "z") == [*kept("once-kills"), *kept("z")]
    assert (tmp_path / "mark").exists()


def test_a_clip_that_hangs_is_stopped_at_its_deadline(folder: Path) -> None:
    rows = run(Worker(config(folder, "run.deadline_s=3"), "tests.dying_child"), "clip-hangs", "z")
    assert ("clip-hangs-000001000", "quarantined", "timeout") in rows
    assert rows[-4:] == kept("z")


def test_slow_work_that_goes_on_is_no_hang(folder: Path) -> None:
    assert run(Worker(config(folder, "run.deadline_s=3"), "tests.dying_child"), "slow-shots") == kept("slow-shots")


def run_together(worker: Worker, *names: str) -> tuple[list[tuple[str, str, str]], dict[str, int]]:
    halved: dict[str, int] = {}
    try:
        return [told(done) for done in worker.run(refs(*names), {}, halved)], halved
    finally:
        worker.close()


def all_kept(*names: str) -> list[tuple[str, str, str]]:
    return [(key, "kept", "") for name in names for key in (f"{name}-0", f"{name}-1", f"{name}-2", name)]


def test_threads_and_batches_in_a_child_keep_the_order(together: Worker) -> None:
    assert run_together(together, "a", "b", "c", "d") == (all_kept("a", "b", "c", "d"), {})


def test_a_batch_that_is_halved_in_a_child_is_told_and_stays_so_from_shard_to_shard(together: Worker) -> None:
    halved: dict[str, int] = {}
    first = [told(done) for done in together.run(refs("memory", "b", "c"), {}, halved)]
    assert (first, halved) == (all_kept("memory", "b", "c"), {"network": 2})
    assert run_together(together, "at-most-2", "e") == (all_kept("at-most-2", "e"), {"network": 2})


def test_a_halved_batch_is_told_though_the_child_dies_and_kept_by_the_next(together: Worker) -> None:
    rows, halved = run_together(together, "memory", "b", "kills", "c")
    assert [row for row in rows if row[1] != "kept"] == [("kills-1", "quarantined", "crashed")]
    assert [row[0] for row in rows if row[0] in ("memory", "b", "kills", "c")] == ["memory", "b", "kills", "c"]
    assert halved == {"network": 2}


@pytest.mark.parametrize("name", ["kills", "hangs", "exits"])
def test_of_clips_in_work_together_only_the_one_to_blame_is_lost(together: Worker, name: str) -> None:
    rows, _ = run_together(together, "a", name, "c")
    reason = "timeout" if name == "hangs" else "crashed"
    assert rows == [
        *all_kept("a"),
        (f"{name}-0", "kept", ""),
        (f"{name}-1", "quarantined", reason),
        (f"{name}-2", "kept", ""),
        (name, "kept", ""),
        *all_kept("c"),
    ]


def test_batches_go_on_after_the_records_that_a_death_may_be_due_to(together: Worker) -> None:
    rows, _ = run_together(together, "kills", "b", "c", "d", "e", "at-most-2")
    assert rows[4:-4] == all_kept("b", "c", "d", "e")
    assert ("at-most-2-0", "filtered", "too_short") in rows, "only in a batch of more than two"


@pytest.mark.parametrize("name", ["open-kills", "open-hangs"])
def test_clips_that_wait_for_a_batch_are_not_to_blame_for_a_record_that_is_opened_meanwhile(
    together: Worker, name: str
) -> None:
    rows, _ = run_together(together, "one-clip", name, "c")
    reason = "crashed" if name == "open-kills" else "timeout"
    assert rows == [
        ("one-clip-0", "kept", ""),
        ("one-clip", "kept", ""),
        (f"{name}-rest0", "quarantined", reason),
        (name, "quarantined", reason),
        *all_kept("c"),
    ]


def test_a_child_that_cannot_start_is_no_records_fault(folder: Path) -> None:
    with pytest.raises(UserError, match="could not start"):
        run(Worker(config(folder), "tests.no_such_module"), "a")


def test_an_abandoned_shard_leaves_nothing_to_the_next(folder: Path) -> None:
    worker = Worker(config(folder))
    events = worker.run(refs("a", "z"), {})
    next(events)
    events.close()
    assert run(worker, "z") == kept("z")


def test_a_worker_that_is_closed_says_that_others_stopped_it(folder: Path) -> None:
    worker = Worker(config(folder))
    events = worker.run(refs("a", "z"), {})
    next(events)
    worker.close()
    with pytest.raises(UserError, match="stopped together with another worker"):
        list(events)


def test_a_mistake_that_the_child_finds_is_told_as_it_is(folder: Path) -> None:
    weights = folder / "sam.pth"
    weights.write_bytes(b"no weights")
    part = SamProposer(weights=str(weights), sha256=hashlib.sha256(b"no weights").hexdigest())
    wrong = config(folder).model_copy(update={"objects": RegionObjects(proposer=part)})
    with pytest.raises(UserError, match=r"^objects\.proposer\.weights: "):
        run(Worker(wrong), "a")
