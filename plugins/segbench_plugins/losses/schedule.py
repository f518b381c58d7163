"""One loss, then another: cross-entropy finds the classes, Dice then sharpens their regions."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import cast

from torch import Tensor, nn

from segbench import LossBatch, Options, Progress, Task
from segbench_plugins.losses import ScheduleOptions
from segbench_plugins.losses.inner import inner_loss

PlainLoss = Callable[[Tensor, Tensor], Tensor]


class Schedule(nn.Module):
    """``first`` until ``progress.share`` reaches ``at``, ``then`` from there on; each on every output with its weight."""

    def __init__(self, first: PlainLoss, then: PlainLoss, *, at: float = 0.2) -> None:
        super().__init__()
        self.first = first
        self.then = then
        self.at = at

    def forward(self, outputs: Mapping[str, Tensor], batch: LossBatch, progress: Progress) -> Tensor:
        """Outputs {"logits": (N, K, H, W), ..} and a batch with mask (N, H, W) -> scalar."""
        loss = self.first if progress.share < self.at else self.then
        total = loss(outputs["logits"], batch.mask)
        for name, weight in batch.output_weights.items():
            if name != "logits" and name in outputs:
                total = total + weight * loss(outputs[name], batch.mask)
        return total


def build(task: Task, options: ScheduleOptions) -> Schedule:
    """The loss for a task."""
    return Schedule(_build_inner(options.first, task), _build_inner(options.then, task), at=options.at)


def _build_inner(text: str, task: Task) -> PlainLoss:
    spec, options = inner_loss(text)
    module, _, function = str(spec.build).partition(":")
    builder = cast(Callable[[Task, Options], PlainLoss], getattr(importlib.import_module(module), function))
    return builder(task, options)
