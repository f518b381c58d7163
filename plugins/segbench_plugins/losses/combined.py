"""Focal loss plus weighted Dice loss: pixels and regions at once."""

from __future__ import annotations

from torch import Tensor, nn

from segbench import Task
from segbench_plugins.losses import CombinedOptions
from segbench_plugins.losses.dice import Dice
from segbench_plugins.losses.focal import Focal


class Combined(nn.Module):
    """``focal + dice_weight * dice``."""

    def __init__(self, focal: Focal, dice: Dice, *, dice_weight: float = 1.0) -> None:
        super().__init__()
        self.focal = focal
        self.dice = dice
        self.dice_weight = dice_weight

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits (N, K, H, W), mask (N, H, W) -> scalar."""
        focal: Tensor = self.focal(logits, mask)
        dice: Tensor = self.dice(logits, mask)
        return focal + self.dice_weight * dice


def build(task: Task, options: CombinedOptions) -> Combined:
    """The loss for a task; Dice keeps its own default smoothing."""
    assert not isinstance(options.alpha, str)  # the harness has put numbers in place of rules
    focal = Focal(alpha=options.alpha, gamma=options.gamma, ignore_index=task.ignore_index)
    return Combined(focal, Dice(ignore_index=task.ignore_index), dice_weight=options.dice_weight)
