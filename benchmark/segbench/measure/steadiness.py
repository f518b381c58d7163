"""Small statistics of timings: is a series steady, which quantiles may be quoted, and how sure is a median."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 2000


def is_falling(values: Sequence[float]) -> bool:
    """Whether a series goes down, by Mann's trend test (Econometrica 13, 1945) at one-sided 5 %.

    >>> is_falling([9, 7, 6, 4, 3, 2, 2, 1]), is_falling([2, 1, 2, 1, 2, 1, 2, 1])
    (True, False)
    """
    n = len(values)
    rises = sum((later > earlier) - (later < earlier) for i, earlier in enumerate(values) for later in values[i + 1 :])
    spread = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    return spread > 0 and rises / spread < -1.645


def samples_needed(quantile: float) -> int:
    """How many samples it takes until the largest lies above the true quantile with 95 % confidence.

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
    """A 95 % bootstrap interval of the median over all samples, resampling whole rounds (Efron 1979; percentile method).

    Calls within a round share the machine's mood, so rounds are the independent units. Below six rounds there is none: even the
    full range of five misses the true median more often than one time in twenty.

    >>> median_interval([[1.0, 1.0]] * 5) is None, median_interval([[1.0, 1.0]] * 6)
    (True, (1.0, 1.0))
    """
    if len(rounds) < 6:
        return None
    arrays = [np.asarray(samples, dtype=np.float64) for samples in rounds]
    picks = np.random.default_rng(seed).integers(len(arrays), size=(RESAMPLES, len(arrays)))
    medians = [float(np.median(np.concatenate([arrays[i] for i in pick]))) for pick in picks]
    low, high = np.quantile(medians, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
