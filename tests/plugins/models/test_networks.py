"""The networks map inputs of any size to logits of the same size, under every mixture of options."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from segbench import Task
from segbench_plugins.models import DeepLabOptimizedOptions, DeepLabOptions, FloodEfficientOptions, FloodOptions, deeplab, flood
from segbench_plugins.models.deeplab import DeepLab
from segbench_plugins.models.flood import FloodEfficient, FloodNet, FloodOriginal, GatedBlend, WeightedBlend

SIZES = [(32, 32), (75, 130)]
Perturb = Callable[[nn.Module], nn.Module]
FloodKind = type[FloodOriginal] | type[FloodEfficient]


def small_flood(kind: FloodKind, **options: Any) -> FloodNet:
    declared = FloodOptions if kind is FloodOriginal else FloodEfficientOptions
    return kind(2, 2, 13, declared.resolve({"encoder": "resnet18", **options}))


@pytest.mark.parametrize("decoder", ["standard", "separable"])
@pytest.mark.parametrize("mid_channels", [0, 24])
@pytest.mark.parametrize("encoder", ["mobilenetv3_small_100", "resnet18"])
@pytest.mark.parametrize("aspp_rates", [(), (1,), (1, 6, 12, 18)])
def test_every_mixture_of_deeplab_options_is_a_network(decoder: Any, mid_channels: int, encoder: str, aspp_rates: tuple[int, ...]) -> None:
    options = DeepLabOptions.resolve(
        {
            "encoder": encoder,
            "decoder": decoder,
            "mid_channels": mid_channels,
            "aspp_rates": aspp_rates,
            "aspp_channels": 16,
            "decoder_channels": 20,
        }
    )
    with torch.device("meta"):
        network = DeepLab(3, 4, options)
        for size in SIZES:
            assert network(torch.empty(2, 4, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize(("mid_channels", "strides"), [(0, (4, 4)), (32, (8, 4))])
def test_the_first_decoder_convolution_stands_at_stride_8_only_with_a_mid_skip(mid_channels: int, strides: tuple[int, int]) -> None:
    heights = []
    with torch.device("meta"):
        network = DeepLab(3, 3, DeepLabOptions.resolve({"mid_channels": mid_channels}))
        for conv in (network.decoder.inner, network.decoder.outer):
            conv.register_forward_hook(lambda module, inputs, output: heights.append(output.shape[-2]))
        network(torch.empty(2, 3, 96, 64))
    assert tuple(96 // height for height in heights) == strides


@pytest.mark.parametrize("options", [DeepLabOptions.resolve(), DeepLabOptimizedOptions.resolve()])
@pytest.mark.parametrize("channels", [1, 5])
def test_deeplab_takes_odd_sizes_and_any_number_of_channels(options: DeepLabOptions, channels: int, task: Callable[..., Task]) -> None:
    network = deeplab.build(task(7, {"image": channels}), options).eval()
    with torch.inference_mode():
        for size in [(32, 32), (45, 61)]:
            logits = network(torch.randn(1, channels, *size))
            assert logits.shape == (1, 7, *size)
            assert logits.isfinite().all()


def test_deeplab_joins_several_inputs_by_channel(flood_task: Task) -> None:
    with torch.device("meta"):
        assert deeplab.build(flood_task, DeepLabOptions.resolve())(torch.empty(2, 15, 32, 32)).shape == (2, 2, 32, 32)


@pytest.mark.parametrize("kind", [FloodOriginal, FloodEfficient])
@pytest.mark.parametrize(("aspp", "cbam", "dual_decoder"), list(itertools.product([False, True], repeat=3)))
def test_every_mixture_of_flood_options_is_a_network(kind: FloodKind, aspp: bool, cbam: bool, dual_decoder: bool) -> None:
    fusion = "gate" if aspp == cbam else "weighted"
    with torch.device("meta"):
        network = small_flood(kind, aspp=aspp, cbam=cbam, dual_decoder=dual_decoder, fusion=fusion)
        for size in SIZES:
            assert network(torch.empty(2, 2, *size), torch.empty(2, 13, *size)).shape == (2, 2, *size)


@pytest.mark.parametrize("option", ["aspp", "cbam", "dual_decoder"])
@pytest.mark.parametrize("kind", [FloodOriginal, FloodEfficient])
def test_each_flood_block_can_be_switched_off(kind: FloodKind, option: str) -> None:
    with torch.device("meta"):
        with_block, without = (small_flood(kind, **{option: on}) for on in (True, False))
    assert sum(p.numel() for p in with_block.parameters()) > sum(p.numel() for p in without.parameters())


@pytest.mark.parametrize(
    ("kind", "build", "options"),
    [
        (FloodOriginal, flood.build_original, FloodOptions.resolve({"encoder": "resnet18"})),
        (FloodEfficient, flood.build_efficient, FloodEfficientOptions.resolve({"encoder": "efficientnet_b0"})),
    ],
)
def test_flood_networks_give_finite_logits_at_odd_sizes_with_open_attention(
    kind: FloodKind, build: Callable[..., nn.Module], options: FloodOptions, flood_task: Task, perturb: Perturb
) -> None:
    network = perturb(build(flood_task, options)).eval()
    assert isinstance(network, kind)
    with torch.inference_mode():
        for size in [(32, 32), (45, 61)]:
            logits = network(torch.randn(1, 2, *size), torch.randn(1, 13, *size))
            assert logits.shape == (1, 2, *size)
            assert logits.isfinite().all()


@pytest.mark.parametrize("kind", [FloodOriginal, FloodEfficient])
def test_attention_has_no_say_at_first_and_some_once_gamma_moves(kind: FloodKind) -> None:
    network = small_flood(kind).eval()
    inputs = torch.randn(1, 2, 64, 64), torch.randn(1, 13, 64, 64)
    with torch.inference_mode():
        before = network(*inputs)
        for name, parameter in network.named_parameters():
            if ".value." in name:
                parameter.mul_(-3)
        assert torch.equal(network(*inputs), before)
        for name, parameter in network.named_parameters():
            if name.endswith("gamma"):
                parameter.fill_(1.0)
        assert not torch.equal(network(*inputs), before)


def test_flood_images_of_a_batch_do_not_mix() -> None:
    network = small_flood(FloodEfficient).eval()
    sar, optical = torch.randn(3, 2, 64, 64), torch.randn(3, 13, 64, 64)
    with torch.inference_mode():
        together = network(sar, optical)
        alone = torch.cat([network(sar[i : i + 1], optical[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_gate_weighs_the_branches_per_pixel() -> None:
    blend = GatedBlend(1)
    with torch.no_grad():
        blend.gate.weight.zero_()
        blend.gate.bias.fill_(1.0986123)  # type: ignore[union-attr]  # sigmoid(ln 3) = 0.75
    mixed = blend(torch.full((1, 1, 2, 2), 8.0), torch.full((1, 1, 2, 2), 4.0))
    torch.testing.assert_close(mixed, torch.full((1, 1, 2, 2), 7.0))


def test_weight_of_the_cnn_branch_starts_at_the_sigmoid_of_0_7() -> None:
    mixed = WeightedBlend()(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))
    assert mixed.item() == pytest.approx(0.668188, abs=1e-6)


@pytest.mark.parametrize("kind", [DeepLab, FloodOriginal, FloodEfficient])
def test_same_seed_same_weights(kind: type[DeepLab] | FloodKind) -> None:
    def build(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        network = DeepLab(2, 3, DeepLabOptions.resolve()) if kind is DeepLab else small_flood(kind)  # type: ignore[arg-type]
        return network.state_dict()

    first, again, other = build(0), build(0), build(1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("kind", [FloodOriginal, FloodEfficient])
def test_every_parameter_learns_once_gamma_has_moved(kind: FloodKind) -> None:
    torch.manual_seed(0)
    network = small_flood(kind)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    inputs, mask = (torch.randn(2, 2, 64, 64), torch.randn(2, 13, 64, 64)), torch.randint(0, 2, (2, 64, 64))
    for _ in range(2):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(*inputs), mask).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


def test_the_optimized_preset_costs_fewer_products_than_the_original() -> None:
    def products(options: DeepLabOptions) -> int:
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            DeepLab(21, 3, options).eval()(torch.empty(1, 3, 128, 128))
        return int(counter.get_total_flops()) // 2

    assert products(DeepLabOptimizedOptions.resolve()) < products(DeepLabOptions.resolve()) / 4
