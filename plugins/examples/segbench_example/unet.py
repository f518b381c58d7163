"""A small U-Net (Ronneberger et al. 2015, arXiv:1505.04597), with padding and batch normalisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segbench import Task
from segbench_example import UnetOptions


def double_conv(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3x3 convolutions, each with batch normalisation and ReLU."""
    layers: list[nn.Module] = []
    for i in (inputs, outputs):
        layers += [
            nn.Conv2d(i, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class Unet(nn.Module):
    """Image (N, C, H, W) to logits (N, K, H, W), for H and W that are multiples of 8."""

    def __init__(self, in_channels: int, num_classes: int, channels: int) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(4)]
        self.down = nn.ModuleList(double_conv(i, o) for i, o in zip([in_channels, *widths[:-1]], widths, strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(widths[:-1]))
        self.merge = nn.ModuleList(double_conv(2 * w, w) for w in reversed(widths[:-1]))
        self.head = nn.Conv2d(channels, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        skips: list[Tensor] = []
        x = image
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else nn.functional.max_pool2d(x, 2))
            skips.append(x)
        skips.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([skips.pop(), up(x)], dim=1))
        return self.head(x)  # type: ignore[no-any-return]


def build(task: Task, options: UnetOptions) -> nn.Module:
    """The network for a task with one image."""
    return Unet(task.inputs["image"], task.num_classes, options.channels)
