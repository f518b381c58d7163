"""Calibration: does a network that says 80 % hit 80 % of the time? Expected calibration error and the curve behind it.

Pixels are sorted by the highest softmax probability into 15 bins of equal width; the error is the mean over pixels of the distance
between the bin's mean confidence and its share of right pixels (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segbench.results import ReliabilityBin

BINS = 15

Floats = npt.NDArray[np.float64]


def confidence_sums(confidence: Tensor, predicted: Tensor, mask: Tensor, *, ignore_index: int) -> Tensor:
    """Of one image: (3, 15) float64 on the CPU, in each bin the valid pixels, the right ones, and the sum of their confidences.

    ``confidence`` (H, W) is the probability of the ``predicted`` class (H, W). Whole numbers are exact; the confidences are summed pixel by
    pixel in one order, so that no sum depends on what else was evaluated.
    """
    # right and wrong pixels of a bin are counted apart; ignored ones go to a row of their own
    row = torch.where(mask == ignore_index, 2, (predicted == mask).long())
    place = (row * BINS + (confidence * BINS).long().clamp_(0, BINS - 1)).flatten().cpu()
    pixels = torch.bincount(place, minlength=3 * BINS)[: 2 * BINS].view(2, BINS).double()
    confident = torch.bincount(place, weights=confidence.double().flatten().cpu(), minlength=3 * BINS)[: 2 * BINS].view(2, BINS)
    return torch.stack([pixels.sum(0), pixels[1], confident.sum(0)])


def reliability(sums: Floats) -> list[ReliabilityBin]:
    """The reliability curve of a split from its images' sums (N, 3, 15)."""
    pixels, right, confidence = sums.sum(axis=0)
    return [
        ReliabilityBin(count=int(n), confidence=float(c / n) if n else None, accuracy=float(r / n) if n else None)
        for n, r, c in zip(pixels, right, confidence, strict=True)
    ]


def expected_calibration_error(sums: Floats) -> float | None:
    """The error from 0 to 1; None without a valid pixel."""
    pixels, right, confidence = sums.sum(axis=0)
    return float(np.abs(right - confidence).sum() / pixels.sum()) if pixels.sum() else None
