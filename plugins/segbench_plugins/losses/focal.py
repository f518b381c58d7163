"""Focal loss: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, equation 5."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segbench import Task
from segbench_plugins.losses import FocalOptions
from segbench_plugins.losses.ignore_index import mean_over_valid, valid_pixels, without_ignored


def modulate(cross_entropy: Tensor, missing: Tensor, *, gamma: float) -> Tensor:
    """``(1 - p_t) ** gamma * cross_entropy``, where ``missing`` is ``1 - p_t``.

    >>> modulate(torch.tensor([0.1, 2.5]), 1 - torch.tensor([0.9, 0.3]), gamma=2).tolist()  # doctest: +NUMBER
    [0.001, 1.225]
    """
    # a power below 1 has no finite slope at 0, and a pixel that is already certain must not turn the gradient into nan
    return missing.clamp(min=torch.finfo(missing.dtype).tiny ** 0.25) ** gamma * cross_entropy


def worked_figures() -> list[tuple[str, float, float]]:
    """The guide's worked example of an easy and a hard pixel with gamma 2: statement, the guide's figure, and the loss's."""
    example = ((0.9, 0.1, 0.001), (0.3, 2.5, 1.225))
    return [(f"p_t {p}, cross-entropy {ce}", guide_figure, float(_modulated(ce, p))) for p, ce, guide_figure in example]


def _modulated(cross_entropy: float, probability: float) -> Tensor:
    double = torch.float64
    return modulate(torch.tensor(cross_entropy, dtype=double), torch.tensor(1 - probability, dtype=double), gamma=2.0)


class Focal(nn.Module):
    """``alpha * (1 - p_t) ** gamma * ce``, averaged over valid pixels; ``alpha`` is one factor or one per class."""

    alpha: Tensor

    def __init__(self, *, alpha: float | tuple[float, ...] = 0.25, gamma: float = 2.0, ignore_index: int = 255) -> None:
        super().__init__()
        self.gamma = gamma
        self.ignore_index = ignore_index
        self.register_buffer("alpha", torch.tensor(alpha), persistent=False)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits (N, K, H, W), mask (N, H, W) -> scalar."""
        valid = valid_pixels(mask, self.ignore_index)
        ce = F.cross_entropy(without_ignored(logits, valid), mask, ignore_index=self.ignore_index, reduction="none")
        # 1 - p_t from the cross-entropy: exact also where p_t is so near 1 that the difference would round to 0
        terms = modulate(ce, -torch.expm1(-ce), gamma=self.gamma)
        alpha = self.alpha if self.alpha.ndim == 0 else self.alpha[torch.where(valid, mask, 0)]
        return mean_over_valid(alpha * terms, valid)


def build(task: Task, options: FocalOptions) -> Focal:
    """The loss for a task."""
    assert not isinstance(options.alpha, str)  # the harness has put numbers in place of rules
    return Focal(alpha=options.alpha, gamma=options.gamma, ignore_index=task.ignore_index)
