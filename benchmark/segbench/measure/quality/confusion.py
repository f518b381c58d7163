"""One int64 confusion matrix per image, rows = label, columns = prediction: every quality score comes from these."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segbench.errors import DataError

Integers = npt.NDArray[np.integer[Any]]

# Labels further apart than this (an ignore_index of -100000, say) are sorted out first, so that no table of counts grows with them.
_MAX_SPAN = 1024


def confusion_matrix(prediction: Tensor, mask: Tensor, *, num_classes: int, ignore_index: int) -> Tensor:
    """The (K, K) int64 matrix of one image; see :func:`confusion_matrices`.

    >>> mask = torch.tensor([[0, 0, 1, 255]])
    >>> confusion_matrix(torch.tensor([[0, 1, 1, 1]]), mask, num_classes=2, ignore_index=255).tolist()
    [[1, 1], [0, 1]]
    """
    return confusion_matrices(prediction[None], mask[None], num_classes=num_classes, ignore_index=ignore_index)[0]


def confusion_matrices(prediction: Tensor, mask: Tensor, *, num_classes: int, ignore_index: int) -> Tensor:
    """Count label against prediction in each image: (N, K, K) int64 on the CPU, where pixels labelled ``ignore_index`` count nowhere.

    ``prediction`` (N, H, W) holds integers in ``0 .. num_classes - 1`` (an argmax); this is not checked. ``mask`` (N, H, W) holds
    labels. Both are on one device, any integer dtype. A label that is neither a class nor ``ignore_index`` raises
    :class:`DataError`.
    """
    if prediction.shape != mask.shape:
        raise ValueError(f"prediction {tuple(prediction.shape)} and mask {tuple(mask.shape)} differ in shape")
    if mask.numel() == 0:
        return torch.zeros(len(mask), num_classes, num_classes, dtype=torch.int64)
    if mask.device.type != "cpu":
        return _count_on_device(prediction, mask, num_classes=num_classes, ignore_index=ignore_index)
    # numpy and one image at a time: the codes stay in the cache, and no thread pool competes with the loader's workers.
    counted = np.empty((len(mask), num_classes, num_classes), dtype=np.int64)
    for image, (predicted, labels) in enumerate(zip(prediction.numpy(), mask.numpy(), strict=True)):
        counted[image] = _count(predicted, labels, num_classes, ignore_index)
    return torch.from_numpy(counted)


def require_labels(mask: Tensor, *, num_classes: int, ignore_index: int) -> None:
    """Raise :class:`DataError` for labels (of any shape) that are neither a class nor ``ignore_index``."""
    unknown = mask[((mask < 0) | (mask >= num_classes)) & (mask != ignore_index)]
    if unknown.numel():
        raise _unknown_labels_error(torch.unique(unknown).tolist(), num_classes, ignore_index)


def _count(predicted: Integers, labels: Integers, num_classes: int, ignore_index: int) -> Integers:
    """One image: label and prediction become one number, and those are counted."""
    lowest, highest = int(labels.min()), int(labels.max())
    if highest - lowest >= _MAX_SPAN:
        predicted, labels = _without_ignored(predicted, labels, num_classes, ignore_index)
        lowest, highest = 0, num_classes - 1
    first = min(lowest, 0)
    rows = max(highest + 1, num_classes) - first
    codes = np.multiply(labels, num_classes, dtype=np.int64)
    codes += predicted
    if first < 0:
        codes -= first * num_classes
    table = np.bincount(codes.ravel(), minlength=rows * num_classes).reshape(rows, num_classes)
    # rows beyond the classes hold the ignored pixels, or a mistake
    _refuse_unknown_labels(table, first=first, num_classes=num_classes, ignore_index=ignore_index)
    return table[-first : num_classes - first]


def _count_on_device(prediction: Tensor, mask: Tensor, *, num_classes: int, ignore_index: int) -> Tensor:
    """All images in one histogram: on a GPU launches and copies cost more than counting."""
    valid = mask != ignore_index
    labels = torch.where(valid, mask, num_classes).long()
    lowest, highest = (int(v) for v in torch.stack(torch.aminmax(labels)).tolist())
    if lowest < 0 or highest > num_classes:
        unknown = labels[(labels < 0) | (labels > num_classes)]
        raise _unknown_labels_error(torch.unique(unknown).tolist(), num_classes, ignore_index)
    if bool((valid & (labels == num_classes)).any()):
        raise _unknown_labels_error([num_classes], num_classes, ignore_index)
    rows = num_classes + 1
    image = torch.arange(len(mask), device=mask.device).view(-1, *[1] * (mask.dim() - 1))
    codes = (image * rows + labels) * num_classes + prediction
    table = torch.bincount(codes.flatten(), minlength=len(mask) * rows * num_classes)
    return table.view(len(mask), rows, num_classes)[:, :num_classes].cpu()


def _without_ignored(predicted: Integers, labels: Integers, num_classes: int, ignore_index: int) -> tuple[Integers, Integers]:
    valid = labels != ignore_index
    valid_labels = labels[valid].astype(np.int64)
    unknown = valid_labels[(valid_labels < 0) | (valid_labels >= num_classes)]
    if unknown.size:
        raise _unknown_labels_error(np.unique(unknown).tolist(), num_classes, ignore_index)
    return predicted[valid].astype(np.int64), valid_labels


def _refuse_unknown_labels(table: Integers, *, first: int, num_classes: int, ignore_index: int) -> None:
    if len(table) == num_classes:
        return
    labels = np.flatnonzero(table.any(axis=1)) + first
    unknown = [int(label) for label in labels if not 0 <= label < num_classes and label != ignore_index]
    if unknown:
        raise _unknown_labels_error(unknown, num_classes, ignore_index)


def _unknown_labels_error(labels: list[int], num_classes: int, ignore_index: int) -> DataError:
    names = ", ".join(str(label) for label in labels[:5]) + (", .." if len(labels) > 5 else "")
    noun = "label" if len(labels) == 1 else "labels"
    return DataError(
        f"{noun} {names} among {num_classes} classes (0 .. {num_classes - 1}; ignored: {ignore_index}). "
        "Set the dataset's ignore index, or map the value to a class; 'segbench data check' lists all values."
    )
