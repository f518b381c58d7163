"""Simulated races with known truth: log-normal times of calls in rounds after several starts of a process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from segbench.config.settings import MeasureSettings
from segbench.execution.costs.race import rounds_of_starts

DEFAULT_STARTS = tuple(rounds_of_starts(MeasureSettings()))
"""Rounds after each start in a race by default."""
CORRELATION = 0.8
"""Of a slow load, from one round to the next."""

Rounds = list[list[float]]
Logs = NDArray[np.float64]

_SLOW_CALLS = (1.5, 3.0)
_SLOW_SHARE = 0.02


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What makes the times of a contender vary; deviations are of logarithms.

    start       deviation from start to start
    slow_start  probability of a slow start, 8 % slower than a fast one; in place of ``start``
    rounds      deviation from round to round
    call        deviation from call to call
    heavy       2 % of calls take 1.5 to 3 times as long
    calls       calls in a round
    """

    start: float = 0.0
    slow_start: float | None = None
    rounds: float = 0.02
    call: float = 0.03
    heavy: bool = False
    calls: int = 20

    def race(self, random: Generator, starts: Sequence[int] = DEFAULT_STARTS, *, scale: float = 1.0, load: float = 0.0) -> Rounds:
        """Milliseconds of one contender; ``load`` is the deviation of a slow load that hits it alone (an AR(1) process)."""
        total = sum(starts)
        logs = np.repeat(self._starts(random, len(starts)), starts) + self.rounds * random.standard_normal(total)
        if load:
            logs = logs + load * slow_load(random, total)
        calls = logs[:, None] + self.call * random.standard_normal((total, self.calls))
        if self.heavy:
            slow = random.random(calls.shape) < _SLOW_SHARE
            calls = calls + slow * np.log(random.uniform(*_SLOW_CALLS, calls.shape))
        rounds: Rounds = (scale * np.exp(calls)).tolist()
        return rounds

    def _starts(self, random: Generator, count: int) -> Logs:
        if self.slow_start is None:
            return self.start * random.standard_normal(count)
        return np.where(random.random(count) < self.slow_start, math.log(1.08), 0.0)

    def quantile(self, share: float) -> float:
        """The quantile of all calls of all rounds after all starts that there could be, for a scale of one; by bisection."""
        low, high = -1.0, 2.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self._below(middle) < share else (low, middle)
        return math.exp(middle)

    def _below(self, log: float) -> float:
        """The share of calls whose logarithm is below."""
        shifts = [(1.0, 0.0)] if self.slow_start is None else [(1 - self.slow_start, 0.0), (self.slow_start, math.log(1.08))]
        deviation = math.hypot(self.rounds, self.call, self.start if self.slow_start is None else 0.0)
        normal = NormalDist(0.0, deviation)
        slow = np.log(np.linspace(*_SLOW_CALLS, 101)) if self.heavy else np.zeros(0)
        total = 0.0
        for weight, shift in shifts:
            usual = normal.cdf(log - shift)
            late = float(np.mean([normal.cdf(log - shift - delay) for delay in slow])) if self.heavy else usual
            total += weight * ((1 - _SLOW_SHARE) * usual + _SLOW_SHARE * late)
        return total


def slow_load(random: Generator, rounds: int) -> Logs:
    """An AR(1) process of deviation one whose neighbouring values correlate by ``CORRELATION``."""
    innovations = math.sqrt(1 - CORRELATION**2) * random.standard_normal(rounds)
    values = [float(random.standard_normal())]
    for innovation in innovations[1:]:
        values.append(CORRELATION * values[-1] + float(innovation))
    return np.array(values)
