"""segbench's own rules, and what only this package can know."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from segbench import Task
from segbench.testing import DatasetConformance, LossConformance, ModelConformance
from segbench_example import SMALL, STRIPES, TVERSKY, UNET, TverskyOptions, UnetOptions
from segbench_example.tversky import build as build_tversky
from segbench_example.unet import build as build_unet


class TestUnet(ModelConformance):
    spec = UNET
    options: ClassVar = {"channels": 4}


class TestTversky(LossConformance):
    spec = TVERSKY


class TestStripes(DatasetConformance):
    spec = STRIPES
    options: ClassVar = {"samples": 6, "size": 32}


def test_the_claim_holds() -> None:
    network = build_unet(Task(class_names=("background", "stripe")), UnetOptions())
    assert sum(p.numel() for p in network.parameters()) == SMALL.value


def test_tversky_on_a_pixel_counted_by_hand() -> None:
    # one pixel of class 1 with p = (0.2, 0.8): hit 0.8, missed 0.2, no false positive: 0.8 / (0.8 + 0.7 * 0.2)
    logits = torch.tensor([0.2, 0.8]).log().view(1, 2, 1, 1)
    loss = build_tversky(Task(class_names=("a", "b")), TverskyOptions(alpha=0.3, beta=0.7))
    assert loss(logits, torch.tensor([[[1]]])).item() == pytest.approx(1 - 0.8 / 0.94)
