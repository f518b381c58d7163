"""Images too large for one pass: windows that cover them, and logits blended where windows overlap."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from segbench.data.window import Window
from segbench.util.image_size import Size


def windows(size: Size, tile: Size, overlap: float) -> list[Window]:
    """Windows of ``tile`` that cover an image of ``size``, neighbours sharing at least ``overlap`` (0 to below 1) of their length.

    The last window of a row or column lies flush with the border. Along an axis on which the image is no longer than the tile
    there is one window, as long as the image.

    >>> [(w.left, w.width) for w in windows((4, 10), (4, 4), 0.25)]
    [(0, 4), (3, 4), (6, 4)]
    """
    rows, columns = (_starts(length, step, overlap) for length, step in zip(size, tile, strict=True))
    height, width = min(size[0], tile[0]), min(size[1], tile[1])
    return [Window(top, left, height, width) for top in rows for left in columns]


def blend_weights(size: Size, overlap: float) -> Tensor:
    """Weights (h, w) float32 of a window: 1 inside, falling linearly over the overlap towards each border, positive everywhere."""
    vertical, horizontal = (_ramp(length, overlap) for length in size)
    return vertical[:, None] * horizontal[None, :]


def tiled_logits(predict: Callable[[tuple[Tensor, ...]], Tensor], inputs: Sequence[Tensor], *, tile: Size, overlap: float = 0.25) -> Tensor:
    """Logits (N, K, H, W) float32 of inputs (N, C, H, W), predicted window by window and blended before any argmax.

    ``predict`` maps the inputs' windows (N, C, h, w) to logits (N, K, h, w). At any time one window's activations exist beside
    the result; logits in the overlap are the weighted mean over the windows.
    """
    size = (inputs[0].shape[-2], inputs[0].shape[-1])
    parts = windows(size, tile, overlap)
    if len(parts) == 1:
        return predict(tuple(inputs)).to(torch.float32)
    weights = blend_weights((parts[0].height, parts[0].width), overlap).to(inputs[0].device)
    total = torch.zeros(size, device=inputs[0].device)
    for part in parts:
        part.crop(total).add_(weights)
    result: Tensor | None = None
    for part in parts:
        logits = predict(tuple(part.crop(x) for x in inputs)).to(torch.float32)
        if result is None:
            result = logits.new_zeros((*logits.shape[:2], *size))
        # the share, not the weight, is added up: one buffer, and no division of large sums at the end
        part.crop(result).addcmul_(logits, weights / part.crop(total))
    assert result is not None
    return result


def _starts(length: int, tile: int, overlap: float) -> list[int]:
    if length <= tile:
        return [0]
    step = max(1, int(tile * (1 - overlap)))
    last = length - tile
    return [*range(0, last, step), last]


def _ramp(length: int, overlap: float) -> Tensor:
    reach = max(length * overlap, 1.0)
    positions = torch.arange(length, dtype=torch.float32) + 0.5
    distance = torch.minimum(positions, length - positions)
    return (distance / reach).clamp(max=1.0)
