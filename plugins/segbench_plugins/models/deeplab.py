"""DeepLabV3+ with a light encoder (Chen et al., "Encoder-Decoder with Atrous Separable Convolution", 2018), in two presets.

``deeplab-original`` and ``deeplab-optimized`` are this one network under different options, so that every step from one to the
other can be measured alone.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from segbench_plugins.models.aspp import ASPP
from segbench_plugins.models.encoders import DEEPLAB_STRIDES, create_encoder
from segbench_plugins.models.layers import ConvBlock, cbr, resize, separable

if TYPE_CHECKING:
    from segbench import Task
    from segbench_plugins.models import DeepLabOptions

_CONV: dict[str, ConvBlock] = {"standard": partial(cbr, kernel=3), "separable": separable}


class DeepLab(nn.Module):
    """Image (N, C, H, W) -> logits (N, K, H, W), for H and W of at least 32. The encoder is tapped at strides 4, 8 and 16."""

    def __init__(self, num_classes: int, in_channels: int, options: DeepLabOptions) -> None:
        super().__init__()
        self.encoder, (low, mid, deep) = create_encoder(options, in_channels, strides=DEEPLAB_STRIDES)
        self.aspp = ASPP(deep, options.aspp_channels, rates=options.aspp_rates, dropout=nn.Dropout(options.aspp_dropout))
        self.decoder = Decoder(low, mid, options)
        self.head = nn.Conv2d(options.decoder_channels, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        low, mid, deep = self.encoder(image)
        return resize(self.head(self.decoder(low, mid, self.aspp(deep))), image)


class Decoder(nn.Module):
    """Two convolutions that lead the context back to stride 4: (N, C, H/4, W/4), (.., H/8, W/8), (.., H/16, W/16) -> (.., H/4, W/4).

    With a mid-level skip the first stands at stride 8 and the second at stride 4, without one both stand at stride 4.
    """

    def __init__(self, low: int, mid: int, options: DeepLabOptions) -> None:
        super().__init__()
        context, width = options.aspp_channels, options.decoder_channels
        conv = _CONV[options.decoder]
        self.low = cbr(low, options.low_channels, 1)
        self.mid = cbr(mid, options.mid_channels, 1) if options.mid_channels else None
        if self.mid is None:
            self.inner, self.outer = conv(context + options.low_channels, width), conv(width, width)
        else:
            self.inner, self.outer = conv(context + options.mid_channels, width), conv(width + options.low_channels, width)

    def forward(self, low: Tensor, mid: Tensor, context: Tensor) -> Tensor:
        if self.mid is None:
            maps: Tensor = self.outer(self.inner(_join(context, self.low(low))))
        else:
            maps = self.outer(_join(self.inner(_join(context, self.mid(mid))), self.low(low)))
        return maps


def build(task: Task, options: DeepLabOptions) -> DeepLab:
    """The network for a task; several inputs arrive as one image, joined by channel."""
    return DeepLab(task.num_classes, sum(task.inputs.values()), options)


def _join(deep: Tensor, skip: Tensor) -> Tensor:
    return torch.cat([resize(deep, skip), skip], 1)
