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
    """Image (N, C, H, W) -> logits (N, K, H, W), for H and W of at least 32.

    The encoder is tapped at strides 4, 8 and 16. The decoder has two convolutions: with a mid-level skip the first stands at
    stride 8 and the second at stride 4, without one both stand at stride 4.
    """

    def __init__(self, num_classes: int, in_channels: int, options: DeepLabOptions) -> None:
        super().__init__()
        self.encoder, (low, mid, deep) = create_encoder(options, in_channels, strides=DEEPLAB_STRIDES)
        conv = _CONV[options.decoder]
        context, width = options.aspp_channels, options.decoder_channels
        self.aspp = ASPP(deep, context, rates=options.aspp_rates, dropout=nn.Dropout(options.aspp_dropout))
        self.low = cbr(low, options.low_channels, 1)
        if options.mid_channels:
            self.mid: nn.Module | None = cbr(mid, options.mid_channels, 1)
            inner, outer = conv(context + options.mid_channels, width), conv(width + options.low_channels, width)
        else:
            self.mid = None
            inner, outer = conv(context + options.low_channels, width), conv(width, width)
        self.decoder = nn.ModuleList([inner, outer])
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        low, mid, deep = self.encoder(image)
        maps = self._decode(self.low(low), mid, self.aspp(deep))
        return resize(self.head(maps), image)

    def _decode(self, low: Tensor, mid: Tensor, context: Tensor) -> Tensor:
        inner, outer = self.decoder
        if self.mid is None:
            maps: Tensor = outer(inner(_join(context, low)))
        else:
            maps = outer(_join(inner(_join(context, self.mid(mid))), low))
        return maps


def build(task: Task, options: DeepLabOptions) -> DeepLab:
    """The network for a task; several inputs arrive as one image, joined by channel."""
    return DeepLab(task.num_classes, sum(task.inputs.values()), options)


def _join(deep: Tensor, skip: Tensor) -> Tensor:
    return torch.cat([resize(deep, skip), skip], 1)
