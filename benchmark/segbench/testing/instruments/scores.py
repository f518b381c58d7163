"""Scores of masks so small that every figure can be worked out by hand, absent classes and ignored pixels included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import torch

from segbench.measure.quality import confusion
from segbench.measure.quality import scores as quality
from segbench.testing.instruments.findings import Finding, judged

IGNORED = 255
BY_HAND = "worked out by hand"


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


def check() -> Iterator[Finding]:
    """A row per hand-made case."""
    for case in CASES:
        measured = _measure(case)
        wrong = [key for key, expected in case.scores.items() if not _equal(measured[key], expected)]
        yield judged(
            not wrong,
            subject=case.title,
            expected=_told(case.scores),
            measured=_told(measured),
            reason=f"differs in {', '.join(wrong)}",
            source=BY_HAND,
        )


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


def _told(scores: Mapping[str, object]) -> str:
    """The first two figures: a row has room for no more, and the verdict is about all.

    >>> _told({"miou": Fraction(7, 12), "iou_per_class": (Fraction(1, 2), None)})
    'miou 0.5833, iou 0.5000 none'
    """
    ordered = sorted(scores, key=lambda key: key != "miou")[:2]
    return ", ".join(f"{key.partition('_per_')[0]} {_number(scores[key])}" for key in ordered)


def _number(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(map(_number, value))
    return f"{float(value):.4f}" if isinstance(value, (float, Fraction)) else "none"
