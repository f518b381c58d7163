"""Attention blocks: CBAM (Woo et al. 2018, section 3), non-local (Wang et al. 2018, section 3.2) and a pooled form of the latter.

All map (N, C, H, W) to the same shape.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, scaled_dot_product_attention

from segbench_plugins.models.layers import resize


class CBAM(nn.Module):
    """A gate per channel, then a gate per position.

    The channel gate sends the mean- and the max-pooled features through one shared two-layer perceptron; the spatial gate is a
    7x7 convolution on the maximum and the mean over channels.
    """

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.channel = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1, bias=False),
        )
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        mean, peak = maps.mean((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
        maps = maps * torch.sigmoid(self.channel(mean) + self.channel(peak))
        summary = torch.cat([maps.amax(1, keepdim=True), maps.mean(1, keepdim=True)], 1)
        return maps * torch.sigmoid(self.spatial(summary))


class NonLocalAttention(nn.Module):
    """Every position attends to every other; a scalar gamma, 0 at first, weights what it adds.

    Costs (H * W) ** 2 products: keep it on small maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 8, 8)
        self.query = nn.Conv2d(channels, hidden, 1)
        self.key = nn.Conv2d(channels, hidden, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.gamma * attend(self.query(maps), self.key(maps), self.value(maps))


class EfficientAttention(nn.Module):
    """Attention that never costs more than ``max_positions`` squared: larger maps attend on a ``grid`` x ``grid`` average of themselves.

    The result is upsampled, weighted by a scalar gamma (0 at first), added, and the sum goes through BatchNorm.
    """

    def __init__(self, channels: int, *, reduction: int, grid: int = 16, max_positions: int = 1024) -> None:
        super().__init__()
        hidden = max(channels // reduction, 16)
        self.grid, self.max_positions = grid, max_positions
        self.query = nn.Conv2d(channels, hidden, 1, bias=False)
        self.key = nn.Conv2d(channels, hidden, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, maps: Tensor) -> Tensor:
        large = maps.shape[2] * maps.shape[3] > self.max_positions
        source = adaptive_avg_pool2d(maps, self.grid) if large else maps
        context = attend(self.query(source), self.key(source), self.value(source))
        joined: Tensor = self.norm(maps + self.gamma * resize(context, maps))
        return joined


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax over all positions of query . key, unscaled, applied to value: query, key (N, E, H, W), value (N, C, H, W) -> (N, C, H, W).

    The call is 4-D, (N, 1, H * W, E), because 3-D ones do not export.
    """
    attended = scaled_dot_product_attention(_rows(query), _rows(key), _rows(value), scale=1.0)
    return attended.squeeze(1).transpose(1, 2).reshape(value.shape)


def _rows(maps: Tensor) -> Tensor:
    return maps.flatten(2).transpose(1, 2).unsqueeze(1)
