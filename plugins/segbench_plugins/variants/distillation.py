"""Knowledge distillation, pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from segbench import LossBatch, Progress, Task
from segbench_plugins.variants import DistillOptions

Inner = Callable[[Mapping[str, Tensor], LossBatch, Progress], Tensor]
Teacher = Callable[[Sequence[Tensor], tuple[int, int]], Tensor]


class Distillation(nn.Module):
    """``(1 - weight) * loss + weight * T^2 * KL(teacher || student)`` with both softened by the temperature T.

    The divergence is a mean over valid pixels of the main head; T^2 keeps its gradient's size whatever T is (Hinton et al. 2015, section
    2). Auxiliary heads see the loss against the labels alone.
    """

    def __init__(self, inner: Inner, teacher: Teacher, *, temperature: float = 4.0, weight: float = 0.5, ignore_index: int = 255) -> None:
        super().__init__()
        self.inner = inner
        self.teacher = teacher
        self.temperature = temperature
        self.weight = weight
        self.ignore_index = ignore_index

    def forward(self, outputs: Mapping[str, Tensor], batch: LossBatch, progress: Progress) -> dict[str, Tensor]:
        """Outputs (N, K, H, W) at mask size -> the two parts, weighted."""
        labels = self.inner(outputs, batch, progress)
        logits = outputs["logits"]
        taught = self.teacher(batch.inputs, (logits.shape[-2], logits.shape[-1]))
        divergence = soft_divergence(logits, taught, batch.mask != self.ignore_index, temperature=self.temperature)
        return {"labels": (1 - self.weight) * labels, "teacher": self.weight * divergence}


def soft_divergence(logits: Tensor, taught: Tensor, valid: Tensor, *, temperature: float) -> Tensor:
    """``T^2 * KL(softmax(taught / T) || softmax(logits / T))``, mean over valid pixels (N, H, W) of logits (N, K, H, W).

    >>> one = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    >>> soft_divergence(one, one, torch.ones(1, 1, 1, dtype=torch.bool), temperature=2.0)
    tensor(0.)
    """
    own = functional.log_softmax(logits / temperature, dim=1)
    theirs = functional.log_softmax(taught / temperature, dim=1)
    pixels = functional.kl_div(own, theirs, reduction="none", log_target=True).sum(dim=1)
    # a pixel that does not count may hold anything, also what is no number
    return temperature**2 * torch.where(valid, pixels, 0.0).sum() / valid.sum().clamp(min=1)


def build(task: Task, options: DistillOptions, inner: Inner, teacher: Teacher) -> Distillation:
    """The loss around ``inner``, for a student of ``teacher``."""
    return Distillation(inner, teacher, temperature=options.temperature, weight=options.weight, ignore_index=task.ignore_index)
