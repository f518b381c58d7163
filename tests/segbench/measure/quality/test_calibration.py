"""Calibration against a loop over pixels and against torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from segbench.measure.quality.calibration import BINS, confidence_sums, expected_calibration_error, highest_probability, reliability


def scene(seed: int, classes: int = 4, size: tuple[int, int] = (20, 30)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(classes, *size, generator=generator)
    mask = torch.randint(0, classes, size, generator=generator)
    mask = torch.where(torch.rand(size, generator=generator) < 0.5, logits.argmax(0), mask)
    mask[torch.rand(size, generator=generator) < 0.1] = 255
    return logits, mask


def sums(logits: Tensor, mask: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    probabilities, predicted = logits.softmax(dim=0).max(dim=0)
    return confidence_sums(probabilities, predicted, mask, ignore_index=255).numpy()


def test_sums_are_those_of_a_loop_over_valid_pixels() -> None:
    logits, mask = scene(0)
    expected = np.zeros((3, BINS))
    probabilities = torch.softmax(logits, 0).flatten(1).T.tolist()
    for probability, label in zip(probabilities, mask.flatten().tolist(), strict=True):
        if label == 255:
            continue
        place = min(int(max(probability) * BINS), BINS - 1)
        expected[:, place] += [1, probability.index(max(probability)) == label, max(probability)]
    found = sums(logits, mask)
    assert (found[:2] == expected[:2]).all()
    assert found[2] == pytest.approx(expected[2], rel=1e-6)


def test_the_error_of_several_images_is_torchmetrics_on_all_their_pixels() -> None:
    scenes = [scene(seed) for seed in range(5)]
    found = expected_calibration_error(np.stack([sums(*one) for one in scenes]))
    logits = torch.stack([logits for logits, _ in scenes])
    masks = torch.stack([mask for _, mask in scenes])
    theirs = multiclass_calibration_error(logits, masks, num_classes=4, n_bins=BINS, norm="l1", ignore_index=255)
    assert found == pytest.approx(float(theirs), abs=1e-6)


@pytest.mark.parametrize("size", [(20, 30), (97, 5), (32, 8)])
def test_the_probability_of_the_prediction_is_softmaxs_also_for_large_logits(size: tuple[int, int]) -> None:
    logits, _ = scene(3, size=size)
    logits[:, :5] *= 200
    found = highest_probability(logits, logits.max(dim=0).values)
    torch.testing.assert_close(found, logits.softmax(dim=0).max(dim=0).values)


def test_a_hand_made_case() -> None:
    # bin 11 (0.733 to 0.8): two pixels of 0.75, one right: off by 0.25; bin 14: two of 1.0, both right: off by 0
    confidence = torch.tensor([[0.75, 0.75], [1.0, 1.0]])
    found = confidence_sums(confidence, torch.tensor([[0, 1], [1, 0]]), torch.tensor([[0, 0], [1, 0]]), ignore_index=255).numpy()[None]
    assert expected_calibration_error(found) == pytest.approx((2 * 0.25 + 2 * 0.0) / 4)
    curve = reliability(found)
    assert [(row.count, row.confidence, row.accuracy) for row in curve if row.count] == [(2, 0.75, 0.5), (2, 1.0, 1.0)]
    assert sum(row.confidence is None for row in curve) == BINS - 2


def test_without_a_valid_pixel_there_is_none() -> None:
    logits, mask = scene(0)
    assert expected_calibration_error(sums(logits, torch.full_like(mask, 255))[None]) is None
