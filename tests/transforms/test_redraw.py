"""Marks drawn anew from what a sample stores."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.config import hashed_part
from pipelines.inspect.lint_sample import check_sample
from pipelines.inspect.reading import read_members
from pipelines.video import find_moving, remove_camera_motion, sample_builder, track_points
from pipelines.video_marks import mark
from schemas.config import MotionConfig, PointsConfig, TextConfig, VideoJob, VideosSource
from schemas.errors import UserError
from schemas.flow import FinishedSample, Judged, Marked, Steadied
from schemas.sample import Sample, Turn
from tests import fixtures
from tests.jobs import FAST, somtom, write_scenes
from tests.marked import SIZE_WH, make_marked
from tests.scenes import make_scene
from tests.transforms.test_samples import TEMPLATES, _build
from transforms import redraw
from transforms.drawing import draw_marks
from transforms.encoding import decode_arrays, decode_sample, encode_sample
from transforms.redraw import RedrawSettings, redraw_settings, redrawn
from transforms.trackers import build_tracker

CONFIG = VideoJob(
    source=VideosSource(uris=["a"]),
    points=PointsConfig(grid=10),
    text=TextConfig(templates={name: getattr(TEMPLATES, name) for name in TEMPLATES.__slots__}),
)
SETTINGS = redraw_settings({"config": hashed_part(CONFIG)})
OF_MARKS = {"tasks", "turns", "marks", "traces"}


def anew(finished: FinishedSample, seed: int = 0, settings: RedrawSettings = SETTINGS) -> FinishedSample:
    """As a training does it: from the stored arrays and the clean image."""
    arrays = decode_arrays(dict(encode_sample(finished, jpeg_quality=95).members)["npz"])
    sample, image_HW3 = redrawn(
        finished.sample, arrays, finished.images["clean.jpg"], settings, np.random.default_rng(seed)
    )
    return replace(finished, sample=sample, images={**finished.images, "jpg": image_HW3})


def findings(finished: FinishedSample) -> list[str]:
    encoded = encode_sample(finished, jpeg_quality=95)
    return check_sample(encoded.key, encoded.members, CONFIG.text.bins)[1]


def drawn(sample: Sample) -> list[tuple[int, int, str]]:
    return [(mark.id, mark.track, mark.kind) for mark in sample.marks]


@pytest.fixture(scope="module")
def judged() -> Judged:
    """A box that moves, seen by a panning camera."""
    clip = make_scene(n_frames=17, seed=3).clip
    tracked = track_points([clip], build_tracker(CONFIG.tracker), CONFIG.points)[0]
    steadied = remove_camera_motion(tracked, CONFIG.camera)
    assert isinstance(steadied, Steadied) and steadied.camera.moving
    found = find_moving(steadied, CONFIG.motion)
    assert isinstance(found, Judged)
    return found


def marked_scene(judged: Judged, seed: int) -> Marked:
    found = mark(judged, CONFIG.model_copy(update={"seed": seed}))
    assert isinstance(found, Marked)
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("made", [{}, {"text": "push"}, {"moves": False}, {"reference": 3}, {"camera_moves": False}])
def test_all_but_the_marks_stays_and_lint_finds_nothing(made: dict[str, Any], seed: int) -> None:
    finished = _build(make_marked(**made))
    new = anew(finished, seed)
    assert new.sample.model_dump(exclude=OF_MARKS) == finished.sample.model_dump(exclude=OF_MARKS)
    assert sorted(mark.id for mark in new.sample.marks) == list(range(1, len(new.sample.marks) + 1))
    assert {mark.image for mark in new.sample.marks} == {mark.image for mark in finished.sample.marks}
    assert findings(new) == []


def test_a_scene_is_marked_anew_as_its_own_job_would(judged: Judged) -> None:
    marked = marked_scene(judged, seed=1)
    finished = sample_builder(CONFIG)(marked)
    assert marked.reference > 0
    results = [anew(finished, seed) for seed in range(8)]
    for new in results:
        assert findings(new) == []
        assert new.sample.tasks == ["tom"]
        for each in new.sample.marks:
            assert marked.motion.usable_N[each.track]
            assert marked.motion.moving_N[each.track] == (each.kind == "moving")
            assert marked.tracks.visible_TN[marked.reference, each.track]
    assert len({json.dumps(drawn(new.sample)) for new in results}) == len(results)


def test_the_motion_is_that_of_the_job(judged: Judged) -> None:
    for seed in range(4):
        marked = marked_scene(judged, seed)
        finished = sample_builder(CONFIG)(marked)
        again = redraw._marked(
            finished.sample, finished.arrays, finished.images["clean.jpg"], SETTINGS, np.random.default_rng(0)
        )
        assert again.reference == marked.reference
        assert (again.motion.usable_N == marked.motion.usable_N).all()
        np.testing.assert_allclose(again.motion.steady_xy_TN2, marked.motion.steady_xy_TN2, atol=1e-6)


def test_the_same_state_gives_the_same(judged: Judged) -> None:
    finished = sample_builder(CONFIG)(marked_scene(judged, seed=0))
    one, two = anew(finished, 5), anew(finished, 5)
    assert one.sample == two.sample
    assert (one.images["jpg"] == two.images["jpg"]).all()


def test_the_picture_shows_the_new_marks() -> None:
    finished = _build(make_marked())
    new = anew(finished, seed=1)
    at = [(mark.id, (mark.xy[0], mark.xy[1])) for mark in new.sample.marks]
    assert (new.images["jpg"] == draw_marks(finished.images["clean.jpg"], at)).all()
    assert (new.images["jpg"] != finished.images["jpg"]).any()


def test_what_may_move_or_not_is_never_marked() -> None:
    marked = make_marked(camera_moves=False)
    doubtful_px = 0.75 * MotionConfig().min_displacement * float(np.hypot(*SIZE_WH))
    xy_TN2 = marked.tracks.xy_TN2.copy()
    xy_TN2[5:, 2, 0] += doubtful_px
    finished = _build(replace(marked, tracks=replace(marked.tracks, xy_TN2=xy_TN2)))
    tracks = {each.track for seed in range(20) for each in anew(finished, seed).sample.marks}
    assert 2 not in tracks
    assert 3 in tracks


def test_what_is_hidden_on_the_reference_frame_or_seldom_seen_is_never_marked() -> None:
    marked = make_marked(camera_moves=False)
    visible_TN = marked.tracks.visible_TN.copy()
    visible_TN[3:, 2] = False
    for reference, hidden in ((0, 2), (5, 0)):
        made = make_marked(camera_moves=False, reference=reference)
        others = tuple(each for each in made.marks if each.track != hidden)
        finished = _build(replace(made, tracks=replace(made.tracks, visible_TN=visible_TN), marks=others))
        assert hidden not in {each.track for seed in range(20) for each in anew(finished, seed).sample.marks}


def test_a_tom_sample_whose_new_marks_have_nothing_to_tell_is_som() -> None:
    far = SETTINGS.traces.model_copy(update={"min_reach_bins": 1000.0})
    new = anew(_build(make_marked(text="push")), settings=replace(SETTINGS, traces=far))
    assert new.sample.tasks == ["som"]
    assert [turn.kind for turn in new.sample.turns] == ["semantic", "semantic", "som", "som"]
    assert findings(new) == []


def test_other_turns_and_images_stay() -> None:
    finished = _build(make_marked())
    first, answer = finished.sample.turns
    acted = [
        Turn(role="user", kind="action", content="<image>\nWhat now?"),
        Turn(role="assistant", kind="action", content="<action>"),
    ]
    sample = finished.sample.model_copy(
        update={
            "tasks": ["action", "tom"],
            "images": [finished.sample.images[0], *finished.sample.images],
            "turns": [*acted, first, answer],
            "marks": [mark.model_copy(update={"image": 1}) for mark in finished.sample.marks],
        }
    )
    new = anew(replace(finished, sample=sample)).sample
    assert new.tasks == ["action", "tom"]
    assert new.turns[:2] == acted
    assert new.turns[2].content.startswith("<image>\n[1, 2")
    assert new.images == sample.images


@pytest.mark.parametrize("maker", [fixtures.ui, fixtures.video_som])
def test_what_is_not_drawn_from_tracks_comes_back_with_its_own_marks(maker: Any) -> None:
    made = maker()
    arrays = {name: array for name, array in made.arrays.items() if name.startswith("regions")}
    sample, image_HW3 = redrawn(made.sample, arrays, made.images["clean.jpg"], SETTINGS, np.random.default_rng(0))
    assert sample is made.sample
    at = [(mark.id, (mark.xy[0], mark.xy[1])) for mark in sample.marks]
    assert (image_HW3 == draw_marks(made.images["clean.jpg"], at)).all()


def test_a_picture_without_marks_comes_back_as_it_is() -> None:
    made = fixtures.chat()
    sample, image_HW3 = redrawn(made.sample, {}, made.images["jpg"], SETTINGS, np.random.default_rng(0))
    assert sample is made.sample
    assert (image_HW3 == made.images["jpg"]).all()


def test_an_image_of_another_size_is_an_error() -> None:
    finished = _build(make_marked())
    with pytest.raises(ValueError, match="clean image is 20x10, the marked one 200x100"):
        redrawn(finished.sample, finished.arrays, np.zeros((10, 20, 3), np.uint8), SETTINGS, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ({}, "'config'"),
        ({"config": {"recipe": "ui", "text": {"questions": 3}}}, "recipe 'ui': only marks on tracks are"),
        ({"config": {**hashed_part(CONFIG), "marks": {"kay": 1}}}, "kay"),
        ({"config": {**hashed_part(CONFIG), "text": {"templates": "own.yaml"}}}, "not written out"),
    ],
)
def test_a_job_of_another_version_is_one_line_with_a_cure(job: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        redraw_settings(job)
    assert "\n" not in str(caught.value)
    assert "as stored" in str(caught.value)


@pytest.mark.slow
def test_samples_of_a_whole_job_are_drawn_anew(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = somtom("run", "video", f"source.uris={write_scenes(tmp_path / 'videos', 2)}", *FAST, "--out", str(out))
    assert done.returncode == 0, done.stderr
    settings = redraw_settings(json.loads((out / "job.json").read_text()))
    rows = pq.read_table(out / "index.parquet").to_pylist()
    assert len(rows) >= 3
    for row in rows:
        members = read_members(str(out), row["shard"], row["offset"], row["size"])
        sample = decode_sample(members["json"])
        clean_HW3 = np.asarray(Image.open(io.BytesIO(members["clean.jpg"])))
        arrays = decode_arrays(members["npz"])
        new, image_HW3 = redrawn(sample, arrays, clean_HW3, settings, np.random.default_rng(0))
        assert new.marks != sample.marks
        images = {"jpg": image_HW3, "clean.jpg": clean_HW3}
        again = FinishedSample(sample=new, source_key=row["source_key"], images=images, arrays=arrays)
        assert findings(again) == []
