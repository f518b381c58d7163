"""segbench's own rules, and what only this package can know."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch

from segbench import Task
from segbench.testing import AugmentationConformance, DatasetConformance, LossConformance, MetricConformance, ModelConformance
from segbench_example import AREA_ERROR, ROTATE, SMALL, STRIPES, TVERSKY, UNET, TverskyOptions, UnetOptions
from segbench_example.area import area_error
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


class TestAreaError(MetricConformance):
    spec = AREA_ERROR


class TestRotate(AugmentationConformance):
    spec = ROTATE


def test_the_claim_holds() -> None:
    network = build_unet(Task(class_names=("background", "stripe")), UnetOptions())
    assert sum(p.numel() for p in network.parameters()) == SMALL.value


def test_tversky_on_a_pixel_counted_by_hand() -> None:
    # one pixel of class 1 with p = (0.2, 0.8): hit 0.8, missed 0.2, no false positive: 0.8 / (0.8 + 0.7 * 0.2)
    logits = torch.tensor([0.2, 0.8]).log().view(1, 2, 1, 1)
    loss = build_tversky(Task(class_names=("a", "b")), TverskyOptions(alpha=0.3, beta=0.7))
    assert loss(logits, torch.tensor([[[1]]])).item() == pytest.approx(1 - 0.8 / 0.94)


def test_the_error_of_an_area_counted_by_hand() -> None:
    # five labelled pixels, two of them stripe; three are predicted as stripe, and the ignored one does not count
    mask, prediction = np.array([[1, 1, 0, 0, 0, 255]]), np.array([[1, 0, 1, 1, 0, 1]])
    assert area_error(prediction, mask, 255) == pytest.approx(1 / 5)
