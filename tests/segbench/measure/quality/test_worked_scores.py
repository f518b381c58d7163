"""Scores of masks so small that every figure can be worked out by hand, absent classes and ignored pixels included.

Each instrument is also broken on purpose, and a case must differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch

from segbench.measure.quality import confusion
from segbench.measure.quality import scores as quality

IGNORED = 255
Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class Case:
    """Label and prediction of each image as rows of digits, ``-`` = ignored; ``scores`` are fields of Quality, None = no such pixels."""

    title: str
    masks: tuple[str, ...]
    predictions: tuple[str, ...]
    num_classes: int
    scores: Mapping[str, Fraction | tuple[Fraction | None, ...] | None]


CASES = (
    Case(
        "two classes",
        masks=("0011",),
        predictions=("0111",),
        num_classes=2,
        scores={
            "iou_per_class": (Fraction(1, 2), Fraction(2, 3)),
            "miou": Fraction(7, 12),
            "miou_micro": Fraction(3, 5),
            "pixel_accuracy": Fraction(3, 4),
            "mean_accuracy": Fraction(3, 4),
            "precision_per_class": (Fraction(1), Fraction(2, 3)),
            "recall_per_class": (Fraction(1, 2), Fraction(1)),
        },
    ),
    Case(
        "an absent class that is predicted",
        # class 2 has no label pixels: it is left out of the mean, and costs class 1 its pixel
        masks=("000111",),
        predictions=("000112",),
        num_classes=3,
        scores={"iou_per_class": (Fraction(1), Fraction(2, 3), None), "miou": Fraction(5, 6), "miou_micro": Fraction(5, 7)},
    ),
    Case(
        "ignored pixels",
        masks=("0-1-", "--11"),
        predictions=("0010", "0101"),
        num_classes=2,
        scores={"iou_per_class": (Fraction(1, 2), Fraction(2, 3)), "miou": Fraction(7, 12), "pixel_accuracy": Fraction(3, 4)},
    ),
    Case(
        "two images: dataset, image-wise and frequency-weighted",
        # image 1: IoU 1 and 1; image 2: 0 of 1 for class 0, 1/2 for class 1
        masks=("0001", "01"),
        predictions=("0001", "11"),
        num_classes=2,
        scores={
            "iou_per_class": (Fraction(3, 4), Fraction(2, 3)),
            "miou": Fraction(17, 24),
            "miou_imagewise": Fraction(5, 8),
            "miou_frequency_weighted": Fraction(13, 18),
        },
    ),
)


def _wrong(case: Case) -> list[str]:
    """Fields in which the measured scores differ from those worked out by hand."""
    measured = _measure(case)
    return [key for key, expected in case.scores.items() if not _equal(measured[key], expected)]


def _measure(case: Case) -> dict[str, object]:
    matrices = [
        confusion.confusion_matrix(_pixels(prediction), _pixels(mask), num_classes=case.num_classes, ignore_index=IGNORED)
        for prediction, mask in zip(case.predictions, case.masks, strict=True)
    ]
    names = [f"class {k}" for k in range(case.num_classes)]
    scored = quality.score(torch.stack(matrices), class_names=names, split="by hand")
    return {key: getattr(scored, key) for key in case.scores}


def _pixels(digits: str) -> torch.Tensor:
    return torch.tensor([[IGNORED if digit == "-" else int(digit) for digit in digits]])


def _equal(measured: object, expected: object) -> bool:
    if isinstance(expected, tuple):
        return isinstance(measured, list) and len(measured) == len(expected) and all(map(_equal, measured, expected))
    if expected is None or not isinstance(measured, float):
        return measured is expected
    return abs(measured - float(expected)) < 1e-12 if isinstance(expected, Fraction) else False


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_scores_are_those_worked_out_by_hand(case: Case) -> None:
    assert _wrong(case) == []


def _transposed(monkeypatch: Patch) -> None:
    honest = confusion._count
    monkeypatch.setattr(confusion, "_count", lambda *arguments: honest(*arguments).T)


def _ignore_index_as_class_0(monkeypatch: Patch) -> None:
    honest = confusion._count
    monkeypatch.setattr(confusion, "_count", lambda p, labels, n, ignored: honest(p, np.where(labels == ignored, 0, labels), n, ignored))


def _absent_classes_as_zero(monkeypatch: Patch) -> None:
    honest = quality._iou
    monkeypatch.setattr(quality, "_iou", lambda matrices: np.nan_to_num(honest(matrices)))


def _union_with_the_intersection_twice(monkeypatch: Patch) -> None:
    monkeypatch.setattr(quality, "_union", lambda matrices: matrices.sum(axis=-1) + matrices.sum(axis=-2))


@pytest.mark.parametrize(
    ("mutate", "red"),
    [
        (_transposed, "two classes"),
        (_ignore_index_as_class_0, "ignored pixels"),
        (_absent_classes_as_zero, "an absent class that is predicted"),
        (_union_with_the_intersection_twice, "two classes"),
    ],
)
def test_a_broken_score_is_found(mutate: Callable[[Patch], None], red: str, monkeypatch: Patch) -> None:
    mutate(monkeypatch)
    assert _wrong(next(case for case in CASES if case.title == red))
