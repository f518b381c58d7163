"""Confusion matrices against torchmetrics' on the same predictions: run with ``pytest tests/benchmarks --benchmark-only``.

Measured on two cores of a Xeon at 8 x 360 x 480 pixels and 21 classes: 54 ms there, 4 ms here.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from segbench.measure.quality.confusion import confusion_matrices

CLASSES = 21
IGNORE = 255
FASTER = 8


@pytest.fixture(scope="module", params=["blocks", "noise"])
def pair(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor]:
    """Prediction and mask (8, 360, 480): large areas as in real labels, or noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = (12, 16) if request.param == "blocks" else (360, 480)
    mask = torch.randint(0, CLASSES, (8, 1, *coarse), generator=generator)
    mask = torch.nn.functional.interpolate(mask.float(), size=(360, 480)).long().squeeze(1)
    prediction = torch.roll(mask, (3, 4), (1, 2))
    mask[:, :8] = IGNORE
    return prediction, mask


def _ours(prediction: Tensor, mask: Tensor) -> Tensor:
    return confusion_matrices(prediction, mask, num_classes=CLASSES, ignore_index=IGNORE)


def _theirs(prediction: Tensor, mask: Tensor) -> Tensor:
    images = zip(prediction, mask, strict=True)
    return torch.stack([multiclass_confusion_matrix(p, m, CLASSES, ignore_index=IGNORE) for p, m in images])


def test_equal_to_torchmetrics_at_full_size(pair: tuple[Tensor, Tensor]) -> None:
    assert torch.equal(_ours(*pair), _theirs(*pair))


def test_eight_times_faster_than_torchmetrics(benchmark: BenchmarkFixture, pair: tuple[Tensor, Tensor]) -> None:
    benchmark(_ours, *pair)
    ratios = sorted(_seconds(_theirs, pair) / _seconds(_ours, pair) for _ in range(15))
    benchmark.extra_info["times faster than torchmetrics, median of 15 pairs"] = ratios[7]
    assert ratios[7] >= FASTER


def _seconds(count: Callable[[Tensor, Tensor], Tensor], pair: tuple[Tensor, Tensor]) -> float:
    start = time.perf_counter()
    count(*pair)
    return time.perf_counter() - start
