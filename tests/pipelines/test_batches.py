"""How many items a network takes at once, and where threads go; a GPU is a made-up one."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.batches import (
    clip_bytes,
    default_workers,
    find_batch,
    fitting,
    made_up_clip,
    made_up_picture,
    network_step,
    network_steps,
    overlapped,
)
from pipelines.config import load_config
from pipelines.driver import Step, run_records
from pipelines.image import image_recipe
from pipelines.video import video_recipe
from schemas.config import ClipsConfig, RegionObjects, RunConfig, VideoJob
from schemas.flow import Picture, Regions
from schemas.networks import ClipGate, CoTrackerTracker, SamProposer
from schemas.pictures import ImageJob
from tests.scenes import fake_ref
from transforms.keys import rng_for
from transforms.proposers.grid import propose_grid

SAM = SamProposer(weights="sam.pth")
EVERY_NETWORK = {
    "gate": ClipGate(weights="clip.pt"),
    "tracker": CoTrackerTracker(weights="cotracker.pth"),
    "objects": RegionObjects(proposer=SAM),
}
GIB = 2**30


def video_job(**changed: Any) -> VideoJob:
    job = load_config("video", ["source.uris=['x']"])
    assert isinstance(job, VideoJob)
    return job.model_copy(update=changed)


def image_job(*overrides: str, **changed: Any) -> ImageJob:
    job = load_config("image", ["source.uris=['x']", *overrides])
    assert isinstance(job, ImageJob)
    return job.model_copy(update=changed)


@dataclass
class FakeGpu:
    """Counts the bytes that a network with a fixed need takes, as torch does."""

    free: int
    item: int
    workspace: int = 0
    allocated: int = 0
    peak: int = 0
    calls: int = 0

    def once(self) -> None:
        self.calls += 1
        if self.calls == 1:
            self.allocated += self.workspace
        if self.allocated + self.item > self.free:
            raise MemoryError("CUDA out of memory")
        self.peak = max(self.peak, self.allocated + self.item)

    def reset(self) -> None:
        self.peak = self.allocated


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a fake GPU under torch; called with it."""
    torch = pytest.importorskip("torch", reason="networks need torch")
    monkeypatch.setattr("transforms.networks.find_device", lambda name: torch.device(name.replace("auto", "cuda")))

    def put(gpu: FakeGpu) -> None:
        monkeypatch.setattr("torch.cuda.device", lambda device: contextlib.nullcontext())
        monkeypatch.setattr("torch.cuda.empty_cache", lambda: None)
        monkeypatch.setattr("torch.cuda.reset_peak_memory_stats", gpu.reset)
        monkeypatch.setattr("torch.cuda.memory_allocated", lambda: gpu.allocated)
        monkeypatch.setattr("torch.cuda.max_memory_allocated", lambda: gpu.peak)
        monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (gpu.free - gpu.allocated, 80 * GIB))

    return put


@pytest.mark.parametrize(
    ("free", "item", "batch"),
    [(10 * GIB, GIB, 7), (10 * GIB, 3 * GIB, 2), (10 * GIB, 9 * GIB, 1), (0, 1, 1), (10 * GIB, 0, 32), (GIB, 1, 32)],
)
def test_a_batch_fills_a_share_of_the_free_memory_and_is_never_empty(free: int, item: int, batch: int) -> None:
    assert fitting(free, item) == batch


def test_the_configured_batch_is_taken_as_it_is_and_nothing_is_run() -> None:
    assert find_batch(RunConfig(batch=5), lambda: pytest.fail("nothing is to be measured")) == 5


def test_a_cpu_takes_one_at_a_time() -> None:
    pytest.importorskip("torch", reason="networks need torch")
    assert find_batch(RunConfig(device="cpu"), lambda: pytest.fail("nothing is to be measured")) == 1


def test_on_a_gpu_one_item_is_measured_beside_what_the_network_holds(on_gpu: Any) -> None:
    gpu = FakeGpu(free=22 * GIB, item=2 * GIB, workspace=2 * GIB)
    on_gpu(gpu)
    assert find_batch(RunConfig(), gpu.once) == 7  # 0.7 of 20 GiB
    assert gpu.calls == 2


def test_a_gpu_that_is_too_small_for_one_item_is_given_one(on_gpu: Any) -> None:
    gpu = FakeGpu(free=GIB, item=2 * GIB)
    on_gpu(gpu)
    assert find_batch(RunConfig(), gpu.once) == 1


def test_only_networks_are_network_steps() -> None:
    assert network_steps(video_job()) == ()
    assert network_steps(video_job(**EVERY_NETWORK)) == ("gate", "track", "objects")
    assert network_steps(video_job(objects=RegionObjects())) == ()
    assert network_steps(image_job()) == ()
    assert network_steps(image_job(proposer=SAM)) == ("propose",)


def test_a_step_that_is_no_network_takes_one_value_whatever_the_batch() -> None:
    plain = network_step("track", lambda values: [value + 1 for value in values], None, RunConfig(batch=8), once=int)
    assert (plain.batch, plain.run(1)) == (1, 2)
    network = network_step("track", lambda values: [value + 1 for value in values], SAM, RunConfig(batch=8), once=int)
    assert (network.batch, network.run([1, 2])) == (8, [2, 3])
    alone = network_step("track", lambda values: [value + 1 for value in values], SAM, RunConfig(batch=1), once=int)
    assert (alone.batch, alone.run(1)) == (1, 2)


def steps(**batches: int) -> list[Step]:
    names = ("decode", "gate", "track", "camera", "motion", "objects", "marks", "encode")
    return [Step(name=name, run=str, batch=batches.get(name, 1)) for name in names]


def test_threads_go_around_the_networks_of_a_gpu(on_gpu: Any) -> None:
    made = overlapped(steps(gate=4, track=8), video_job(**EVERY_NETWORK))
    assert {step.name: step.ahead for step in made if step.ahead} == {"gate": 10, "marks": 10}
    made = overlapped(steps(track=8), video_job(tracker=EVERY_NETWORK["tracker"]))
    assert {step.name: step.ahead for step in made if step.ahead} == {"track": 10, "camera": 10}


def test_no_threads_without_a_network_or_on_a_cpu() -> None:
    assert not any(step.ahead for step in overlapped(steps(), video_job()))
    pytest.importorskip("torch", reason="networks need torch")
    on_cpu = video_job(**EVERY_NETWORK, run=RunConfig(device="cpu"))
    assert not any(step.ahead for step in overlapped(steps(), on_cpu))


def test_a_gpu_has_one_worker_and_cores_have_one_each(on_gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    assert default_workers(video_job()) == 6
    assert default_workers(video_job(tracker=EVERY_NETWORK["tracker"])) == 1
    assert default_workers(video_job(tracker=EVERY_NETWORK["tracker"], run=RunConfig(device="cpu"))) == 6


def test_weight_free_recipes_use_neither_batches_nor_threads() -> None:
    for recipe in (video_recipe(video_job(run=RunConfig(batch=8))), image_recipe(image_job("run.batch=8"))):
        assert not recipe.overlaps


def test_a_recipe_gives_its_network_batches_of_pictures_and_the_same_results(tmp_path: Path) -> None:
    refs = [fake_ref(record_id=f"{n}.png", record_key=f"{n}", uri=f"{n}.png", text="") for n in range(5)]
    for number, ref in enumerate(refs):
        noise_HW3 = rng_for(number, "noise", "test").integers(0, 256, (120, 160, 3), dtype=np.uint8)
        Image.fromarray(noise_HW3).save(tmp_path / ref.uri)
    sizes: list[int] = []

    def fake(pictures: Any) -> list[Regions]:
        sizes.append(len(pictures))
        return propose_grid(pictures, columns=3, rows=2)

    def made(batch: int) -> list[Any]:
        job = image_job(f"source.uris=['{tmp_path}']", proposer=SAM, run=RunConfig(batch=batch, device="cpu"))
        return [done.sample for done in run_records(image_recipe(job, fake), refs, {}) if done.sample]

    batched = made(3)
    assert sizes == [3, 2]
    assert [sample.members for sample in batched] == [sample.members for sample in made(1)]
    assert len(batched) == 5


def test_made_up_items_are_as_large_as_a_jobs_can_be() -> None:
    job = video_job()
    clip = made_up_clip(job)
    assert clip.frames_THW3.shape == (16, 512, 512, 3)
    picture = made_up_picture((320, 240))
    assert isinstance(picture, Picture) and picture.size_wh == (320, 240)
    boxes = [element.box_xyxy for element in picture.page.elements]
    assert all(0 <= x1 <= x2 <= 320 and 0 <= y1 <= y2 <= 240 for x1, y1, x2, y2 in boxes) and boxes


@pytest.mark.parametrize(("item_bytes", "batch"), [(0, 32), (GIB // 64, 32), (GIB // 5, 5), (4 * GIB, 1)])
def test_a_batch_is_no_larger_than_the_host_can_hold(on_gpu: Any, item_bytes: int, batch: int) -> None:
    gpu = FakeGpu(free=1000 * GIB, item=1)
    on_gpu(gpu)
    assert find_batch(RunConfig(), gpu.once, item_bytes) == batch


def test_a_clip_takes_what_is_said_of_it() -> None:
    for job in (video_job(), video_job(clips=ClipsConfig(length_s=30))):
        assert clip_bytes(job) == made_up_clip(job).frames_THW3.nbytes
