"""The benchmark of networks, tried on a CPU: every line of the table is there, and SAM's masks are as many as said."""

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="networks need torch")

from bench.gpu import let_tenth_through, measure

HAS_COTRACKER = bool(os.environ.get("SOMTOM_COTRACKER")) or find_spec("cotracker") is not None

pytestmark = pytest.mark.slow


def test_a_line_for_every_network_that_is_there(tmp_path: Path) -> None:
    figures = list(measure(tmp_path, quick=True))
    expected = [name for name, module in (("SAM", "segment_anything"), ("YOLO", "ultralytics")) if find_spec(module)]
    assert [figure.what.split()[0] for figure in figures] == expected + (["CoTracker", "job"] if HAS_COTRACKER else [])
    assert all(figure.value > 0 for figure in figures)


def test_without_a_gpu_only_the_small_size_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match="no GPU here; --quick"):
        next(measure(tmp_path, quick=False))


def test_a_tenth_of_the_masks_passes_the_threshold() -> None:
    library = pytest.importorskip("segment_anything", reason="SAM needs pip install '.[sam]'")
    from tests.tiny_sam import make_tiny_sam

    network = make_tiny_sam()
    image_HW3 = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    let_tenth_through(network, image_HW3)
    generator = library.SamAutomaticMaskGenerator(
        network, points_per_side=8, pred_iou_thresh=0.88, stability_score_thresh=0, box_nms_thresh=2.0
    )
    assert 10 <= len(generator.generate(image_HW3)) <= 30  # a tenth of 3 masks at 64 points is 19
