"""Images as tiles: the reference's numbers, and plain torch as the law of the fast way."""

import csv
import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from model.config import Grid, image_tokens
from model.images import CLIP_MEAN, CLIP_STD, MagmaImageProcessor, choose_grid, frame_indices, image_tiles, rgb_array

with_reference = pytest.mark.skipif(
    "SOMTOM_TEST_DATA" not in os.environ, reason="SOMTOM_TEST_DATA names no folder with parity/image"
)


def reference(name: str) -> str:
    return (Path(os.environ["SOMTOM_TEST_DATA"]) / "parity" / "image" / name).read_text(encoding="utf-8")


def synthetic(width: int, height: int) -> np.ndarray:
    """The reference's test image (ORACLE.md section 3)."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([(3 * x + 5 * y) % 256, x * y % 256, ((x // 7) ^ (y // 11)) & 255], axis=-1).astype(np.uint8)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 65_537 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def raster_of(tiles_N3SS: torch.Tensor, grid: Grid) -> torch.Tensor:
    _, colours, side, _ = tiles_N3SS.shape
    tiles = tiles_N3SS.view(grid.rows, grid.cols, colours, side, side)
    return tiles.permute(2, 0, 3, 1, 4).reshape(colours, grid.rows * side, grid.cols * side)


def plain_raster(image_HW3: np.ndarray, grid: Grid, tile: int) -> torch.Tensor:
    """As the reference does it: normalised first, the whole image."""
    image_3HW = torch.from_numpy(image_HW3.copy()).permute(2, 0, 1).contiguous().float() / 255
    mean, std = (torch.tensor(each)[:, None, None] for each in (CLIP_MEAN, CLIP_STD))
    size_hw = (grid.rows * tile, grid.cols * tile)
    normalised = ((image_3HW - mean) / std)[None]
    return torch.nn.functional.interpolate(normalised, size_hw, mode="bilinear", align_corners=False)[0]


def tolerance(size_hw: tuple[int, int], size_out_hw: tuple[int, int]) -> float:
    """Rounding, and where places are no exact float32 what torch differs from itself by on other threads and machines.

    From black to white a normalised image is at most 3.83 steep per pixel, along either side.
    """
    exact = all(n & (n - 1) == 0 for n in size_out_hw)
    return 1e-5 + (0 if exact else 2 * 3.83 * float(np.spacing(np.float32(max(size_hw)))))


@with_reference
def test_grids_and_tokens_of_the_reference() -> None:
    rows = list(csv.DictReader(reference("grid_choice.tsv").splitlines(), delimiter="\t"))
    assert len(rows) >= 40
    for row in rows:
        size_wh = (int(row["w"]), int(row["h"]))
        grid = choose_grid(size_wh)
        assert (grid.rows, grid.cols) == (int(row["rows"]), int(row["cols"])), size_wh
        assert image_tokens(grid) == int(row["tokens"]), size_wh
        for crops in (1, 2, 3, 6, 9):
            limited = choose_grid(size_wh, max_tiles=crops)
            assert f"{limited.rows}x{limited.cols}" == row[f"grid_rc_n{crops}"], (size_wh, crops)


@with_reference
def test_rounding_of_the_reference_where_exact_arithmetic_chooses_another_grid() -> None:
    cases = json.loads(reference("float_vs_exact.json"))["list_w_h_ref_exact"]
    assert len(cases) == 2
    for width, height, reference_wh, exact_wh in cases:
        grid = choose_grid((width, height))
        assert [grid.cols * 512, grid.rows * 512] == reference_wh != exact_wh


@with_reference
def test_pixels_of_the_reference() -> None:
    told = json.loads(reference("pixel_samples.json"))
    assert (tuple(told["mean"]), tuple(told["std"])) == (CLIP_MEAN, CLIP_STD)
    for case in told["cases"]:
        features = MagmaImageProcessor()(synthetic(case["w"], case["h"]))
        tiles_N3SS = features["pixel_values"]
        assert features["image_sizes"].tolist() == case["image_sizes"]
        assert list(tiles_N3SS.shape) == case["shape"] and str(tiles_N3SS.dtype) == case["dtype"]
        assert tiles_N3SS.mean((1, 2, 3)).tolist() == pytest.approx(case["tile_mean"], abs=1e-5)
        assert tiles_N3SS.flatten(1).std(1).tolist() == pytest.approx(case["tile_std_unbiased"], abs=1e-5)
        assert np.allclose(tiles_N3SS.mean((2, 3)), case["tile_channel_mean"], atol=1e-5)
        n, colour, y, x = np.array(case["sample_index_tile_c_y_x"]).T
        assert np.allclose(tiles_N3SS.numpy()[n, colour, y, x], case["sample"], rtol=0, atol=1e-5)

        grid = Grid(*case["image_sizes"][0])
        raster_3HW = raster_of(tiles_N3SS, grid)
        assert [1, *raster_3HW.shape] == case["global_shape"]
        assert raster_3HW.mean().item() == pytest.approx(case["global_mean"], abs=1e-5)
        assert raster_3HW.std().item() == pytest.approx(case["global_std"], abs=1e-5)
        y, x = y + n // grid.cols * 512, x + n % grid.cols * 512
        assert np.allclose(raster_3HW.numpy()[colour, y, x], case["global_sample"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("size_wh", "limits", "message"),
    [
        ((0, 10), {}, "0x10"),
        ((10, -1), {}, "10x-1"),
        ((10, 10), {"max_tiles": 0}, "max_tiles=0"),
        ((10, 10), {"tile": 0}, "tile=0"),
    ],
)
def test_images_without_a_grid(size_wh: tuple[int, int], limits: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_grid(size_wh, **limits)


def test_a_thin_image_has_a_grid_as_long_as_a_pixel_of_its_width_is_left() -> None:
    assert choose_grid((1, 1)) == Grid(1, 1)
    assert choose_grid((3000, 1)) == choose_grid((1, 3000)) == Grid(1, 1), "nothing is left of it in any grid"
    assert choose_grid((1, 2048)) == Grid(4, 1)
    assert choose_grid((2049, 1), max_tiles=5) == Grid(1, 5)


@pytest.mark.parametrize("tile", [128, 96, 31])
@pytest.mark.parametrize("grid", [Grid(1, 1), Grid(1, 3), Grid(2, 2), Grid(4, 1)], ids=str)
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 7), (9, 1), (37, 50), (96, 96), (333, 71), (60, 1000), (401, 397)])
def test_equals_the_plain_way(size_hw: tuple[int, int], grid: Grid, tile: int) -> None:
    image_HW3 = noise(*size_hw)
    tiles_N3SS = image_tiles(image_HW3, grid, tile=tile, mean=CLIP_MEAN, std=CLIP_STD)
    assert tiles_N3SS.shape == (grid.rows * grid.cols, 3, tile, tile) and tiles_N3SS.dtype == torch.float32
    plain_3HW = plain_raster(image_HW3, grid, tile)
    atol = tolerance(size_hw, (grid.rows * tile, grid.cols * tile))
    torch.testing.assert_close(raster_of(tiles_N3SS, grid), plain_3HW, rtol=0, atol=atol)


@pytest.mark.parametrize(
    ("size_hw", "grid"),
    [
        ((480, 2000), Grid(1, 3)),  # rounded in two steps, places differ by 1/4000 pixel here
        ((777, 1234), Grid(2, 2)),
        ((40_000, 5), Grid(4, 1)),  # longer than OpenCV's remap takes
        ((5, 40_000), Grid(1, 3)),
    ],
)
def test_equals_the_plain_way_at_full_size(size_hw: tuple[int, int], grid: Grid) -> None:
    image_HW3 = noise(*size_hw)
    tiles_N3SS = image_tiles(image_HW3, grid, mean=CLIP_MEAN, std=CLIP_STD)
    plain_3HW = plain_raster(image_HW3, grid, 512)
    atol = tolerance(size_hw, (grid.rows * 512, grid.cols * 512))
    torch.testing.assert_close(raster_of(tiles_N3SS, grid), plain_3HW, rtol=0, atol=atol)


def test_any_memory_layout_gives_the_same_tiles_and_is_left_alone() -> None:
    image_HW3 = noise(45, 67)
    before = image_HW3.copy()
    image_HW3.setflags(write=False)
    tiles = image_tiles(image_HW3, Grid(1, 2), tile=64, mean=CLIP_MEAN, std=CLIP_STD)
    assert np.array_equal(image_HW3, before)
    for other in (
        np.asfortranarray(image_HW3),
        image_HW3[:, ::-1].copy()[:, ::-1],
        np.dstack([image_HW3] * 2)[..., :3],
    ):
        assert torch.equal(tiles, image_tiles(other, Grid(1, 2), tile=64, mean=CLIP_MEAN, std=CLIP_STD))


COLOURS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[255, 255, 255], [0, 0, 0], [90, 160, 210]]], np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV", "LAB", "P"])
def test_colour_modes_of_pil_keep_their_colours(mode: str) -> None:
    picture = Image.fromarray(COLOURS)
    if mode == "LAB":
        from PIL import ImageCms

        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(picture, srgb, lab, outputMode="LAB")
    else:
        converted = picture.convert("RGBA").convert(mode) if mode == "RGBa" else picture.convert(mode)
    assert converted is not None and converted.mode == mode
    image_HW3 = rgb_array(converted)
    assert image_HW3.dtype == np.uint8
    assert np.abs(image_HW3.astype(int) - COLOURS).max() <= {"LAB": 22, "P": 52, "HSV": 3, "YCbCr": 3}.get(mode, 0)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "La", "PA"])
def test_grey_modes_of_pil(mode: str) -> None:
    grey = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8))
    converted = grey.convert("LA").convert(mode) if mode in ("La", "PA") else grey.convert(mode)
    assert converted.mode == mode
    assert rgb_array(converted).tolist() == [[[0] * 3, [255] * 3], [[255] * 3, [0] * 3]]


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_grey_of_16_bits_is_scaled_not_clipped(mode: str) -> None:
    values = np.array([[0, 128, 129, 257, 32_768, 65_535]])
    data = values.astype(">u2" if mode == "I;16B" else "<u2").tobytes()
    grey = Image.frombytes(mode, (6, 1), data)
    assert rgb_array(grey)[0].tolist() == [[grey] * 3 for grey in (0, 0, 1, 1, 128, 255)]


def test_alpha_is_dropped_and_what_lies_below_it_shows() -> None:
    rgba = np.array([[[10, 20, 30, 0], [40, 50, 60, 255]]], np.uint8)
    for image in (Image.fromarray(rgba), rgba):
        assert rgb_array(image).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    palette = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.info["transparency"] = b"\x00\xff"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rgb_array(palette).tolist() == [[[10, 20, 30], [40, 50, 60]]]


def test_arrays_and_tensors() -> None:
    grey_HW = noise(4, 5)[..., 0]
    assert np.array_equal(rgb_array(grey_HW), np.dstack([grey_HW] * 3))
    assert np.array_equal(rgb_array(grey_HW[:, :, None]), np.dstack([grey_HW] * 3))
    assert np.array_equal(rgb_array(torch.from_numpy(noise(4, 5)).permute(2, 0, 1)), noise(4, 5))


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        ("cat.png", TypeError, "'cat.png' of type str .* PIL.Image.open"),
        (None, TypeError, "None of type NoneType"),
        (np.zeros((4, 4, 3), np.float32), ValueError, r"float32 \[4, 4, 3\].*uint8"),
        (np.zeros((3, 4, 5), np.uint8), ValueError, r"uint8 \[3, 4, 5\]"),
        (np.zeros((2, 4, 4, 3), np.uint8), ValueError, "several images as a list"),
        (torch.zeros(3, 4, 4), ValueError, r"torch.float32 \[3, 4, 4\]"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), ValueError, r"uint8 \[3, H, W\]"),
        (Image.new("I", (4, 4)), ValueError, r"mode I .* scale it to 0\.\.255"),
        (Image.new("F", (4, 4)), ValueError, "mode F "),
        (np.zeros((0, 4, 3), np.uint8), ValueError, "4x0"),
    ],
)
def test_what_is_no_image_is_refused(image: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MagmaImageProcessor()(image)


def test_several_images_lie_one_after_the_other() -> None:
    processor = MagmaImageProcessor(base_img_size=64)
    images = [noise(60, 120), Image.fromarray(noise(90, 50)).convert("L"), noise(20, 20)]
    together = processor(images, return_tensors="pt")
    alone = [processor(image) for image in images]
    assert together["image_sizes"].tolist() == [[1, 2], [2, 1], [1, 1]]
    assert together["image_sizes"].dtype == torch.int64
    assert torch.equal(together["pixel_values"], torch.cat([each["pixel_values"] for each in alone]))
    assert processor(images, num_crops=1)["image_sizes"].tolist() == [[1, 1]] * 3


def test_no_images() -> None:
    features = MagmaImageProcessor(base_img_size=64)([])
    assert features["pixel_values"].shape == (0, 3, 64, 64) and features["image_sizes"].shape == (0, 2)


def test_the_strategy_changes_no_tile() -> None:
    crop, globally = (MagmaImageProcessor(anyres_strategy=each, base_img_size=64) for each in ("crop", "global"))
    assert torch.equal(crop(noise(70, 90))["pixel_values"], globally(noise(70, 90))["pixel_values"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"anyres_strategy": "Crop"}, "'Crop'; there are crop, global"),
        ({"base_img_size": 500}, "500 must be a multiple of 32"),
        ({"base_img_size": 0}, "multiple of 32"),
        ({"num_crops": 0}, "num_crops=0"),
        ({"image_std": [0.2, 0.0, 0.2]}, "image_std"),
        ({"image_mean": [0.5]}, "image_mean"),
    ],
)
def test_wrong_fields(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MagmaImageProcessor(**fields)


def test_wrong_calls() -> None:
    with pytest.raises(ValueError, match="return_tensors='np'"):
        MagmaImageProcessor()(noise(4, 4), return_tensors="np")
    with pytest.raises(ValueError, match="max_tiles=0"):
        MagmaImageProcessor()(noise(4, 4), num_crops=0)
    with pytest.raises(ValueError, match="mode L"):
        MagmaImageProcessor(do_convert_rgb=False)(Image.new("L", (4, 4)))


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    processor = MagmaImageProcessor(anyres_strategy="global", base_img_size=64, num_crops=2, image_mean=[0.4, 0.5, 0.6])
    processor.save_pretrained(tmp_path)
    loaded = MagmaImageProcessor.from_pretrained(tmp_path)
    assert loaded.to_dict() == processor.to_dict()
    assert torch.equal(loaded(noise(70, 90))["pixel_values"], processor(noise(70, 90))["pixel_values"])
    assert MagmaImageProcessor.from_pretrained(tmp_path, num_crops=1).num_crops == 1
    with pytest.raises(ValueError, match="num_crops=0"):
        MagmaImageProcessor.from_pretrained(tmp_path, num_crops=0)


def test_the_file_of_the_release_is_read(tmp_path: Path) -> None:
    written = {
        "anyres_strategy": "crop",
        "auto_map": {"AutoImageProcessor": "image_processing_magma.MagmaImageProcessor"},
        "base_img_size": 512,
        "do_convert_rgb": True,
        "image_mean": CLIP_MEAN,
        "image_processor_type": "MagmaImageProcessor",
        "image_std": CLIP_STD,
        "num_crops": 4,
        "processor_class": "MagmaProcessor",
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(written))
    loaded = MagmaImageProcessor.from_pretrained(tmp_path)
    assert loaded.to_dict() == MagmaImageProcessor().to_dict()


@pytest.mark.parametrize(
    ("n_frames", "count", "indices"),
    [(1, 32, [0]), (3, 32, [0, 1, 2]), (4, 4, [0, 1, 2, 3]), (10, 4, [0, 3, 6, 9]), (8, 3, [0, 3, 7]), (9, 1, [0])],
)
def test_frames_of_a_video(n_frames: int, count: int, indices: list[int]) -> None:
    assert frame_indices(n_frames, count) == indices


def test_frames_as_the_evaluation_takes_them() -> None:
    assert frame_indices(1000) == np.linspace(0, 999, 32, dtype=int).tolist()
    for n_frames, count in ((0, 32), (10, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            frame_indices(n_frames, count)


def test_a_grid_wider_than_can_be_sampled_is_named() -> None:
    with pytest.raises(ValueError, match="64 tiles of 512 side by side are too many; 63 are the most"):
        image_tiles(noise(4, 4), Grid(1, 64), mean=CLIP_MEAN, std=CLIP_STD)
