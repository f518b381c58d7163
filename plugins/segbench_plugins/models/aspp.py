"""Atrous spatial pyramid pooling (Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segbench_plugins.models.layers import cbr


class ASPP(nn.Module):
    """Looks at one map at several scales at once: (N, inputs, H, W) -> (N, outputs, H, W).

    One branch per rate (rate 1 is a 1x1 convolution, the others dilated 3x3 ones) and one on the global mean, joined by a 1x1
    projection and ``dropout``. The mean branch ends in BatchNorm, so training needs more than one image a batch.
    """

    def __init__(self, inputs: int, outputs: int, *, rates: Sequence[int], dropout: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_branch(inputs, outputs, rate) for rate in rates)
        self.pool = cbr(inputs, outputs, 1)
        self.project = nn.Sequential(cbr((len(rates) + 1) * outputs, outputs, 1), dropout)

    def forward(self, maps: Tensor) -> Tensor:
        mean = self.pool(maps.mean((2, 3), keepdim=True))
        views = [*(branch(maps) for branch in self.branches), mean.expand(-1, -1, *maps.shape[-2:])]
        joined: Tensor = self.project(torch.cat(views, 1))
        return joined


def _branch(inputs: int, outputs: int, rate: int) -> nn.Module:
    return cbr(inputs, outputs, 1) if rate == 1 else cbr(inputs, outputs, 3, dilation=rate)
