"""Valid pixels: ignored ones left out of the logits, and the mean over the others, for every built-in loss."""

from __future__ import annotations

import torch
from torch import Tensor


def valid_pixels(mask: Tensor, ignore_index: int) -> Tensor:
    """True where a pixel is not ignored: bool, the mask's shape."""
    return mask != ignore_index


def without_ignored(logits: Tensor, valid: Tensor) -> Tensor:
    """Logits (N, K, H, W) in float32 (float64 stays), zero at ignored pixels, where no gradient passes either.

    Leaving ignored pixels out of the sum is not enough: a nan or inf at one would pass through the gradient of the softmax.

    >>> logits = torch.tensor([[1.0, float("nan")], [2.0, float("inf")]]).reshape(1, 2, 1, 2)
    >>> without_ignored(logits, torch.tensor([[[True, False]]])).flatten().tolist()
    [1.0, 0.0, 2.0, 0.0]
    """
    exact = logits if logits.dtype == torch.float64 else logits.float()
    return exact.masked_fill(~valid.unsqueeze(1), 0.0)


def mean_over_valid(terms: Tensor, valid: Tensor) -> Tensor:
    """Sum of the per-pixel terms (zero at ignored pixels) over the number of valid pixels; 0 where there is none."""
    return terms.sum() / valid.sum().clamp(min=1)
