"""Images to vectors that stand in the text: ConvNeXt tower, tiles put together, projector, row separators.

Letters: N tiles of all images in reading order, S side of a tile in pixels, C channels of the tower, H width of the
language model; h and w count features (32 pixels each).
"""

from collections.abc import Sequence

import torch
from timm.models.convnext import ConvNeXt
from torch import Tensor, nn

from model.config import Grid, MagmaVisionConfig


class VisionTower(nn.Module):
    """ConvNeXt of CLIP: dense features of the last stage, before the final norm (`trunk.head`, `head`: never used).

    The unused tensors are there because the released checkpoint holds them. Names are those of the checkpoint.
    """

    def __init__(self, config: MagmaVisionConfig) -> None:
        super().__init__()
        self.drop_path_rate = config.drop_path_rate
        trunk = ConvNeXt(
            num_classes=0,
            depths=tuple(config.depths),
            dims=tuple(config.dims),
            norm_eps=config.norm_eps,
            drop_path_rate=config.drop_path_rate,
        )
        head = {"proj": nn.Linear(config.dims[-1], config.head_dim, bias=False)} if config.head_dim else {}
        self.clip_vision_model = nn.ModuleDict({"trunk": trunk, "head": nn.ModuleDict(head)})
        if not config.head_dim:
            trunk.head = nn.Identity()
        self.freeze_unused()

    def freeze_unused(self) -> None:
        """The head gets no gradient: data-parallel training refuses parameters that wait for one."""
        for part in (self.trunk.head, self.clip_vision_model["head"]):
            part.requires_grad_(False)

    @property
    def trunk(self) -> ConvNeXt:
        return self.clip_vision_model["trunk"]

    def checkpoint_activations(self, on: bool = True) -> None:
        """Computes activations again in the backward pass instead of keeping them; changes no value."""
        self.trunk.set_grad_checkpointing(on)

    def forward(self, pixels_N3SS: Tensor) -> Tensor:
        """[N, 3, S, S'] normalised pixels of any floating type -> [N, C, S/32, S'/32]."""
        if self.drop_path_rate:  # a frozen tower drops no path
            trainable = any(parameter.requires_grad for parameter in self.trunk.stages.parameters())
            self.trunk.train(self.training and trainable)
        return self.trunk.forward_features(pixels_N3SS.to(self.trunk.stem[0].weight.dtype))


class Projector(nn.Module):
    """The tower's features -> the language model's vectors; `row_seperator` (so spelt in the release) ends each row."""

    def __init__(self, config: MagmaVisionConfig) -> None:
        super().__init__()
        wide, narrow = config.mm_hidden_size, config.hidden_size
        self.proj: nn.Module
        match config.mm_projector_type:
            case "linear":
                self.proj = nn.Linear(wide, narrow)
            case "mlp2x_gelu":
                self.proj = nn.Sequential(nn.Linear(wide, narrow), nn.GELU(), nn.Linear(narrow, narrow))
            case other:
                raise ValueError(f"mm_projector_type is {other!r}; projectors are mlp2x_gelu and linear")
        self.row_seperator = nn.Parameter(torch.zeros(1, 1, narrow))

    def forward(self, rasters_hwC: Sequence[Tensor]) -> list[Tensor]:
        """Each image's [h, w, C] -> [h * (w + 1), H]: row after row, each with its separator."""
        # all at once: every rank of a sharded model then makes one call, however many images it has
        vectors = self.proj(torch.cat([raster.flatten(0, 1) for raster in rasters_hwC]))
        separator = self.row_seperator.to(vectors.dtype)
        images = torch.split(vectors, [raster.shape[0] * raster.shape[1] for raster in rasters_hwC])
        rows = [image.reshape(*raster.shape[:2], -1) for image, raster in zip(images, rasters_hwC, strict=True)]
        return [torch.cat([row, separator.expand(len(row), 1, -1)], dim=1).flatten(0, 1) for row in rows]


def join_tiles(tiles_NChw: Tensor, grid: Grid) -> Tensor:
    """Tiles of an image, row by row [rows * cols, C, h, w] -> a raster [C, rows * h, cols * w]; pixels or features."""
    rows, cols = grid
    _, channels, height, width = tiles_NChw.shape
    tiles = tiles_NChw.reshape(rows, cols, channels, height, width)
    return tiles.permute(2, 0, 3, 1, 4).reshape(channels, rows * height, cols * width)


def feature_rasters(tower: VisionTower, tiles_N3SS: Tensor, grids: Sequence[Grid], strategy: str) -> list[Tensor]:
    """The features of each image as one raster [rows * S/32, cols * S/32, C].

    "crop": each tile is convolved alone, with zeros beyond its border. "global": the image is put together first, so
    that features see across tiles; images of one grid go through the tower together.
    """
    tiles_of = torch.split(tiles_N3SS, [rows * cols for rows, cols in grids])
    if strategy == "crop":
        maps = torch.split(tower(tiles_N3SS), [len(tiles) for tiles in tiles_of])
        return [join_tiles(tiles, grid).permute(1, 2, 0) for tiles, grid in zip(maps, grids, strict=True)]
    rasters: dict[int, Tensor] = {}
    for grid in dict.fromkeys(grids):
        same = [index for index, other in enumerate(grids) if other == grid]
        features = tower(torch.stack([join_tiles(tiles_of[index], grid) for index in same]))
        for index, feature in zip(same, features, strict=True):
            rasters[index] = feature.permute(1, 2, 0)
    return [rasters[index] for index in range(len(grids))]
