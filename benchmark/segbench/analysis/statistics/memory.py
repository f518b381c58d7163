"""Intervals of memory from readings in fresh processes, and of the ratio of two such figures.

On a CPU the peak of one call differs from process to process, as its heap lies otherwise in each. Most processes need much the same, few
need several MB more or less: a mean of few readings, and Student's t, depend on whether one of these is among them. The figure is therefore
the median, and its interval lies between two of the readings, which holds whatever their distribution is (David and Nagaraja, Order
Statistics, 3rd edition 2003, section 7.1). Processes are the independent units: calls in one process are much alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median

from segbench.analysis.statistics.families import CONFIDENCE, Bound, Estimate

LEAST_PROCESSES = 6
"""Between the least and the greatest of five readings the median lies in 93.75 % of cases, of six in 96.9 %."""
MEMORY_RESOLUTION_MB = 1.0
"""The resolution in MB to which ``segbench verify`` tests the process meter; no interval is narrower."""

_CERTAIN = 1_000_000
"""Degrees of freedom of what does not depend on the readings."""


def memory_interval(readings: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of the median of MB read in so many processes; None of fewer than six.

    >>> memory_interval([100.0, 104.0, 107.0, 109.0, 110.0, 130.0]), memory_interval([100.0, 110.0])
    ((100.0, 130.0), None)
    >>> memory_interval([100.0] * 6)
    (99.0, 101.0)
    """
    ends = _between_readings(readings)
    if ends is None:
        return None
    value = median(readings)
    return max(min(ends[0], value - MEMORY_RESOLUTION_MB), 0.0), max(ends[1], value + MEMORY_RESOLUTION_MB)


def why_no_interval(*sides: Sequence[float]) -> str:
    """The reason why memory that was read in these processes has no interval; empty where it has one.

    >>> why_no_interval([100.0] * 6, [100.0])
    'memory was read in one process; an interval takes 6'
    """
    fewest = min(map(len, sides))
    if fewest < LEAST_PROCESSES:
        # older results keep no list of readings: theirs is of one process
        return f"memory was read in {'one process' if fewest < 2 else f'{fewest} processes'}; an interval takes {LEAST_PROCESSES}"
    if min(map(median, sides)) <= MEMORY_RESOLUTION_MB:
        return f"memory is read to {MEMORY_RESOLUTION_MB:g} MB, and this is less"
    return ""


def memory_ratio(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Logarithm of the ratio of two medians, with an interval made of those of both sides.

    A side of fewer than six processes, or below what the meter resolves, gives an estimate without bounds. Raises :class:`ValueError`
    where a median is not positive.

    >>> low, high = memory_ratio([50.0] * 6, [100.0] * 6).interval()
    >>> round(math.exp(low), 3), round(math.exp(high), 3)
    (0.485, 0.515)
    """
    return _estimate(ours, theirs, scale=math.log)


def memory_difference(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Difference of two medians in MB, with an interval made of those of both sides.

    >>> memory_difference([50.0] * 6, [104.0] * 6)
    Estimate(value=-54.0, bounds=(Bound(below=0.0, above=0.0, freedom=5), Bound(below=2.0, above=2.0, freedom=1000000)), n=6)
    """
    return _estimate(ours, theirs, scale=lambda mb: mb)


def _estimate(ours: Sequence[float], theirs: Sequence[float], *, scale: Callable[[float], float]) -> Estimate:
    """With the wider of two bounds: that of the readings, and what the meter resolves on both sides.

    Each end of the first joins the reaches of the two sides in the root of their squares (MOVER: Zou and Donner, Statistics in
    Medicine 27, 2008, equation 5).
    """
    n = min(len(ours), len(theirs))
    values = scale(median(ours)), scale(median(theirs))
    value = values[0] - values[1]
    ends = _between_readings(ours), _between_readings(theirs)
    if ends[0] is None or ends[1] is None or why_no_interval(ours, theirs):
        return Estimate(value, (), n)
    reach = [(each - scale(low), scale(high) - each) for each, (low, high) in zip(values, (ends[0], ends[1]), strict=True)]
    of_readings = Bound(math.hypot(reach[0][0], reach[1][1]), math.hypot(reach[0][1], reach[1][0]), n - 1)
    resolved = sum(each - scale(median(side) - MEMORY_RESOLUTION_MB) for each, side in zip(values, (ours, theirs), strict=True))
    return Estimate(value, (of_readings, Bound(resolved, resolved, _CERTAIN)), n)


def _between_readings(readings: Sequence[float]) -> tuple[float, float] | None:
    """The innermost two readings, equally far from both ends, between which the median lies in at least 95 % of cases."""
    n = len(readings)
    if n < LEAST_PROCESSES:
        return None
    ordered, outside, cut = sorted(readings), 0.0, 0
    while (outside := outside + 2 * math.comb(n, cut) / 2**n) <= 1 - CONFIDENCE:
        cut += 1
    return ordered[cut - 1], ordered[n - cut]
