"""Simulated races by default (32 rounds after 16 starts): ``pytest tests/benchmarks/test_race_coverage.py --benchmark-only -s`` (twenty
minutes).

1 000 races each. The truth of p50, p90 and p99 is the quantile of all calls of all rounds after all starts that there could be; that of the
ratio is the ratio of two such medians of contenders that differ by a factor only.

Coverage of 95 % intervals, and of how many races they were given (all, where none is named; null: of none):

| calls in a round | start to start | ratio | p50 | p90 | p99 |
| :-- | :-- | --: | --: | --: | --: |
| 8 calls, log-normal | 0 % | 0.988 | 0.992 | 0.998 | null |
| 8 calls, log-normal | 2 % | 0.987 | 0.980 | 0.997 | null |
| 8 calls, log-normal | 4 % | 0.984 | 0.983 | 0.991 | null |
| 8 calls, log-normal | 8 %, half | 0.985 | 0.982 | 0.992 | null |
| 8 calls, log-normal | 8 %, 3 of 10 | 0.989 | 0.978 | 0.972 | null |
| 8 calls, slow calls | 0 % | 0.983 | 0.984 | 0.992 | null |
| 8 calls, slow calls | 2 % | 0.985 | 0.993 | 0.993 | null |
| 8 calls, slow calls | 4 % | 0.982 | 0.989 | 0.987 | null |
| 8 calls, slow calls | 8 %, half | 0.988 | 0.985 | 0.997 | null |
| 8 calls, slow calls | 8 %, 3 of 10 | 0.986 | 0.976 | 0.964 | null |
| 20 calls, log-normal | 0 % | 0.992 | 0.986 | 0.993 | 0.988 of 93% |
| 20 calls, log-normal | 2 % | 0.986 | 0.991 | 0.993 | 0.983 of 93% |
| 20 calls, log-normal | 4 % | 0.986 | 0.995 | 0.986 | 0.965 of 93% |
| 20 calls, log-normal | 8 %, half | 0.980 | 0.981 | 0.999 | 1.000 of 93% |
| 20 calls, log-normal | 8 %, 3 of 10 | 0.987 | 0.977 | 0.957 | 0.983 of 93% |
| 20 calls, slow calls | 0 % | 0.979 | 0.987 | 0.990 | 0.974 of 99% |
| 20 calls, slow calls | 2 % | 0.987 | 0.987 | 0.991 | 0.972 of 99% |
| 20 calls, slow calls | 4 % | 0.985 | 0.991 | 0.977 | 0.973 of 99% |
| 20 calls, slow calls | 8 %, half | 0.989 | 0.984 | 0.997 | 0.967 of 99% |
| 20 calls, slow calls | 8 %, 3 of 10 | 0.990 | 0.983 | 0.964 | 0.964 of 99% |
| 100 calls, log-normal | 0 % | 0.992 | 0.981 | 0.992 | 0.962 of 97% |
| 100 calls, log-normal | 2 % | 0.991 | 0.988 | 0.986 | 0.956 of 97% |
| 100 calls, log-normal | 4 % | 0.991 | 0.989 | 0.980 | 0.954 of 97% |
| 100 calls, log-normal | 8 %, half | 0.985 | 0.983 | 0.995 | 0.998 of 98% |
| 100 calls, log-normal | 8 %, 3 of 10 | 0.987 | 0.976 | 0.946 | 0.965 of 98% |
| 100 calls, slow calls | 0 % | 0.993 | 0.990 | 0.980 | 0.973 |
| 100 calls, slow calls | 2 % | 0.988 | 0.983 | 0.973 | 0.969 |
| 100 calls, slow calls | 4 % | 0.984 | 0.977 | 0.974 | 0.970 |
| 100 calls, slow calls | 8 %, half | 0.990 | 0.976 | 0.993 | 0.969 |
| 100 calls, slow calls | 8 %, 3 of 10 | 0.984 | 0.979 | 0.947 | 0.968 |

A slow load (AR(1), 0.8 from round to round) on one contender: coverage of the ratio, half-width, races in which it is warned of:

| start to start | load | coverage | half-width | warned of |
| :-- | --: | --: | --: | --: |
| 0% | 0% | 0.992 | 1.9% | 5% |
| 0% | 3% | 0.948 | 4.0% | 38% |
| 0% | 5% | 0.950 | 6.3% | 54% |
| 2% | 0% | 0.986 | 3.2% | 5% |
| 2% | 3% | 0.959 | 4.7% | 20% |
| 2% | 5% | 0.948 | 6.9% | 39% |

Races in which a slower network is shown to be slower, alone in its family:

| start to start | 3 % | 5 % | 10 % |
| :-- | --: | --: | --: |
| 2 % | 0.438 | 0.884 | 1.000 |
| 4 % | 0.149 | 0.406 | 0.957 |

Equal networks whose starts differ by 2 %, all pairs in one family (planned: those with the first):

| networks | any false verdict | 5 % slower than the first is shown |
| --: | --: | --: |
| 2 | 0.018 | 0.866 |
| 4 | 0.014 | 0.670 |
| 7 | 0.009 | 0.551 |
| 14 | 0.007 | 0.431 |
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pytest
from numpy.random import Generator
from pytest_benchmark.fixture import BenchmarkFixture
from tests.simulated_races import DEFAULT_STARTS, Machine, Rounds

from segbench.analysis.statistics.families import error_rates
from segbench.analysis.statistics.timing import Ratio, quantile_intervals, ratio_of

RACES = 1000
RATIO = 0.9
QUANTILES = (0.5, 0.9, 0.99)
LEAST = 0.93

MACHINES = {
    "8 calls": Machine(call=0.05, rounds=0.01, calls=8),
    "20 calls": Machine(call=0.03, rounds=0.02, calls=20),
    "100 calls": Machine(call=0.02, rounds=0.03, calls=100),
}
STARTS: dict[str, dict[str, Any]] = {
    "0 %": {"start": 0.0},
    "2 %": {"start": 0.02},
    "4 %": {"start": 0.04},
    "8 %, half": {"slow_start": 0.5},
    "8 %, 3 of 10": {"slow_start": 0.3},
}

T = TypeVar("T")
Bounds = tuple[float, float] | None


def share(intervals: Sequence[Bounds], truth: float) -> tuple[float, float | None]:
    """The share of races with an interval, and the share of those intervals that hold the truth."""
    quoted = [interval for interval in intervals if interval is not None]
    held = sum(low <= truth <= high for low, high in quoted)
    return len(quoted) / len(intervals), held / len(quoted) if quoted else None


def intervals_of(machine: Machine, random: Generator) -> list[Bounds]:
    """Of the ratio, p50, p90 and p99 in one race."""
    subject, baseline = machine.race(random, scale=RATIO), machine.race(random)
    return [_bounds(ratio_of(subject, baseline, starts=DEFAULT_STARTS)), *quantile_intervals(baseline, QUANTILES, starts=DEFAULT_STARTS)]


def _bounds(ratio: Ratio) -> Bounds:
    return None if ratio.low is None or ratio.high is None else (ratio.low, ratio.high)


def coverage(machine: Machine) -> list[tuple[float, float | None]]:
    random = np.random.default_rng(20_100)
    races = [intervals_of(machine, random) for _ in range(RACES)]
    truths = [RATIO, *(machine.quantile(q) for q in QUANTILES)]
    return [share([race[i] for race in races], truth) for i, truth in enumerate(truths)]


@pytest.mark.parametrize("heavy", [False, True], ids=["log-normal", "slow calls"])
@pytest.mark.parametrize("calls", MACHINES)
def test_intervals_hold_the_truth_in_93_of_100_races(benchmark: BenchmarkFixture, calls: str, heavy: bool) -> None:
    machines = {name: replace(MACHINES[calls], heavy=heavy, **changes) for name, changes in STARTS.items()}
    found = _once(benchmark, lambda: {name: coverage(machine) for name, machine in machines.items()})
    for name, (ratio, *quantiles) in found.items():
        cells = " | ".join("null" if held is None else f"{held:.3f} of {quoted:.0%}" for quoted, held in (ratio, *quantiles))
        print(f"\n{calls}, {'slow calls' if heavy else 'log-normal'} | {name} | {cells}", end="")
    shares = [held for kinds in found.values() for _, held in kinds if held is not None]
    assert min(shares) >= LEAST


def test_a_load_that_comes_slowly_and_hits_one_contender_is_allowed_for(benchmark: BenchmarkFixture) -> None:
    def simulate(start: float, load: float) -> tuple[float, float, float]:
        random, machine = np.random.default_rng(20_100), Machine(start=start)
        ratios = [ratio_of(machine.race(random, scale=RATIO, load=load), machine.race(random), starts=DEFAULT_STARTS) for _ in range(RACES)]
        return share([_bounds(ratio) for ratio in ratios], RATIO)[1] or 0.0, _half_width(ratios), _share_alike(ratios)

    conditions = list(itertools.product((0.0, 0.02), (0.0, 0.03, 0.05)))
    found = _once(benchmark, lambda: {condition: simulate(*condition) for condition in conditions})
    for (start, load), (held, width, alike) in found.items():
        print(f"\nstarts {start:.0%} | load {load:.0%} | {held:.3f} | {width:.1%} | {alike:.0%}", end="")
    assert min(held for held, _, _ in found.values()) >= LEAST - 0.01


def _half_width(ratios: Sequence[Ratio]) -> float:
    return float(np.median([math.sqrt(r.high / r.low) - 1 for r in ratios if r.low is not None and r.high is not None]))


def _share_alike(ratios: Sequence[Ratio]) -> float:
    return sum(ratio.are_alike for ratio in ratios) / len(ratios)


def test_a_difference_of_5_per_cent_is_shown_in_most_races(benchmark: BenchmarkFixture) -> None:
    def shown(start: float, difference: float) -> float:
        random, machine = np.random.default_rng(20_100), Machine(start=start)
        races = (ratio_of(machine.race(random, scale=1 + difference), machine.race(random), starts=DEFAULT_STARTS) for _ in range(RACES))
        return sum(race.verdict == "slower" for race in races) / RACES

    conditions = list(itertools.product((0.02, 0.04), (0.03, 0.05, 0.1)))
    found = _once(benchmark, lambda: {condition: shown(*condition) for condition in conditions})
    for (start, difference), power in found.items():
        print(f"\nstarts {start:.0%} | {difference:.0%} slower | {power:.3f}", end="")
    assert found[0.02, 0.05] > 0.8


def test_few_races_of_equal_networks_have_any_false_verdict(benchmark: BenchmarkFixture) -> None:
    found = _once(benchmark, lambda: {count: false_verdicts(count) for count in (2, 4, 7, 14)})
    for count, (false, told) in found.items():
        print(f"\n{count} networks | any false verdict {false:.3f} | 5 % slower told {told:.3f}", end="")
    assert max(false for false, _ in found.values()) <= 0.05


def false_verdicts(count: int) -> tuple[float, float]:
    """The share of races of equal networks with any verdict, and the power to tell a network that is 5 % slower than the first.

    The comparisons with the first network are planned, all other pairs are the rest of the family. A round has one time, its median's.
    """
    random = np.random.default_rng(count)
    machine = Machine(start=0.02, rounds=math.hypot(0.02, 1.25 * 0.03 / math.sqrt(20)), call=0.0, calls=1)
    rates = error_rates(count - 1, (count - 1) * (count - 2) // 2)
    false, told = 0, 0
    for _ in range(RACES):
        networks = [machine.race(random) for _ in range(count)]
        shown = [
            _is_shown(ratio_of(other, one, starts=DEFAULT_STARTS), rates[i > 0])
            for i, one in enumerate(networks)
            for other in networks[i + 1 :]
        ]
        false += any(shown)
        slower: Rounds = [[1.05 * time for time in block] for block in networks[1]]
        told += _is_shown(ratio_of(slower, networks[0], starts=DEFAULT_STARTS), rates[0])
    return false / RACES, told / RACES


def _is_shown(ratio: Ratio, rate: float) -> bool:
    low, high = ratio.estimate.interval(1 - rate) or (-math.inf, math.inf)
    return not low <= 0 <= high


def _once(benchmark: BenchmarkFixture, function: Callable[[], T]) -> T:
    result: T = benchmark.pedantic(function, rounds=1, iterations=1)  # type: ignore[no-untyped-call]
    return result
