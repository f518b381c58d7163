"""A small network made of every kind of layer that the built-in models have, perturbed so that none of them hides."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from segbench.networks.perturb import perturb


class EveryLayer(nn.Module):
    """Images (N, 3, H, W) to logits (N, 5, H, W).

    Strided, dilated, depthwise and transposed convolutions, batch, group and layer normalisation, ReLU, ReLU6, GELU, SiLU and hard swish,
    dropout, max and adaptive average pooling, squeeze and excitation, attention over positions scaled by a gamma, concatenation, resizing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.Hardswish())
        self.depthwise = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.ReLU6(), nn.Conv2d(16, 16, 1), nn.GroupNorm(4, 16))
        self.dilated = nn.Sequential(nn.Conv2d(16, 16, 3, padding=2, dilation=2), nn.SiLU(), nn.Dropout2d(0.3))
        self.squeeze, self.excite = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1)
        self.norm, self.query, self.key, self.value = nn.LayerNorm(16), nn.Linear(16, 8), nn.Linear(16, 8), nn.Linear(16, 16)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.head = nn.Conv2d(8 + 16 + 16, 5, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        low = functional.max_pool2d(x + self.depthwise(x), 3, stride=2, padding=1)
        x = self.dilated(low)
        x = x * torch.sigmoid(self.excite(functional.relu(self.squeeze(functional.adaptive_avg_pool2d(x, 1)))))
        x = x + self.gamma * self._attended(x)
        size = image.shape[-2:]
        up = functional.gelu(functional.interpolate(self.up(x), size=size, mode="bilinear", align_corners=False))
        wide = functional.interpolate(x, size=size, mode="bilinear", align_corners=True)
        detail = functional.interpolate(low, size=size, mode="nearest")
        return self.head(torch.cat([up, wide, detail], 1))  # type: ignore[no-any-return]

    def _attended(self, x: Tensor) -> Tensor:
        rows = self.norm(x.flatten(2).transpose(1, 2))
        weights = (self.query(rows) @ self.key(rows).transpose(1, 2)).div(8**0.5).softmax(-1)
        attended: Tensor = weights @ self.value(rows)
        return attended.transpose(1, 2).reshape(x.shape)


def every_layer() -> EveryLayer:
    """The network in eval mode with weights as training might leave them, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = EveryLayer()
    return perturb(network).eval().requires_grad_(False)
