"""What `status` and `run` tell of a job's time."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines import job, store
from pipelines.config import load_config
from pipelines.finish import finish
from pipelines.spent import Spent, write_spent
from schemas.errors import UserError
from schemas.networks import CoTrackerTracker
from tests.fixtures import make_dataset, video_tom
from tests.jobs import write_scene

TIME = "time      9.0 s of work after 1.0 s of start-up, bound by track (track 89%)"


def spent(halved: int = 0) -> Spent:
    return Spent(seconds={"start": 1.0, "track": 8.0}, wall_s=10.0, halved={"track": halved} if halved else {})


def with_network(out: str) -> None:
    """Makes the plan say that the tracker was a network."""
    uri = store.join(out, "plan/plan.json")
    plan = json.loads(store.read_bytes(uri))
    plan["config"]["tracker"] = CoTrackerTracker(weights="cotracker.pth", sha256="0" * 64).model_dump()
    store.write_bytes(uri, json.dumps(plan).encode())


def test_status_tells_of_the_shards_done_and_then_of_the_job(tmp_path: Path) -> None:
    out = make_dataset(tmp_path / "out", [video_tom(0)])
    assert "time" not in job.status(out), "nothing was timed"
    write_spent(out, "train-000000", spent())
    store.remove(store.join(out, "job.json"))
    assert TIME in job.status(out).splitlines()
    totals = finish(out, 1.0)
    assert job.status(out).splitlines()[-2:] == [TIME, "state     finished"]
    assert TIME in job.summary(out, totals).splitlines()


def test_a_network_and_its_halved_batch_are_told_and_kept(tmp_path: Path) -> None:
    out = make_dataset(tmp_path / "out", [video_tom(0)])
    with_network(out)
    write_spent(out, "train-000000", spent(halved=3))
    told = job.summary(out, finish(out, 1.0)).splitlines()
    assert "networks  track busy 89% of it; batch of track halved to 3 for want of memory" in told
    content = json.loads(store.read_bytes(store.join(out, "job.json")))
    assert content["halved_batches"] == {"track": 3}
    assert (content["bound_by"], content["networks_busy"], content["wall_seconds"]) == ("track", 0.889, 10.0)


def test_a_dataset_of_another_version_has_no_times_but_a_status(tmp_path: Path) -> None:
    out = make_dataset(tmp_path / "out", [video_tom(0)])
    write_spent(out, "train-000000", spent())
    store.remove(store.join(out, "job.json"))
    uri = store.join(out, "plan/plan.json")
    plan = json.loads(store.read_bytes(uri))
    store.write_bytes(uri, json.dumps({**plan, "config": {"recipe": "video", "unknown": 1}}).encode())
    assert "items     1 kept" in job.status(out)


def test_after_a_mistake_that_shows_late_the_same_folder_takes_the_command_put_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config("video", [f"source.uris={write_scene(tmp_path / 'a.mp4')}"])
    out = str(tmp_path / "out")

    def fail(*_: Any) -> None:
        raise UserError("tracker.weights: x can't be opened; give another [while running 'Curate/CurateShard']")

    with monkeypatch.context() as patched:
        patched.setattr("pipelines.graph.build_graph", fail)
        with pytest.raises(UserError, match=r"give another$"):
            job.run(config, out, workers=1)
    assert job.run(config.model_copy(update={"seed": 1}), out, workers=1).records["kept"] == 1
