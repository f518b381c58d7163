"""A timm backbone and the heads that stand on it: linear, FPN, DeepLabV3+ and UPerNet. Maps are (N, C, H, W), the finest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate
from torchvision.ops import FeaturePyramidNetwork

from segbench_plugins.models.aspp import ASPP
from segbench_plugins.models.layers import cbr, resize
from segbench_plugins.models.timm_backbone import create_backbone, find_backbone

if TYPE_CHECKING:
    from segbench_plugins.models.timm import TimmOptions

_ASPP_RATES = (1, 6, 12, 18)
_ASPP_DROPOUT = 0.1
_LOW_CHANNELS = 48
_POOLS = (1, 2, 3, 6)
_FINEST = 4


class TimmNetwork(nn.Module):
    """Image (N, C, H, W) -> logits (N, K, h, w) at the stride of the head's maps.

    With ``freeze`` the backbone has no gradients and stays in eval mode, so that its running statistics are kept too.
    """

    def __init__(self, num_classes: int, in_channels: int, options: TimmOptions) -> None:
        super().__init__()
        found = find_backbone(options.encoder, options.head, in_channels)
        self.encoder = create_backbone(options.encoder, found, in_channels, pretrained=options.pretrained, weights=options.weights)
        self.frozen = options.freeze
        if self.frozen:
            self.encoder.requires_grad_(False)
        self.strides = _pyramid_strides(options.head, found.strides)
        self.decoder, outputs = _decoder(options.head, found.channels, options.channels)
        self.head = nn.Conv2d(outputs, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        maps = self.encoder(image)
        if self.strides:
            maps = spread(maps, image, self.strides)
        logits: Tensor = self.head(self.decoder(maps))
        return logits

    def train(self, mode: bool = True) -> TimmNetwork:
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self


def spread(maps: Sequence[Tensor], image: Tensor, strides: Sequence[int]) -> list[Tensor]:
    """Maps of one stride, as a vision transformer gives them, as a pyramid: resized to these strides of the image."""
    height, width = image.shape[-2:]
    return [
        interpolate(one, size=(-(-height // stride), -(-width // stride)), mode="bilinear", align_corners=False)
        for one, stride in zip(maps, strides, strict=True)
    ]


class LinearDecoder(nn.Module):
    """The last map, normalised per channel, so that one learning rate suits the features of any backbone (DINOv2's linear probe)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        normalised: Tensor = self.norm(maps[-1])
        return normalised


class FpnDecoder(nn.Module):
    """A feature pyramid whose levels are summed at the finest one (Kirillov et al., "Panoptic Feature Pyramid Networks", CVPR 2019)."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.pyramid = FeaturePyramidNetwork(list(channels), width)
        self.levels = nn.ModuleList(cbr(width, width) for _ in channels)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        pyramid = self.pyramid({str(level): one for level, one in enumerate(maps)})
        levels = [level(one) for level, one in zip(self.levels, pyramid.values(), strict=True)]
        return torch.stack([resize(one, levels[0]) for one in levels]).sum(0)


class DeepLabDecoder(nn.Module):
    """ASPP on the coarsest map, joined with the finest one (Chen et al., "Encoder-Decoder with Atrous Separable Convolution", 2018)."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.aspp = ASPP(channels[-1], width, rates=_ASPP_RATES, dropout=nn.Dropout(_ASPP_DROPOUT))
        self.low = cbr(channels[0], _LOW_CHANNELS, 1)
        self.fuse = nn.Sequential(cbr(width + _LOW_CHANNELS, width), cbr(width, width))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        low = self.low(maps[0])
        fused: Tensor = self.fuse(torch.cat([resize(self.aspp(maps[-1]), low), low], 1))
        return fused


class UperDecoder(nn.Module):
    """Pyramid pooling on the coarsest map, then a feature pyramid, all levels joined (Xiao et al., "Unified Perceptual Parsing", 2018)."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.pools = nn.ModuleList(cbr(channels[-1], width, 1) for _ in _POOLS)
        self.context = cbr(channels[-1] + len(_POOLS) * width, width)
        self.laterals = nn.ModuleList(cbr(count, width, 1) for count in channels[:-1])
        self.levels = nn.ModuleList(cbr(width, width) for _ in channels[:-1])
        self.fuse = cbr(len(channels) * width, width)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        last = maps[-1]
        pooled = [resize(pool(adaptive_avg_pool2d(last, side)), last) for pool, side in zip(self.pools, _POOLS, strict=True)]
        pyramid = [self.context(torch.cat([last, *pooled], 1))]
        for lateral, one in zip(reversed(self.laterals), reversed(maps[:-1]), strict=True):
            same = lateral(one)
            pyramid.insert(0, same + resize(pyramid[0], same))
        levels = [*(level(one) for level, one in zip(self.levels, pyramid[:-1], strict=True)), pyramid[-1]]
        fused: Tensor = self.fuse(torch.cat([resize(one, levels[0]) for one in levels], 1))
        return fused


def _pyramid_strides(head: str, strides: Sequence[int]) -> tuple[int, ...]:
    """Strides to which maps of one stride are resized; none where the backbone gives a pyramid itself, or one map is enough.

    >>> _pyramid_strides("fpn", (16, 16, 16, 16)), _pyramid_strides("deeplabv3plus", (14, 14)), _pyramid_strides("fpn", (4, 8, 16, 32))
    ((4, 8, 16, 32), (4, 14), ())
    """
    if len(strides) == 1 or len(set(strides)) > 1:
        return ()
    return (_FINEST, strides[-1]) if head == "deeplabv3plus" else tuple(_FINEST * 2**level for level in range(len(strides)))


def _decoder(head: str, channels: Sequence[int], width: int) -> tuple[nn.Module, int]:
    """The head's maps before the class layer, and their channels."""
    if head == "linear":
        return LinearDecoder(channels[-1]), channels[-1]
    decoders = {"fpn": FpnDecoder, "deeplabv3plus": DeepLabDecoder, "upernet": UperDecoder}
    return decoders[head](channels, width), width
