"""Statistics of timings: the trend of a series, quantiles with their intervals, ratios of two contenders, correction for many pairs.

Starts of the processes are the units of a race's intervals (:mod:`segbench.analysis.statistics.starts`): rounds after one start share its
pace, calls within a round share the machine's state. Where nothing is known of starts, rounds are the units: 95 % bootstrap intervals
(Efron 1979), percentiles expanded for few rounds (Hesterberg, The American Statistician 69, 2015, section 5.3 on narrowness bias).
Neighbouring rounds may be alike, so that they tell less than as many independent ones would: :func:`serial_stretch` says by how much to
widen.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segbench.analysis.statistics.families import CONFIDENCE, Bound, Estimate
from segbench.analysis.statistics.starts import (
    ALIKE,
    LEAST_STARTS,
    by_start,
    median_interval_over_starts,
    spread_of,
    tail_interval_over_starts,
    within_reach,
)
from segbench.analysis.statistics.student_t import student_quantile

RESAMPLES = 2000
LEAST_ROUNDS = 6
"""Below so many there is no interval: even the full range of five misses the true median more often than one time in twenty."""

_BATCHES = 8
_MANY_ROUNDS = 18
_CHUNK = 1 << 22
_ALLOWANCE = "wider where neighbouring ones are alike"

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}

Verdict = Literal["faster", "slower", "no difference shown", "cannot tell"]


@dataclass(frozen=True)
class Ratio:
    """Time of one contender over that of another: the mean over starts (without starts, the median over ``rounds``) of the ratio of their
    medians in the same round.

    ``low`` and ``high`` bound it with 95 % confidence and ``p_value`` is two-sided against a ratio of one; null with ``why`` where rounds
    or starts are too few. ``stretch`` is the factor by which the interval is wider because neighbouring rounds or starts were alike.
    """

    value: float
    low: float | None
    high: float | None
    p_value: float | None
    rounds: int
    bounds: tuple[Bound, ...] = field(default=(), repr=False)
    stretch: float = field(default=1.0, repr=False)
    why: str = field(default="", repr=False)

    @property
    def estimate(self) -> Estimate:
        """The logarithm of the ratio, for a family of comparisons."""
        return Estimate(math.log(self.value), self.bounds, self.rounds)

    @property
    def are_alike(self) -> bool:
        """True where neighbouring rounds or starts are alike to a degree that independent ones reach in one race of twenty."""
        return self.stretch >= ALIKE

    @property
    def verdict(self) -> Verdict:
        """``faster`` or ``slower`` where the interval excludes one.

        >>> Ratio(0.9, 0.85, 0.95, 0.01, 10).verdict, Ratio(0.9, 0.85, 1.05, 0.2, 10).verdict, Ratio(0.9, None, None, None, 3).verdict
        ('faster', 'no difference shown', 'cannot tell')
        """
        if self.low is None or self.high is None:
            return "cannot tell"
        if self.high < 1:
            return "faster"
        return "slower" if self.low > 1 else "no difference shown"


def is_falling(values: Sequence[float]) -> bool:
    """Tell a falling series from noise, by Mann's trend test (Econometrica 13, 1945) at one-sided 5 %.

    >>> is_falling([9, 7, 6, 4, 3, 2, 2, 1]), is_falling([2, 1, 2, 1, 2, 1, 2, 1])
    (True, False)
    """
    n = len(values)
    # not scipy.stats.kendalltau: it corrects for ties, which would end other warm-ups, and takes a second to import in the midst of one
    rises = sum((later > earlier) - (later < earlier) for i, earlier in enumerate(values) for later in values[i + 1 :])
    spread = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    return spread > 0 and rises / spread < -1.645


def samples_needed(quantile: float) -> int:
    """The number of samples of which the largest lies above the true quantile with 95 % confidence.

    >>> samples_needed(0.5), samples_needed(0.9), samples_needed(0.99)
    (5, 29, 299)
    """
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(quantile))


def quantile_of(samples: Sequence[float], quantile: float) -> float | None:
    """A quantile above the median (linear between order statistics), or None where there are too few samples to know it.

    >>> quantile_of(range(101), 0.9), quantile_of(range(28), 0.9)
    (90.0, None)
    """
    if len(samples) < samples_needed(quantile):
        return None
    return float(np.quantile(np.asarray(samples, dtype=np.float64), quantile))


def median_interval(rounds: Sequence[Sequence[float]], *, seed: int = 0) -> tuple[float, float] | None:
    """An interval of the median over all samples.

    >>> median_interval([[1.0, 1.0]] * 5) is None, median_interval([[1.0, 1.0]] * 6)
    (True, (1.0, 1.0))
    """
    return quantile_intervals(rounds, (0.5,), seed=seed)[0]


def quantile_intervals(
    rounds: Sequence[Sequence[float]], quantiles: Sequence[float], *, starts: Sequence[int] = (), seed: int = 0
) -> list[tuple[float, float] | None]:
    """An interval for each quantile over all samples; None where :func:`no_interval` says why.

    ``starts`` are the rounds after each start of the process; starts are the units (:mod:`segbench.analysis.statistics.starts`). Where
    nothing is known of them whole rounds are resampled, and the interval is wider where rounds were alike for some time
    (:func:`serial_stretch`).

    >>> quantile_intervals([[1.0, 2.0, 3.0]] * 10, (0.5, 0.9, 0.99))
    [(2.0, 2.0), (3.0, 3.0), None]
    """
    quoted = [q for q in quantiles if not no_interval(rounds, q, starts=starts)]
    found = _intervals_over_starts(rounds, quoted, starts) if starts else _intervals_over_rounds(rounds, quoted, seed)
    return [found.get(q) for q in quantiles]


def interval_fields(rounds: Sequence[Sequence[float]], *, starts: Sequence[int] = (), seed: int = 0) -> dict[str, Any]:
    """The fields of :class:`Latency` on intervals: of p50, p90 and p99, and the reasons why one is null."""
    p50, p90, p99 = quantile_intervals(rounds, tuple(_QUANTILES.values()), starts=starts, seed=seed)
    reasons = {name: no_interval(rounds, quantile, starts=starts) for name, quantile in _QUANTILES.items()}
    missing = {name: reason for name, reason in reasons.items() if reason}
    return {"ci95_ms": p50, "p90_ci95_ms": p90, "p99_ci95_ms": p99, "no_interval": missing}


def no_interval(rounds: Sequence[Sequence[float]], quantile: float, *, starts: Sequence[int] = ()) -> str:
    """The reason why a quantile has no interval; empty where it has one.

    >>> no_interval([[1.0] * 99] * 8, 0.99, starts=[2, 2, 2, 2]), no_interval([[1.0] * 30] * 8, 0.99, starts=[2, 2, 2, 2])
    ('', 'it takes 299 calls, these are 240')
    >>> no_interval([[1.0]] * 4, 0.5), no_interval([[1.0]] * 8, 0.5, starts=[8])
    ('it takes 6 rounds, these are 4', 'it takes 3 starts of the process to see how they differ, there was 1')
    """
    few = too_few(len(rounds), starts)
    samples = sum(map(len, rounds))
    if few:
        return few
    if quantile > 0.5 and samples < samples_needed(quantile):
        return f"it takes {samples_needed(quantile)} calls, these are {samples}"
    if starts and min(map(min, rounds)) <= 0:
        return "there are times of zero"
    if starts and quantile > 0.5 and tail_interval_over_starts(by_start(rounds, starts), quantile, 1.0) is None:
        return f"it ends beyond the slowest of {samples} calls"
    return ""


def too_few(rounds: int, starts: Sequence[int] = ()) -> str:
    """The reason why so many rounds after these starts make no interval; empty where they do.

    Raises :class:`ValueError` where the starts do not add up to the rounds.
    """
    if starts and sum(starts) != rounds:
        raise ValueError(f"there are {rounds} rounds, but {', '.join(map(str, starts))} after starts")
    if rounds < LEAST_ROUNDS:
        return f"it takes {LEAST_ROUNDS} rounds, these are {rounds}"
    if starts and len(starts) < LEAST_STARTS:
        verb = "there was" if len(starts) == 1 else "there were"
        return f"it takes {LEAST_STARTS} starts of the process to see how they differ, {verb} {len(starts)}"
    return ""


def _intervals_over_starts(
    rounds: Sequence[Sequence[float]], quantiles: Sequence[float], starts: Sequence[int]
) -> dict[float, tuple[float, float] | None]:
    if not quantiles:
        return {}
    calls, samples = by_start(rounds, starts), _joined(rounds)
    values = {q: float(np.quantile(samples, q)) for q in quantiles}
    return {
        q: tail_interval_over_starts(calls, q, value) if q > 0.5 else median_interval_over_starts(calls, value)
        for q, value in values.items()
    }


def _intervals_over_rounds(
    rounds: Sequence[Sequence[float]], quantiles: Sequence[float], seed: int
) -> dict[float, tuple[float, float] | None]:
    """By resampling rounds; within what was seen."""
    if not quantiles:
        return {}
    samples = _joined(rounds)
    stretch = serial_stretch([float(np.median(block)) for block in rounds])
    intervals: dict[float, tuple[float, float] | None] = {}
    for q, resampled in zip(quantiles, _resampled_quantiles(rounds, samples, quantiles, seed), strict=True):
        low, high = _stretched(_bounds(resampled, len(rounds)), float(np.quantile(samples, q)), stretch)
        intervals[q] = (max(low, float(samples.min())), min(high, float(samples.max())))
    return intervals


def ratio_of(
    rounds_a: Sequence[Sequence[float]], rounds_b: Sequence[Sequence[float]], *, starts: Sequence[int] = (), seed: int = 0
) -> Ratio:
    """The time of a's calls over that of b's; round i of both ran side by side, so that they met the same machine.

    ``starts`` says how many rounds were run after each start of the processes (``Latency.start_rounds``): the ratio is the mean over
    starts, and its interval is from how they differ (:func:`~segbench.analysis.statistics.starts.spread_of`), wider where neighbours are
    alike, as where a load hits one contender for rounds on end. Where nothing is known of starts the ratio is the median over rounds, and
    its interval the wider of two: the bootstrap over rounds, stretched by their serial correlation, and the spread of consecutive batches
    of rounds. A load that comes and goes splits each contender's pooled times in two heaps, between which a pooled median jumps; the ratio
    within a round is hit by it only where it changes in between.

    >>> ratio_of([[2.0, 2.0]] * 8, [[1.0]] * 8)
    Ratio(value=2.0, low=2.0, high=2.0, p_value=0.0, rounds=8)
    >>> ratio_of([[2.0, 2.0]] * 8, [[1.0]] * 8, starts=[8]).why
    'it takes 3 starts of the process to see how they differ, there was 1'
    """
    if len(rounds_a) != len(rounds_b) or not rounds_a:
        raise ValueError(f"a ratio is of the same rounds of both: got {len(rounds_a)} and {len(rounds_b)}")
    why = too_few(len(rounds_a), starts)
    logs = np.log([np.median(a) / np.median(b) for a, b in zip(rounds_a, rounds_b, strict=True)])
    if why:
        return Ratio(math.exp(float(np.median(logs))), None, None, None, len(logs), why=why)
    estimate, stretch = _over_starts(logs, starts) if starts else _over_rounds(logs, seed)
    low, high = estimate.interval() or (-math.inf, math.inf)
    return Ratio(math.exp(estimate.value), math.exp(low), math.exp(high), estimate.p_value, len(logs), estimate.bounds, stretch)


def ratio_method(ratio: Ratio, starts: Sequence[int] = ()) -> str:
    """What was done to get a ratio, and its interval where it has one.

    >>> ratio_method(ratio_of([[2.0]] * 8, [[1.0]] * 8, starts=[2, 2, 2, 2]), [2, 2, 2, 2])
    'mean over 4 starts of the processes (8 rounds) of the ratio of the two medians in the same round; interval from how starts differ, \
wider where neighbouring ones are alike'
    >>> ratio_method(ratio_of([[2.0]], [[1.0]], starts=[1]), [1])
    'ratio of the two medians in one round'
    """
    if ratio.low is None:
        many = f"median over {ratio.rounds} rounds of the ratio of the two medians in the same round"
        return many if ratio.rounds > 1 else "ratio of the two medians in one round"
    if starts:
        mean = f"mean over {len(starts)} starts of the processes ({ratio.rounds} rounds) of the ratio of the two medians in the same round"
        return f"{mean}; interval from how starts differ, {_ALLOWANCE}"
    median = f"median over {ratio.rounds} rounds of the ratio of the two medians in the same round"
    return f"{median}; interval from how rounds differ, {_ALLOWANCE}; how starts of the processes differ is not in it"


def ratio_notes(ratio: Ratio) -> list[str]:
    """A warning where neighbouring rounds or starts were alike, so that they say as little as fewer independent ones."""
    if ratio.low is None or not ratio.are_alike:
        return []
    slow = "neighbouring rounds were alike, as under a load that comes and goes slowly"
    return [f"{slow}: the interval is {ratio.stretch:.1f} times as wide"]


def _over_starts(logs: NDArray[np.float64], starts: Sequence[int]) -> tuple[Estimate, float]:
    spread = spread_of([part.mean() for part in np.split(within_reach(logs), np.cumsum(starts)[:-1])])
    return Estimate(spread.value, (Bound(spread.reach, spread.reach, spread.freedom),), len(logs)), spread.stretch


def _over_rounds(logs: NDArray[np.float64], seed: int) -> tuple[Estimate, float]:
    value, stretch = float(np.median(logs)), serial_stretch(logs)
    low, high = _stretched(_bounds(np.median(logs[_picks(len(logs), seed)], axis=1), len(logs)), value, stretch)
    spread = spread_of([float(np.median(batch)) for batch in _batches(logs)], independent=True)
    bounds = Bound(value - low, high - value, len(logs) - 1), Bound(spread.reach, spread.reach, spread.freedom)
    return Estimate(value, bounds, len(logs)), stretch


def serial_stretch(rounds: Sequence[float] | NDArray[np.float64]) -> float:
    """The factor by which an interval of a median widens because neighbouring rounds are alike; 1 where they are not.

    The standard error of a median of a series depends on the autocorrelations of on which side of it each value lies (Gastwirth and Rubin,
    Annals of Statistics 3, 1975); they are summed up to where a pair of neighbouring lags is no longer positive (Geyer, Statistical Science
    7, 1992, section 3.3). Student's t for as many fewer degrees of freedom is part of it.

    >>> serial_stretch([1.0, 2.0] * 6), round(serial_stretch([1.0] * 6 + [2.0] * 6), 1)
    (1.0, 3.9)
    """
    sides = np.sign(np.asarray(rounds) - np.median(rounds))
    sides -= sides.mean()
    n = len(sides)
    products = np.array([np.dot(sides[: n - lag], sides[lag:]) for lag in range(n)])
    if products[0] <= 0:
        return 1.0
    pairs = (products[0 : n - 1 : 2] + products[1:n:2]) / products[0]
    positive = pairs[: int(np.argmax(pairs <= 0))] if (pairs <= 0).any() else pairs
    inflation = max(1.0, 2 * float(positive.sum()) - 1)
    freedom = max(1, int(n / inflation) - 1)
    return math.sqrt(inflation) * student_quantile((1 + CONFIDENCE) / 2, freedom) / student_quantile((1 + CONFIDENCE) / 2, n - 1)


def _batches(logs: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Consecutive rounds put together.

    Where there are rounds enough, a batch has three or more: its median then outvotes one round in which a load hit one contender only.
    """
    return np.array_split(logs, min(_BATCHES, len(logs) // (3 if len(logs) >= _MANY_ROUNDS else 2)))


def _joined(rounds: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    return np.concatenate([np.asarray(block, dtype=np.float64) for block in rounds]) if rounds else np.empty(0)


def _picks(rounds: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(rounds, size=(RESAMPLES, rounds))


def _resampled_quantiles(
    rounds: Sequence[Sequence[float]], samples: NDArray[np.float64], quantiles: Sequence[float], seed: int
) -> list[NDArray[np.float64]]:
    """Each quantile in every resample: all samples are sorted once, and a resample counts how often each of them is in it."""
    owner = np.repeat(np.arange(len(rounds)), [len(block) for block in rounds])
    order = np.argsort(samples, kind="stable")
    ordered, owner = samples[order], owner[order]
    picks = _picks(len(rounds), seed)
    times = np.stack([np.bincount(pick, minlength=len(rounds)) for pick in picks]).astype(np.int32)
    step = max(1, _CHUNK // len(samples))
    parts = [
        _weighted(ordered, np.cumsum(times[i : i + step][:, owner], axis=1, dtype=np.int32), quantiles) for i in range(0, len(times), step)
    ]
    return [np.concatenate([part[k] for part in parts]) for k in range(len(quantiles))]


def _weighted(ordered: NDArray[np.float64], reached: NDArray[Any], quantiles: Sequence[float]) -> list[NDArray[np.float64]]:
    """Quantiles (linear between order statistics) of samples that occur several times; ``reached`` counts them up to each place."""
    values = []
    for quantile in quantiles:
        place = quantile * (reached[:, -1] - 1)
        low, high = (ordered[(reached <= np.asarray(k)[:, None]).sum(axis=1)] for k in (np.floor(place), np.ceil(place)))
        values.append(low + (high - low) * (place - np.floor(place)))
    return values


def _stretched(bounds: tuple[float, float], value: float, stretch: float) -> tuple[float, float]:
    low, high = bounds
    return min(low, value - (value - low) * stretch), max(high, value + (high - value) * stretch)


def _bounds(values: NDArray[np.float64], rounds: int) -> tuple[float, float]:
    tail = expanded_tail(rounds)
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


@functools.cache
def expanded_tail(n: int) -> float:
    """Share of resamples to leave out on each side, smaller than 2.5 % for few units: a bootstrap of n is narrow by about t/z and n/(n-1).

    >>> round(expanded_tail(6), 4), round(expanded_tail(10), 4), round(expanded_tail(1000), 4)
    (0.0024, 0.0086, 0.0248)
    """
    return NormalDist().cdf(-math.sqrt(n / (n - 1)) * student_quantile((1 + CONFIDENCE) / 2, n - 1))
