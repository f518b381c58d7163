"""The corrected interval over folds and Wilcoxon's test, against worked examples and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from segbench.analysis.statistics.folds import fold_interval
from segbench.analysis.statistics.signed_rank import mean_ranks, signed_rank_p_value


def test_the_interval_is_that_of_a_worked_example() -> None:
    # differences of five folds: mean 0.02, s^2 = (0.02^2 + 0.01^2 + 0 + 0.01^2 + 0.02^2) / 4 = 0.00025;
    # s^2 (1/5 + 1/4) = 0.0001125, its root 0.0106066, times t(0.975, 4) = 2.7764451 is 0.0294486
    interval = fold_interval([0.00, 0.01, 0.02, 0.03, 0.04], test_per_train=1 / 4)
    assert interval.value == pytest.approx(0.02)
    assert interval.low == pytest.approx(0.02 - 0.0294486, abs=1e-7)
    assert interval.high == pytest.approx(0.02 + 0.0294486, abs=1e-7)
    assert interval.p_value == pytest.approx(2 * stats.t.sf(0.02 / math.sqrt(0.0001125), 4))


def test_without_shared_images_it_is_the_plain_t_interval() -> None:
    values = [0.50, 0.55, 0.52, 0.58]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    interval = fold_interval(values, test_per_train=0.0)
    assert interval.low == pytest.approx(low)
    assert interval.high == pytest.approx(high)


@pytest.mark.parametrize(("values", "why"), [([0.5, 0.6], "too few"), ([0.5, 0.5, 0.5], "the same value")])
def test_nothing_is_said_where_folds_cannot_tell(values: list[float], why: str) -> None:
    interval = fold_interval(values, test_per_train=0.5)
    assert interval.low is None
    assert not interval.bounds
    assert why in interval.why


def test_equal_models_are_told_apart_in_few_cross_validations() -> None:
    """Of an estimate whose folds share images, an interval without the correction is too narrow; this one holds 95 % or more."""
    random = np.random.default_rng(0)
    repetitions, k = 4000, 5
    # a fold's error: what its training set gives it, most of which it shares with the others, and what its own images give
    shared = random.normal(0, 0.5, (repetitions, 1))
    values = shared + random.normal(0, 1.0, (repetitions, k))
    plain, corrected = (
        np.mean([(i := fold_interval(row.tolist(), test_per_train=ratio)).low > 0 or i.high < 0 for row in values])  # type: ignore[operator]
        for ratio in (0.0, 1 / (k - 1))
    )
    assert corrected < 0.06 < plain


def test_signed_ranks_agree_with_scipy() -> None:
    random = np.random.default_rng(1)
    for n in (3, 6, 9, 12):
        differences = random.normal(0.3, 1, n)
        expected = stats.wilcoxon(differences, mode="exact").pvalue
        assert signed_rank_p_value(differences.tolist()) == pytest.approx(float(expected))


def test_signed_ranks_share_ties_and_leave_zeros_out() -> None:
    # ranks of |1|, |1|, |2| are 1.5, 1.5, 3; of 8 signs only one has a sum of negative ranks of 0: p = 2 / 8
    assert signed_rank_p_value([1.0, 0.0, 1.0, 2.0]) == pytest.approx(0.25)
    assert signed_rank_p_value([0.0, 0.0]) == 1.0
    assert mean_ranks([1.0, 1.0, 2.0]) == [1.5, 1.5, 3.0]
