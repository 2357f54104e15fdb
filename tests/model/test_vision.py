import pytest
import torch

from model.config import Grid, image_tokens
from model.vision import Projector, feature_rasters, join_tiles
from tests.model.small import TILE, small_config, small_magma

GRIDS = [(1, 1), (1, 2), (2, 1), (1, 3), (3, 1), (1, 4), (4, 1), (2, 2)]
TOWER = small_magma().vision_tower


def test_image_tokens_of_the_grids_of_up_to_four_tiles() -> None:
    assert sorted(image_tokens(Grid(*grid)) for grid in GRIDS) == [272, 528, 544, 784, 816, 1040, 1056, 1088]
    assert image_tokens(Grid(2, 1), 96) == 6 * 4


@pytest.mark.parametrize("grid", GRIDS)
def test_tiles_put_together_are_the_raster_they_were_cut_from(grid: tuple[int, int]) -> None:
    rows, cols = grid
    raster = torch.randn(2, rows * 4, cols * 6)
    tiles = [raster[:, row * 4 : row * 4 + 4, col * 6 : col * 6 + 6] for row in range(rows) for col in range(cols)]
    assert torch.equal(join_tiles(torch.stack(tiles), Grid(rows, cols)), raster)


@pytest.mark.parametrize("strategy", ["crop", "global"])
def test_each_image_has_a_raster_of_its_grid(strategy: str) -> None:
    grids = [Grid(2, 1), Grid(1, 1), Grid(2, 1), Grid(1, 3)]
    tiles = torch.randn(8, 3, TILE, TILE)
    with torch.no_grad():
        rasters = feature_rasters(TOWER, tiles, grids, strategy)
        alone = feature_rasters(TOWER, tiles[3:5], [Grid(2, 1)], strategy)
    assert [tuple(raster.shape) for raster in rasters] == [(rows * 2, cols * 2, 32) for rows, cols in grids]
    torch.testing.assert_close(rasters[2], alone[0], atol=1e-5, rtol=0)


def test_features_of_a_tile_alone_know_nothing_of_its_neighbours() -> None:
    tiles = torch.randn(2, 3, TILE, TILE)
    other = torch.stack([tiles[0], torch.randn(3, TILE, TILE)])
    with torch.no_grad():
        for strategy, same in (("crop", True), ("global", False)):
            one, two = (feature_rasters(TOWER, given, [Grid(1, 2)], strategy)[0] for given in (tiles, other))
            assert torch.allclose(one[:, :2], two[:, :2], atol=1e-6) is same, strategy


def test_a_separator_ends_each_row_of_features() -> None:
    projector = Projector(small_config().vision_config)
    torch.nn.init.normal_(projector.row_seperator)
    raster = torch.randn(3, 5, 32)
    with torch.no_grad():
        rows = projector([torch.randn(1, 2, 32), raster])[1].reshape(3, 6, 32)
        plain = projector.proj(raster)
    assert torch.equal(rows[:, -1], projector.row_seperator[0].expand(3, -1))
    torch.testing.assert_close(rows[:, :-1], plain)


def test_an_unknown_projector_is_named() -> None:
    config = small_config().vision_config
    config.mm_projector_type = "conv"
    with pytest.raises(ValueError, match="'conv'; projectors are mlp2x_gelu and linear"):
        Projector(config)
