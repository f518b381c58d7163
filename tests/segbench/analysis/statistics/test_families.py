from __future__ import annotations

import math

import numpy as np
import pytest

from segbench.analysis.statistics.families import CONFIDENCE, Bound, Estimate, error_rates
from segbench.analysis.statistics.student_t import student_quantile


def test_the_widest_bound_decides_at_each_confidence() -> None:
    narrow_of_few, wide_of_many = Bound(0.10, 0.10, 2), Bound(0.12, 0.12, 100)
    estimate = Estimate(0.5, (narrow_of_few, wide_of_many), 10)
    low, high = estimate.interval() or (0, 0)
    assert (low, high) == pytest.approx((0.38, 0.62))
    low, high = estimate.interval(0.999) or (0, 0)
    assert high - 0.5 == pytest.approx(0.10 * student_quantile(0.9995, 2) / student_quantile(0.975, 2))
    assert 0.5 - low == pytest.approx(high - 0.5)


def test_the_p_value_is_the_level_at_which_the_interval_reaches_zero() -> None:
    for value in (0.3, -0.3):
        estimate = Estimate(value, (Bound(0.2, 0.1, 5), Bound(0.15, 0.15, 20)), 8)
        p = estimate.p_value
        assert p is not None
        assert min(map(abs, estimate.interval(1 - p) or ())) < 1e-9


def test_an_estimate_without_bounds_says_nothing() -> None:
    assert Estimate(0.3).interval() is None
    assert Estimate(0.3).p_value is None


def test_equal_sides_are_never_told_apart_and_exact_ones_always() -> None:
    assert Estimate(0.0, (Bound(0.0, 0.0, 3),), 4).p_value == 1.0
    assert Estimate(0.1, (Bound(0.0, 0.0, 3),), 4).p_value == 0.0


@pytest.mark.parametrize(("planned", "others"), [(1, 0), (3, 0), (0, 10), (6, 15), (13, 78)])
def test_a_family_shares_one_error_rate(planned: int, others: int) -> None:
    rate, other = error_rates(planned, others)
    assert planned * rate + others * other == pytest.approx(1 - CONFIDENCE)
    assert not planned or not others or rate > other


def test_at_most_one_family_in_twenty_has_a_false_verdict() -> None:
    """Seven equal models, each with the mean of five values: all pairs, six of them planned."""
    random, families, models, units = np.random.default_rng(3), 2000, 7, 5
    values = random.normal(size=(families, models, units))
    false = np.zeros(families, dtype=bool)
    rate, other = error_rates(models - 1, (models - 1) * (models - 2) // 2)
    for a in range(models):
        for b in range(a):
            differences = values[:, a] - values[:, b]
            reach = differences.std(axis=1, ddof=1) / math.sqrt(units) * student_quantile(1 - (other if b else rate) / 2, units - 1)
            false |= np.abs(differences.mean(axis=1)) > reach
    assert false.mean() < 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / families)
