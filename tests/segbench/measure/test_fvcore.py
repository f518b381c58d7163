"""fvcore's totals of reference nets, as measured once with fvcore itself (and as timm publishes them)."""

from __future__ import annotations

import logging
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from segbench.measure.fvcore import count_fvcore

SEGMENTATION = [
    ("lraspp_mobilenet_v3_large", 2.175),
    ("deeplabv3_mobilenet_v3_large", 10.566),
    pytest.param("deeplabv3_resnet50", 179.067, marks=pytest.mark.slow),
    pytest.param("deeplabv3_resnet101", 259.309, marks=pytest.mark.slow),
    pytest.param("fcn_resnet50", 153.040, marks=pytest.mark.slow),
    pytest.param("fcn_resnet101", 233.282, marks=pytest.mark.slow),
]
ENCODERS = [
    ("resnet18", 224, 1.819),
    ("resnet34", 224, 3.671),
    ("resnet50", 224, 4.112),
    ("mobilenet_v3_small", 224, 0.060),
    ("mobilenet_v3_large", 224, 0.226),
    ("mobilenet_v2", 224, 0.314),
    ("efficientnet_b0", 224, 0.402),
    ("efficientnet_b1", 240, 0.713),
]


@pytest.mark.parametrize(("name", "total"), SEGMENTATION)
def test_totals_of_torchvision_segmentation_nets(name: str, total: float) -> None:
    auxiliary: dict[str, Any] = {} if name.startswith("lraspp") else {"aux_loss": True}
    net = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=21, **auxiliary)
    count = count_fvcore(net, (torch.zeros(1, 3, 520, 520),))
    assert count.error is None
    assert count.flops is not None
    assert round(count.flops / 1e9, 3) == total


@pytest.mark.parametrize(("name", "size", "total"), ENCODERS)
def test_totals_of_torchvision_encoders(name: str, size: int, total: float) -> None:
    count = count_fvcore(torchvision.models.get_model(name, weights=None), (torch.zeros(1, 3, size, size),))
    assert count.flops is not None
    assert round(count.flops / 1e9, 3) == total


def test_what_fvcore_cannot_count_is_named_and_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.SiLU(), nn.Hardswish(), nn.SiLU())
    net.register_module("never_called", nn.Identity())
    with caplog.at_level(logging.DEBUG):
        count = count_fvcore(net, (torch.zeros(1, 3, 4, 4),))
    assert count.uncounted_ops == {"aten::hardswish": 1, "aten::silu": 2}
    assert caplog.records == []


class _Attention(nn.Module):
    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value)


@pytest.mark.parametrize("value_width", [16, 24])
def test_fused_attention_is_counted_not_skipped(value_width: int) -> None:
    inputs = (torch.rand(2, 4, 100, 16), torch.rand(2, 4, 50, 16), torch.rand(2, 4, 50, value_width))
    count = count_fvcore(_Attention(), inputs)
    assert count.flops == 2 * 4 * 100 * 50 * (16 + value_width)
    assert count.uncounted_ops == {}


@pytest.mark.parametrize("kind", ["mapping", "object", "nested"])
def test_any_output_that_a_model_may_return_can_be_traced(kind: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 1)

        def forward(self, image: Tensor) -> Any:
            logits = self.conv(image)
            shapes = {"mapping": OrderedDict(out=logits), "object": SimpleNamespace(logits=logits, loss=None), "nested": [(logits,)]}
            return shapes[kind]

    assert count_fvcore(Net(), (torch.zeros(1, 1, 4, 4),)).flops == 32


def test_where_tracing_fails_there_is_a_reason_and_no_number() -> None:
    class Broken(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            raise RuntimeError("this network\ncannot be traced")

    count = count_fvcore(Broken(), (torch.zeros(1, 1, 4, 4),))
    assert (count.flops, count.uncounted_ops) == (None, None)
    assert count.error == "RuntimeError: this network"


def test_counting_leaves_training_mode_and_running_statistics_alone() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).train()
    count_fvcore(net, (torch.rand(2, 1, 4, 4),))
    assert net[1].training
    assert int(net[1].get_buffer("num_batches_tracked")) == 0
