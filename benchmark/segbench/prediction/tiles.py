"""Tiles that cover an image of any size, and their logits blended piece by piece, so that the whole image is never in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segbench.data.tiling import blend_weights
from segbench.data.window import Window
from segbench.util.image_size import Size

Predict = Callable[[Sequence[Window]], Iterable[Tensor]]
"""Windows of one size to their logits (K, h, w), in order."""


@dataclass(frozen=True)
class Grid:
    """Tiles of one size over an image: the tops of its rows and the lefts of its columns."""

    size: Size
    tile: Size
    tops: tuple[int, ...]
    lefts: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)


def grid_of(size: Size, tile: Size, overlap: int) -> Grid:
    """Tiles whose neighbours share at least ``overlap`` pixels, evenly spread; none is larger than the image.

    Even steps, where :func:`segbench.data.tiling.windows` puts the last tile flush with the border: what neighbours share has to be
    kept, and would be nearly a whole row of tiles at the bottom.

    >>> grid_of((10, 4), (4, 8), 1).tops, grid_of((10, 4), (4, 8), 1).tile
    ((0, 3, 6), (4, 4))
    """
    height, width = min(size[0], tile[0]), min(size[1], tile[1])
    return Grid(size, (height, width), _starts(size[0], height, overlap), _starts(size[1], width, overlap))


def blended(predict: Predict, grid: Grid) -> Iterator[tuple[Window, Tensor]]:
    """The image's logits as pieces (K, h, w) that cover it once, from the top left on, each given as soon as no later tile changes it.

    Where tiles overlap the logits are weighted means, as in :func:`segbench.data.tiling.tiled_logits`. Beside the tiles of one call only
    what is shared with the next tile and with the next row of tiles is kept.
    """
    vertical, horizontal = _shares(grid.tops, grid.tile[0], grid.size[0]), _shares(grid.lefts, grid.tile[1], grid.size[1])
    carried: Tensor | None = None
    for row, top in enumerate(grid.tops):
        done_rows = _step(grid.tops, row, grid.size[0])
        below: Tensor | None = None
        beside: Tensor | None = None
        tiles = predict([Window(top, left, *grid.tile) for left in grid.lefts])
        for column, (left, logits) in enumerate(zip(grid.lefts, tiles, strict=True)):
            block = logits if len(grid) == 1 else logits * (vertical[row][:, None] * horizontal[column]).to(logits.device)
            if beside is not None:
                block[..., : beside.shape[-1]] += beside
            width = _step(grid.lefts, column, grid.size[1])
            piece, beside = block[..., :width], block[..., width:]
            if carried is not None:
                piece[:, : carried.shape[1]] += carried[..., left : left + width]
            yield Window(top, left, done_rows, width), piece[:, :done_rows]
            if done_rows < grid.tile[0]:
                if below is None:
                    below = block.new_empty(block.shape[0], grid.tile[0] - done_rows, grid.size[1])
                below[..., left : left + width] = piece[:, done_rows:]
        carried = below


def _starts(length: int, tile: int, overlap: int) -> tuple[int, ...]:
    if length <= tile:
        return (0,)
    count = -(-(length - overlap) // (tile - overlap))
    return tuple(index * (length - tile) // (count - 1) for index in range(count))


def _step(starts: Sequence[int], index: int, length: int) -> int:
    """The distance from one start to the next one, or to the end."""
    return (starts[index + 1] if index + 1 < len(starts) else length) - starts[index]


def _shares(starts: Sequence[int], tile: int, length: int) -> list[Tensor]:
    """Along one axis each tile's share (tile,) of every pixel; shares add up to 1. In two dimensions they are multiplied."""
    overlap = max((tile - _step(starts, index, length) for index in range(len(starts) - 1)), default=0)
    weights = blend_weights((tile, 1), overlap / tile)[:, 0].double()
    total = torch.zeros(length, dtype=torch.float64)
    for start in starts:
        total[start : start + tile] += weights
    return [(weights / total[start : start + tile]).float() for start in starts]
