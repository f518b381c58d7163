"""Student's t for whole degrees of freedom, without a library of its own."""

from __future__ import annotations

import functools
import math


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


@functools.cache
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
