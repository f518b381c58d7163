"""Logits that are no finite numbers: no class is chosen from them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segbench.errors import TrainingError
from segbench.util.sequences import counted

_ADVICE = "Look for divisions by 0, logarithms of 0, overflow and normalisation over too few values in eval mode."


@dataclass(frozen=True)
class NonFinite:
    """Pixels of which no class is the highest, because a logit is NaN or the highest is infinite, and the images that have some.

    >>> print(NonFinite(3, 1))
    the logits of 3 pixels in 1 image are no finite numbers
    """

    pixels: int = 0
    images: int = 0

    def __str__(self) -> str:
        return f"the logits of {counted(self.pixels, 'pixel')} in {counted(self.images, 'image')} are no finite numbers"

    def require_none(self, what: str) -> None:
        """Raise :class:`TrainingError` where there are any; ``what`` was to be scored or predicted."""
        if self.pixels:
            raise TrainingError(f"{self}, so that no class is the highest there: there is no result for {what}. {_ADVICE}")


def unordered(highest: Tensor) -> Tensor:
    """Where no logit is the highest (bool), from the maximum over classes (any shape): it is NaN, or infinite.

    A class may have the logit -inf, which is the probability 0, as long as another has not.

    >>> logits = torch.tensor([[0.0, float("nan")], [0.0, float("inf")], [0.0, float("-inf")]])
    >>> unordered(logits.amax(1)).tolist()
    [True, True, False]
    """
    return ~torch.isfinite(highest)
