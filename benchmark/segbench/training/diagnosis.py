"""Diagnosis of a training from its curves, with the figures behind it and the remedy that the training guides give.

Thresholds are wide on purpose: a run is called unhealthy where a look at its curves would say so.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from segbench.config.settings import TrainSettings
from segbench.results.records import Diagnosis, Epoch
from segbench.util.sequences import counted

MIN_EPOCHS = 5
_GUIDE = "training guide, troubleshooting"
_RISE = 0.1
_SPIKE = 1.5
_LEARNT = 0.05
_MIOU_STEP = 0.01
_LEAST_GAIN = 0.001
_LEAST_VALIDATIONS = 4
_LAST = 3
_DECAYING = ("onecycle", "poly", "cosine", "plateau")
_EXPLAINED_BY = {
    # a curve that never moved is flat, and not on a plateau as well; one that broke or swings gets no further diagnosis
    "flat": frozenset({"unstable"}),
    "overfitting": frozenset({"unstable", "oscillating"}),
    "no gain": frozenset({"unstable", "oscillating", "flat", "overfitting"}),
    "plateau": frozenset({"unstable", "oscillating", "flat", "overfitting", "no gain"}),
}

Point = tuple[int, float]
"""An epoch and a value of that epoch."""


@dataclass(frozen=True)
class Curves:
    """The finite points of a history."""

    train_loss: list[Point]
    val_loss: list[Point]
    val_miou: list[Point]
    rate: list[float]
    resized: frozenset[int]
    broken: tuple[int, ...]
    epochs: int


def diagnose(history: Sequence[Epoch], settings: TrainSettings | None = None) -> list[Diagnosis]:
    """Every pattern that the curves show; ``healthy`` where they show none, ``too short`` under five epochs with a loss.

    With the ``settings`` that it was trained under, no remedy is advised that was in force already.

    >>> [d.kind for d in diagnose([Epoch(epoch=e, train_loss=1 / e, val_miou=1 - 0.6**e) for e in range(1, 21)])]
    ['healthy']
    """
    curves = _curves(history)
    if len(curves.train_loss) < MIN_EPOCHS and not curves.broken:
        return [Diagnosis(kind="too short", message=_too_short(curves))]
    checks: tuple[Callable[[Curves, TrainSettings | None], Diagnosis | None], ...] = (
        _unstable,
        _oscillating,
        _flat,
        _overfitting,
        _no_gain,
        _plateau,
        _underfitting,
    )
    diagnoses = [diagnosis for check in checks if (diagnosis := check(curves, settings)) is not None]
    kinds = {diagnosis.kind for diagnosis in diagnoses}
    return [d for d in diagnoses if not kinds & _EXPLAINED_BY.get(d.kind, frozenset())] or [_healthy(curves)]


def _too_short(curves: Curves) -> str:
    count = len(curves.train_loss)
    if count == curves.epochs:
        return f"{counted(count, 'epoch')} {'is' if count == 1 else 'are'} too few to tell; {MIN_EPOCHS} are needed."
    return f"only {count} of {counted(curves.epochs, 'epoch')} had a training loss; {MIN_EPOCHS} are needed to tell."


def _unstable(curves: Curves, settings: TrainSettings | None) -> Diagnosis | None:
    if curves.broken:
        remedies = ["lower train.lr", *_unless(settings, "clip gradients (train.clip = 1)", lambda s: s.clip is not None)]
        remedies += _unless(settings, "set train.precision = off", lambda s: s.precision == "off")
        return _diagnosis("unstable", f"the training loss was not finite in epoch {curves.broken[0]}.", remedies)
    lowest: Point | None = None
    for epoch, loss in curves.train_loss:
        if lowest and loss > _SPIKE * max(lowest[1], 1e-6) and epoch not in curves.resized and _score_fell(curves, epoch):
            message = f"the training loss rose to {loss:.3g} in epoch {epoch}, from {_loss(lowest)}."
            remedies = ["lower train.lr", *_unless(settings, "warm it up (train.schedule = onecycle)", lambda s: s.schedule == "onecycle")]
            remedies += _unless(settings, "clip gradients (train.clip = 1)", lambda s: s.clip is not None)
            return _diagnosis("unstable", message, remedies)
        lowest = min(lowest or (epoch, loss), (epoch, loss), key=_value)
    return None


def _score_fell(curves: Curves, epoch: int) -> bool:
    """True unless the validation score stayed up: where a loss changes its definition, the loss alone jumps."""
    before = [score for e, score in curves.val_miou if e < epoch]
    after = [score for e, score in curves.val_miou if e >= epoch]
    return not before or not after or after[0] < 0.9 * max(before)


def _oscillating(curves: Curves, settings: TrainSettings | None) -> Diagnosis | None:
    points = curves.val_miou[len(curves.val_miou) // 2 :]
    steps = [b - a for (_, a), (_, b) in itertools.pairwise(points)]
    if len(steps) < 3:
        return None
    turns = sum(a * b < 0 for a, b in itertools.pairwise(steps))
    swing, level = fmean(abs(s) for s in steps), fmean(v for _, v in points)
    if turns < 0.6 * (len(steps) - 1) or swing < max(0.02, 0.1 * level):
        return None
    message = (
        f"validation mIoU swings by {swing:.3f} on average from one validation to the next, around a mean of {level:.3f} ({_span(points)})."
    )
    decay = _unless(settings, "let it decay (train.schedule = onecycle or poly)", lambda s: s.schedule in _DECAYING)
    return _diagnosis("oscillating", message, ["lower train.lr", *decay, "enlarge the batch (train.batch_size, train.accumulate)"])


def _flat(curves: Curves, settings: TrainSettings | None) -> Diagnosis | None:
    if not curves.train_loss:
        return None
    first, lowest = curves.train_loss[0], min(curves.train_loss, key=_value)
    if first[1] - lowest[1] > _LEARNT * abs(first[1]):
        return None
    fallen = f" and at its lowest {_loss(lowest)}" if lowest != first else " and never lower"
    message = f"the training loss was {_loss(first)}{fallen}, in {counted(curves.epochs, 'epoch')}."
    remedies = ["raise train.lr tenfold", "check the labels (segbench data check DATASET)"]
    return _diagnosis("flat", message, [*remedies, "use the loss focal or combined where one class fills most pixels"])


def _overfitting(curves: Curves, settings: TrainSettings | None) -> Diagnosis | None:
    by_score, by_loss = _score_lost(curves.val_miou), _loss_risen(curves.val_loss)
    turned = by_score or (by_loss if by_loss and not _still_rising(curves.val_miou, since=by_loss[0]) else None)
    if turned is None or not curves.train_loss:
        return None
    epoch, evidence = turned
    then, last = dict(curves.train_loss).get(epoch), curves.train_loss[-1]
    if then is None or then - last[1] <= 0.1 * abs(then):
        return None
    remedies = _unless(settings, "set train.augmentation = enhanced", lambda s: s.augmentation in ("enhanced", "crop"))
    remedies += ["raise train.weight_decay", *_unless(settings, "stop earlier (train.patience)", lambda s: s.patience is not None)]
    message = f"{evidence}, while the training loss fell from {_loss((epoch, then))} to {_loss(last)}."
    return _diagnosis("overfitting", message, [*remedies, "take a smaller encoder"])


def _score_lost(points: list[Point]) -> tuple[int, str] | None:
    """The epoch of the best score and the evidence, where the last scores are lower."""
    if len(points) < MIN_EPOCHS:
        return None
    best, now = max(points, key=_value), fmean(v for _, v in points[-_LAST:])
    late = best[0] > points[-_LAST][0]
    evidence = f"validation mIoU fell from its best, {_miou(best)}, to a mean of {now:.3f} over {_span(points[-_LAST:])}"
    return None if late or best[1] - now < max(0.02, 0.03 * best[1]) else (best[0], evidence)


def _loss_risen(points: list[Point]) -> tuple[int, str] | None:
    """The epoch of the lowest validation loss and the evidence, where the last losses are higher."""
    if len(points) < MIN_EPOCHS:
        return None
    lowest, now = min(points, key=_value), fmean(v for _, v in points[-_LAST:])
    late = lowest[0] > points[-_LAST][0]
    evidence = f"the validation loss rose from its lowest, {_loss(lowest)}, to a mean of {now:.3g} over {_span(points[-_LAST:])}"
    return None if late or now - lowest[1] < _RISE * abs(lowest[1]) + 1e-9 else (lowest[0], evidence)


def _still_rising(points: list[Point], *, since: int) -> bool:
    before, after = [v for e, v in points if e <= since], [v for e, v in points if e > since]
    return bool(before and after) and max(after) > max(before) + _MIOU_STEP


def _no_gain(curves: Curves, settings: TrainSettings | None) -> Diagnosis | None:
    """No validation, of four or more, was better than the first one: nothing that counts was learnt after it."""
    if len(curves.val_miou) < _LEAST_VALIDATIONS:
        return None
    first, *later = curves.val_miou
    gain = max(map(_value, later)) - first[1]
    if gain >= _LEAST_GAIN or first[1] > 1 - _LEAST_GAIN:  # nothing can be gained on a perfect score
        return None
    moved = "never rose above" if gain <= 0 else f"never rose by {_LEAST_GAIN} above"
    verb = "never moved from" if all(value == first[1] for _, value in later) else moved
    remedies = ["train longer (train.epochs)", "raise train.lr", "check the labels (segbench data check DATASET)"]
    message = f"validation mIoU {verb} its first value, {_miou(first)}, in {_span(later)}."
    return _diagnosis("no gain", message, [*remedies, "use the loss focal or combined where one class fills most pixels"])


def _plateau(curves: Curves, settings: TrainSettings | None) -> Diagnosis | None:
    """No progress for half of the training, or for a third of it while the learning rate was still high."""
    scored = bool(curves.val_miou)
    points = curves.val_miou if scored else curves.train_loss
    if len(points) < 2 * MIN_EPOCHS:
        return None
    decayed = not curves.rate or curves.rate[-1] < 0.5 * max(curves.rate)
    length = len(points) // 2 if decayed else len(points) // 3
    best: Callable[..., Point] = max if scored else min
    before, after = best(points[:-length], key=_value), best(points[-length:], key=_value)
    gain = after[1] - before[1] if scored else before[1] - after[1]
    if gain > (_MIOU_STEP / 2 if scored else _LEARNT / 2 * abs(before[1])):
        return None
    remedies = [] if decayed else ["let the learning rate decay (train.schedule = onecycle, poly or plateau)"]
    remedies.append("try the loss focal or combined against rare classes, a larger image size, or a larger encoder")
    progress = _small_progress("validation mIoU", before, after, gain) if scored else _small_fall("the training loss", before, after, gain)
    return _diagnosis("plateau", f"{progress} in {_span(points[-length:])}.", remedies)


def _small_progress(name: str, before: Point, after: Point, gain: float) -> str:
    if gain <= 0:
        return f"{name} has not improved on {_miou(before)}"
    if f"{before[1]:.3f}" == f"{after[1]:.3f}":
        return f"{name} has gained less than 0.001 on {_miou(before)}, with its best in epoch {after[0]},"
    return f"{name} has improved only from {_miou(before)} to {_miou(after)}"


def _small_fall(name: str, before: Point, after: Point, gain: float) -> str:
    if gain <= 0:
        return f"{name} has not fallen below {_loss(before)}"
    if f"{before[1]:.3g}" == f"{after[1]:.3g}":
        return f"{name} has fallen by less than 1 % from {_loss(before)}, with its lowest value in epoch {after[0]},"
    return f"{name} has fallen only from {_loss(before)} to {_loss(after)}"


def _underfitting(curves: Curves, settings: TrainSettings | None) -> Diagnosis | None:
    """Training and validation were both still improving fast when training ended."""
    length = max(len(curves.train_loss) // 4, 2)
    if len(curves.train_loss) < 2 * length or len(curves.val_miou) < 4:
        return None
    earlier, late = curves.train_loss[-2 * length : -length], curves.train_loss[-length:]
    loss_before, loss_now = fmean(v for _, v in earlier), fmean(v for _, v in late)
    quarter = max(len(curves.val_miou) // 4, 1)
    before, best = max(curves.val_miou[:-quarter], key=_value), max(curves.val_miou[-quarter:], key=_value)
    gain = best[1] - before[1]
    fallen = loss_before - loss_now > 0.15 * abs(loss_before)
    if not fallen or gain < 2 * _MIOU_STEP or gain < 0.05 * best[1]:
        return None
    message = (
        f"validation mIoU still rose from {_miou(before)} to {_miou(best)}, "
        f"and the mean training loss fell from {loss_before:.3g} ({_span(earlier)}) to {loss_now:.3g} ({_span(late)})."
    )
    return _diagnosis("underfitting", message, ["train longer (train.epochs)", "raise train.lr", "take a larger encoder"])


def _healthy(curves: Curves) -> Diagnosis:
    first, last, lowest = curves.train_loss[0], curves.train_loss[-1], min(curves.train_loss, key=_value)
    text = f"the training loss fell from {_loss(first)} to {_loss(last)}"
    if last[1] >= first[1] or f"{last[1]:.3g}" == f"{first[1]:.3g}":
        text = f"the training loss was {_loss(first)}, at its lowest {_loss(lowest)}, and {_loss(last)} at the end"
    if curves.val_miou:
        epoch, best = max(curves.val_miou, key=_value)
        text += f"; validation mIoU reached {best:.3f} in epoch {epoch} of {curves.epochs}"
    return Diagnosis(kind="healthy", message=text + ".")


def _curves(history: Sequence[Epoch]) -> Curves:
    def points(name: str) -> list[Point]:
        pairs = [(row.epoch, getattr(row, name)) for row in history]
        return [(epoch, value) for epoch, value in pairs if value is not None and math.isfinite(value)]

    sizes = [row.image_size for row in history]
    resized = {row.epoch for row, size, before in zip(history[1:], sizes[1:], sizes, strict=False) if size != before}
    broken = tuple(row.epoch for row in history if row.train_loss is not None and not math.isfinite(row.train_loss))
    rate = [row.learning_rate for row in history if row.learning_rate is not None]
    losses, scores = (points("train_loss"), points("val_loss")), points("val_miou")
    return Curves(*losses, scores, rate, frozenset(resized), broken, len(history))


def _value(point: Point) -> float:
    return point[1]


def _loss(point: Point) -> str:
    return f"{point[1]:.3g} (epoch {point[0]})"


def _miou(point: Point) -> str:
    return f"{point[1]:.3f} (epoch {point[0]})"


def _span(points: Sequence[Point]) -> str:
    return f"epochs {points[0][0]} to {points[-1][0]}"


def _unless(settings: TrainSettings | None, remedy: str, in_force: Callable[[TrainSettings], bool]) -> list[str]:
    """The remedy, unless the training had it already."""
    return [] if settings is not None and in_force(settings) else [remedy]


def _diagnosis(kind: str, message: str, remedies: Sequence[str]) -> Diagnosis:
    text = remedies[0] if len(remedies) == 1 else f"{', '.join(remedies[:-1])}, or {remedies[-1]}"
    return Diagnosis(kind=kind, message=message, remedy=f"{text[0].upper()}{text[1:]}.", source=_GUIDE)
