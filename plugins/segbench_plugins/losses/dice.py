"""Soft Dice loss: Milletari et al., V-Net, 3DV 2016, section 3 (with plain instead of squared sums below the line)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segbench import Task
from segbench_plugins.losses import DiceOptions
from segbench_plugins.losses.ignore_index import valid_pixels, without_ignored


def soft_dice(overlap: Tensor, predicted: Tensor, labelled: Tensor, *, smooth: float) -> Tensor:
    """``(2 * overlap + smooth) / (predicted + labelled + smooth)``, all in pixels.

    Milletari squares both sums below the line. The plain sums used here are the Dice coefficient of Sorensen where probabilities
    are 0 and 1, which both forms are, and what most implementations mean by soft Dice.

    >>> soft_dice(torch.tensor(3.0), torch.tensor(4.0), torch.tensor(5.0), smooth=1).item()  # doctest: +NUMBER
    0.7
    """
    return (2 * overlap + smooth) / (predicted + labelled + smooth)


def mean_where(values: Tensor, present: Tensor) -> Tensor:
    """Mean of the values that are present; 0 where none is."""
    return torch.where(present, values, 0.0).sum() / present.sum().clamp(min=1)


class Dice(nn.Module):
    """``1 - soft Dice``, one coefficient per class over the whole batch, mean over the classes with valid label pixels in it."""

    def __init__(self, *, smooth: float = 1.0, ignore_index: int = 255) -> None:
        super().__init__()
        self.smooth = smooth
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits (N, K, H, W), mask (N, H, W) -> scalar."""
        valid = valid_pixels(mask, self.ignore_index)
        probabilities = without_ignored(logits, valid).softmax(dim=1) * valid.unsqueeze(1)
        classes = torch.arange(logits.shape[1], device=mask.device).reshape(1, -1, 1, 1)
        labels = (mask.unsqueeze(1) == classes) & valid.unsqueeze(1)
        over = (0, 2, 3)
        present = labels.any(dim=3).any(dim=2).any(dim=0)
        # an absent class takes no part: a 1 below its line keeps its unused fraction finite when smooth is 0
        labelled = torch.where(present, labels.sum(over), 1)
        dice = soft_dice((probabilities * labels).sum(over), probabilities.sum(over), labelled, smooth=self.smooth)
        return mean_where(1 - dice, present)


def build(task: Task, options: DiceOptions) -> Dice:
    """The loss for a task."""
    return Dice(smooth=options.smooth, ignore_index=task.ignore_index)
