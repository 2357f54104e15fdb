"""Images of any mode as the square tiles that the network reads, and the Hugging Face processor around that.

Letters: H height, W width, 3 colours RGB, S side of a tile, N tiles of one image, R rows and C columns of tiles. Pixels
are RGB uint8; tiles are normalised float32. The rules are those of the public reference (MAGMA.md section 4).
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, TypedDict, get_args

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from transformers import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor

from model.config import STRIDE, Grid

Pixels = npt.NDArray[np.uint8]
AnyImage = Image.Image | npt.NDArray[Any] | torch.Tensor
Strategy = Literal["crop", "global"]
_Floats = npt.NDArray[np.float32]
_Ints = npt.NDArray[np.int64]

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""of the three colours in 0..1, as OpenAI's CLIP has them"""

_BY_WAY_OF = {"P": "RGBA", "PA": "RGBA", "La": "LA"}
"""modes that PIL makes RGB with a warning, or not at all, unless they are another one first"""
_STRIPE = 64
"""lines that are worked on at a time: what is known of them then stays in the processor's cache"""
_MAX_REMAP_PX = 32_766
"""the widest image that cv2.remap takes"""


def choose_grid(size_wh: tuple[int, int], *, tile: int = 512, max_tiles: int = 4) -> Grid:
    """The grid of at most `max_tiles` tiles that keeps the most pixels of an image; among equals the least waste.

    Kept are the pixels of the image scaled to fit, aspect ratio kept, but never more than it has. The order of the
    candidates and the rounding in float64 are the reference's: exact arithmetic gives other grids for a few sizes.
    """
    width, height = size_wh
    if width < 1 or height < 1:
        raise ValueError(f"an image of {width}x{height} pixels has nothing to cut into tiles: give at least 1x1")
    if max_tiles < 1 or tile < 1:
        raise ValueError(f"max_tiles={max_tiles}, tile={tile}: both must be at least 1")
    best, most_px, least_waste_px = Grid(1, 1), 0, tile * tile
    for cols in range(1, max_tiles + 1):
        for rows in range(1, max_tiles // cols + 1):
            scale = min(cols * tile / width, rows * tile / height)
            kept_px = min(int(width * scale) * int(height * scale), width * height)
            waste_px = cols * rows * tile * tile - kept_px
            if kept_px > most_px or (kept_px == most_px and waste_px < least_waste_px):
                best, most_px, least_waste_px = Grid(rows=rows, cols=cols), kept_px, waste_px
    return best


def rgb_array(image: AnyImage) -> Pixels:
    """The pixels of an image as RGB uint8 [H, W, 3]; may share its memory.

    PIL images of any mode but I and F; numpy uint8 [H, W] or [H, W, 1, 3 or 4]; torch uint8 [3, H, W]. An alpha channel
    is dropped, so what lies below transparent parts shows (PIL's convert("RGB"), as the reference). Grey of 16 bits is
    divided by 257, which PIL would clip. I and F are refused: no mode says whether their white is 1, 255 or 65535.
    The orientation in a photo's EXIF is not applied.
    """
    if isinstance(image, Image.Image):
        return _rgb_of_pil(image)
    if isinstance(image, torch.Tensor):
        if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
            raise ValueError(f"a tensor {image.dtype} {list(image.shape)} is no image: give uint8 [3, H, W]")
        return image.detach().cpu().permute(1, 2, 0).numpy()
    if not isinstance(image, np.ndarray):
        raise TypeError(
            f"{image!r:.80} of type {type(image).__name__} is no image: open files with PIL.Image.open, and give a PIL "
            "image, a numpy array or a torch tensor"
        )
    layers_HWC = image[:, :, None] if image.ndim == 2 else image
    if image.dtype != np.uint8 or layers_HWC.ndim != 3 or layers_HWC.shape[2] not in (1, 3, 4):
        raise ValueError(
            f"an array {image.dtype} {list(image.shape)} is no image: give uint8 of 0..255, [H, W] or "
            "[H, W, 1, 3 or 4], and several images as a list"
        )
    return layers_HWC.repeat(3, axis=2) if layers_HWC.shape[2] == 1 else layers_HWC[:, :, :3]


def _rgb_of_pil(image: Image.Image) -> Pixels:
    if image.mode in ("I", "F"):
        raise ValueError(
            f"a PIL image of mode {image.mode} does not say how bright its white is: scale it to 0..255 and give "
            "numpy.asarray(image) as uint8"
        )
    if image.mode.startswith("I;16"):
        grey_HW = (np.asarray(image).astype(np.uint32) + 128) // 257
        return grey_HW.astype(np.uint8)[:, :, None].repeat(3, axis=2)
    if image.mode in _BY_WAY_OF:
        image = image.convert(_BY_WAY_OF[image.mode])
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def image_tiles(
    image_HW3: Pixels, grid: Grid, *, tile: int = 512, mean: Sequence[float], std: Sequence[float]
) -> torch.Tensor:
    """Stretches an image over its grid and cuts it: float32 [N, 3, S, S], tiles row by row, colours (x/255 - mean)/std.

    Bilinear as torch's interpolate(align_corners=False, antialias=False) of the normalised image, also where that
    shrinks and so leaves pixels unread; the aspect ratio is not kept. The reference normalises first. That is affine
    and the four weights add up to 1, so here only the pixels that are read are made floats: the same to rounding.
    """
    across, stripe = grid.cols * tile, math.gcd(tile, _STRIPE)
    if across > _MAX_REMAP_PX:
        raise ValueError(f"{grid.cols} tiles of {tile} side by side are too many; {_MAX_REMAP_PX // tile} are the most")
    upper_H, lower_H, down_H = _neighbours(image_HW3.shape[0], grid.rows * tile)
    left_W, right_W, along_W = _neighbours(image_HW3.shape[1], across)
    if image_HW3.shape[1] > _MAX_REMAP_PX:
        columns, ranks = np.unique(np.stack([left_W, right_W]), return_inverse=True)
        image_HW3, (left_W, right_W) = image_HW3[:, columns], ranks.reshape(2, across)
    # of the lines of a stripe, upper ones above lower ones: their left and their right pixels
    x_map = np.repeat(np.stack([left_W, right_W, left_W, right_W]).astype(np.float32), stripe, axis=0)
    y_2S = np.arange(2 * stripe, dtype=np.float32).reshape(2, 1, stripe, 1)
    y_map = np.broadcast_to(y_2S, (2, 2, stripe, across)).reshape(x_map.shape)
    # written to again and again: new memory for each stripe would cost more than the arithmetic
    source_HW3 = np.empty((2 * stripe, *image_HW3.shape[1:]), dtype=np.uint8)
    corners_HW3 = np.empty((*x_map.shape, 3), dtype=np.uint8)
    corners_3HW = np.empty((3, *x_map.shape), dtype=np.uint8)
    corners_34SW = torch.from_numpy(corners_3HW).view(3, 4, stripe, across)
    upper_SW, upper_right_SW, lower_SW, lower_right_SW = floats_4SW = torch.empty(4, stripe, across)
    along, down_H1 = torch.from_numpy(along_W), torch.from_numpy(down_H)[:, None]
    offset_3 = [torch.tensor(-middle / deviation) for middle, deviation in zip(mean, std, strict=True)]
    tiles_RC3SS = torch.empty(grid.rows, grid.cols, 3, tile, tile)
    for start in range(0, grid.rows * tile, stripe):
        lines, (row, y) = slice(start, start + stripe), divmod(start, tile)
        # a point's two lines are near one another in these few, in the image they are not
        image_HW3.take(upper_H[lines], axis=0, out=source_HW3[:stripe], mode="clip")
        image_HW3.take(lower_H[lines], axis=0, out=source_HW3[stripe:], mode="clip")
        cv2.remap(source_HW3, x_map, y_map, cv2.INTER_NEAREST, dst=corners_HW3)
        cv2.split(corners_HW3, list(corners_3HW))
        for colour, offset in enumerate(offset_3):
            floats_4SW.copy_(corners_34SW[colour])
            upper_SW.lerp_(upper_right_SW, along)
            lower_SW.lerp_(lower_right_SW, along)
            upper_SW.lerp_(lower_SW, down_H1[lines])
            cut_CSS = upper_SW.view(stripe, grid.cols, tile).transpose(0, 1)
            out_CSS = tiles_RC3SS[row, :, colour, y : y + stripe]
            torch.add(offset, cut_CSS, alpha=1 / (255 * std[colour]), out=out_CSS)
    return tiles_RC3SS.view(-1, 3, tile, tile)


def _neighbours(n_in: int, n_out: int) -> tuple[_Ints, _Ints, _Floats]:
    """The two of `n_in` lines that each of `n_out` lies between, and its way from the first to the second in 0..1."""
    # float32 with one rounding of the product and the difference, as torch on one thread (the reference's numbers); on
    # several it rounds twice, which moves a point of a wide image by up to 1/4000 pixel unless n_out is a power of 2
    scale = np.float64(np.float32(n_in) / np.float32(n_out))
    from_N = np.maximum(scale * (np.arange(n_out) + 0.5) - 0.5, 0).astype(np.float32)
    first_N = np.minimum(from_N.astype(np.int64), n_in - 1)
    return first_N, np.minimum(first_N + 1, n_in - 1), from_N - first_N.astype(np.float32)


def frame_indices(n_frames: int, count: int = 32) -> list[int]:
    """The frames of a video that stand for it: `count` evenly spaced from the first to the last, rounded down.

    As the evaluation of the release takes them, but a video of fewer frames gives each of them once, none twice.
    """
    if n_frames < 1 or count < 1:
        raise ValueError(f"n_frames={n_frames}, count={count}: both must be at least 1; is the video empty?")
    indices: list[int] = np.linspace(0, n_frames - 1, min(count, n_frames), dtype=np.int64).tolist()
    return indices


class _Fields(TypedDict, total=False):
    """What `from_pretrained` lets its caller override."""

    anyres_strategy: Strategy
    base_img_size: int
    num_crops: int
    do_convert_rgb: bool
    image_mean: Sequence[float]
    image_std: Sequence[float]


class MagmaImageProcessor(BaseImageProcessor):
    """The fields of the release's preprocessor_config.json around the functions above.

    `anyres_strategy` is carried for the model and changes no tile. With `do_convert_rgb` off, PIL images of another
    mode than RGB are refused.
    """

    model_input_names = ["pixel_values", "image_sizes"]
    valid_kwargs = _Fields

    def __init__(
        self,
        anyres_strategy: Strategy = "crop",
        base_img_size: int = 512,
        num_crops: int = 4,
        do_convert_rgb: bool = True,
        image_mean: Sequence[float] = CLIP_MEAN,
        image_std: Sequence[float] = CLIP_STD,
        **others: Any,
    ) -> None:
        others.pop("auto_map", None)  # names code of the release, which a folder that we save doesn't hold
        super().__init__(**others)
        if anyres_strategy not in get_args(Strategy):
            raise ValueError(f"anyres_strategy={anyres_strategy!r}; there are {', '.join(get_args(Strategy))}")
        if base_img_size < STRIDE or base_img_size % STRIDE:
            raise ValueError(f"base_img_size={base_img_size} must be a multiple of {STRIDE}, the tower's stride")
        if num_crops < 1:
            raise ValueError(f"num_crops={num_crops} must be at least 1")
        if len(image_mean) != 3 or len(image_std) != 3 or min(image_std) <= 0:
            raise ValueError(f"image_mean={image_mean}, image_std={image_std}: 3 numbers each, those of std above 0")
        self.anyres_strategy = anyres_strategy
        self.base_img_size = base_img_size
        self.num_crops = num_crops
        self.do_convert_rgb = do_convert_rgb
        self.image_mean = list(image_mean)
        self.image_std = list(image_std)

    def preprocess(
        self,
        images: AnyImage | Sequence[AnyImage],
        num_crops: int | None = None,
        return_tensors: str | None = None,
    ) -> BatchFeature:
        """One image or several as tiles: pixel_values float32 [sum of tiles, 3, S, S], image_sizes int64 [n, 2].

        image_sizes holds the rows and columns of each image's grid, in the order of the images, as do the tiles.
        `num_crops` is the most tiles of an image here; tensors are torch's whether asked for ("pt") or not.
        """
        if return_tensors not in (None, "pt"):
            raise ValueError(f"return_tensors={return_tensors!r}; there are torch tensors only: 'pt' or None")
        side = self.base_img_size
        grids, tiles = [], [torch.empty(0, 3, side, side)]
        several: Sequence[Any] = images if isinstance(images, list | tuple) else [images]
        for number, image in enumerate(several):
            if not self.do_convert_rgb and isinstance(image, Image.Image) and image.mode != "RGB":
                raise ValueError(f"a PIL image of mode {image.mode}: convert it to RGB or set do_convert_rgb")
            try:
                image_HW3 = rgb_array(image)
            except OSError as error:  # PIL reads files late
                raise ValueError(
                    f"image {number}, {getattr(image, 'filename', '')!r}, can't be read: {error}"
                ) from error
            size_wh = (image_HW3.shape[1], image_HW3.shape[0])
            grid = choose_grid(size_wh, tile=side, max_tiles=self.num_crops if num_crops is None else num_crops)
            grids.append([grid.rows, grid.cols])
            tiles.append(image_tiles(image_HW3, grid, tile=side, mean=self.image_mean, std=self.image_std))
        sizes_N2 = torch.tensor(grids, dtype=torch.int64).reshape(-1, 2)
        # a copy of one image's tiles would cost a fifth of making them
        pixels = tiles[1] if len(tiles) == 2 else torch.cat(tiles)
        return BatchFeature({"pixel_values": pixels, "image_sizes": sizes_N2})
