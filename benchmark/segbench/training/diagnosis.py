"""Diagnosis of a training from its curves, with the figures behind it and the remedy that the training guides give.

Thresholds are wide on purpose: a run is called unhealthy where a look at its curves would say so.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from segbench.results.records import Diagnosis, Epoch

MIN_EPOCHS = 5
_GUIDE = "training guide, troubleshooting"
_RISE = 1.1
_SPIKE = 1.5
_LEARNT = 0.05
_MIOU_STEP = 0.01
_EXPLAINED_BY = {
    # a curve that never moved is flat, and not on a plateau as well; one that broke or swings gets no further diagnosis
    "flat": frozenset({"unstable"}),
    "overfitting": frozenset({"unstable", "oscillating"}),
    "plateau": frozenset({"unstable", "oscillating", "flat", "overfitting"}),
}


@dataclass(frozen=True)
class Curves:
    """The finite points (epoch, value) of a history."""

    train_loss: list[tuple[int, float]]
    val_loss: list[tuple[int, float]]
    val_miou: list[tuple[int, float]]
    rate: list[float]
    resized: frozenset[int]
    broken: tuple[int, ...]

    @property
    def last_epoch(self) -> int:
        return self.train_loss[-1][0]


def diagnose(history: Sequence[Epoch]) -> list[Diagnosis]:
    """Every pattern that the curves show; ``healthy`` where they show none, ``too short`` under five epochs with a loss.

    >>> [d.kind for d in diagnose([Epoch(epoch=e, train_loss=1 / e, val_miou=1 - 0.6**e) for e in range(1, 21)])]
    ['healthy']
    """
    curves = _curves(history)
    if len(curves.train_loss) < MIN_EPOCHS and not curves.broken:
        return [Diagnosis(kind="too short", message=f"{len(curves.train_loss)} epochs are too few to tell; {MIN_EPOCHS} are needed.")]
    checks: tuple[Callable[[Curves], Diagnosis | None], ...] = (_unstable, _oscillating, _flat, _overfitting, _plateau, _underfitting)
    diagnoses = [diagnosis for check in checks if (diagnosis := check(curves)) is not None]
    kinds = {diagnosis.kind for diagnosis in diagnoses}
    return [d for d in diagnoses if not kinds & _EXPLAINED_BY.get(d.kind, frozenset())] or [_healthy(curves)]


def _unstable(curves: Curves) -> Diagnosis | None:
    if curves.broken:
        return _diagnosis(
            "unstable",
            f"the training loss was not finite in epoch {curves.broken[0]}.",
            "Lower train.lr, keep train.clip = 1, or set train.precision = off.",
        )
    best = math.inf
    for epoch, loss in curves.train_loss:
        if loss > _SPIKE * best and epoch not in curves.resized and _score_fell(curves, epoch):
            return _diagnosis(
                "unstable",
                f"the training loss rose from {best:.3g} to {loss:.3g} in epoch {epoch}.",
                "Lower train.lr, warm it up (train.schedule = onecycle) and clip gradients (train.clip = 1).",
            )
        best = min(best, max(loss, 1e-6))
    return None


def _score_fell(curves: Curves, epoch: int) -> bool:
    """True unless the validation score stayed up: where a loss changes its definition, the loss alone jumps."""
    before = [score for e, score in curves.val_miou if e < epoch]
    after = [score for e, score in curves.val_miou if e >= epoch]
    return not before or not after or after[0] < 0.9 * max(before)


def _oscillating(curves: Curves) -> Diagnosis | None:
    points = curves.val_miou[len(curves.val_miou) // 2 :]
    steps = [b - a for (_, a), (_, b) in itertools.pairwise(points)]
    if len(steps) < 3:
        return None
    turns = sum(a * b < 0 for a, b in itertools.pairwise(steps))
    swing, level = fmean(abs(s) for s in steps), fmean(v for _, v in points)
    if turns < 0.6 * (len(steps) - 1) or swing < max(0.02, 0.1 * level):
        return None
    return _diagnosis(
        "oscillating",
        f"validation mIoU swings by {swing:.3f} from one validation to the next around {level:.3f} "
        f"(epochs {points[0][0]} to {points[-1][0]}).",
        "Lower train.lr, let it decay (train.schedule = onecycle or poly), or enlarge the batch (train.batch_size, train.accumulate).",
    )


def _flat(curves: Curves) -> Diagnosis | None:
    if not curves.train_loss:
        return None
    first, best = curves.train_loss[0][1], min(loss for _, loss in curves.train_loss)
    if first - best > _LEARNT * abs(first):
        return None
    return _diagnosis(
        "flat",
        f"the training loss went from {first:.3g} to no less than {best:.3g} in {curves.last_epoch} epochs.",
        "Raise train.lr tenfold, check the labels (segbench data check DATASET), "
        "and use the loss focal or combined where one class fills most pixels.",
    )


def _overfitting(curves: Curves) -> Diagnosis | None:
    by_score, by_loss = _score_lost(curves.val_miou), _loss_risen(curves.val_loss)
    lowest = min(curves.val_loss, key=lambda p: p[1])[0] if curves.val_loss else 0
    turned = by_score or (by_loss if by_loss and not _still_rising(curves.val_miou, since=lowest) else None)
    if turned is None:
        return None
    epoch, evidence = turned
    trained = dict(curves.train_loss)
    then = trained.get(epoch)
    if then is None or curves.train_loss[-1][1] > 0.9 * then:
        return None
    return _diagnosis(
        "overfitting",
        f"since epoch {epoch} {evidence}, while the training loss fell from {then:.3g} to {curves.train_loss[-1][1]:.3g}.",
        "Set train.augmentation = enhanced, raise train.weight_decay, stop earlier (train.patience), or take a smaller encoder.",
    )


def _score_lost(points: list[tuple[int, float]]) -> tuple[int, str] | None:
    if len(points) < MIN_EPOCHS:
        return None
    epoch, best = max(points, key=lambda p: p[1])
    now = fmean(v for _, v in points[-3:])
    late = epoch > points[-3][0]
    return None if late or best - now < max(0.02, 0.03 * best) else (epoch, f"validation mIoU fell from {best:.3f} to {now:.3f}")


def _loss_risen(points: list[tuple[int, float]]) -> tuple[int, str] | None:
    if len(points) < MIN_EPOCHS:
        return None
    epoch, best = min(points, key=lambda p: p[1])
    now = fmean(v for _, v in points[-3:])
    late = epoch > points[-3][0]
    return None if late or now < _RISE * best + 1e-9 else (epoch, f"the validation loss rose from {best:.3g} to {now:.3g}")


def _still_rising(points: list[tuple[int, float]], *, since: int) -> bool:
    before, after = [v for e, v in points if e <= since], [v for e, v in points if e > since]
    return bool(before and after) and max(after) > max(before) + _MIOU_STEP


def _plateau(curves: Curves) -> Diagnosis | None:
    """No progress for half of the training, or for a third of it while the learning rate was still high."""
    points = curves.val_miou or [(e, -loss) for e, loss in curves.train_loss]
    if len(points) < 2 * MIN_EPOCHS:
        return None
    rate = curves.rate
    decayed = not rate or rate[-1] < 0.5 * max(rate)
    length = len(points) // 2 if decayed else len(points) // 3
    before, after = max(v for _, v in points[:-length]), max(v for _, v in points[-length:])
    if after > before + (_MIOU_STEP / 2 if curves.val_miou else _LEARNT / 2 * abs(before)):
        return None
    name = "validation mIoU" if curves.val_miou else "the training loss"
    value = f"{abs(max(before, after)):.3f}"
    remedy = "Let the learning rate decay (train.schedule = onecycle, poly or plateau), " if not decayed else ""
    return _diagnosis(
        "plateau",
        f"{name} has not improved on {value} in the last {length} of {len(points)} epochs.",
        remedy
        + ("try" if remedy else "Try")
        + " the loss focal or combined against rare classes, a larger image size, or a larger encoder.",
    )


def _underfitting(curves: Curves) -> Diagnosis | None:
    """Training and validation were both still improving fast when training ended."""
    length = max(len(curves.train_loss) // 4, 2)
    if len(curves.train_loss) < 2 * length or len(curves.val_miou) < 4:
        return None
    loss_before, loss_now = fmean(v for _, v in curves.train_loss[-2 * length : -length]), fmean(v for _, v in curves.train_loss[-length:])
    points = [v for _, v in curves.val_miou]
    quarter = max(len(points) // 4, 1)
    gain = max(points[-quarter:]) - max(points[:-quarter])
    if loss_now > 0.85 * loss_before or gain < 2 * _MIOU_STEP or gain < 0.05 * max(points):
        return None
    return _diagnosis(
        "underfitting",
        f"in the last quarter validation mIoU still rose by {gain:.3f}, "
        f"and the training loss fell from {loss_before:.3g} to {loss_now:.3g}.",
        "Train longer (train.epochs), raise train.lr, or take a larger encoder.",
    )


def _healthy(curves: Curves) -> Diagnosis:
    first, last = curves.train_loss[0][1], curves.train_loss[-1][1]
    text = f"the training loss fell from {first:.3g} to {last:.3g}"
    if curves.val_miou:
        epoch, best = max(curves.val_miou, key=lambda p: p[1])
        text += f"; validation mIoU reached {best:.3f} in epoch {epoch} of {curves.last_epoch}"
    return Diagnosis(kind="healthy", message=text + ".")


def _curves(history: Sequence[Epoch]) -> Curves:
    def points(name: str) -> list[tuple[int, float]]:
        pairs = [(row.epoch, getattr(row, name)) for row in history]
        return [(epoch, value) for epoch, value in pairs if value is not None and math.isfinite(value)]

    sizes = [row.image_size for row in history]
    resized = {row.epoch for row, size, before in zip(history[1:], sizes[1:], sizes, strict=False) if size != before}
    broken = tuple(row.epoch for row in history if row.train_loss is not None and not math.isfinite(row.train_loss))
    rate = [row.learning_rate for row in history if row.learning_rate is not None]
    return Curves(points("train_loss"), points("val_loss"), points("val_miou"), rate, frozenset(resized), broken)


def _diagnosis(kind: str, message: str, remedy: str) -> Diagnosis:
    return Diagnosis(kind=kind, message=message, remedy=remedy, source=_GUIDE)
