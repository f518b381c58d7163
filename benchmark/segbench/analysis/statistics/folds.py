"""The mean over folds with an interval that allows for their trainings sharing most of their images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, variance

from segbench.analysis.statistics.bootstrap import LEAST_SEEDS, ROUNDING, Interval
from segbench.analysis.statistics.families import CONFIDENCE, Bound, Estimate
from segbench.analysis.statistics.student_t import student_quantile


def fold_interval(values: Sequence[float], *, test_per_train: float) -> Interval:
    """Mean over folds with Student's t interval of the corrected variance; none below three folds, or where they do not vary.

    ``test_per_train`` is the number of scored images over that of training images in a fold (1 / (k - 1) for k equal folds). The
    variance of the mean is s^2 (1/k + test/train) in place of s^2/k: folds share training images, so that their scores vary less than
    those of independent trainings would. Nadeau and Bengio, Inference for the generalization error, Machine Learning 52, 2003, section 3
    (the corrected resampled t test). It was derived for repeated random splits; for the folds of a cross-validation it is an
    approximation too (Bouckaert and Frank, PAKDD 2004), and no unbiased estimate exists (Bengio and Grandvalet, JMLR 5, 2004).

    >>> mean = fold_interval([0.50, 0.52, 0.54], test_per_train=0.5)
    >>> round(mean.value, 3), round(mean.low, 4), round(mean.high, 4)
    (0.52, 0.4414, 0.5986)
    """
    n, mean = len(values), fmean(values)
    if n < LEAST_SEEDS:
        return Interval(mean, None, None, None, n, why=f"{n} folds are too few for an interval: at least {LEAST_SEEDS}")
    if max(values) - min(values) <= ROUNDING:
        return Interval(mean, None, None, None, n, why="all folds have the same value: there is nothing to estimate a deviation from")
    error = math.sqrt(variance(values) * (1 / n + test_per_train))
    half = student_quantile((1 + CONFIDENCE) / 2, n - 1) * error
    estimate = Estimate(mean, (Bound(half, half, n - 1),), n)
    return Interval(mean, mean - half, mean + half, estimate.p_value, n, estimate.bounds)
