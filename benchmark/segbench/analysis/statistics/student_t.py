"""Student's t distribution, from ``scipy.special``: what ``scipy.stats.t`` evaluates too, at a third of its import time."""

from __future__ import annotations

import functools


def student_p_value(t: float, freedom: int) -> float:
    """Two-sided p value of a t statistic.

    >>> round(student_p_value(4.302653, 2), 6), round(student_p_value(2.262157, 9), 6), student_p_value(0.0, 4)
    (0.05, 0.05, 1.0)
    """
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(t)))


@functools.cache
def student_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t.

    >>> [round(student_quantile(0.975, n), 3) for n in (1, 2, 3, 9, 100)]
    [12.706, 4.303, 3.182, 2.262, 1.984]
    """
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))
