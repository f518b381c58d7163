"""Flood mapping from radar and optical images together: a shared encoder, two decoders, and a fusion of their logits.

``flood-original`` carries ASPP (Chen et al. 2017), CBAM (Woo et al. 2018) and non-local attention (Wang et al. 2018);
``flood-efficient`` replaces them by lighter parts. Counts of parameters are in the tests.

Both are a reconstruction: the guide that compares such a pair describes it in words and gives no code of any layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from segbench_plugins.models.aspp import ASPP
from segbench_plugins.models.attention import CBAM, EfficientAttention, NonLocalAttention
from segbench_plugins.models.encoders import FLOOD_STRIDES, create_encoder
from segbench_plugins.models.layers import Up, cbr, resize

if TYPE_CHECKING:
    from segbench import Task
    from segbench_plugins.models import FloodOptions

_FUSED = 512


class FloodNet(nn.Module):
    """sar (N, C1, H, W), optical (N, C2, H, W) -> logits (N, K, H, W), for H and W of at least 32.

    Subclasses fill in ``context`` (both inputs' features to one map at stride 32), ``decoder`` (branches from there: "cnn" to half the
    input's size, and perhaps "transformer" to a size of its own) and ``head`` (the branches' maps to logits: all that knows classes).
    """

    context: nn.Module
    head: nn.Module

    def __init__(self, sar: int, optical: int, options: FloodOptions) -> None:
        super().__init__()
        self.project_sar = nn.Conv2d(sar, 3, 1, bias=False)
        self.project_optical = nn.Conv2d(optical, 3, 1, bias=False)
        self.encoder, (deep,) = create_encoder(options, 3, strides=FLOOD_STRIDES)
        self.encoded = 2 * deep
        self.decoder = nn.ModuleDict()

    def forward(self, sar: Tensor, optical: Tensor) -> Tensor:
        maps = self.context(self._encode(sar, optical))
        return resize(self.head(*(branch(maps) for branch in self.decoder.values())), sar)

    def _encode(self, sar: Tensor, optical: Tensor) -> Tensor:
        # One pass over both: BatchNorm then trains on the mixture of the two that it will meet in evaluation.
        both = torch.cat([self.project_sar(sar), self.project_optical(optical)])
        features = self.encoder(both)[-1]
        return torch.cat([features[: sar.shape[0]], features[sar.shape[0] :]], 1)


class FloodOriginal(FloodNet):
    """The network with ASPP, CBAM and non-local attention."""

    def __init__(self, num_classes: int, sar: int, optical: int, options: FloodOptions) -> None:
        super().__init__(sar, optical, options)
        self.context = nn.Sequential(cbr(self.encoded, 1024, 1), cbr(1024, _FUSED, 1), *_gates(options), *_aspp(options))
        self.decoder["cnn"] = nn.Sequential(*_ups(_FUSED, (256, 128, 64, 32), bias=True))
        if options.dual_decoder:
            attended = [*_ups(_FUSED, (256, 256), bias=True), NonLocalAttention(256)]
            self.decoder["transformer"] = nn.Sequential(*attended, *_ups(256, (128, 64, 32), bias=True))
        refine = [cbr(num_classes, 16), cbr(16, 8), nn.Conv2d(8, num_classes, 1)]
        self.head = FusionHead(num_classes, 32, options, refine=nn.Sequential(*refine))


class FloodEfficient(FloodNet):
    """The lighter network: pooled attention, one 1x1 fusion, no ASPP and no CBAM unless asked for."""

    def __init__(self, num_classes: int, sar: int, optical: int, options: FloodOptions) -> None:
        super().__init__(sar, optical, options)
        self.context = nn.Sequential(cbr(self.encoded, _FUSED, 1), nn.Dropout2d(0.1), *_gates(options), *_aspp(options))
        attended = [Up(_FUSED, 256, bias=False), EfficientAttention(256, reduction=8), *_ups(256, (128, 64, 32), bias=False)]
        self.decoder["cnn"] = nn.Sequential(*attended, cbr(32, 16), nn.Dropout2d(0.2))
        if options.dual_decoder:
            attended = [cbr(_FUSED, 256, 1), EfficientAttention(256, reduction=4)]
            self.decoder["transformer"] = nn.Sequential(*attended, *_ups(256, (128, 64, 32), bias=False))
        refine = [cbr(num_classes, 16), nn.Conv2d(16, num_classes, 1)]
        self.head = FusionHead(num_classes, 16, options, refine=nn.Sequential(*refine))


class FusionHead(nn.Module):
    """Classifies each branch's map, fuses the logits at the size of the first, and refines them there."""

    def __init__(self, num_classes: int, channels: int, options: FloodOptions, *, refine: nn.Module) -> None:
        super().__init__()
        self.cnn = nn.Conv2d(channels, num_classes, 1)
        if options.dual_decoder:
            self.transformer = nn.Conv2d(32, num_classes, 1)
            self.blend = GatedBlend(num_classes) if options.fusion == "gate" else WeightedBlend()
        self.refine = refine

    def forward(self, cnn: Tensor, transformer: Tensor | None = None) -> Tensor:
        maps = self.cnn(cnn)
        if transformer is not None:
            maps = self.blend(maps, resize(self.transformer(transformer), maps))
        logits: Tensor = self.refine(maps)
        return logits


class GatedBlend(nn.Module):
    """``g * cnn + (1 - g) * transformer`` with a gate per pixel from a 1x1 convolution on both; all (N, K, H, W)."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(2 * num_classes, 1, 1)

    def forward(self, cnn: Tensor, transformer: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(torch.cat([cnn, transformer], 1)))
        return gate * cnn + (1 - gate) * transformer


class WeightedBlend(nn.Module):
    """``w * cnn + (1 - w) * transformer`` with one learnt weight for all pixels: the sigmoid of a scalar that starts at 0.7."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.7]))

    def forward(self, cnn: Tensor, transformer: Tensor) -> Tensor:
        weight = torch.sigmoid(self.weight)
        return weight * cnn + (1 - weight) * transformer


def build_original(task: Task, options: FloodOptions) -> FloodOriginal:
    """``flood-original`` for a task with the inputs sar and optical."""
    return FloodOriginal(task.num_classes, task.inputs["sar"], task.inputs["optical"], options)


def build_efficient(task: Task, options: FloodOptions) -> FloodEfficient:
    """``flood-efficient`` for a task with the inputs sar and optical."""
    return FloodEfficient(task.num_classes, task.inputs["sar"], task.inputs["optical"], options)


def _gates(options: FloodOptions) -> list[nn.Module]:
    return [CBAM(_FUSED)] if options.cbam else []


def _aspp(options: FloodOptions) -> list[nn.Module]:
    if not options.aspp:
        return []
    return [ASPP(_FUSED, _FUSED, rates=(1, 6, 12, 18), dropout=nn.Dropout2d(0.1)), *_gates(options)]


def _ups(inputs: int, outputs: Sequence[int], *, bias: bool) -> list[nn.Module]:
    return [Up(i, o, bias=bias) for i, o in zip((inputs, *outputs[:-1]), outputs, strict=True)]
