"""Variation of a timing between starts of its process: the units of an interval, in the order in which they were timed.

A process that is started anew is some per cent faster or slower, with the layout of its memory, and stays so: rounds of one start share
that, so that starts are the independent units. A load that comes slowly makes neighbouring starts alike; :func:`slow_stretch` says by how
much an interval widens because of it.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segbench.analysis.statistics.families import CONFIDENCE
from segbench.analysis.statistics.student_t import student_quantile

LEAST_STARTS = 3
"""Below so many there is no interval: how starts differ was not seen, or seen once."""

_TRIMMED_OF = 11
"""One of so many units, on each side; of six it is one."""
_REACH = 3.0
NORMAL_DEVIATION = 1.4826
"""Standard deviation over median absolute deviation of normal values."""
_SLOW_SHARE = 4
_SLOW_FACTOR = 3.0
"""By simulation, so that 93 % of intervals hold where a load with a correlation of 0.8 from round to round hits one contender only, in
sixteen starts of two rounds (``tests/benchmarks/test_race_coverage.py``): the slowest quarter of the waves shows a part of such a load."""

ALIKE = 2.5
"""A stretch that sixteen starts which have nothing to do with each other reach in one race of twenty."""


@dataclass(frozen=True)
class Spread:
    """Trimmed mean over units, half its 95 % interval, the degrees of freedom, and the ``stretch`` in it because neighbours were alike."""

    value: float
    reach: float
    freedom: int
    stretch: float


def by_start(rounds: Sequence[Sequence[float]], starts: Sequence[int]) -> list[NDArray[np.float64]]:
    """All calls after each start; ``starts`` are the numbers of rounds. Raises :class:`ValueError` where they do not add up.

    >>> [calls.tolist() for calls in by_start([[1.0, 2.0], [3.0], [4.0]], [2, 1])]
    [[1.0, 2.0, 3.0], [4.0]]
    """
    if sum(starts) != len(rounds):
        raise ValueError(f"there are {len(rounds)} rounds, but {', '.join(map(str, starts))} after starts")
    ends = list(itertools.accumulate(starts, initial=0))
    return [np.concatenate([np.asarray(block, dtype=np.float64) for block in rounds[i:j]]) for i, j in itertools.pairwise(ends)]


def spread_of(values: ArrayLike, *, independent: bool = False) -> Spread:
    """Half an interval from how one figure differs between units (Schmeiser, Operations Research 30, 1982).

    By Student's t; where there are six units or more, the trimmed one with winsorised variance (Yuen, Biometrika 61, 1974), so that a
    single unit that something hit does not decide how wide it is; times :func:`slow_stretch`, unless units are known to be independent.
    """
    # the estimator of scipy.stats.mstats.trimmed_mean_ci, which cuts shares (of 49 units one too few) and takes a second to import
    units = np.asarray(values, dtype=np.float64)
    n, trimmed = len(units), _trimmed(len(units))
    clipped = _winsorised(units)
    freedom = n - 2 * trimmed - 1
    error = float(clipped.std(ddof=1)) / ((1 - 2 * trimmed / n) * math.sqrt(n))
    stretch = 1.0 if independent else slow_stretch(clipped)
    value = float(np.sort(units)[trimmed : n - trimmed].mean())
    return Spread(value, error * stretch * student_quantile((1 + CONFIDENCE) / 2, freedom), freedom, stretch)


def within_reach(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values further from their median than three deviations (by the median absolute one) drawn in to there, so that none decides alone.

    >>> within_reach(np.array([1.0, 1.1, 0.9, 1.0, 9.0])).round(2).tolist()
    [1.0, 1.1, 0.9, 1.0, 1.44]
    """
    middle = np.median(values)
    reach = _REACH * NORMAL_DEVIATION * float(np.median(np.abs(values - middle)))
    return np.clip(values, middle - reach, middle + reach) if reach > 0 else values


def slow_stretch(values: ArrayLike) -> float:
    """The factor by which an interval of a mean widens where units vary more slowly than by chance; 1 where they do not.

    From the variance at the slowest quarter of the frequencies (equally weighted cosines: Lazarus, Lewis, Stock and Watson, Journal of
    Business and Economic Statistics 36, 2018). With fewer than four units it cannot be seen.

    >>> slow_stretch([1.0, 2.0] * 4), round(slow_stretch([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]), 1)
    (1.0, 3.2)
    """
    units = np.asarray(values, dtype=np.float64)
    n = len(units)
    variance = float(units.var(ddof=1)) if n > 1 else 0.0
    if n < _SLOW_SHARE or variance <= 0:
        return 1.0
    frequencies = np.arange(1, n // _SLOW_SHARE + 1)[:, None]
    waves = math.sqrt(2 / n) * np.cos(np.pi * frequencies * (np.arange(n) + 0.5) / n)
    slow = float(np.mean((waves @ units) ** 2))
    return math.sqrt(max(1.0, _SLOW_FACTOR * slow / variance))


def median_interval_over_starts(starts: Sequence[NDArray[np.float64]], median: float) -> tuple[float, float]:
    """Interval of the median over all calls, above zero: a :class:`Spread` of the starts' own medians, on a logarithmic scale."""
    reach = spread_of([np.log(np.median(calls)) for calls in starts]).reach
    return median * math.exp(-reach), median * math.exp(reach)


def tail_interval_over_starts(starts: Sequence[NDArray[np.float64]], quantile: float, value: float) -> tuple[float, float] | None:
    """Interval of a quantile above the median over all calls and starts, above zero; None where it ends beyond the slowest call.

    Three parts, put together as if independent (recovered variances: Zou and Donner, Statistics in Medicine 27, 2008), on a logarithmic
    scale: the middle (:func:`spread_of`); how far starts spread, known as well as so many starts tell it (chi-squared, starts taken as
    normal); and the tail of the calls after each start, from the share of calls below it (:func:`_share_interval`).
    """
    logs = [np.log(calls) for calls in starts]
    middles = np.array([np.median(calls) for calls in logs])
    shifted = [calls - middle for calls, middle in zip(logs, middles, strict=True)]
    joined = np.concatenate(shifted)
    tail = float(np.quantile(joined, quantile))
    shares = _share_interval([float((calls <= tail).mean()) for calls in shifted], quantile, len(joined))
    if shares[1] > 1 - 1 / len(joined):
        return None
    tail_low, tail_high = np.quantile(joined, shares)
    apart = NormalDist().inv_cdf(quantile) * float(middles.std(ddof=1))
    least, most = (math.hypot(tail, apart * factor) for factor in _deviation_factors(len(starts)))
    reach, seen = spread_of(middles).reach, math.hypot(tail, apart)
    down, up = math.hypot(reach, seen - least, tail - tail_low), math.hypot(reach, most - seen, tail_high - tail)
    return value * math.exp(-down), value * math.exp(up)


def _share_interval(shares: Sequence[float], quantile: float, calls: int) -> tuple[float, float]:
    """Interval of the share of calls below a quantile, by Clopper and Pearson for as many independent calls as tell the same.

    Korn and Graubard (Survey Methodology 24, 1998) for shares of clusters; quantiles by their shares: Woodruff (JASA 47, 1952).
    """
    from scipy.special import betaincinv

    variance = float(np.var(shares, ddof=1)) / len(shares)
    alike = min(calls, quantile * (1 - quantile) / variance) if variance > 0 else calls
    alike *= (NormalDist().inv_cdf((1 + CONFIDENCE) / 2) / student_quantile((1 + CONFIDENCE) / 2, len(shares) - 1)) ** 2
    below, rest = quantile * alike, (1 - CONFIDENCE) / 2
    return float(betaincinv(below, alike - below + 1, rest)), float(betaincinv(below + 1, alike - below, 1 - rest))


@functools.cache
def _deviation_factors(units: int) -> tuple[float, float]:
    """The least and the greatest true deviation, over that of so many normal units.

    >>> [round(factor, 2) for factor in _deviation_factors(16)]
    [0.74, 1.55]
    """
    from scipy.special import chdtri

    rest = (1 - CONFIDENCE) / 2
    low, high = (math.sqrt((units - 1) / float(chdtri(units - 1, share))) for share in (rest, 1 - rest))
    return low, high


def _trimmed(units: int) -> int:
    return (units + _TRIMMED_OF // 2) // _TRIMMED_OF


def _winsorised(units: NDArray[np.float64]) -> NDArray[np.float64]:
    trimmed = _trimmed(len(units))
    ordered = np.sort(units)
    return np.clip(units, ordered[trimmed], ordered[len(units) - trimmed - 1])
