"""Published params and multiply-adds, as they stand in their sources.

torchvision: ``num_params`` and ``_ops`` (10**9 multiply-adds) in the metadata of its published weights. The segmentation networks were
counted at 1x3x520x520 with 21 classes and, all but LRASPP, their auxiliary head; the classifiers at the size named.
timm: ``infer_gmacs`` in its table of benchmark results, which are fvcore's totals (norms, activations and pooling included).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

TORCHVISION = "torchvision's weights metadata (num_params, _ops)"
TIMM = "timm's benchmark results (infer_gmacs)"


@dataclass(frozen=True)
class PublishedFigure:
    """A network at a square input, its parameters, and its multiply-adds in units of 10**9 as printed."""

    library: Literal["torchvision", "timm"]
    name: str
    size: int
    params: int
    macs: str
    segments: bool = False


SEGMENTATION = (
    PublishedFigure("torchvision", "lraspp_mobilenet_v3_large", 520, 3_221_538, "2.086", segments=True),
    PublishedFigure("torchvision", "deeplabv3_mobilenet_v3_large", 520, 11_029_328, "10.452", segments=True),
    PublishedFigure("torchvision", "deeplabv3_resnet50", 520, 42_004_074, "178.722", segments=True),
    PublishedFigure("torchvision", "deeplabv3_resnet101", 520, 60_996_202, "258.743", segments=True),
    PublishedFigure("torchvision", "fcn_resnet50", 520, 35_322_218, "152.717", segments=True),
    PublishedFigure("torchvision", "fcn_resnet101", 520, 54_314_346, "232.738", segments=True),
)

ENCODERS = (
    PublishedFigure("torchvision", "resnet18", 224, 11_689_512, "1.814"),
    PublishedFigure("torchvision", "resnet34", 224, 21_797_672, "3.664"),
    PublishedFigure("torchvision", "resnet50", 224, 25_557_032, "4.089"),
    PublishedFigure("torchvision", "resnet101", 224, 44_549_160, "7.801"),
    PublishedFigure("torchvision", "mobilenet_v3_small", 224, 2_542_856, "0.057"),
    PublishedFigure("torchvision", "mobilenet_v3_large", 224, 5_483_032, "0.217"),
    PublishedFigure("torchvision", "mobilenet_v2", 224, 3_504_872, "0.301"),
    PublishedFigure("torchvision", "efficientnet_b0", 224, 5_288_548, "0.386"),
    PublishedFigure("torchvision", "efficientnet_b1", 240, 7_794_184, "0.687"),
)

SAME_IN_TIMM = (
    PublishedFigure("timm", "resnet18", 224, 11_689_512, "1.814"),
    PublishedFigure("timm", "resnet34", 224, 21_797_672, "3.664"),
    PublishedFigure("timm", "resnet50", 224, 25_557_032, "4.089"),
    PublishedFigure("timm", "resnet101", 224, 44_549_160, "7.801"),
    PublishedFigure("timm", "mobilenetv3_small_100", 224, 2_542_856, "0.057"),
    PublishedFigure("timm", "mobilenetv3_large_100", 224, 5_483_032, "0.217"),
    PublishedFigure("timm", "mobilenetv2_100", 224, 3_504_872, "0.301"),
    PublishedFigure("timm", "efficientnet_b0", 224, 5_288_548, "0.386"),
    PublishedFigure("timm", "efficientnet_b1", 240, 7_794_184, "0.687"),
)
"""timm's own code for the same networks: written differently, it must count the same."""

FVCORE_TOTALS = (
    PublishedFigure("timm", "resnet18", 224, 11_689_512, "1.82"),
    PublishedFigure("timm", "resnet34", 224, 21_797_672, "3.67"),
    PublishedFigure("timm", "resnet50", 224, 25_557_032, "4.11"),
    PublishedFigure("timm", "resnet101", 224, 44_549_160, "7.83"),
    PublishedFigure("timm", "mobilenetv3_small_100", 224, 2_542_856, "0.06"),
    PublishedFigure("timm", "mobilenetv3_large_100", 224, 5_483_032, "0.23"),
    PublishedFigure("timm", "mobilenetv2_100", 224, 3_504_872, "0.31"),
    PublishedFigure("timm", "efficientnet_b0", 224, 5_288_548, "0.40"),
    PublishedFigure("timm", "efficientnet_b1", 256, 7_794_184, "0.77"),
)


def shapes_only(entry: PublishedFigure) -> nn.Module:
    """The network on the ``meta`` device, which needs no memory, no time and no download."""
    with torch.device("meta"):
        network = _timm(entry.name) if entry.library == "timm" else _torchvision(entry)
    if not isinstance(network, nn.Module):
        raise TypeError(f"{entry.library} made {type(network).__name__} of '{entry.name}'")
    return network.eval()


def with_zeros(entry: PublishedFigure) -> nn.Module:
    """The network on the CPU, every number in it zero: drawing weights would take longer than the pass."""
    network = shapes_only(entry).to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.zero_()
    return network


def _torchvision(entry: PublishedFigure) -> Any:
    import torchvision

    options: dict[str, Any] = {"weights": None}
    if entry.segments:
        options |= {"weights_backbone": None, "num_classes": 21}
        if not entry.name.startswith("lraspp"):
            options["aux_loss"] = True
    return torchvision.models.get_model(entry.name, **options)


def _timm(name: str) -> Any:
    import timm

    return timm.create_model(name, pretrained=False)
