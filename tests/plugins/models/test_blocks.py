"""ASPP, CBAM and both attentions against the formulas of their papers, written out with plain tensor arithmetic."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from segbench_plugins.models.aspp import ASPP
from segbench_plugins.models.attention import CBAM, EfficientAttention, NonLocalAttention
from segbench_plugins.models.layers import Up, cbr, resize, separable


def pixelwise(convolution: nn.Conv2d, maps: Tensor) -> Tensor:
    """A 1x1 convolution as a matrix product: (N, C, P) -> (N, C', P)."""
    mixed = convolution.weight[:, :, 0, 0] @ maps
    return mixed if convolution.bias is None else mixed + convolution.bias[None, :, None]


def attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    weights = torch.softmax(query.transpose(1, 2) @ key, dim=-1)  # (N, P, P): rows are the positions that ask
    return value @ weights.transpose(1, 2)


def test_non_local_attention_is_softmax_of_unscaled_products() -> None:
    torch.manual_seed(0)
    block, maps = NonLocalAttention(16), torch.randn(2, 16, 5, 3)
    flat = maps.flatten(2)
    with torch.no_grad():
        block.gamma.fill_(0.7)
        expected = flat + 0.7 * attended(pixelwise(block.query, flat), pixelwise(block.key, flat), pixelwise(block.value, flat))
    torch.testing.assert_close(block(maps).flatten(2), expected)
    assert block.query.out_channels == 8  # 16 / 8 = 2, but at least 8


def test_efficient_attention_on_small_maps_attends_at_every_position() -> None:
    torch.manual_seed(0)
    block, maps = EfficientAttention(64, reduction=2).eval(), torch.randn(2, 64, 32, 32)  # 1024 positions: the largest such map
    flat = maps.flatten(2)
    with torch.no_grad():
        block.gamma.fill_(0.7)
        joined = flat + 0.7 * attended(pixelwise(block.query, flat), pixelwise(block.key, flat), pixelwise(block.value, flat))
    torch.testing.assert_close(block(maps).flatten(2), joined / (1 + 1e-5) ** 0.5, rtol=1e-4, atol=1e-4)
    assert block.query.out_channels == 32


def test_efficient_attention_on_large_maps_attends_on_a_16_by_16_average() -> None:
    torch.manual_seed(0)
    block, maps = EfficientAttention(8, reduction=8).eval(), torch.randn(1, 8, 32, 48)
    grid = maps.reshape(1, 8, 16, 2, 16, 3).mean((3, 5)).flatten(2)  # the mean over blocks of 2 x 3
    with torch.no_grad():
        block.gamma.fill_(0.7)
        coarse = attended(pixelwise(block.query, grid), pixelwise(block.key, grid), pixelwise(block.value, grid)).reshape(1, 8, 16, 16)
        joined = maps + 0.7 * resize(coarse, maps)
    torch.testing.assert_close(block(maps), joined / (1 + 1e-5) ** 0.5, rtol=1e-4, atol=1e-4)
    assert block.query.out_channels == 16  # 8 / 8 = 1, but at least 16


def test_cbam_gates_channels_then_positions() -> None:
    torch.manual_seed(0)
    block, maps = CBAM(64), torch.randn(2, 64, 6, 5)
    first, second = block.channel[0].weight[:, :, 0, 0], block.channel[2].weight[:, :, 0, 0]  # type: ignore[index]
    assert first.shape == (4, 64)

    def perceptron(pooled: Tensor) -> Tensor:
        return (pooled @ first.T).clamp(min=0) @ second.T

    with torch.no_grad():
        gate = torch.sigmoid(perceptron(maps.flatten(2).mean(2)) + perceptron(maps.flatten(2).max(2).values))
        gated = maps * gate[:, :, None, None]
        summary = torch.stack([gated.max(1).values, gated.mean(1)], 1)
        expected = gated * torch.sigmoid(conv2d(summary, block.spatial.weight, padding=3))
    torch.testing.assert_close(block(maps), expected)


def test_aspp_pools_the_whole_map_and_joins_one_branch_per_rate() -> None:
    torch.manual_seed(0)
    block, maps = ASPP(6, 4, rates=(1, 2), dropout=nn.Dropout(0.5)).eval(), torch.randn(2, 6, 9, 7)
    scale = (1 + 1e-5) ** 0.5
    one, two = (branch[0].weight for branch in block.branches)  # type: ignore[index]
    with torch.no_grad():
        views = [
            conv2d(maps, one),
            conv2d(maps, two, padding=2, dilation=2),
            conv2d(maps.mean((2, 3), keepdim=True), block.pool[0].weight).expand(2, 4, 9, 7),  # type: ignore[arg-type]
        ]
        joined = torch.cat([view.clamp(min=0) / scale for view in views], 1)
        expected = conv2d(joined, block.project[0][0].weight).clamp(min=0) / scale  # type: ignore[index]
    torch.testing.assert_close(block(maps), expected)


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (3, 6), (7, 1)])
def test_cbr_keeps_the_size(kernel: int, dilation: int) -> None:
    assert cbr(2, 5, kernel, dilation=dilation)(torch.randn(2, 2, 9, 7)).shape == (2, 5, 9, 7)


def test_separable_is_depthwise_then_pointwise() -> None:
    # 8 channels of 3x3 with BatchNorm (2 values a channel), then 8 -> 4 with BatchNorm
    assert sum(p.numel() for p in separable(8, 4).parameters()) == (8 * 9 + 2 * 8) + (8 * 4 + 2 * 4)


@pytest.mark.parametrize("bias", [True, False])
def test_up_doubles_the_size(bias: bool) -> None:
    block = Up(6, 4, bias=bias)
    assert block(torch.randn(2, 6, 5, 3)).shape == (2, 4, 10, 6)
    assert sum(p.numel() for p in block.parameters()) == 6 * 4 * 4 + 4 * bias + 2 * (4 * 4 * 9 + 2 * 4)
