"""Binary cross-entropy plus Dice for tasks with a background and a foreground class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segbench import Task
from segbench_plugins.losses import BceDiceOptions
from segbench_plugins.losses.dice import mean_where, soft_dice
from segbench_plugins.losses.ignore_index import mean_over_valid, valid_pixels, without_ignored

SMOOTH = 1.0


class BceDice(nn.Module):
    """``bce + dice`` on the foreground logit ``logits[:, 1] - logits[:, 0]``, whose sigmoid is the softmax of class 1.

    bce    foreground pixels weigh ``pos_weight``; averaged over all valid pixels of the batch
    dice   ``1 - soft Dice`` of each image, averaged over the images that have valid foreground. An image without any (or without a
           valid pixel) has no meaningful Dice and is skipped; its false positives count in the cross-entropy.
    """

    pos_weight: Tensor

    def __init__(self, *, pos_weight: float = 5.0, ignore_index: int = 255) -> None:
        super().__init__()
        self.ignore_index = ignore_index
        self.register_buffer("pos_weight", torch.tensor(pos_weight), persistent=False)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits (N, 2, H, W), mask (N, H, W) -> scalar."""
        valid = valid_pixels(mask, self.ignore_index)
        both = without_ignored(logits, valid)
        foreground = both[:, 1] - both[:, 0]
        labels = ((mask == 1) & valid).to(foreground.dtype)
        pos_weight = self.pos_weight.to(foreground.dtype)
        bce = F.binary_cross_entropy_with_logits(foreground, labels, pos_weight=pos_weight, reduction="none")
        return mean_over_valid(torch.where(valid, bce, 0.0), valid) + self._dice(foreground.sigmoid() * valid, labels)

    def _dice(self, probabilities: Tensor, labels: Tensor) -> Tensor:
        over = (1, 2)
        labelled = labels.sum(over)
        dice = soft_dice((probabilities * labels).sum(over), probabilities.sum(over), labelled, smooth=SMOOTH)
        return mean_where(1 - dice, labelled > 0)


def build(task: Task, options: BceDiceOptions) -> BceDice:
    """The loss for a two-class task."""
    assert not isinstance(options.pos_weight, str)  # the harness has put a number in place of a rule
    return BceDice(pos_weight=options.pos_weight, ignore_index=task.ignore_index)
