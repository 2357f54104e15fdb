from pathlib import Path

import cv2
import numpy as np
import pytest

from schemas.errors import UserError
from schemas.networks import SamProposer
from schemas.page import Page, PageElement
from tests.pictures import listed, make_picture
from transforms.masks import decode_rle
from transforms.proposers import build_proposer

torch = pytest.importorskip("torch", reason="SAM needs pip install '.[sam]'")
segment_anything = pytest.importorskip("segment_anything", reason="SAM needs pip install '.[sam]'")

from tests.tiny_sam import make_colour_sam, make_tiny_sam, save_tiny_sam  # noqa: E402
from transforms.proposers.sam import Prompts, Sam, masks_at, propose_sam  # noqa: E402

SIZES = [(100, 70), (41, 90), (64, 64)]
DISCS = {"red": ((60, 50), 30), "green": ((150, 90), 40), "blue": ((260, 60), 24)}


def loaded(network, prompts_at_once=7):
    return Sam(network=network, device=torch.device("cpu"), dtype=torch.float32, prompts_at_once=prompts_at_once)


def config(**changes):
    return SamProposer(**{"weights": "x.pth", "points_per_side": 5, "min_iou": 0, "min_stability": 0, **changes})


def noise(size_wh, seed=0):
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(blocks, size_wh, interpolation=cv2.INTER_CUBIC)


def discs():
    image = np.full((160, 320, 3), 230, np.uint8)
    for (xy, radius), colour in zip(DISCS.values(), ((250, 0, 0), (0, 200, 0), (0, 0, 250)), strict=True):
        cv2.circle(image, xy, radius, colour, cv2.FILLED)
    return image


def proposed(*pictures, network=None, **changes):
    return propose_sam(pictures, sam=loaded(network or make_tiny_sam()), config=config(**changes))


def librarys_own(network, image_HW3, per_side=5, **options):
    """(box, score, area) as the library gives them, without empty masks; boxes with their ends outside, as ours."""
    generator = segment_anything.SamAutomaticMaskGenerator(
        network,
        points_per_side=per_side,
        points_per_batch=7,
        **{"pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 0.7} | options,
    )
    found = [each for each in generator.generate(image_HW3) if each["area"]]
    boxes = np.array([each["bbox"] for each in found], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2] + 1
    return boxes, np.array([each["predicted_iou"] for each in found]), [each["segmentation"] for each in found]


@pytest.mark.parametrize(
    ("ours", "theirs", "least"),
    [
        ({}, {}, 2),
        ({"max_iou": 0.95}, {"box_nms_thresh": 0.95}, 11),
        ({"min_stability": 0.3, "max_iou": 0.95}, {"stability_score_thresh": 0.3, "box_nms_thresh": 0.95}, 7),
        ({"min_iou": 0.6, "max_iou": 0.95}, {"pred_iou_thresh": 0.6, "box_nms_thresh": 0.95}, 5),
    ],
    ids=["all", "more", "stable ones", "good ones"],
)
@pytest.mark.parametrize("size_wh", SIZES)
def test_regions_are_those_of_the_librarys_own_generator(size_wh, ours, theirs, least):
    network, image_HW3 = make_tiny_sam(), noise(size_wh)
    boxes, scores, masks = librarys_own(network, image_HW3, **theirs)
    (regions,) = proposed(make_picture(image_HW3), network=network, masks=True, **ours)
    assert len(boxes) >= least
    assert regions.xyxy_R4.tolist() == boxes.tolist()
    assert regions.score_R == pytest.approx(scores, abs=1e-5)
    assert all((decode_rle(str(rle), size_wh) == mask).all() for rle, mask in zip(regions.mask_R, masks, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["vit_b"])
def test_regions_of_the_real_architecture_are_those_of_the_library(model, tmp_path):
    torch.manual_seed(5)
    network = segment_anything.sam_model_registry[model]()
    torch.save(network.state_dict(), tmp_path / "random.pth")
    image_HW3 = noise((300, 200))
    boxes, scores, _ = librarys_own(network, image_HW3, per_side=2, box_nms_thresh=0.95)
    given = config(weights=str(tmp_path / "random.pth"), model=model, max_iou=0.95, points_per_side=2)
    (regions,) = build_proposer(given, given.weights, "cpu")([make_picture(image_HW3)])
    assert len(boxes)
    assert regions.xyxy_R4.tolist() == boxes.tolist()
    assert regions.score_R == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize("prompts_at_once", [1, 7, 64, 1000])
def test_one_picture_at_a_time_gives_what_many_do(prompts_at_once):
    sam, pictures = loaded(make_tiny_sam(), prompts_at_once), [make_picture(noise(size, 3)) for size in SIZES]
    asked = config(max_iou=0.95)
    together = propose_sam(pictures, sam=sam, config=asked)
    for picture, regions in zip(pictures, together, strict=True):
        (alone,) = propose_sam([picture], sam=loaded(sam.network), config=asked)
        assert len(alone.xyxy_R4) >= 8
        assert np.allclose(regions.xyxy_R4, alone.xyxy_R4, atol=1e-4)
        assert np.allclose(regions.score_R, alone.score_R, atol=1e-4)
        assert (regions.point_R2 == alone.point_R2).all()


def test_masks_of_many_pixels_are_made_few_at_a_time(monkeypatch):
    picture = make_picture(noise((100, 70)))
    (usual,) = proposed(picture, max_iou=0.95)
    monkeypatch.setattr("transforms.proposers.sam._PIXELS_AT_ONCE", 20_000)
    (few,) = proposed(picture, max_iou=0.95)
    assert (few.xyxy_R4 == usual.xyxy_R4).all() and (few.score_R == usual.score_R).all()


@pytest.mark.parametrize("several", [True, False])
@pytest.mark.parametrize("asked", ["points", "boxes", "both"])
def test_masks_at_prompts_are_those_of_the_librarys_predictor(asked, several):
    network, size_wh = make_tiny_sam(), (100, 70)
    rng = np.random.default_rng(1)
    points = rng.uniform(0, size_wh, (9, 2, 2))
    boxes = np.concatenate([points[:, 0] / 2, points[:, 0] / 2 + 30], axis=1)
    labels = np.tile([1, 0], (9, 1))
    given = {} if asked == "boxes" else {"points_BK2": points, "labels_BK": labels}
    given |= {} if asked == "points" else {"boxes_B4": boxes}

    predictor = segment_anything.SamPredictor(network)
    predictor.set_image(noise(size_wh))
    xy, corners = (torch.as_tensor(each, dtype=torch.float32) for each in (points, boxes))
    wanted, quality, _ = predictor.predict_torch(
        None if asked == "boxes" else predictor.transform.apply_coords_torch(xy, size_wh[::-1]),
        None if asked == "boxes" else torch.as_tensor(labels),
        None if asked == "points" else predictor.transform.apply_boxes_torch(corners, size_wh[::-1]),
        multimask_output=several,
    )
    # another picture with other prompts in the same batch changes nothing
    other = Prompts(boxes_B4=np.array([[1.0, 2, 30, 40]]))
    masks, _ = masks_at([noise(size_wh), noise((41, 90))], [Prompts(**given), other], loaded(network), several=several)
    assert masks.masks_BMHW.shape == (9, 3 if several else 1, 70, 100)
    assert (masks.masks_BMHW == wanted.numpy()).mean() > 0.9999
    assert np.allclose(masks.quality_BM, quality.numpy(), atol=1e-5)
    assert 0 < masks.masks_BMHW.mean() < 1


def test_pictures_without_prompts_have_no_masks():
    (masks,) = masks_at([noise((30, 20))], [Prompts(boxes_B4=np.zeros((0, 4)))], loaded(make_tiny_sam()), several=True)
    assert masks.masks_BMHW.shape == (0, 3, 20, 30) and masks.quality_BM.shape == (0, 3)
    assert masks_at([], [], loaded(make_tiny_sam()), several=True) == []
    assert proposed() == []


def test_things_of_one_colour_are_found_with_their_box_point_and_mask():
    (regions,) = proposed(
        make_picture(discs()),
        network=make_colour_sam(),
        points_per_side=16,
        min_iou=0.88,
        min_stability=0.8,
        masks=True,
    )
    background, *found = regions.xyxy_R4.tolist()
    assert background == [0, 0, 320, 160]
    assert set(regions.role_R) == {"segment"} and set(regions.label_R) == {""}
    assert regions.score_R == pytest.approx([0.95] * 4)
    for (x, y), radius in DISCS.values():
        (number,) = (
            n
            for n, box in enumerate(found, 1)
            if np.allclose(box, [x - radius, y - radius, x + radius, y + radius], atol=3)
        )
        assert np.allclose(regions.point_R2[number], (x, y), atol=3)
        assert decode_rle(str(regions.mask_R[number]), (320, 160)).sum() == pytest.approx(np.pi * radius**2, rel=0.15)
    x, y = regions.point_R2[0].astype(int)
    assert (discs()[y, x] == 230).all(), "the point of the background lies on no disc"


def test_only_the_best_regions_are_kept_and_masks_only_where_asked_for():
    network = make_tiny_sam()
    (all_,) = proposed(make_picture(noise((100, 70))), network=network, max_iou=0.95)
    (best,) = proposed(make_picture(noise((100, 70))), network=network, max_iou=0.95, most=2)
    assert (best.score_R == np.sort(all_.score_R)[::-1][:2]).all()
    assert best.mask_R is None


def test_where_nothing_is_good_enough_there_are_no_regions():
    regions, again = proposed(*[make_picture(noise((100, 70)))] * 2, min_iou=1, min_stability=1)
    assert listed(regions) == listed(again) == []
    assert regions.point_R2.shape == (0, 2)


def with_elements(image_HW3, *boxes):
    elements = [PageElement(box_xyxy=list(box), text=f"thing {n}", role="button") for n, box in enumerate(boxes)]
    return make_picture(image_HW3, page=Page(elements=elements))


def test_a_given_box_becomes_that_of_its_mask_and_keeps_its_words():
    pictures = [
        with_elements(discs(), (20, 10, 110, 95), (220, 30, 290, 95)),
        with_elements(discs()),
        with_elements(discs(), (100, 45, 200, 140)),
    ]
    first, none, last = proposed(*pictures, network=make_colour_sam(), prompts="given", masks=True)
    assert listed(none) == []
    assert [role + label for _, role, label, _ in listed(first)] == ["buttonthing 0", "buttonthing 1"]
    for regions, number, name in ((first, 0, "red"), (first, 1, "blue"), (last, 0, "green")):
        (x, y), radius = DISCS[name]
        box = [x - radius, y - radius, x + radius, y + radius]
        assert np.allclose(regions.xyxy_R4[number], box, atol=3)
        assert np.allclose(regions.point_R2[number], (x, y), atol=3)
        assert regions.score_R[number] == pytest.approx(0.95)
        assert decode_rle(str(regions.mask_R[number]), (320, 160))[y, x]


def test_a_given_box_in_which_nothing_is_found_stays_with_score_0():
    network = make_colour_sam()
    network.mask_threshold = 1e6
    boxes = [(20.0, 10.0, 110.0, 95.5), (400, 10, 420, 30), (5, 5, 5, 9)]
    (regions,) = proposed(with_elements(discs(), *boxes), network=network, prompts="given", masks=True)
    assert regions.xyxy_R4.tolist() == [list(box) for box in boxes]
    assert regions.score_R.tolist() == [0, 0, 0]
    assert regions.point_R2[0].tolist() == [65, 52.75]
    assert regions.mask_R.tolist() == ["", "", ""]


def test_a_given_box_that_is_turned_over_is_named():
    with pytest.raises(ValueError, match="element 0 has the box"):
        proposed(with_elements(discs(), (9, 0, 3, 5)), prompts="given")


@pytest.mark.parametrize("prompts", ["grid", "given"])
@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_network_that_gives_no_numbers_says_so(prompts, broken):
    network = make_tiny_sam()
    with torch.no_grad():
        network.image_encoder.neck[0].weight[0] = broken
    with pytest.raises(ValueError, match="SAM gives NaN or infinity"):
        proposed(with_elements(noise((50, 40)), (1, 1, 20, 20)), network=network, prompts=prompts)


def test_a_device_without_memory_is_a_memory_error(monkeypatch):
    sam = loaded(make_tiny_sam())

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...")

    monkeypatch.setattr(sam.network.mask_decoder, "forward", full)
    with pytest.raises(MemoryError, match="CUDA out of memory"):
        propose_sam([make_picture((40, 40))], sam=sam, config=config())


def test_half_precision_finds_nearly_the_same():
    sam = loaded(make_tiny_sam())
    half = Sam(network=sam.network, device=sam.device, dtype=torch.bfloat16, prompts_at_once=7)
    prompts = Prompts(points_BK2=np.array([[[30.0, 20]], [[70, 50]]]), labels_BK=np.ones((2, 1), int))
    (exact,), (rough,) = (masks_at([noise((100, 70))], [prompts], each, several=True) for each in (sam, half))
    assert (exact.masks_BMHW == rough.masks_BMHW).mean() > 0.95
    assert np.allclose(exact.quality_BM, rough.quality_BM, atol=0.1)


def test_weights_are_loaded_into_the_model_that_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_b", lambda: make_tiny_sam(seed=1))
    asked, picture = config(weights=save_tiny_sam(tmp_path)), make_picture(noise((100, 70)))
    (built,) = build_proposer(asked, asked.weights, "cpu")([picture])
    assert listed(built) == listed(proposed(picture)[0])


def test_weights_of_another_model_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_b", make_colour_sam)
    with pytest.raises(UserError, match=r"proposer\.weights: the file is not of SAM vit_b: it has image_encoder"):
        build_proposer(config(), save_tiny_sam(tmp_path), "cpu")


def test_weights_that_are_cut_off_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_b", make_tiny_sam)
    path = tmp_path / "cut.pth"
    path.write_bytes(Path(save_tiny_sam(tmp_path)).read_bytes()[:-2000])
    with pytest.raises(UserError, match=r"cut\.pth can't be opened"):
        build_proposer(config(), str(path), "cpu")


def test_without_the_package_the_cure_is_told(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "segment_anything", None)
    with pytest.raises(UserError, match=r"proposer\.name=sam needs segment_anything: pip install '\.\[sam\]'"):
        build_proposer(config(), "x.pth", "cpu")
