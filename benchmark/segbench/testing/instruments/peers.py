"""IoU of random masks compared with other libraries' figures, where they are installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from segbench.measure.quality import confusion
from segbench.measure.quality import scores as quality
from segbench.testing.check import CheckResult, judged, skipped

CLASSES = 5
IGNORED = 255

Peer = Callable[[Tensor, Tensor], list[float]]


def check() -> Iterator[CheckResult]:
    """A row per library: the IoU of each class over a batch with ignored pixels."""
    for library, package, peer in (("torchmetrics", "torchmetrics", _torchmetrics), ("scikit-learn", "sklearn", _scikit_learn)):
        if importlib.util.find_spec(package) is None:
            yield skipped(f"IoU by {library}", "not installed")
        else:
            yield _compare(library, peer)


def _compare(library: str, peer: Peer) -> CheckResult:
    prediction, mask = _scene()
    theirs = peer(prediction, mask)
    matrices = confusion.confusion_matrices(prediction, mask, num_classes=CLASSES, ignore_index=IGNORED)
    scored = quality.score(matrices, class_names=[f"class {k}" for k in range(CLASSES)], split="random")
    ours = [value if value is not None else float("nan") for value in scored.iou_per_class]
    furthest = float(np.max(np.abs(np.subtract(ours, theirs))))
    return judged(
        furthest < 1e-6,
        subject=f"IoU of {CLASSES} classes by {library}",
        expected=" ".join(f"{value:.4f}" for value in theirs),
        measured=" ".join(f"{value:.4f}" for value in ours),
        message=f"they differ by up to {furthest:.2g}",
        source=f"{library} on the same masks",
    )


def _scene() -> tuple[Tensor, Tensor]:
    """Prediction and mask (4, 40, 50) that agree in half of the pixels; a tenth is ignored."""
    random = torch.Generator().manual_seed(0)
    mask = torch.randint(CLASSES, (4, 40, 50), generator=random)
    noise = torch.randint(CLASSES, mask.shape, generator=random)
    prediction = torch.where(torch.rand(mask.shape, generator=random) < 0.5, mask, noise)
    return prediction, mask.masked_fill(torch.rand(mask.shape, generator=random) < 0.1, IGNORED)


def _torchmetrics(prediction: Tensor, mask: Tensor) -> list[float]:
    from torchmetrics.functional.classification import multiclass_jaccard_index

    scores = multiclass_jaccard_index(prediction, mask, num_classes=CLASSES, average="none", ignore_index=IGNORED)
    return [float(value) for value in scores]


def _scikit_learn(prediction: Tensor, mask: Tensor) -> list[float]:
    from sklearn.metrics import jaccard_score

    valid = mask != IGNORED
    scores = jaccard_score(mask[valid].numpy(), prediction[valid].numpy(), labels=list(range(CLASSES)), average=None)
    return [float(value) for value in scores]
