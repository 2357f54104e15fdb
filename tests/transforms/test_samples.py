"""From a marked clip to a finished sample."""

from dataclasses import replace

import numpy as np
import pytest

from schemas.flow import FinishedSample, Marked
from schemas.sample import ARRAYS, Provenance, Sample
from tests.marked import N_FRAMES, SIZE_WH, make_marked
from transforms.drawing import draw_marks
from transforms.prompts import parse_som_answer, parse_templates, parse_tom_answer
from transforms.samples import build_sample

TEMPLATES = parse_templates(
    {
        "semantic": "What?",
        "som": "Where are {marks}?",
        "tom": "{text}: {marks} in {steps}?",
        "tom_without_text": "{marks} in {steps}?",
        "tom_with_speed": "{text}: {marks} in {steps} at {speed}?",
        "tom_with_speed_without_text": "{marks} in {steps} at {speed}?",
    }
)
PROVENANCE = Provenance(config_hash="abc", code_version="0")


def _build(marked: Marked, **overrides: object) -> FinishedSample:
    arguments: dict[str, object] = {
        "dataset": "demo",
        "templates": TEMPLATES,
        "bins": 256,
        "min_step_bins": 2.0,
        "min_trace_share": 0.25,
        "min_speed_bins": 2.0,
        "speed": False,
        "keep_clean": True,
        "provenance": PROVENANCE,
    }
    return build_sample(marked, **(arguments | overrides))


def _turns(sample: Sample) -> list[tuple[str, str, str]]:
    return [(turn.role, turn.kind, turn.content) for turn in sample.turns]


def test_with_narration_and_clean_image():
    sample = _build(make_marked(text="you push (3) the young cup")).sample
    text = "the person push the young cup"
    assert sample.tasks == ["tom"]
    assert sample.text == "you push (3) the young cup"
    assert [(image.member, image.role) for image in sample.images] == [("clean.jpg", "clean"), ("jpg", "marked")]
    assert {(image.width, image.height, image.time_s) for image in sample.images} == {(*SIZE_WH, 0.5)}
    assert {mark.image for mark in sample.marks} == {1}
    assert _turns(sample)[:3] == [
        ("user", "semantic", "<image>\nWhat?"),
        ("assistant", "semantic", f"{text}\n"),
        ("user", "tom", f"<image>\n{text}: [1, 2, 3, 4] in 8?"),
    ]
    assert _turns(sample)[3][:2] == ("assistant", "tom")


def test_with_narration_and_without_clean_image_both_questions_are_on_the_marked_one():
    finished = _build(make_marked(text="push"), keep_clean=False)
    assert [(image.member, image.role) for image in finished.sample.images] == [("jpg", "marked")]
    assert {mark.image for mark in finished.sample.marks} == {0}
    assert [content for role, _, content in _turns(finished.sample) if role == "user"] == [
        "<image>\nWhat?",
        "push: [1, 2, 3, 4] in 8?",
    ]
    assert list(finished.images) == ["jpg"]


@pytest.mark.parametrize("keep_clean", [True, False])
@pytest.mark.parametrize("text", ["", " (3) "])
def test_without_narration_there_is_only_the_question_about_marks(keep_clean, text):
    finished = _build(make_marked(text=text), keep_clean=keep_clean)
    assert [(image.member, image.role) for image in finished.sample.images] == [("jpg", "marked")]
    assert _turns(finished.sample)[0] == ("user", "tom", "<image>\n[1, 2, 3, 4] in 8?")
    assert len(finished.sample.turns) == 2
    assert set(finished.images) == ({"jpg", "clean.jpg"} if keep_clean else {"jpg"})


@pytest.mark.parametrize("text", ["", "push"])
def test_where_nothing_moves_all_marks_are_located(text):
    sample = _build(make_marked(text=text, moves=False)).sample
    assert sample.tasks == ["som"]
    assert sample.traces == []
    assert _turns(sample)[-2] == ("user", "som", "<image>\nWhere are [1, 2, 3, 4]?")
    assert list(parse_som_answer(sample.turns[-1].content)) == [1, 2, 3, 4]
    assert len(sample.turns) == (4 if text else 2)


def test_where_no_trace_is_worth_telling_all_marks_are_located_and_traces_are_kept():
    sample = _build(make_marked(), min_speed_bins=100.0).sample
    assert sample.tasks == ["som"]
    assert [trace.mark for trace in sample.traces] == [1, 3]


def test_only_traces_worth_telling_are_told():
    sample = _build(make_marked(), min_speed_bins=8.0).sample
    assert [trace.mark for trace in sample.traces] == [1, 3]
    assert list(parse_tom_answer(sample.turns[-1].content)) == [3]


def test_steps_are_those_of_the_longest_told_trace():
    sample = _build(make_marked()).sample
    told = parse_tom_answer(sample.turns[-1].content)
    assert {mark: len(points) - 1 for mark, points in told.items()} == {1: 7, 3: 8}  # mark 1 is hidden once
    assert sample.turns[0].content.endswith("in 8?")


@pytest.mark.parametrize(
    ("text", "asked"), [("push", "push: [1, 2, 3, 4] in 8 at 9?"), ("", "[1, 2, 3, 4] in 8 at 9?")]
)
def test_speed_is_the_mean_way_per_told_step(text, asked):
    sample = _build(make_marked(text=text), speed=True).sample
    told = parse_tom_answer(sample.turns[-1].content)
    means = [np.linalg.norm(np.diff(points, axis=0), axis=1).mean() for points in told.values()]
    assert int(np.mean(means)) == 9
    assert sample.turns[-2].content == f"<image>\n{asked}"


@pytest.mark.parametrize("bins", [10, 256, 1000])
def test_text_is_made_from_the_stored_rounded_positions(bins):
    sample = _build(make_marked(), bins=bins, min_step_bins=0.0, min_speed_bins=0.0).sample
    told = parse_tom_answer(sample.turns[-1].content)
    for trace in sample.traces:
        stored = [xy for xy, visible in zip(trace.xy, trace.visible, strict=True) if visible]
        assert told[trace.mark] == [(int(bins * x / SIZE_WH[0]), int(bins * y / SIZE_WH[1])) for x, y in stored]

    located = parse_som_answer(_build(make_marked(moves=False), bins=bins).sample.turns[-1].content)
    for mark in sample.marks[:3]:
        assert located[mark.id] == (int(bins * mark.xy[0] / SIZE_WH[0]), int(bins * mark.xy[1] / SIZE_WH[1]))
    assert sample.marks[3].xy == [200.0, 100.0]
    assert located[4] == (bins - 1, bins - 1)


def test_marks():
    sample = _build(make_marked(), keep_clean=False).sample
    assert [(mark.id, mark.kind, mark.track) for mark in sample.marks] == [
        (1, "moving", 0),
        (2, "static", 2),
        (3, "moving", 1),
        (4, "static", 3),
    ]
    assert sample.marks[0].xy == [20.0, 30.01]
    assert {(mark.proposer, mark.region, mark.score, len(mark.box_xyxy)) for mark in sample.marks} == {
        ("grid", -1, 0.75, 0)
    }


def test_a_mark_that_is_never_visible_scores_nothing():
    marked = make_marked()
    visible_TN = marked.tracks.visible_TN.copy()
    visible_TN[:, 2] = False
    hidden = replace(marked, tracks=replace(marked.tracks, visible_TN=visible_TN))
    assert _build(hidden).sample.marks[1].score == 0.0


def test_traces_start_at_their_marks_and_are_free_of_the_camera():
    sample = _build(make_marked()).sample
    marks = {mark.id: mark for mark in sample.marks}
    for trace in sample.traces:
        assert trace.xy[0] == marks[trace.mark].xy
        assert trace.times_s == [0.5 + t / 8 for t in range(N_FRAMES)]
    assert sample.traces[0].xy[-1] == [60.0, 38.01]
    assert sample.traces[0].visible.count(False) == 1


def test_camera_source_and_quality():
    sample = _build(make_marked()).sample
    assert sample.camera.model_dump() == {
        "moving": True,
        "model": "homography",
        "inlier_ratio": 0.8,
        "residual_px": 0.1235,
    }
    assert sample.source.model_dump() == {
        "dataset": "demo",
        "uri": "clip.mp4",
        "record_key": "0123456789abcdef",
        "record_id": "clip",
        "licence": "CC0-1.0",
        "start_s": 0.5,
        "end_s": 1.5,
        "fps": 8.0,
        "frame_index": 12,
    }
    diagonal = np.hypot(*SIZE_WH)
    assert {entry.name: entry.value for entry in sample.quality} == {
        "track_share": 1.0,
        "moving_share": 0.5,
        "speed_per_s": round((np.hypot(5, 1) + 5) / 2 * 8 / diagonal, 6),
        "inlier_ratio": 0.8,
        "residual_share": round(0.123456 / diagonal, 6),
    }
    assert (sample.max_crops, sample.provenance, sample.split) == (1, PROVENANCE, "train")


def test_without_motion_and_usable_points_quality_is_zero():
    marked = make_marked(moves=False)
    motion = replace(marked.motion, usable_N=np.zeros(4, dtype=bool))
    quality = {entry.name: entry.value for entry in _build(replace(marked, motion=motion)).sample.quality}
    assert (quality["track_share"], quality["moving_share"], quality["speed_per_s"]) == (0.0, 0.0, 0.0)


def test_images_are_the_reference_frame_with_and_without_marks():
    marked = make_marked()
    finished = _build(marked)
    frame_HW3 = marked.clip.frames_THW3[0]
    assert np.array_equal(finished.images["clean.jpg"], frame_HW3)
    positions = [(mark.id, (mark.xy[0], mark.xy[1])) for mark in finished.sample.marks]
    assert np.array_equal(finished.images["jpg"], draw_marks(frame_HW3, positions))


def test_arrays_are_as_the_contract_says():
    finished = _build(make_marked())
    assert {name: str(array.dtype) for name, array in finished.arrays.items()} == {
        name: dtype for name, dtype in ARRAYS.items() if not name.startswith("regions")
    }
    assert finished.arrays["tracks_xy_TN2"].shape == (N_FRAMES, 4, 2)
    assert finished.source_key == "fedcba9876543210"


def test_the_annotation_survives_json_and_is_the_same_each_time():
    first, second = (_build(make_marked(text="push")).sample.model_dump_json() for _ in range(2))
    assert first == second
    assert Sample.model_validate_json(first).model_dump_json() == first
    assert "-0.0," not in first


def test_a_clip_without_marks_is_an_error():
    with pytest.raises(ValueError, match="at least one mark"):
        _build(replace(make_marked(), marks=()))
