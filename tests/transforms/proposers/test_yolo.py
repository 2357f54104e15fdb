import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from schemas.errors import UserError
from schemas.flow import Picture, Ref
from schemas.networks import YoloProposer
from schemas.page import Page
from tests.transforms.proposers.yolo_checkpoints import make_network, needs_library, save_trained
from tests.transforms.screens import Screen
from transforms.networks import find_device
from transforms.ocr import Line
from transforms.proposers.yolo import Boxes, Detector, Pixels, build_yolo, find_boxes, load_detector, propose_yolo
from transforms.proposers.yolo_weights import load_library

SIDE_PX = 192
SIZES_WH = ((150, 100), (320, 240), (61, 150), (32, 32), (155, 100), (400, 30))
ARCHITECTURES = ("yolo11n", "yolov8n-seg", "yolo26n")
"""with suppression of overlapping boxes, with masks, with neither"""


def painting(width: int, height: int) -> Pixels:
    rng = np.random.default_rng(width * height)
    patches = rng.integers(0, 256, (max(2, height // 20), max(2, width // 20), 3), dtype=np.uint8)
    return np.asarray(cv2.resize(patches, (width, height), interpolation=cv2.INTER_LINEAR))


def picture(image_HW3: Pixels) -> Picture:
    height, width = image_HW3.shape[:2]
    ref = Ref(
        record_key="k", record_id="r", source_key="s", split="train", uri="a.png", part=0, start_s=0, end_s=0, text="",
        licence="", cost=1,
    )  # fmt: skip
    return Picture(
        key="k",
        ref=ref,
        record_id="r",
        image_HW3=image_HW3,
        window_xyxy=(0, 0, width, height),
        page_wh=(width, height),
        page=Page(),
    )


def config(weights: str, **fields: Any) -> YoloProposer:
    wanted = {"image_px": SIDE_PX, "min_score": 0.05, "max_iou": 0.5, "most": 40, **fields}
    return YoloProposer(weights=weights, **wanted)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def weights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    load_library()
    return save_trained(make_network(request.param), tmp_path_factory.mktemp("yolo") / "random.pt")


@needs_library
def test_boxes_are_those_of_the_librarys_own_predictor(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultralytics import YOLO

    monkeypatch.chdir(tmp_path)
    library = YOLO(weights)
    detector = load_detector(config(weights), weights, "cpu")
    for width, height in SIZES_WH:
        image_HW3 = painting(width, height)
        bgr_HW3 = np.ascontiguousarray(image_HW3[..., ::-1])
        (result,) = library.predict(bgr_HW3, imgsz=SIDE_PX, conf=0.05, iou=0.5, max_det=40, verbose=False)
        boxes = result.boxes.numpy()
        x1_R, y1_R, x2_R, y2_R = boxes.xyxy.T
        order = np.lexsort((boxes.cls, x2_R, y2_R, x1_R, y1_R, -boxes.conf))  # it leaves equal scores as they come
        boxes = boxes[order]
        (ours,) = find_boxes(detector, [image_HW3])
        assert len(ours.score_R) > 5
        np.testing.assert_allclose(ours.xyxy_R4, boxes.xyxy, atol=1e-3)
        np.testing.assert_allclose(ours.score_R, boxes.conf, atol=1e-5)
        np.testing.assert_array_equal(ours.class_R, boxes.cls)


@needs_library
def test_a_picture_has_the_same_boxes_alone_as_among_others(weights: str) -> None:
    detector = load_detector(config(weights), weights, "cpu")
    images = [painting(*size_wh) for size_wh in SIZES_WH]
    for image_HW3, among in zip(images, find_boxes(detector, images), strict=True):
        (alone,) = find_boxes(detector, [image_HW3])
        np.testing.assert_allclose(alone.xyxy_R4, among.xyxy_R4, atol=1e-3)
        np.testing.assert_allclose(alone.score_R, among.score_R, atol=1e-4)
        np.testing.assert_array_equal(alone.class_R, among.class_R)


@needs_library
def test_places_are_finer_than_what_the_network_computes_in(weights: str) -> None:
    detector = load_detector(config(weights, precision="bfloat16"), weights, "cpu")
    image_HW3 = painting(SIDE_PX, SIDE_PX)
    (boxes,) = find_boxes(detector, [image_HW3])
    coarse_R4 = torch.from_numpy(boxes.xyxy_R4).bfloat16().float().numpy()
    assert detector.dtype == torch.bfloat16
    assert (coarse_R4 != boxes.xyxy_R4).mean() > 0.5


@needs_library
def test_no_pictures_have_no_boxes_and_high_demands_leave_none(weights: str) -> None:
    detector = load_detector(config(weights, min_score=1.0), weights, "cpu")
    assert find_boxes(detector, []) == []
    (boxes,) = find_boxes(detector, [painting(50, 40)])
    assert boxes.xyxy_R4.shape == (0, 4)
    proposer = build_yolo(config(weights, min_score=1.0), weights, "cpu")
    assert proposer([picture(painting(50, 40))])[0].xyxy_R4.shape == (0, 4)


def fake_detector(network: Any) -> Detector:
    return Detector(
        network=network,
        device=find_device("cpu"),
        dtype=torch.float32,
        side_px=64,
        stride=32,
        names=("icon",),
        min_score=0.1,
        max_iou=0.5,
        most=10,
    )


@needs_library
def test_what_is_no_number_is_an_error() -> None:
    load_library()

    def broken(input_P3HW: torch.Tensor) -> torch.Tensor:
        return torch.full((len(input_P3HW), 5, 84), torch.nan)

    with pytest.raises(ValueError, match=r"not finite.*float32"):
        find_boxes(fake_detector(broken), [painting(64, 64)])


@needs_library
def test_used_up_memory_is_told_as_such() -> None:
    load_library()

    def full(_: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")

    with pytest.raises(MemoryError, match="CUDA out of memory"):
        find_boxes(fake_detector(full), [painting(64, 64)])


@needs_library
def test_pictures_of_one_size_for_the_network_go_through_it_together() -> None:
    load_library()
    seen = []

    def nothing(input_P3HW: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(input_P3HW.shape))
        return torch.zeros(len(input_P3HW), 5, 84)

    find_boxes(fake_detector(nothing), [painting(64, 64), painting(100, 40), painting(128, 128), painting(64, 27)])
    assert seen == [(2, 3, 64, 64), (2, 3, 32, 64)]


@needs_library
def test_a_box_lies_where_it_was_seen_in_a_padded_picture() -> None:
    load_library()

    def at_once(input_P3HW: torch.Tensor) -> torch.Tensor:
        """The bounds of the white patch, as middle and size."""
        y, x = torch.nonzero(input_P3HW[0].amin(0) > 0.99, as_tuple=True)
        x1, y1, x2, y2 = x.min(), y.min(), x.max() + 1, y.max() + 1
        row = torch.zeros(1, 5, 84)
        row[0, :, 0] = torch.tensor([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, 0.9])
        return row

    image_HW3 = np.zeros((200, 128, 3), dtype=np.uint8)
    image_HW3[100:140, 40:80] = 255
    (boxes,) = find_boxes(fake_detector(at_once), [image_HW3])
    np.testing.assert_allclose(boxes.xyxy_R4, [[40, 100, 80, 140]], atol=4)


def planted(*rows: tuple[tuple[float, ...], float, int]) -> Any:
    def detect(images: Sequence[Pixels]) -> list[Boxes]:
        boxes = Boxes(
            xyxy_R4=np.array([box for box, _, _ in rows], dtype=np.float32).reshape(-1, 4),
            score_R=np.array([score for _, score, _ in rows], dtype=np.float32),
            class_R=np.array([number for _, _, number in rows], dtype=np.int64),
        )
        return [boxes] * len(images)

    return detect


@pytest.mark.parametrize(
    ("names", "roles", "labels"),
    [
        (("icon",), ["icon", "icon"], ["", ""]),
        (("thing",), ["segment", "segment"], ["", ""]),
        (("dog", "Button"), ["segment", "button"], ["dog", ""]),
        (("container", "segment"), ["segment", "segment"], ["container", "segment"]),
    ],
)
def test_classes_become_roles_or_labels(names: tuple[str, ...], roles: list[str], labels: list[str]) -> None:
    detect = planted(((0, 0, 9, 9), 0.9, 0), ((20, 0, 29, 9), 0.5, len(names) - 1))
    (regions,) = propose_yolo([picture(painting(64, 64))], detect=detect, names=names, read=None, max_overlap=0.7)
    assert regions.role_R.tolist() == roles
    assert regions.label_R.tolist() == labels
    np.testing.assert_allclose(regions.score_R, [0.9, 0.5])


def test_words_are_read_in_the_same_picture() -> None:
    screen = Screen(200, 100)
    screen.text(20, 40, "Save", 16)
    screen.text(125, 36, "☆", 14)

    def read(image_HW3: Pixels) -> list[Line]:
        assert image_HW3.shape == (100, 200, 3)
        return screen.lines

    detect = planted(((5, 15, 90, 60), 0.8, 0), ((120, 20, 140, 40), 0.9, 0))
    (regions,) = propose_yolo([picture(screen.image_HW3)], detect=detect, names=("icon",), read=read, max_overlap=0.1)
    assert [*zip(regions.role_R.tolist(), regions.label_R.tolist(), strict=True)] == [("button", "Save"), ("icon", "")]


@needs_library
def test_the_input_is_as_large_as_whole_strides(tmp_path: Path) -> None:
    load_library()
    weights = save_trained(make_network("yolo11n", names=("icon",)), tmp_path / "a.pt")
    detector = load_detector(config(weights, image_px=100), weights, "cpu")
    assert (detector.side_px, detector.stride, detector.names) == (128, 32, ("icon",))


@needs_library
def test_words_without_an_ocr_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_library()
    weights = save_trained(make_network("yolo11n"), tmp_path / "a.pt")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"proposer\.text=ocr needs onnxruntime: pip install '\.\[ui\]'"):
        build_yolo(config(weights, text="ocr"), weights, "cpu")


@pytest.mark.slow
@needs_library
def test_a_checkpoint_and_the_ocr_together(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr")
    load_library()
    weights = save_trained(make_network("yolov8n", names=("icon",)), tmp_path / "icons.pt")
    screen = Screen(320, 200)
    screen.text(20, 60, "Save all changes", 24)
    wanted = config(weights, text="ocr", min_score=0.0, max_iou=0.1, most=20)
    (regions,) = build_yolo(wanted, weights, "cpu")([picture(screen.image_HW3)])
    assert "Save all changes" in regions.label_R.tolist()
    assert set(regions.role_R.tolist()) <= {"text", "button", "icon"}
    (alone,) = build_yolo(config(weights, text="ocr", min_score=1.0), weights, "cpu")([picture(screen.image_HW3)])
    assert (alone.label_R.tolist(), alone.role_R.tolist()) == (["Save all changes"], ["text"])
