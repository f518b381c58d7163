"""Rounds of a race as a busy machine gives them, with known medians, quantiles and ratios, and the intervals made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.random import Generator

from segbench.analysis.statistics import timing as steadiness

Interval = tuple[float, float] | None
Rounds = list[list[float]]

ROUNDS = 10
CALLS = 20
MILLISECONDS = 10.0
RATIO = 0.9
CALL_DEVIATION = 0.05
ROUND_DEVIATION = 0.03
DRIFT = 0.1
"""Deviation of the machine's mood between rounds, which both contenders of a round meet."""

STARTS = (3, 3, 2, 2)
"""Rounds after each start of the processes."""
START_DEVIATION = 0.06


def true_quantile(quantile: float) -> float:
    """Of all calls in all rounds, in ms; 0.5 gives ``MILLISECONDS``."""
    return MILLISECONDS * math.exp(math.hypot(CALL_DEVIATION, ROUND_DEVIATION) * NormalDist().inv_cdf(quantile))


def median(random: Generator, seed: int) -> Interval:
    """The interval of a median latency."""
    return steadiness.median_interval(_rounds(random), seed=seed)


def median_over_starts(random: Generator, seed: int) -> Interval:
    """The same where the process is started anew after two or three rounds, and every start has a pace of its own."""
    pace = START_DEVIATION * random.standard_normal(len(STARTS))
    rounds = _rounds(random, mood=pace[np.repeat(np.arange(len(STARTS)), STARTS)].tolist())
    return steadiness.quantile_intervals(rounds, (0.5,), starts=STARTS, seed=seed)[0]


def p90(random: Generator, seed: int) -> Interval:
    """The interval of a 90th percentile."""
    return steadiness.quantile_intervals(_rounds(random), (0.9,), seed=seed)[0]


def ratio(random: Generator, seed: int) -> Interval:
    """The interval of the ratio of two contenders whose machine's mood changes from round to round."""
    mood = list(DRIFT * random.standard_normal(ROUNDS))
    subject = _rounds(random, scale=RATIO * MILLISECONDS, mood=mood)
    found = steadiness.ratio_of(subject, _rounds(random, mood=mood), seed=seed)
    return None if found.low is None or found.high is None else (found.low, found.high)


def ratio_over_starts(random: Generator, seed: int) -> Interval:
    """The same where each contender's process is started anew after two or three rounds, and every start has a pace of its own."""
    starts = np.repeat(np.arange(len(STARTS)), STARTS)
    first, second = START_DEVIATION * random.standard_normal((2, len(STARTS)))
    subject = _rounds(random, scale=RATIO * MILLISECONDS, mood=list(first[starts]))
    found = steadiness.ratio_of(subject, _rounds(random, mood=list(second[starts])), starts=STARTS, seed=seed)
    return None if found.low is None or found.high is None else (found.low, found.high)


def _rounds(random: Generator, *, scale: float = MILLISECONDS, mood: Sequence[float] = (0.0,) * ROUNDS) -> Rounds:
    """Log-normal times of calls that share their round's mood; ``scale`` is the true median."""
    noise = CALL_DEVIATION * random.standard_normal((len(mood), CALLS)) + ROUND_DEVIATION * random.standard_normal((len(mood), 1))
    return [(scale * np.exp(row + shift)).tolist() for row, shift in zip(noise, mood, strict=True)]
