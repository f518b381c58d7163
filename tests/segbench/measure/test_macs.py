"""Against what torchvision publishes with its weights, and against hand counts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from segbench.measure import meta_device as _dry_run
from segbench.measure.macs import count_macs, missing_formulas
from segbench.measure.params import count_params

SEGMENTATION = [
    ("lraspp_mobilenet_v3_large", 3_221_538, 2.086, 1.975),
    ("deeplabv3_mobilenet_v3_large", 11_029_328, 10.452, 9.842),
    ("deeplabv3_resnet50", 42_004_074, 178.722, 173.265),
    ("deeplabv3_resnet101", 60_996_202, 258.743, 250.843),
    ("fcn_resnet50", 35_322_218, 152.717, 148.054),
    ("fcn_resnet101", 54_314_346, 232.738, 225.632),
]
ENCODERS = [
    ("resnet18", 224, 11_689_512, 1.814),
    ("resnet34", 224, 21_797_672, 3.664),
    ("resnet50", 224, 25_557_032, 4.089),
    ("resnet101", 224, 44_549_160, 7.801),
    ("mobilenet_v3_small", 224, 2_542_856, 0.057),
    ("mobilenet_v3_large", 224, 5_483_032, 0.217),
    ("mobilenet_v2", 224, 3_504_872, 0.301),
    ("efficientnet_b0", 224, 5_288_548, 0.386),
    ("efficientnet_b1", 240, 7_794_184, 0.687),
    ("efficientnet_b1", 256, 7_794_184, 0.743),
]


def _segmentation_net(name: str) -> nn.Module:
    auxiliary: dict[str, Any] = {} if name.startswith("lraspp") else {"aux_loss": True}
    with torch.device("meta"):
        net = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=21, **auxiliary)
    assert isinstance(net, nn.Module)
    return net


@pytest.mark.parametrize(("name", "params", "published", "at_512"), SEGMENTATION)
def test_torchvision_segmentation_nets_have_their_published_params_and_macs(
    name: str, params: int, published: float, at_512: float
) -> None:
    net = _segmentation_net(name)
    assert count_params(net, parts={}).total == params
    assert round(count_macs(net, (torch.empty(1, 3, 520, 520),)) / 1e9, 3) == published
    assert round(count_macs(net, (torch.empty(1, 3, 512, 512),)) / 1e9, 3) == at_512


@pytest.mark.parametrize(("name", "size", "params", "published"), ENCODERS)
def test_torchvision_encoders_have_their_published_params_and_macs(name: str, size: int, params: int, published: float) -> None:
    with torch.device("meta"):
        net = torchvision.models.get_model(name, weights=None)
    assert count_params(net, parts={}).total == params
    assert round(count_macs(net, (torch.empty(1, 3, size, size),)) / 1e9, 3) == published


def test_a_dry_run_counts_what_a_real_run_counts() -> None:
    net = torchvision.models.mobilenet_v3_small(weights=None).eval()
    image = torch.rand(2, 3, 64, 64)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(image)
    assert count_macs(net, (image,)) == counter.get_total_flops() // 2


def test_a_dry_run_needs_no_memory_and_leaves_the_network_as_it_was() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    # 4 TB of activations on paper
    assert count_macs(net, (torch.empty(1, 3, 500_002, 500_002, device="meta"),)) == 500_000**2 * 4 * 27
    assert net.training
    assert net[1].training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


class _Attention(nn.Module):
    """Queries of width 16 and values of width ``value_width``; SDPA picks its kernel by shapes, device and gradients."""

    def __init__(self, *, masked: bool = False) -> None:
        super().__init__()
        self.masked = masked

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        mask = torch.zeros(query.shape[-2], key.shape[-2], device=query.device) if self.masked else None
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=1.0)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("value_width", [16, 24])
@pytest.mark.parametrize("dry", [True, False])
def test_attention_counts_the_same_whichever_kernel_runs(
    masked: bool, value_width: int, dry: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = (torch.rand(2, 4, 100, 16), torch.rand(2, 4, 50, 16), torch.rand(2, 4, 50, value_width))
    if not dry:
        monkeypatch.setattr("segbench.measure.macs.meta_twin", _refuse)
    assert count_macs(_Attention(masked=masked), inputs) == 2 * 4 * 100 * 50 * (16 + value_width)


def test_the_fused_cpu_kernel_is_counted_even_where_torch_has_no_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.utils import flop_counter

    kernels = [op for op in flop_counter.flop_registry if "scaled_dot_product" in str(op)]
    assert kernels
    for op in kernels:
        monkeypatch.delitem(flop_counter.flop_registry, op)
    monkeypatch.setattr("segbench.measure.macs.meta_twin", _refuse)
    assert torch.ops.aten._scaled_dot_product_flash_attention_for_cpu in missing_formulas()
    inputs = (torch.rand(1, 2, 30, 8), torch.rand(1, 2, 20, 8), torch.rand(1, 2, 20, 8))
    assert count_macs(_Attention(), inputs) == 2 * 30 * 20 * 16


def test_a_transformer_layer_counts_the_same_on_its_fused_path(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.TransformerEncoderLayer(32, 4, dim_feedforward=64, batch_first=True).eval()
    tokens = torch.rand(2, 10, 32)
    # projections in and out, scores and values, two feed-forward layers
    by_hand = 20 * 32 * 96 + 20 * 32 * 32 + 2 * 4 * 10 * 10 * (8 + 8) + 2 * 20 * 32 * 64
    assert count_macs(layer, (tokens,)) == by_hand
    monkeypatch.setattr("segbench.measure.macs.meta_twin", _refuse)
    assert count_macs(layer, (tokens,)) == by_hand
    assert torch.backends.mha.get_fastpath_enabled()


class _Products(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
        base = torch.zeros(a.shape[1], b.shape[2], device=a.device)
        return (
            torch.bmm(a, b),
            torch.baddbmm(base, a, b),
            torch.addbmm(base, a, b),
            torch.addmm(base, a[0], b[0]),
            torch.einsum("nik,nkj->nij", a, b),
            torch.mv(a[0], b[0, :, 0]),
            torch.addmv(base[:, 0], a[0], b[0, :, 0]),
            torch.dot(a[0, 0], b[0, :, 0]),
        )


def test_every_kind_of_matrix_product_is_counted() -> None:
    n, i, k, j = 3, 5, 7, 11
    full = n * i * k * j
    expected = full + full + full + i * k * j + full + i * k + i * k + k
    assert count_macs(_Products(), (torch.rand(n, i, k), torch.rand(n, k, j))) == expected


def test_convolutions_grouped_dilated_and_transposed_match_a_hand_count() -> None:
    net = nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=2, dilation=2, groups=4),  # 16x16: 8 * 1 * 9 per pixel
        nn.ConvTranspose2d(8, 6, 2, stride=2),  # each of 16x16 inputs: 8 * 6 * 4
        nn.Conv2d(6, 2, 1),  # 32x32: 12 per pixel
    )
    assert count_macs(net, (torch.rand(1, 4, 16, 16),)) == 256 * 72 + 256 * 192 + 1024 * 12


def test_deformable_convolution_counts_as_a_convolution() -> None:
    class Deformable(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torchvision.ops.DeformConv2d(4, 6, 3, padding=1)

        def forward(self, image: Tensor) -> Tensor:
            out = self.conv(image, image.new_zeros(len(image), 18, *image.shape[2:]))
            assert isinstance(out, Tensor)
            return out

    assert count_macs(Deformable(), (torch.rand(2, 4, 8, 8),)) == 2 * 64 * 6 * 4 * 9


def test_a_network_whose_path_depends_on_values_is_run_for_real() -> None:
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 1, bias=False)

        def forward(self, image: Tensor) -> Tensor:
            out = self.conv(image)
            assert isinstance(out, Tensor)
            return out if image.max() > 0.5 else self.conv(out)

    assert count_macs(Gate(), (torch.ones(1, 1, 4, 4),)) == 16
    assert count_macs(Gate(), (torch.zeros(1, 1, 4, 4),)) == 32


def test_a_tensor_that_is_no_buffer_does_not_stop_the_count() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Linear(3, 3)
            self.shift = torch.ones(3)

        def forward(self, x: Tensor) -> Tensor:
            return torch.as_tensor(self.weight(x) + self.shift)

    assert count_macs(Plain(), (torch.rand(2, 3),)) == 18


def test_a_fault_of_the_network_itself_is_raised() -> None:
    with pytest.raises(RuntimeError, match="expected input"):
        count_macs(nn.Conv2d(3, 1, 1), (torch.rand(1, 4, 8, 8),))


def test_the_twin_shares_what_the_network_shares_and_copies_no_weight() -> None:
    shared = nn.Linear(4, 4)
    net = nn.Sequential(shared, nn.ReLU(), shared)
    twin = _dry_run.meta_twin(net)
    assert isinstance(twin, nn.Sequential)
    assert twin[0] is twin[2]
    assert all(parameter.device.type == "meta" for parameter in twin.parameters())
    assert all(parameter.device.type == "cpu" for parameter in net.parameters())


def _refuse(network: nn.Module) -> nn.Module:
    raise RuntimeError("no dry run in this test")
