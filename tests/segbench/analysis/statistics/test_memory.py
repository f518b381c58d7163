"""Intervals of memory by simulated processes of known mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest

from segbench.analysis.statistics.families import Estimate
from segbench.analysis.statistics.memory import (
    LEAST_PROCESSES,
    MEMORY_RESOLUTION_MB,
    memory_difference,
    memory_interval,
    memory_ratio,
    why_no_interval,
)

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]

MEASUREMENTS = 1500


def even(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Evenly between 94 and 106 MB, as a network at 256 x 256 was seen to be."""
    return random.uniform(94, 106, shape)


def normal(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """100 MB with a deviation of 4 MB."""
    return random.normal(100, 4, shape)


def outliers(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Nearly always about 100 MB, but 20 MB more in one process of seven."""
    return random.normal(100, 3, shape) + 20 * (random.uniform(size=shape) < 1 / 7)


def alike(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """100 MB with a deviation of 0.2 MB, below what the meter resolves."""
    return random.normal(100, 0.2, shape)


def _median(draw: Draw) -> float:
    return float(np.median(draw(np.random.default_rng(0), (1, 200_000))))


@pytest.mark.parametrize("draw", [even, normal, outliers, alike])
def test_intervals_of_six_processes_hold_the_median_whatever_the_distribution(draw: Draw) -> None:
    readings = draw(np.random.default_rng(1), (MEASUREMENTS, LEAST_PROCESSES))
    intervals = [memory_interval(list(each)) or (math.nan, math.nan) for each in readings]
    truth = _median(draw)
    held = np.mean([low <= truth <= high for low, high in intervals])
    assert held >= 0.955
    assert held <= (1.0 if draw is alike else 0.99)


@pytest.mark.parametrize("draw", [even, normal])
def test_what_the_meter_resolves_says_little_of_the_next_process(draw: Draw) -> None:
    """Why a constant is no interval: a single reading to within 3 MB holds the median in about half of all cases."""
    readings = draw(np.random.default_rng(2), (MEASUREMENTS, 1))
    assert np.mean(np.abs(readings - 100) <= 3) < 0.6


@pytest.mark.parametrize("processes", range(6, 40))
def test_intervals_of_more_processes_are_of_at_least_95_per_cent_and_no_wider_than_that_takes(processes: int) -> None:
    """The probability that the median lies between two ordered readings is binomial."""
    low, high = memory_interval([100.0 * n for n in range(1, processes + 1)]) or (0.0, 0.0)
    cut = round(low / 100)
    assert high == 100 * (processes + 1 - cut)

    def outside(cut: int) -> float:
        return 2 * sum(math.comb(processes, k) for k in range(cut)) / math.pow(2, processes)

    assert outside(cut) <= 0.05 < outside(cut + 1)


@pytest.mark.parametrize("compare", [memory_ratio, memory_difference])
@pytest.mark.parametrize("draw", [even, normal, outliers])
def test_two_equal_networks_are_told_apart_in_at_most_one_of_twenty_comparisons(
    draw: Draw, compare: Callable[[Sequence[float], Sequence[float]], Estimate]
) -> None:
    random = np.random.default_rng(3)
    ours, theirs = (draw(random, (MEASUREMENTS, LEAST_PROCESSES)) for _ in range(2))
    estimates = [compare(list(one), list(other)) for one, other in zip(ours, theirs, strict=True)]
    assert np.mean([(estimate.p_value or 0.0) < 0.05 for estimate in estimates]) <= 0.05


def test_a_ratio_is_that_of_the_medians_and_never_narrower_than_the_meter() -> None:
    estimate = memory_ratio([50.0] * 6, [100.0] * 6)
    assert math.exp(estimate.value) == pytest.approx(0.5)
    low, high = estimate.interval() or (math.nan, math.nan)
    reach = math.log(50 / (50 - MEMORY_RESOLUTION_MB)) + math.log(100 / (100 - MEMORY_RESOLUTION_MB))
    assert (low, high) == pytest.approx((math.log(0.5) - reach, math.log(0.5) + reach))


def test_a_side_that_was_read_too_seldom_or_is_too_small_has_no_interval() -> None:
    assert memory_ratio([50.0] * 2, [100.0] * 6).interval() is None
    assert why_no_interval([50.0] * 2, [100.0] * 6) == "memory was read in 2 processes; an interval takes 6"
    assert memory_ratio([0.5] * 6, [100.0] * 6).interval() is None
    assert why_no_interval([0.5] * 6, [100.0] * 6) == "memory is read to 1 MB, and this is less"


def test_an_interval_of_memory_does_not_reach_below_zero() -> None:
    assert (memory_interval([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) or (-1.0, 0.0))[0] == 0.0
