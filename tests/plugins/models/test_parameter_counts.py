"""Every parameter count of the architecture tables. The networks are built without values, which costs nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from segbench_plugins.models import DeepLabOptimizedOptions, DeepLabOptions, FloodEfficientOptions, FloodOptions
from segbench_plugins.models.deeplab import DeepLab
from segbench_plugins.models.flood import FloodEfficient, FloodOriginal


def count(build: type[nn.Module], *arguments: Any) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in build(*arguments).parameters())


@pytest.mark.parametrize(
    ("options", "parameters", "megabytes"),
    [(DeepLabOptions.resolve(), 6_831_509, 26.06), (DeepLabOptimizedOptions.resolve(), 2_517_493, 9.60)],
)
def test_deeplab_presets_have_the_published_size(options: DeepLabOptions, parameters: int, megabytes: float) -> None:
    counted = count(DeepLab, 21, 3, options)
    assert counted == parameters
    assert round(counted * 4 / 2**20, 2) == megabytes


def test_the_deeplab_encoder_has_its_known_size() -> None:
    with torch.device("meta"):
        encoder = DeepLab(21, 3, DeepLabOptions.resolve()).get_submodule("encoder")
    assert sum(p.numel() for p in encoder.parameters()) == 927_008


@pytest.mark.parametrize("channels", [1, 2, 5, 15])
def test_deeplab_grows_only_in_its_first_convolution_with_more_channels(channels: int) -> None:
    # mobilenetv3_small starts with a 3x3 convolution to 16 channels
    assert count(DeepLab, 21, channels, DeepLabOptions.resolve()) == 6_831_509 + (channels - 3) * 16 * 9


@pytest.mark.parametrize(
    ("num_classes", "sar", "optical", "parameters"),
    [(1, 1, 1, 43_272_089), (2, 1, 1, 43_272_310), (2, 2, 13, 43_272_349)],
)
def test_flood_original(num_classes: int, sar: int, optical: int, parameters: int) -> None:
    assert count(FloodOriginal, num_classes, sar, optical, FloodOptions.resolve()) == parameters


@pytest.mark.parametrize(
    ("encoder", "parameters"),
    [
        ("resnet34", 24_952_879),
        ("resnet18", 14_844_719),
        ("resnet50", 28_749_103),
        ("efficientnet_b0", 7_066_987),
        ("efficientnet_b1", 9_572_623),
    ],
)
def test_flood_efficient(encoder: str, parameters: int) -> None:
    assert count(FloodEfficient, 2, 1, 1, FloodEfficientOptions.resolve({"encoder": encoder})) == parameters


def test_flood_efficient_on_radar_pairs_and_thirteen_bands() -> None:
    assert count(FloodEfficient, 2, 2, 13, FloodEfficientOptions.resolve()) == 24_952_918


def test_resnet34_alone_exceeds_the_published_size_of_the_efficient_model() -> None:
    with torch.device("meta"):
        encoder = FloodEfficient(2, 1, 1, FloodEfficientOptions.resolve()).get_submodule("encoder")
    assert sum(p.numel() for p in encoder.parameters()) == 21_284_672
