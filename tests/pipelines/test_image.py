"""The image recipe: pictures of any kind to "locate all marks"."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from pipelines.config import load_config
from pipelines.driver import run_records
from pipelines.image import image_recipe
from pipelines.inspect.lint_sample import check_sample
from schemas.flow import Picture, Proposer, Regions
from schemas.pictures import ImageJob
from schemas.sample import Sample
from tests.scenes import fake_ref, make_scene
from transforms.encoding import decode_arrays
from transforms.masks import decode_rle, encode_rle
from transforms.prompts import parse_som_answer
from transforms.proposers.windows import make_regions


def made(folder: Path, *overrides: str, **ref: Any) -> Sample:
    return made_with_arrays(folder, *overrides, **ref)[0]


def made_with_arrays(
    folder: Path, *overrides: str, proposer: Proposer | None = None, **ref: Any
) -> tuple[Sample, dict[str, npt.NDArray[Any]]]:
    picture_HW3 = make_scene(n_frames=1, seed=3).clip.frames_THW3[0]
    Image.fromarray(picture_HW3).save(folder / "a.png")
    config = load_config("image", [f"source.uris={folder}", *overrides])
    assert isinstance(config, ImageJob)
    event, _ = run_records(image_recipe(config, proposer), [fake_ref(**{"uri": "a.png", "text": "", **ref})], {})
    assert event.sample is not None, event.row
    sample, findings = check_sample(event.row.key, event.sample.members, config.text.bins)
    assert findings == [] and sample is not None
    return sample, decode_arrays(dict(event.sample.members)["npz"])


def test_all_marks_of_a_grid_are_located(tmp_path: Path) -> None:
    sample = made(tmp_path, "proposer.name=grid", "proposer.columns=3", "proposer.rows=2", "regions.min_contrast=0")
    assert [mark.id for mark in sample.marks] == [1, 2, 3, 4, 5, 6]
    assert all(mark.kind == "object" and mark.proposer == "grid" for mark in sample.marks)
    (asked, answered), (image,) = sample.turns, sample.images
    assert asked.content.startswith("<image>\n") and "[1, 2, 3, 4, 5, 6]" in asked.content
    told = parse_som_answer(answered.content)
    middles = {mark.id: np.array(mark.xy) / [image.width, image.height] * 256 for mark in sample.marks}
    assert all(np.abs(np.array(told[mark]) - middles[mark]).max() <= 1 for mark in middles)


def test_a_caption_is_told_first_on_the_clean_picture(tmp_path: Path) -> None:
    sample = made(tmp_path, "proposer.name=grid", "regions.min_contrast=0", text="You see a box")
    assert [turn.kind for turn in sample.turns] == ["semantic", "semantic", "som", "som"]
    assert sample.turns[1].content == "The person see a box\n"
    assert [image.member for image in sample.images] == ["clean.jpg", "jpg"]
    assert {mark.image for mark in sample.marks} == {1}
    alone = made(tmp_path, "proposer.name=grid", "regions.min_contrast=0", "output.clean=false", text="You see a box")
    assert [image.member for image in alone.images] == ["jpg"]


def test_segments_find_the_box_of_a_scene(tmp_path: Path) -> None:
    sample = made(tmp_path)
    assert 1 <= len(sample.marks) <= 15
    assert all(mark.proposer == "segments" for mark in sample.marks)


def corners(pictures: Sequence[Picture]) -> list[Regions]:
    """The top left triangle of each picture, pointed at inside it, with its mask."""
    found = []
    for picture in pictures:
        width, height = picture.size_wh
        mask_HW = np.arange(width) / width + np.arange(height)[:, None] / height < 1
        rle = encode_rle(mask_HW, (0, 0), picture.size_wh)
        box, point = (0.0, 0.0, float(width), float(height)), (width / 4, height / 4)
        found.append(make_regions([box], [0.5], [""], ["segment"], points=[point], masks=[rle]))
    return found


def test_a_region_is_marked_where_it_is_pointed_at_and_its_mask_is_stored(tmp_path: Path) -> None:
    sample, arrays = made_with_arrays(tmp_path, "regions.max_share=1", "marks.least=1", proposer=corners)
    (mark,), (image,) = sample.marks, sample.images
    assert mark.xy == [image.width / 4, image.height / 4]
    assert parse_som_answer(sample.turns[1].content) == {1: (64, 64)}
    assert arrays["regions_point_R2"].tolist() == [mark.xy]
    (rle,) = arrays["regions_mask_R"].tolist()
    assert abs(decode_rle(rle, (image.width, image.height)).mean() - 0.5) < 0.01


def test_a_line_of_config_and_weights_switch_sam_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("segment_anything", reason="SAM needs pip install '.[sam]'")
    from tests.tiny_sam import make_tiny_sam, save_tiny_sam

    monkeypatch.setitem(library.sam_model_registry, "vit_b", make_tiny_sam)
    all_ = ("min_iou=0", "min_stability=0", "max_iou=0.95", "points_per_side=6", "masks=true")
    sample, arrays = made_with_arrays(
        tmp_path,
        "proposer.name=sam",
        f"proposer.weights={save_tiny_sam(tmp_path)}",
        *(f"proposer.{each}" for each in all_),
        *("regions.max_share=1", "marks.least=1", "run.device=cpu"),
    )
    (image,) = sample.images
    assert sample.marks
    for mark in sample.marks:
        assert mark.proposer == "sam"
        x, y = (int(place) for place in mark.xy)
        assert decode_rle(str(arrays["regions_mask_R"][mark.region]), (image.width, image.height))[y, x]
