"""Tversky loss (Salehi et al. 2017, arXiv:1706.05721, eq. 3), averaged over the classes that the batch has labels of."""

from __future__ import annotations

from torch import Tensor, nn

from segbench import Task
from segbench_example import TverskyOptions


class Tversky(nn.Module):
    """``loss(logits, mask)``: logits (N, K, H, W), mask (N, H, W); 0 is perfect, 1 the worst."""

    def __init__(self, ignore_index: int, alpha: float, beta: float) -> None:
        super().__init__()
        self.ignore_index, self.alpha, self.beta = ignore_index, alpha, beta

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        valid = mask != self.ignore_index
        if not valid.any():
            return logits[:, :, :0].float().sum()  # nothing to learn from: 0, with a gradient of 0
        probability = logits.float().movedim(1, -1)[valid].softmax(dim=-1)  # (pixels, K)
        truth = nn.functional.one_hot(mask[valid], logits.shape[1]).float()
        hits = (probability * truth).sum(0)
        false_positives = (probability * (1 - truth)).sum(0)
        false_negatives = ((1 - probability) * truth).sum(0)
        index = hits / (hits + self.alpha * false_positives + self.beta * false_negatives).clamp(min=1e-6)
        return 1 - index[truth.sum(0) > 0].mean()


def build(task: Task, options: TverskyOptions) -> nn.Module:
    """The loss for a task."""
    return Tversky(task.ignore_index, options.alpha, options.beta)
