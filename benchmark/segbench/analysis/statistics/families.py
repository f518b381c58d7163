"""Estimates with intervals of any confidence, and the error rate that a family of comparisons shares.

Every estimator gives its 95 % interval and the degrees of freedom behind it. The interval of another confidence reaches further by the
ratio of the two quantiles of Student's t, so that one estimate serves a comparison that stands alone and one that is among many.

A family is all comparisons of one quantity along one axis in a run (all of times, whatever they differ in). Its error rate of 5 %
bounds the probability that any of its verdicts is false where nothing differs (Bonferroni's inequality). The planned comparisons, which a
run is made for, share four fifths of it and all other pairs the rest (weights as in Holm, Scandinavian Journal of Statistics 6, 1979,
section 3). It is applied in a single step, so that each verdict is that of one interval: the intervals of a family hold together in 95 %
of runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from segbench.analysis.statistics.student_t import student_p_value, student_quantile

CONFIDENCE = 0.95
PLANNED_SHARE = 0.8


@dataclass(frozen=True)
class Bound:
    """A 95 % interval around an estimate: its reach below and above the value, and the degrees of freedom by which it widens."""

    below: float
    above: float
    freedom: int

    def stretch(self, confidence: float) -> float:
        """The factor from 95 % to another confidence.

        >>> round(Bound(1.0, 1.0, 9).stretch(0.99), 3)
        1.437
        """
        return student_quantile((1 + confidence) / 2, self.freedom) / student_quantile((1 + CONFIDENCE) / 2, self.freedom)

    def p_value(self, value: float) -> float:
        """One less the confidence at which the interval around ``value`` just reaches zero."""
        reach = self.below if value > 0 else self.above
        if value == 0:
            return 1.0
        if reach <= 0:
            return 0.0
        return student_p_value(value / reach * student_quantile((1 + CONFIDENCE) / 2, self.freedom), self.freedom)


@dataclass(frozen=True)
class Estimate:
    """A difference, or the logarithm of a ratio, of ``n`` units; zero means that the two sides are equal.

    The interval is the widest of ``bounds``; without any, the data cannot tell.
    """

    value: float
    bounds: tuple[Bound, ...] = ()
    n: int = 0

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
        """The interval of a confidence; None where the data cannot tell.

        >>> low, high = Estimate(0.5, (Bound(0.1, 0.2, 9), Bound(0.15, 0.15, 3)), 10).interval()
        >>> round(low, 2), round(high, 2)
        (0.35, 0.7)
        """
        if not self.bounds:
            return None
        low = min(self.value - bound.below * bound.stretch(confidence) for bound in self.bounds)
        return low, max(self.value + bound.above * bound.stretch(confidence) for bound in self.bounds)

    @property
    def p_value(self) -> float | None:
        """Two-sided p value of "the two sides are equal"; the interval of confidence 1 - p just reaches zero."""
        return max((bound.p_value(self.value) for bound in self.bounds), default=None)


def error_rates(planned: int, others: int) -> tuple[float, float]:
    """The error rate of each planned and of each other comparison of a family.

    >>> [round(rate, 5) for rate in error_rates(1, 0)], [round(rate, 5) for rate in error_rates(6, 15)]
    ([0.05, 0.05], [0.00667, 0.00067])
    """
    total = 1 - CONFIDENCE
    if not planned or not others:
        return total / max(planned, others, 1), total / max(planned, others, 1)
    return PLANNED_SHARE * total / planned, (1 - PLANNED_SHARE) * total / others
