"""The UI recipe: screens to samples, each picture with its own fate."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.config import load_config
from pipelines.driver import Done, run_records
from pipelines.inspect.lint_sample import check_sample
from pipelines.ui import ui_recipe
from schemas.flow import Picture, Ref, Regions
from schemas.page import Page, PageTask
from schemas.pictures import UiJob
from schemas.sample import Sample
from tests.scenes import fake_ref
from tests.screens import ELEMENTS, SIZE_WH, draw_screen, regions
from transforms.encoding import decode_arrays
from transforms.ui_prompts import answered_places


def fake_proposer(pictures: Any) -> list[Regions]:
    return [regions() for _ in pictures]


def write(folder: Path, name: str = "screen.png", **options: Any) -> Path:
    Image.fromarray(draw_screen()).save(folder / name, **options)
    return folder / name


def done(folder: Path, *overrides: str, refs: list[Ref] | None = None, proposer: Any = fake_proposer) -> list[Done]:
    config = load_config("ui", [f"source.uris={folder}", "proposer.name=grid", *overrides])
    assert isinstance(config, UiJob)
    refs = refs or [fake_ref(uri=path.name, record_key=f"{n:016x}") for n, path in enumerate(sorted(folder.iterdir()))]
    return list(run_records(ui_recipe(config, proposer), refs, {}))


def samples(events: list[Done]) -> Iterator[tuple[Sample, dict[str, bytes]]]:
    for event in events:
        if event.sample is not None:
            members = dict(event.sample.members)
            sample = Sample.model_validate_json(members["json"])
            assert check_sample(sample.key, event.sample.members, None)[1] == []
            yield sample, members


def why(event: Done) -> tuple[str, str]:
    return event.row.outcome, event.row.reason or event.row.error


def test_a_screen_becomes_a_sample(tmp_path: Path) -> None:
    write(tmp_path)
    ((sample, members),) = samples(done(tmp_path))
    assert sample.key == f"{0:016x}-000000-000" and sample.tasks == ["grounding"]
    assert [mark.id for mark in sample.marks] == list(range(len(ELEMENTS)))
    assert {mark.label for mark in sample.marks} == {text for _, text, _ in ELEMENTS}
    assert all(mark.kind == "element" and mark.proposer == "grid" for mark in sample.marks)
    assert {quality.name for quality in sample.quality} == {"label_free", "label_px", "label_contrast", "legibility"}
    arrays = decode_arrays(members["npz"])
    assert arrays["regions_role_R"].tolist() == [role for *_, role in ELEMENTS]
    clean_HW3 = np.asarray(Image.open(io.BytesIO(members["clean.jpg"])))
    assert np.abs(clean_HW3.astype(int) - draw_screen()).mean() < 3
    assert sample.max_crops == 4 and sample.source.window_xyxy == []


def test_the_same_screen_gives_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path)
    one, two = (done(tmp_path)[0].sample for _ in range(2))
    assert one is not None and two is not None and one.members == two.members
    other = done(tmp_path, "seed=1")[0].sample
    assert other is not None and other.members != one.members


def test_most_marks_are_as_many_as_the_config_says(tmp_path: Path) -> None:
    write(tmp_path)
    ((sample, members),) = samples(done(tmp_path, "marks.most=2"))
    assert sorted(mark.label for mark in sample.marks)[-1] == "Search"  # fields come first
    reasons = decode_arrays(members["npz"])["regions_reason_R"].tolist()
    assert sorted(reasons) == ["", "", *["not_chosen"] * (len(ELEMENTS) - 2)]


def test_too_few_regions_are_filtered(tmp_path: Path) -> None:
    write(tmp_path)
    event, _ = done(tmp_path, "marks.least=7")
    assert (*why(event), event.row.value, event.row.threshold) == ("filtered", "too_few_regions", 6, 7)


@pytest.mark.slow
def test_fewer_marks_are_drawn_where_so_many_can_not_be_read(tmp_path: Path) -> None:
    write(tmp_path)

    def crowded(pictures: list[Picture]) -> list[Regions]:
        from transforms.proposers.windows import make_regions

        boxes = [(x, y, x + 14.0, y + 9.0) for y in np.arange(2.0, 390, 12) for x in np.arange(2.0, 620, 18)]
        n = len(boxes)
        return [make_regions(boxes, [1.0] * n, [str(number) for number in range(n)], ["button"] * n) for _ in pictures]

    ((sample, _),) = samples(done(tmp_path, "marks.most=400", "regions.min_contrast=0", proposer=crowded))
    assert 10 < len(sample.marks) < 400
    assert next(one.value for one in sample.quality if one.name == "legibility") >= 0.5


def test_a_box_that_is_buried_under_labels_is_told_with_what_is_left_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    monkeypatch.setattr("pipelines.pictures.outline_seen", lambda *_: 0.1)
    event, _ = done(tmp_path)
    assert (*why(event), event.row.value, event.row.threshold) == ("filtered", "illegible", 0.1, 0.2)


def test_what_a_dataset_asks_for_is_marked_and_asked(tmp_path: Path) -> None:
    write(tmp_path)
    page = Page(tasks=[PageTask(kind="locate", text="send it", box_xyxy=[500.0, 20.0, 620.0, 60.0])])
    ref = fake_ref(uri="screen.png", page=page.model_dump_json())
    ((sample, _),) = samples(done(tmp_path, "marks.most=1", "text.questions=0", refs=[ref]))
    (mark,) = sample.marks
    assert mark.box_xyxy == [500, 20, 620, 60] and sample.targets[0].mark == mark.id == 0
    assert "send it" in sample.turns[0].content
    assert [place.mark for place in answered_places(sample.turns[1].content)] == [0]
    assert sample.text == "send it"


def test_a_long_page_is_cut_into_windows_with_keys_of_their_own(tmp_path: Path) -> None:
    Image.fromarray(np.tile(draw_screen(), (6, 1, 1))).save(tmp_path / "long.png")
    found = list(samples(done(tmp_path, "picture.window_px=800", "picture.max_ratio=2")))
    assert [sample.key[-10:] for sample, _ in found] == ["000000-000", "000000-001", "000000-002"]
    assert [sample.source.window_xyxy for sample, _ in found] == [
        [0, top, SIZE_WH[0], top + 800] for top in (0, 800, 1600)
    ]
    assert all((sample.images[0].width, sample.images[0].height) == (640, 800) for sample, _ in found)


def test_pictures_are_shrunk_with_what_is_said_of_them(tmp_path: Path) -> None:
    write(tmp_path)
    page = Page(tasks=[PageTask(kind="locate", text="send it", box_xyxy=[500.0, 20.0, 620.0, 60.0])])
    ref = fake_ref(uri="screen.png", page=page.model_dump_json())
    ((sample, _),) = samples(done(tmp_path, "marks.most=1", "picture.max_side_px=320", refs=[ref]))
    assert (sample.images[0].width, sample.images[0].height) == (320, 200)
    assert sample.targets[0].box_xyxy == [250, 10, 310, 30]


@pytest.mark.slow
def test_every_bad_picture_has_its_own_row_and_costs_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, "a_good.png")
    whole = write(tmp_path, "b_cut.jpg").read_bytes()
    (tmp_path / "b_cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c_none.png").write_bytes(b"no picture at all")
    Image.new("1", (30_000, 30_000)).save(tmp_path / "d_huge.png")
    Image.new("RGB", (40, 300)).save(tmp_path / "e_thin.png")
    write(tmp_path, "f_good.png")
    refs = [fake_ref(uri=path.name, record_key=f"{n:016x}") for n, path in enumerate(sorted(tmp_path.iterdir()))]
    refs.append(fake_ref(uri="g_gone.png", record_key="f" * 16))
    events = [event for event in done(tmp_path, refs=refs) if event.row.kind == "item"]
    told = {event.row.uri[0]: why(event) for event in events}
    assert len(events) == 7
    assert told["a"] == told["f"] == ("kept", "")
    assert told["b"][0] == told["c"][0] == "quarantined"
    assert told["d"] == ("filtered", "too_large") and told["e"] == ("filtered", "too_small")
    assert told["g"] == ("filtered", "no_image")


@pytest.mark.parametrize("mode", ["CMYK", "I;16", "P", "RGBA", "L"])
def test_colour_models_are_read(tmp_path: Path, mode: str) -> None:
    screen = Image.fromarray(draw_screen())
    if mode == "I;16":
        grey_HW = np.asarray(screen.convert("L")).astype(np.uint16) * 257
        Image.fromarray(grey_HW).save(tmp_path / "screen.png")
    else:
        screen.convert(mode).save(tmp_path / ("screen.jpg" if mode == "CMYK" else "screen.png"))
    ((_, members),) = samples(done(tmp_path))
    clean_HW3 = np.asarray(Image.open(io.BytesIO(members["clean.jpg"])))
    assert np.abs(clean_HW3.astype(int) - np.asarray(screen.convert("L"))[..., None]).mean() < 12


def test_a_photo_on_its_side_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    write(tmp_path, "side.jpg", exif=exif)
    ((sample, _),) = samples(done(tmp_path))
    assert (sample.images[0].width, sample.images[0].height) == (SIZE_WH[1], SIZE_WH[0])


def test_fields_that_are_guessed_from_their_looks_are_not_asked_for(tmp_path: Path) -> None:
    write(tmp_path)
    ((sample, _),) = samples(done(tmp_path, "proposer.name=pixels", "text.questions=1"))
    assert len(sample.turns) == 2
    ((sample, _),) = samples(done(tmp_path, "text.questions=1"))
    assert len(sample.turns) == 4


def test_nothing_to_ask_is_a_reason(tmp_path: Path) -> None:
    write(tmp_path)
    event, _ = done(tmp_path, "text.questions=0", "text.input_weights={input_2_point: 0, input_2_bbox: 0}")
    assert why(event) == ("filtered", "nothing_asked")


def test_a_tree_that_is_none_is_told(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "screen.json").write_text(json.dumps("[not a page"))
    config = load_config("ui", [f"source.uris={tmp_path}", "source.tree=.json", "proposer.name=dom"])
    assert isinstance(config, UiJob)
    event, *_ = run_records(ui_recipe(config), [fake_ref(uri="screen.png")], {})
    assert event.row.outcome == "quarantined" and event.row.stage == "propose"
