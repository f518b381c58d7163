"""The error of an object's area, for tasks where how much there is counts more than where (flooded land, cracks)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def area_error(prediction: npt.NDArray[np.int64], mask: npt.NDArray[np.int64], ignore_index: int) -> float:
    """Difference of the areas of all classes but 0, as a share of the labelled pixels; NaN where no pixel is labelled."""
    labelled = mask != ignore_index
    if not labelled.any():
        return float("nan")
    predicted, true = (int((ids[labelled] > 0).sum()) for ids in (prediction, mask))
    return abs(predicted - true) / int(labelled.sum())
