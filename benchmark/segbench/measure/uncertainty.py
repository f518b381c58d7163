"""How sure is a score: the bootstrap over images for given checkpoints, Student's t over seeds.

Images (or the groups that they come in) are the independent units. A dataset's mIoU is no mean over images: it is read off the sum of
their confusion matrices, so a resample sums matrices again, each as often as its image was drawn, and reads the score off that. Such
resamples lie off-centre (a rare class in few images pulls them down), and the plain percentile interval with them; ours is BCa (Efron,
Journal of the American Statistical Association 82, 1987), which corrects for that bias and for skewness, at a level that is widened for
few images as in Hesterberg (The American Statistician 69, 2015, section 5.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Statistic = Callable[[Floats], Floats]
"""From sums over images (.., F) of some columns to scores (..); NaN where there is none."""

CONFIDENCE = 0.95
RESAMPLES = 5000
LEAST_UNITS = 6
"""Below so many images or groups there is no interval: their resamples are too few and too alike."""
LEAST_SEEDS = 3

_CHUNK = 500
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Interval:
    """A value with a two-sided interval and the p value of "it is zero"; null where ``n`` units are too few to tell."""

    value: float
    low: float | None
    high: float | None
    p_value: float | None
    n: int


@dataclass(frozen=True)
class Resampled:
    """A score of the whole, of every resample (B,) and without each of the units (n,): what BCa needs.

    Two that were resampled together can be subtracted and averaged: the same units were drawn for both.
    """

    value: float
    resamples: Floats
    without: Floats

    def __sub__(self, other: Resampled) -> Resampled:
        return Resampled(self.value - other.value, self.resamples - other.resamples, self.without - other.without)

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """The BCa interval, and the smallest level at which it leaves out zero as p value."""
        n = len(self.without)
        there = self.resamples[~np.isnan(self.resamples)]
        without = self.without[~np.isnan(self.without)]
        if n < LEAST_UNITS or len(there) < len(self.resamples) / 2 or math.isnan(self.value):
            return Interval(self.value, None, None, None, n)
        if np.ptp(there) == 0:
            return Interval(self.value, float(there[0]), float(there[0]), 1.0 if there[0] == 0 else 1 / len(there), n)
        bias, skew, width = _bias(there, self.value), _acceleration(without), _widening(n, confidence)
        z = _NORMAL.inv_cdf((1 + confidence) / 2) * width
        low, high = np.quantile(there, [_share(-z, bias, skew), _share(z, bias, skew)])
        return Interval(self.value, float(low), float(high), _p_value(there, bias, skew, width), n)


def mean_of(several: Sequence[Resampled]) -> Resampled:
    """The mean of scores that were resampled together."""
    return Resampled(
        fmean(one.value for one in several),
        np.mean([one.resamples for one in several], axis=0),
        np.mean([one.without for one in several], axis=0),
    )


def resample(
    columns: Sequence[npt.NDArray[Any]],
    statistic: Statistic,
    *,
    groups: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Resampled]:
    """Draw images with replacement, the same for every entry of ``columns`` (n, F), and score the sums of what was drawn.

    With ``groups`` (one per image) whole groups are drawn: images of one scene are no independent evidence.
    """
    units = [_by_group(np.asarray(table, dtype=np.float64), groups) for table in columns]
    n = len(units[0])
    drawn: list[list[Floats]] = [[] for _ in units]
    random = np.random.default_rng(seed)
    for start in range(0, resamples, _CHUNK):
        weights = random.multinomial(n, np.full(n, 1 / n), size=min(_CHUNK, resamples - start)).astype(np.float64)
        for table, scores in zip(units, drawn, strict=True):
            scores.append(statistic(weights @ table))
    sums = [table.sum(axis=0) for table in units]
    return [
        Resampled(float(statistic(whole)), np.concatenate(scores), statistic(whole - table))
        for table, whole, scores in zip(units, sums, drawn, strict=True)
    ]


def miou_columns(matrices: npt.NDArray[Any]) -> Counts:
    """What mIoU needs of matrices (n, K, K): intersection, label and predicted pixels of each class, (n, 3 K)."""
    return np.concatenate([np.diagonal(matrices, axis1=1, axis2=2), matrices.sum(axis=2), matrices.sum(axis=1)], axis=1)


def miou_of(sums: Floats) -> Floats:
    """mIoU from sums of :func:`miou_columns`, over the classes with label pixels in the resample (as in the whole)."""
    iou = _iou(sums)
    there = ~np.isnan(iou)
    classes = there.sum(axis=-1)
    total: Floats = np.where(there, iou, 0.0).sum(axis=-1)
    return np.divide(total, classes, out=np.full(total.shape, np.nan), where=classes > 0)


def class_iou_of(index: int) -> Statistic:
    """IoU of one class from sums of :func:`miou_columns`."""
    return lambda sums: _iou(sums)[..., index]


def miou_interval(
    matrices: npt.NDArray[Any], *, groups: Sequence[Hashable] | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """The mIoU of per-image matrices (n, K, K) with its interval over images, or over ``groups`` of them."""
    return resample([miou_columns(matrices)], miou_of, groups=groups, resamples=resamples, seed=seed)[0].interval()


def miou_difference(
    subject: npt.NDArray[Any],
    baseline: npt.NDArray[Any],
    *,
    groups: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """mIoU of ``subject`` minus that of ``baseline``, matrices (n, K, K) of the same n images in the same order."""
    if subject.shape != baseline.shape:
        raise ValueError(f"paired images are needed: got matrices {subject.shape} and {baseline.shape}")
    one, other = resample([miou_columns(subject), miou_columns(baseline)], miou_of, groups=groups, resamples=resamples, seed=seed)
    return (one - other).interval()


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Mean of independent values with Student's t interval; none below three of them, or where they do not vary.

    >>> found = mean_interval([0.50, 0.52, 0.54])
    >>> round(found.value, 3), round(found.low, 4), round(found.high, 4)
    (0.52, 0.4703, 0.5697)
    """
    n = len(values)
    mean = fmean(values)
    deviation = stdev(values) if n > 1 else 0.0
    if n < LEAST_SEEDS or deviation == 0:
        return Interval(mean, None, None, None, n)
    error = deviation / math.sqrt(n)
    half = student_quantile((1 + confidence) / 2, n - 1) * error
    return Interval(mean, mean - half, mean + half, student_p_value(mean / error, n - 1), n)


def student_p_value(t: float, freedom: int) -> float:
    """Two-sided p value of a t statistic: the finite sums of Abramowitz and Stegun 26.7.3 and 26.7.4, exact for whole degrees of freedom.

    >>> round(student_p_value(4.302653, 2), 6), round(student_p_value(2.262157, 9), 6), student_p_value(0.0, 4)
    (0.05, 0.05, 1.0)
    """
    angle = math.atan2(abs(t), math.sqrt(freedom))
    squared = math.cos(angle) ** 2
    first = 2 if freedom % 2 == 0 else 3
    total, term = 0.0, 1.0 if first == 2 else math.cos(angle)
    for k in range(first, freedom + 1, 2):
        total += term
        term *= squared * (k - 1) / k
    inside = math.sin(angle) * total if first == 2 else 2 / math.pi * (angle + math.sin(angle) * total)
    return min(1.0, max(0.0, 1.0 - inside))


def student_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t for probabilities from one half on, by bisection of its distribution.

    >>> [round(student_quantile(0.975, n), 3) for n in (1, 2, 3, 9, 100)]
    [12.706, 4.303, 3.182, 2.262, 1.984]
    """
    low, high = 0.0, 1.0
    while student_p_value(high, freedom) > 2 * (1 - probability):
        low, high = high, 2 * high
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if student_p_value(middle, freedom) > 2 * (1 - probability) else (low, middle)
    return (low + high) / 2


def _by_group(table: Floats, groups: Sequence[Hashable] | None) -> Floats:
    """Sums of the rows of each group, in the order in which the groups come up."""
    if groups is None:
        return table
    if len(groups) != len(table):
        raise ValueError(f"a group for each image is needed: got {len(groups)} for {len(table)}")
    order = {name: place for place, name in enumerate(dict.fromkeys(groups))}
    summed = np.zeros((len(order), table.shape[1]))
    np.add.at(summed, [order[name] for name in groups], table)
    return summed


def _iou(sums: Floats) -> Floats:
    hits, labelled, predicted = np.split(sums, 3, axis=-1)
    return np.divide(hits, labelled + predicted - hits, out=np.full(hits.shape, np.nan), where=labelled > 0)


def _bias(resamples: Floats, value: float) -> float:
    """How far the resamples lie off-centre, in standard deviations."""
    below = (np.count_nonzero(resamples < value) + np.count_nonzero(resamples == value) / 2) / len(resamples)
    return _NORMAL.inv_cdf(min(max(below, 1 / len(resamples)), 1 - 1 / len(resamples)))


def _acceleration(without: Floats) -> float:
    """How the standard error changes with the value, from the score without each unit."""
    off = without.mean() - without
    spread = float((off**2).sum()) ** 1.5
    return float((off**3).sum()) / (6 * spread) if spread > 0 else 0.0


def _widening(n: int, confidence: float) -> float:
    """By how much the resamples of few units are too narrow: t in place of z, and n in place of n - 1."""
    tail = (1 + confidence) / 2
    return student_quantile(tail, n - 1) / _NORMAL.inv_cdf(tail) * math.sqrt(n / (n - 1))


def _share(z: float, bias: float, skew: float) -> float:
    """Which share of the resamples lies below the end of the interval that would be ``z`` without bias and skewness."""
    moved = bias + z
    return _NORMAL.cdf(bias + moved / max(1 - skew * moved, 1e-3))


def _p_value(resamples: Floats, bias: float, skew: float, width: float) -> float:
    """The level at which one end of the interval is zero: :func:`_share` turned around."""
    count = len(resamples)
    below = (np.count_nonzero(resamples < 0) + np.count_nonzero(resamples == 0) / 2) / count
    moved = _NORMAL.inv_cdf(min(max(below, 0.5 / count), 1 - 0.5 / count)) - bias
    z = (moved / max(1 + skew * moved, 1e-3) - bias) / width
    return min(1.0, max(2 * _NORMAL.cdf(-abs(z)), 1 / count))
