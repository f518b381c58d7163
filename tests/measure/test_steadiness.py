from __future__ import annotations

import random
import statistics

import pytest

from segbench.measure.steadiness import is_falling, median_interval, quantile_of, samples_needed


def test_a_falling_series_is_told_from_a_noisy_one() -> None:
    assert is_falling([20, 15, 12, 10, 9, 8.5, 8.2, 8.1, 8.05, 8.01])
    assert not is_falling([8.0, 8.2, 7.9, 8.1, 8.3, 7.8, 8.0, 8.2, 8.1, 7.9])
    assert not is_falling([8.0] * 10)
    assert not is_falling([])


def test_noise_alone_is_called_falling_one_time_in_twenty() -> None:
    rng = random.Random(0)
    called = sum(is_falling([rng.random() for _ in range(10)]) for _ in range(2000))
    assert 0.03 < called / 2000 < 0.07


def test_a_quantile_needs_enough_samples_to_lie_below_the_largest() -> None:
    assert 1 - 0.9 ** samples_needed(0.9) >= 0.95 > 1 - 0.9 ** (samples_needed(0.9) - 1)
    assert 1 - 0.99 ** samples_needed(0.99) >= 0.95 > 1 - 0.99 ** (samples_needed(0.99) - 1)
    assert quantile_of([1.0] * 28, 0.9) is None
    assert quantile_of(list(range(1, 30)), 0.9) == pytest.approx(1 + 0.9 * 28)


def test_the_interval_covers_the_true_median_about_as_often_as_it_says() -> None:
    """Calls of one round share an offset: resampling calls instead of rounds would cover it far too seldom."""
    rng = random.Random(1)
    covered = 0
    for trial in range(60):
        offsets = [rng.gauss(0, 1) for _ in range(20)]
        rounds = [[10 + offset + rng.gauss(0, 0.1) for _ in range(5)] for offset in offsets]
        interval = median_interval(rounds, seed=trial)
        assert interval is not None
        covered += interval[0] <= 10 <= interval[1]
    assert covered >= 51  # 57 of 60 expected; 51 or fewer would have a chance below 1 %


def test_the_interval_is_repeatable_and_holds_the_median() -> None:
    rng = random.Random(2)
    rounds = [[rng.uniform(4, 6) for _ in range(7)] for _ in range(8)]
    interval = median_interval(rounds)
    assert interval is not None
    assert interval == median_interval(rounds)
    assert interval[0] <= statistics.median(sample for block in rounds for sample in block) <= interval[1]


def test_too_few_rounds_give_no_interval() -> None:
    assert median_interval([[1.0, 2.0]] * 5) is None
