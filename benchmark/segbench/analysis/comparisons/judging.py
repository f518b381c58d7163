"""Verdicts on the comparisons of one family: each is that of one interval, and all intervals of a family hold together in 95 % of runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from segbench.analysis.statistics.families import CONFIDENCE, Bound, Estimate, error_rates
from segbench.results.metrics import Metric, metric
from segbench.results.records import Comparison, ComparisonVerdict, Family


@dataclass(frozen=True)
class Candidate:
    """A comparison before its family is known.

    record    the comparison without figures; with a ``reason`` where nothing can be said
    estimate  subject less baseline, or for a ratio the logarithm of subject / baseline; None where nothing was measured
    planned   whether the run was made for it, as for every comparison with the first model
    """

    record: Comparison
    estimate: Estimate | None = None
    planned: bool = True

    @property
    def is_tested(self) -> bool:
        """True where it has an interval, and nothing that speaks against a verdict."""
        return not self.record.reason and self.estimate is not None and bool(self.estimate.bounds)


def judged(candidates: Sequence[Candidate], *, further: int = 0) -> list[Comparison]:
    """The records with intervals, p values and verdicts; ``further`` counts pairs of the same family that have no record."""
    planned = sum(candidate.planned for candidate in candidates if candidate.is_tested)
    others = sum(not candidate.planned for candidate in candidates if candidate.is_tested) + further
    family = Family(planned=planned, others=others)
    return [_judged(candidate, family) for candidate in candidates]


def inverted(estimate: Estimate) -> Estimate:
    """The same comparison with its sides swapped, or of a rate in place of a time."""
    return Estimate(-estimate.value, tuple(Bound(bound.above, bound.below, bound.freedom) for bound in estimate.bounds), estimate.n)


def verdict_word(metric: Metric, sign: int) -> ComparisonVerdict:
    """The verdict on an interval that lies above (1), below (-1) or around (0) equality.

    >>> verdict_word(metric("latency_ms"), -1), verdict_word(metric("throughput"), -1), verdict_word(metric("miou"), 1)
    ('faster', 'slower', 'better')
    """
    if sign == 0:
        return "no difference shown"
    improved = (sign > 0) is (metric.better == "higher")
    if metric.noise in ("calls", "epochs"):
        return "faster" if improved else "slower"
    if metric.noise == "memory":
        return "less" if improved else "more"
    return "better" if improved else "worse"


def _judged(candidate: Candidate, family: Family) -> Comparison:
    estimate, record = candidate.estimate, candidate.record.model_copy(update={"planned": candidate.planned})
    if estimate is None:
        return record
    figures: dict[str, Any] = {"value": _in_reading(record, estimate.value), "n": estimate.n}
    rates = error_rates(family.planned, family.others)
    rate = rates[0] if candidate.planned else rates[1]
    interval = estimate.interval(1 - rate)
    if interval is None or record.reason:
        return record.model_copy(update=figures)
    low, high = interval
    if not all(map(math.isfinite, (estimate.value, low, high))):
        return record.model_copy(update={"reason": "its figures are no finite numbers"})
    p_value = estimate.p_value
    return record.model_copy(
        update=figures
        | {
            "low": _in_reading(record, low),
            "high": _in_reading(record, high),
            "confidence": 1 - rate,
            "family": family,
            "p_value": p_value,
            "p_adjusted": None if p_value is None else min(1.0, p_value * (1 - CONFIDENCE) / rate),
            "verdict": verdict_word(metric(record.quantity), (low > 0) - (high < 0)),
        }
    )


def _in_reading(record: Comparison, value: float) -> float:
    """A ratio from its logarithm; a difference of two shares, which is never beyond one."""
    if record.reading == "ratio":
        return math.exp(value)
    return max(-1.0, min(1.0, value)) if metric(record.quantity).stored_unit == "share" else value
