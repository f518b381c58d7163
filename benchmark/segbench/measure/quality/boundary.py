"""Boundary IoU (Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021, section 4).

IoU of the two masks' inner boundary regions: the pixels of a mask at most d pixels (chessboard distance, as repeated 3x3 erosions count)
from its contour, where d is 2 % of the image's diagonal. What lies outside the image belongs to no mask, as in the authors' code.

Ignored pixels belong to no class, in the prediction as in the label: both masks are cut there before their contours are drawn, so that
along ignored areas both have the same contour. Uncut, the prediction's contours are drawn on all of it, and only then its ignored pixels
are left out, as the authors' evaluation of panoptic segmentation does. It is lower: along ignored areas the label has contours that a
prediction cannot have.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

RATIO = 0.02


def boundary_counts(prediction: Tensor, mask: Tensor, *, num_classes: int, ignore_index: int, cut: bool = True) -> Tensor:
    """Of one image (H, W): (2, K) int64 on the CPU, pixels in the intersection and in the union of each class's boundary regions.

    ``cut``: ignored pixels are cut out of the prediction before its contours are drawn, else after.

    >>> mask = torch.tensor([[0, 0, 1, 1]])
    >>> boundary_counts(torch.tensor([[0, 1, 1, 1]]), mask, num_classes=2, ignore_index=255).tolist()
    [[1, 2], [2, 3]]
    """
    reach = boundary_distance(mask.shape[0], mask.shape[1])
    small = torch.uint8 if num_classes < 256 else torch.int32  # one byte a pixel: four times as fast as eight
    ignored = mask == ignore_index
    labels = mask.to(small).masked_fill_(ignored, num_classes)
    whole = prediction.to(labels.device, small)
    predicted = whole.masked_fill(ignored, num_classes)
    in_label, in_prediction = is_boundary(labels, reach), is_boundary(predicted if cut else whole, reach)
    both = in_label & in_prediction & (labels == predicted)
    shared, labelled, predicted_counts = (
        torch.bincount(values.masked_fill(~region, num_classes).flatten(), minlength=num_classes + 1)[:num_classes]
        for values, region in ((labels, both), (labels, in_label), (predicted, in_prediction))
    )
    return torch.stack([shared, labelled + predicted_counts - shared]).cpu()


def boundary_distance(height: int, width: int) -> int:
    """The number of pixels that a boundary region reaches inwards.

    >>> boundary_distance(360, 480), boundary_distance(10, 10)
    (12, 1)
    """
    return max(1, round(RATIO * math.hypot(height, width)))


def is_boundary(labels: Tensor, reach: int) -> Tensor:
    """True where the window of ``reach`` pixels to each side holds another label, or leaves the image: (H, W) bool.

    A window holds one label only where no two neighbours in it differ, so that one pass serves all classes.
    """
    height, width = labels.shape
    boundary = torch.ones(height, width, dtype=torch.bool, device=labels.device)
    side = 2 * reach + 1
    if min(height, width) < side:
        return boundary
    across = _any_of(_any_of(labels[:, 1:] != labels[:, :-1], side, dim=0), side - 1, dim=1)
    down = _any_of(_any_of(labels[1:] != labels[:-1], side - 1, dim=0), side, dim=1)
    boundary[reach : height - reach, reach : width - reach] = across | down
    return boundary


def boundary_iou(counts: npt.NDArray[np.int64], labelled: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Boundary IoU of each class over a split, from counts (N, 2, K) summed over its images; NaN for classes that are not ``labelled``."""
    shared, union = counts.sum(axis=0)
    iou: npt.NDArray[np.float64] = np.divide(shared, union, out=np.full(len(shared), np.nan), where=labelled & (union > 0))
    return iou


def _any_of(flags: Tensor, length: int, *, dim: int) -> Tensor:
    """True where any of ``length`` consecutive flags along ``dim`` is set, doubling the stretch at each step."""
    reached = 1
    while reached < length:
        step = min(reached, length - reached)
        new_length = flags.shape[dim] - step
        flags = flags.narrow(dim, 0, new_length) | flags.narrow(dim, step, new_length)
        reached += step
    return flags
