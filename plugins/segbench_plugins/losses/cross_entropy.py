"""Cross-entropy, averaged over the valid pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segbench import Task
from segbench_plugins.losses import CrossEntropyOptions
from segbench_plugins.losses.ignore_index import mean_over_valid, valid_pixels, without_ignored


class CrossEntropy(nn.Module):
    """``sum(w[y] * ce) / number of valid pixels``; label smoothing as in ``torch.nn.functional.cross_entropy``.

    Without weights this is torch's own mean. With weights torch divides by the sum of the weights that occur in the batch; here
    the count divides, so that a batch split over processes or accumulated steps adds up to the same gradient as one large batch.
    """

    weights: Tensor | None

    def __init__(self, *, weights: tuple[float, ...] | None = None, label_smoothing: float = 0.0, ignore_index: int = 255) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.ignore_index = ignore_index
        # not persistent: the options hold it, a checkpoint need not
        self.register_buffer("weights", None if weights is None else torch.tensor(weights), persistent=False)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits (N, K, H, W), mask (N, H, W) -> scalar."""
        valid = valid_pixels(mask, self.ignore_index)
        logits = without_ignored(logits, valid)
        terms = F.cross_entropy(
            logits,
            mask,
            weight=None if self.weights is None else self.weights.to(logits.dtype),
            ignore_index=self.ignore_index,
            # summed below: torch's own sum is not deterministic on CUDA
            reduction="none",
            label_smoothing=self.label_smoothing,
        )
        return mean_over_valid(terms, valid)


def build(task: Task, options: CrossEntropyOptions) -> CrossEntropy:
    """The loss for a task."""
    assert not isinstance(options.weights, str)  # the harness has put numbers in place of rules
    return CrossEntropy(weights=options.weights, label_smoothing=options.label_smoothing, ignore_index=task.ignore_index)
