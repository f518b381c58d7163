"""Dice coefficient from confusion matrices (Dice 1945, Ecology 26 (3)); per class it is the F1 score of its pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def mean_dice(matrices: npt.NDArray[np.int64]) -> float:
    """Mean over the classes with label pixels, of matrices (N, K, K) with rows = label; NaN where no pixel has a label.

    >>> mean_dice(np.array([[[3, 1], [0, 0]], [[0, 0], [1, 3]]]))
    0.75
    """
    total = matrices.sum(axis=0)
    labelled, predicted = total.sum(axis=1), total.sum(axis=0)
    present = labelled > 0
    if not present.any():
        return float("nan")
    return float((2 * np.diagonal(total)[present] / (labelled + predicted)[present]).mean())
