from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from segbench.data.tiling import tiled_logits
from segbench.data.window import Window
from segbench.prediction.tiles import Grid, blended, grid_of


def _pixelwise(image: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """The image put together again from its pieces, and how often each pixel was given."""
    result, given = torch.zeros_like(image), torch.zeros(image.shape[-2:])

    def predict(windows: Sequence[Window]) -> Iterator[Tensor]:
        for window in windows:
            yield window.crop(image).clone()

    for window, piece in blended(predict, grid):
        window.crop(result).copy_(piece)
        window.crop(given).add_(1)
    return result, given


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(3, 20), st.integers(3, 20), st.data())
def test_pieces_cover_the_image_once_and_a_pixelwise_network_is_not_changed_by_tiles(
    h: int, w: int, th: int, tw: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, min(th, tw) - 1))
    image = torch.randn(2, h, w, generator=torch.Generator().manual_seed(h * 61 + w))
    result, given = _pixelwise(image, grid_of((h, w), (th, tw), overlap))
    assert (given == 1).all()
    torch.testing.assert_close(result, image)


@settings(deadline=None)
@given(st.integers(1, 500), st.integers(2, 80), st.data())
def test_neighbouring_tiles_share_at_least_the_overlap_and_reach_both_borders(length: int, tile: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, tile - 1))
    grid = grid_of((length, tile), (tile, tile), overlap)
    tops = grid.tops
    assert tops[0] == 0
    assert tops[-1] + grid.tile[0] == length
    assert all(tile - (b - a) >= overlap and b > a for a, b in pairwise(tops))


def test_blending_is_that_of_evaluation_where_the_tiles_are_the_same() -> None:
    weight = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    image = torch.randn(1, 2, 40, 52, generator=torch.Generator().manual_seed(1))

    def network(part: Tensor) -> Tensor:
        return functional.conv2d(part, weight, padding=1)

    expected = tiled_logits(lambda parts: network(parts[0]), (image,), tile=(16, 16), overlap=0.25)[0]
    grid = grid_of((40, 52), (16, 16), 4)
    assert grid.tops == (0, 12, 24)
    assert grid.lefts == (0, 12, 24, 36)
    result = torch.zeros_like(expected)
    for window, piece in blended(lambda windows: (network(w.crop(image))[0] for w in windows), grid):
        window.crop(result).copy_(piece)
    torch.testing.assert_close(result, expected)


def test_a_network_that_sees_one_pixel_far_gives_the_whole_images_logits_inside_of_tiles() -> None:
    weight = torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    image = torch.randn(1, 1, 30, 30, generator=torch.Generator().manual_seed(1))
    whole = functional.conv2d(image, weight, padding=1)[0]
    result = torch.zeros_like(whole)
    for window, piece in blended(
        lambda windows: (functional.conv2d(w.crop(image), weight, padding=1)[0] for w in windows), grid_of((30, 30), (20, 20), 8)
    ):
        window.crop(result).copy_(piece)
    # tiles begin at 0 and 10: their borders at 10 and 19 differ by the padding, and nothing else
    torch.testing.assert_close(result[:, :9, :9], whole[:, :9, :9])
    torch.testing.assert_close(result[:, 21:, 21:], whole[:, 21:, 21:])
    assert not torch.allclose(result, whole)


def test_only_a_strip_is_kept_between_rows_of_tiles() -> None:
    grid = grid_of((1000, 64), (64, 64), 8)
    steps = [b - a for a, b in pairwise(grid.tops)]
    assert max(steps) - min(steps) <= 1


def test_a_tile_as_large_as_the_image_is_handed_through() -> None:
    logits = torch.randn(2, 5, 7)
    ((window, piece),) = blended(lambda windows: [logits], grid_of((5, 7), (9, 9), 3))
    assert window == Window(0, 0, 5, 7)
    assert piece.data_ptr() == logits.data_ptr()


@pytest.mark.parametrize("overlap", [0, 1])
def test_tiles_of_one_row_work(overlap: int) -> None:
    image = torch.randn(1, 3, 11)
    result, given = _pixelwise(image, grid_of((3, 11), (2, 4), overlap))
    assert (given == 1).all()
    torch.testing.assert_close(result, image)
