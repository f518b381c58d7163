"""Scores of plugins' metrics: one value for each image, or one for the sum of confusion matrices; and both of drawn images.

The functions are foreign code: whatever one raises or returns costs its own score alone, and the reason says what it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segbench.analysis.statistics.bootstrap import Counts, Floats, Statistic
from segbench.plugin.specs import MetricSpec, resolve

_SAME = 1e-6
"""Relative difference up to which a value of all matrices is that of their sum; a metric may compute in float32."""


@dataclass(frozen=True)
class MetricValues:
    """What a metric gave for a split: ``per_image`` (N,), NaN where an image has nothing to be scored, or one ``pooled`` value.

    ``reason`` says why there is no value.
    """

    per_image: Floats | None = None
    pooled: float | None = None
    reason: str = ""

    @property
    def value(self) -> float | None:
        """The score: the pooled value, or the mean over the images that have one."""
        if self.reason:
            return None
        return self.pooled if self.per_image is None else float(np.nanmean(self.per_image))

    @property
    def images(self) -> int | None:
        """Number of images that the mean is over; None for a pooled value."""
        return None if self.per_image is None or self.reason else int((~np.isnan(self.per_image)).sum())


def from_matrices(spec: MetricSpec, matrices: Counts) -> MetricValues:
    """The values of a metric with ``from_confusions`` for matrices (N, K, K)."""
    assert spec.from_confusions is not None
    try:
        function = resolve(spec.from_confusions)
        values = np.asarray(function(matrices.copy()), dtype=np.float64)
        summed = np.asarray(function(matrices.sum(axis=0, keepdims=True)), dtype=np.float64) if values.ndim == 0 else values
    except Exception as error:  # a plugin may raise anything, and only its own score may be missing for it
        return MetricValues(reason=raised(error))
    if values.ndim == 0:
        return _pooled(float(values), summed)
    if values.shape != (len(matrices),):
        return MetricValues(
            reason=f"it returned the shape {values.shape}: expected one float, or one for each of the {len(matrices)} images"
        )
    return per_image_values(values)


def per_image_values(values: Floats) -> MetricValues:
    """Values (N,) of all images, checked."""
    if np.isinf(values).any():
        return MetricValues(
            reason=f"it is infinite for {np.isinf(values).sum()} of {len(values)} images: return a finite number, or NaN for none"
        )
    if np.isnan(values).all():
        return MetricValues(per_image=values, reason="it is NaN for every image: none has anything to be scored")
    return MetricValues(per_image=values)


def raised(error: Exception) -> str:
    """What a metric raised, in one line.

    >>> raised(ValueError("no such class"))
    'it raised ValueError: no such class'
    """
    return f"it raised {type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")


def _pooled(value: float, summed: npt.NDArray[Any]) -> MetricValues:
    if not math.isfinite(value):
        return MetricValues(reason=f"it returned {value}")
    if summed.ndim or not math.isclose(value, float(summed), rel_tol=_SAME, abs_tol=1e-9):
        return MetricValues(
            reason=f"its one value of all images, {value:.6g}, is not that of the sum of their matrices ({float(summed.ravel()[0]):.6g}): "
            "return one value for each image, whose mean is the score"
        )
    return MetricValues(pooled=value)


def columns_and_statistic(spec: MetricSpec | None, matrices: Counts, per_image: Floats | None) -> tuple[npt.NDArray[Any], Statistic]:
    """Columns (N, F) and the score of their sums, to be resampled; ``spec`` is needed where the metric has no values per image."""
    if per_image is not None:
        known = ~np.isnan(per_image)
        return np.stack([np.where(known, per_image, 0.0), known], axis=1), mean_of_known
    assert spec is not None
    assert spec.from_confusions is not None
    return matrices.reshape(len(matrices), -1), _PooledStatistic(spec, matrices.shape[-1])


def mean_of_known(sums: Floats) -> Floats:
    """Mean over the images that have a value, from sums (.., 2) of their values and of their number."""
    mean: Floats = np.divide(sums[..., 0], sums[..., 1], out=np.full(sums.shape[:-1], np.nan), where=sums[..., 1] > 0)
    return mean


@dataclass(frozen=True)
class _PooledStatistic:
    """A metric of summed matrices (.., K * K), one call each; NaN where it raises."""

    spec: MetricSpec
    classes: int

    def __call__(self, sums: Floats) -> Floats:
        assert self.spec.from_confusions is not None
        function = resolve(self.spec.from_confusions)
        matrices = np.rint(sums).astype(np.int64).reshape(-1, 1, self.classes, self.classes)
        return np.array([_one(function, matrix) for matrix in matrices]).reshape(sums.shape[:-1])


def _one(function: Any, matrix: Counts) -> float:
    try:
        return float(np.asarray(function(matrix), dtype=np.float64))
    except Exception:  # foreign code: a drawn set of images without a score
        return math.nan


def same_images_scored(values: Sequence[Floats]) -> bool:
    """True where all have values for the same images: a mean over the others' images would not be of the same."""
    return all(np.array_equal(np.isnan(one), np.isnan(values[0])) for one in values[1:])
