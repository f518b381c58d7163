"""Building blocks that several networks share: convolution with BatchNorm and ReLU, its separable form, the up block, resizing.

Tensors are (N, C, H, W) unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import interpolate

ConvBlock = Callable[[int, int], nn.Module]


def cbr(inputs: int, outputs: int, kernel: int = 3, *, dilation: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution without bias that keeps height and width, then BatchNorm, then ReLU."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def separable(inputs: int, outputs: int) -> nn.Sequential:
    """Depthwise 3x3, then pointwise 1x1, each followed by BatchNorm and ReLU."""
    return nn.Sequential(cbr(inputs, inputs, groups=inputs), cbr(inputs, outputs, 1))


class Up(nn.Sequential):
    """Doubles height and width by a transposed 2x2 convolution with stride 2, then two 3x3 :func:`cbr`."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool) -> None:
        super().__init__(
            nn.ConvTranspose2d(inputs, outputs, 2, stride=2, bias=bias),
            cbr(outputs, outputs),
            cbr(outputs, outputs),
        )


def resize(maps: Tensor, reference: Tensor) -> Tensor:
    """``maps`` bilinearly at the height and width of ``reference`` (align_corners=False)."""
    if maps.shape[-2:] == reference.shape[-2:]:
        return maps
    return interpolate(maps, size=reference.shape[-2:], mode="bilinear", align_corners=False)
