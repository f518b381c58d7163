"""Several trained networks as one: the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from segbench import PluginError, Task
from segbench_plugins.variants import EnsembleOptions


class Ensemble(nn.Module):
    """Inputs (N, C, H, W) to the logarithm of the members' mean probabilities (N, K, H, W); every member weighs the same.

    Each member runs once per image, so that the cost is the sum of theirs.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, *inputs: Tensor) -> Tensor:
        first, *others = self.members
        total: Tensor = first(*inputs).softmax(dim=1)
        for member in others:
            total = total + member(*inputs).softmax(dim=1)
        return (total / len(self.members)).clamp(min=torch.finfo(total.dtype).tiny).log()


def make(bases: Sequence[nn.Module], inputs: Sequence[Tensor], task: Task, options: EnsembleOptions) -> Ensemble:
    """An ensemble of trained networks that give logits at the inputs' size."""
    return Ensemble(bases)


def rebuild(bases: Sequence[nn.Module], state: Mapping[str, Tensor], task: Task, options: EnsembleOptions) -> Ensemble:
    """An ensemble of untrained networks, to be given a checkpoint's weights."""
    return Ensemble(bases)


def build(task: Task, options: EnsembleOptions) -> nn.Module:
    """Refuse: an ensemble has no network of its own."""
    raise PluginError("an ensemble is made of models: write ensemble[of=(a,b)]")
