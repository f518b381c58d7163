"""Coverage of the 95 % intervals that reports quote: how often each kind holds the truth, on simulated data whose truth is known.

Seeds are fixed, so that an outcome is of the method and not of luck. A share of 0.92 to 0.98 is what an honest nominal 95 % may show; it is
wrong where it lies outside by more than what 99 % of so many simulations would scatter. Each method is also broken on purpose.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.random import Generator
from numpy.typing import NDArray
from tests.simulated_races import DEFAULT_STARTS, Machine

from segbench.analysis.statistics import bootstrap, starts, timing
from segbench.analysis.statistics.bootstrap import Interval

Bounds = tuple[float, float] | None
Counts = NDArray[np.int64]
Rounds = list[list[float]]
Patch = pytest.MonkeyPatch

NOMINAL = 0.95
Z99 = 2.576

# A race: ROUNDS rounds of CALLS calls, log-normal times, and a machine whose mood between rounds both contenders meet.
ROUNDS = 10
CALLS = 20
MILLISECONDS = 10.0
RATIO = 0.9
CALL_DEVIATION = 0.05
ROUND_DEVIATION = 0.03
DRIFT = 0.1
SLOW = Machine(start=0.03, call=0.05, calls=8)
"""A network of which a round holds eight calls, whose starts differ by 3 %."""
QUICK = Machine(start=0.03, calls=20)
LOAD = 0.04

# A population of images from which test sets are drawn, scored by two models.
CLASSES = 4
POPULATION = 20_000
IMAGES = 60
SCENES = 40
PER_SCENE = 5
PIXELS = 2_000
ACCURACY = (0.80, 0.76)
"""Share of right pixels of the two models in an average image."""
SEEDS = 3
SEED_DIFFERENCE, SEED_DEVIATION = 0.020, 0.010


def median_interval(random: Generator, seed: int) -> Bounds:
    return timing.median_interval(_rounds(random), seed=seed)


def median_interval_over_starts(random: Generator, seed: int) -> Bounds:
    return timing.quantile_intervals(SLOW.race(random), (0.5,), starts=DEFAULT_STARTS, seed=seed)[0]


def p90_interval_over_starts(random: Generator, seed: int) -> Bounds:
    return timing.quantile_intervals(SLOW.race(random), (0.9,), starts=DEFAULT_STARTS, seed=seed)[0]


def p99_interval_over_starts(random: Generator, seed: int) -> Bounds:
    return timing.quantile_intervals(QUICK.race(random), (0.99,), starts=DEFAULT_STARTS, seed=seed)[0]


def ratio_interval(random: Generator, seed: int) -> Bounds:
    """Two contenders whose machine's mood changes from round to round."""
    mood = list(DRIFT * random.standard_normal(ROUNDS))
    subject = _rounds(random, scale=RATIO * MILLISECONDS, mood=mood)
    return _bounds(timing.ratio_of(subject, _rounds(random, mood=mood), seed=seed))


def ratio_interval_over_starts(random: Generator, seed: int) -> Bounds:
    """Each contender's process is started anew several times, and every start has a pace of its own."""
    return _bounds(timing.ratio_of(SLOW.race(random, scale=RATIO), SLOW.race(random), starts=DEFAULT_STARTS, seed=seed))


def ratio_interval_under_a_slow_load(random: Generator, seed: int) -> Bounds:
    """A load that comes and goes slowly hits one contender only."""
    return _bounds(timing.ratio_of(SLOW.race(random, scale=RATIO, load=LOAD), SLOW.race(random), starts=DEFAULT_STARTS, seed=seed))


def _rounds(random: Generator, *, scale: float = MILLISECONDS, mood: Sequence[float] = (0.0,) * ROUNDS) -> Rounds:
    """Log-normal times of calls that share their round's mood; ``scale`` is the true median."""
    noise = CALL_DEVIATION * random.standard_normal((len(mood), CALLS)) + ROUND_DEVIATION * random.standard_normal((len(mood), 1))
    return [(scale * np.exp(row + shift)).tolist() for row, shift in zip(noise, mood, strict=True)]


def miou_interval(random: Generator, seed: int) -> Bounds:
    drawn = random.integers(POPULATION, size=IMAGES)
    return _bounds(bootstrap.miou_interval(population()[0][drawn], seed=seed))


def difference_interval(random: Generator, seed: int) -> Bounds:
    drawn = random.integers(POPULATION, size=IMAGES)
    first, second = population()
    return _bounds(bootstrap.miou_difference(first[drawn], second[drawn], seed=seed))


def grouped_difference_interval(random: Generator, seed: int) -> Bounds:
    """Scenes of five images that are alike."""
    scenes = random.integers(POPULATION // PER_SCENE, size=SCENES)
    drawn = (scenes[:, None] * PER_SCENE + np.arange(PER_SCENE)).ravel()
    groups = np.repeat(np.arange(SCENES), PER_SCENE).tolist()
    first, second = population()
    return _bounds(bootstrap.miou_difference(first[drawn], second[drawn], groups=groups, seed=seed))


def mean_interval_over_seeds(random: Generator, seed: int) -> Bounds:
    return _bounds(bootstrap.mean_interval((SEED_DIFFERENCE + SEED_DEVIATION * random.standard_normal(SEEDS)).tolist()))


def true_miou() -> float:
    """mIoU of the first model over the whole population."""
    return _miou(population()[0])


def true_difference() -> float:
    """mIoU of the first model less that of the second, over the whole population."""
    return true_miou() - _miou(population()[1])


@functools.cache
def population() -> tuple[Counts, Counts]:
    """Matrices (20 000, 4, 4) of two models on the same images; neighbours in fives share a scene, whose difficulty both meet."""
    random = np.random.default_rng(1)
    shares = random.dirichlet((4.0, 3.0, 1.5, 1.0), size=POPULATION)
    labelled = random.multinomial(PIXELS, shares)
    scene = np.repeat(random.normal(0, 0.5, POPULATION // PER_SCENE), PER_SCENE)
    first, second = (_matrices(random, labelled, scene, accuracy) for accuracy in ACCURACY)
    return first, second


def _matrices(random: Generator, labelled: Counts, scene: NDArray[np.float64], accuracy: float) -> Counts:
    """Right pixels by each image's and class's own share; the others are spread evenly over the other classes."""
    middle = np.log(accuracy / (1 - accuracy))
    logit = middle + scene[:, None] + random.normal(0, 0.6, labelled.shape)
    right = random.binomial(labelled, 1 / (1 + np.exp(-logit)))
    matrices = np.zeros((POPULATION, CLASSES, CLASSES), dtype=np.int64)
    for label in range(CLASSES):
        others = [k for k in range(CLASSES) if k != label]
        matrices[:, label, others] = random.multinomial(labelled[:, label] - right[:, label], [1 / len(others)] * len(others))
        matrices[:, label, label] = right[:, label]
    return matrices


def _miou(matrices: Counts) -> float:
    total = matrices.sum(axis=0)
    hits = np.diagonal(total)
    return float(np.mean(hits / (total.sum(axis=0) + total.sum(axis=1) - hits)))


def _bounds(interval: Interval | timing.Ratio) -> Bounds:
    return None if interval.low is None or interval.high is None else (interval.low, interval.high)


ALIKE_ALLOWED = "wide enough for starts that were alike for some time, hence too wide for independent ones: 0.985 to 0.99 of 2 000"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of interval: ``draw(random, seed)`` on fresh data, the truth, and the share of intervals that may honestly hold it.

    At least the share ``quoted`` has an interval. Where ``low`` and ``high`` are not 0.92 and 0.98, ``why`` says so.
    """

    draw: Callable[[Generator, int], Bounds]
    truth: Callable[[], float]
    simulations: int
    few: int = 100
    low: float = 0.92
    high: float = 0.98
    quoted: float = 1.0
    why: str = ""


KINDS = {
    "median": Kind(draw=median_interval, truth=lambda: MILLISECONDS, simulations=400),
    "median over starts": Kind(
        draw=median_interval_over_starts, truth=lambda: 1.0, few=600, simulations=1000, high=0.995, why=ALIKE_ALLOWED
    ),
    "p90 over starts": Kind(
        draw=p90_interval_over_starts, truth=lambda: SLOW.quantile(0.9), few=600, simulations=1000, high=0.995, why=ALIKE_ALLOWED
    ),
    "p99 over starts": Kind(draw=p99_interval_over_starts, truth=lambda: QUICK.quantile(0.99), few=600, simulations=1000, quoted=0.8),
    "ratio": Kind(
        draw=ratio_interval,
        truth=lambda: RATIO,
        simulations=400,
        high=0.995,
        why="wide enough for rounds that were alike for some time, hence too wide for independent ones: 0.985 to 0.99 of 2 000",
    ),
    "ratio over starts": Kind(
        draw=ratio_interval_over_starts, truth=lambda: RATIO, few=600, simulations=1000, high=0.995, why=ALIKE_ALLOWED
    ),
    "ratio under a slow load": Kind(draw=ratio_interval_under_a_slow_load, truth=lambda: RATIO, few=600, simulations=1000),
    "miou": Kind(draw=miou_interval, truth=true_miou, simulations=300, few=40),
    "difference": Kind(draw=difference_interval, truth=true_difference, simulations=300, few=40),
    "grouped difference": Kind(draw=grouped_difference_interval, truth=true_difference, simulations=300, few=40),
    "seeds": Kind(draw=mean_interval_over_seeds, truth=lambda: SEED_DIFFERENCE, simulations=4000, few=4000),
}


def coverage(kind: Kind, simulations: int) -> str:
    """``right``, ``too narrow`` or ``too wide``."""
    random = np.random.default_rng(20_100)
    intervals = [interval for seed in range(simulations) if (interval := kind.draw(random, seed)) is not None]
    assert len(intervals) >= kind.quoted * simulations
    truth = kind.truth()
    share = sum(low <= truth <= high for low, high in intervals) / len(intervals)
    scatter = Z99 * math.sqrt(NOMINAL * (1 - NOMINAL) / simulations)
    if kind.low - scatter <= share <= min(kind.high + scatter, 1.0 - 1e-9):
        return "right"
    return "too narrow" if share < NOMINAL else "too wide"


def stretched(honest: Callable[..., Interval], factor: float) -> Callable[..., Interval]:
    """The same intervals, their ends so much nearer to or further from the value."""

    def interval(*arguments: Any, **options: Any) -> Interval:
        made = honest(*arguments, **options)
        low, high = (None if end is None else made.value + factor * (end - made.value) for end in (made.low, made.high))
        return dataclasses.replace(made, low=low, high=high)

    return interval


@pytest.mark.parametrize("name", KINDS)
def test_intervals_hold_the_truth_about_as_often_as_they_say(name: str) -> None:
    assert coverage(KINDS[name], KINDS[name].few) == "right"


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_intervals_hold_the_truth_as_often_as_they_say(name: str) -> None:
    assert coverage(KINDS[name], KINDS[name].simulations) == "right"


@pytest.mark.parametrize("name", KINDS)
def test_intervals_that_are_too_narrow_are_found(name: str, monkeypatch: Patch) -> None:
    monkeypatch.setattr(timing, "expanded_tail", lambda rounds: 0.15)
    monkeypatch.setattr(starts, "student_quantile", lambda probability, freedom: 0.8)
    monkeypatch.setattr(starts, "_deviation_factors", lambda units: (1.0, 1.0))
    for function in ("miou_interval", "miou_difference", "mean_interval"):
        monkeypatch.setattr(bootstrap, function, stretched(getattr(bootstrap, function), 0.5))
    assert coverage(KINDS[name], max(40, KINDS[name].few // 2)) == "too narrow"


def test_intervals_that_take_rounds_for_independent_are_found(monkeypatch: Patch) -> None:
    """Of a network whose rounds differ by 1 % and whose starts differ by 6 %."""
    monkeypatch.setattr(starts, "slow_stretch", lambda values: 1.0)
    monkeypatch.setattr(timing, "serial_stretch", lambda rounds: 1.0)
    steady, rounds = Machine(start=0.06, rounds=0.01, calls=5), (1,) * sum(DEFAULT_STARTS)
    for known, races, verdict in ((DEFAULT_STARTS, 200, "right"), (rounds, 200, "too narrow"), ((), 1000, "too narrow")):
        assert coverage(Kind(draw=functools.partial(_quantile, steady, 0.5, known), truth=lambda: 1.0, simulations=0), races) == verdict
    for known, verdict in ((DEFAULT_STARTS, "right"), (rounds, "too narrow")):
        assert coverage(Kind(draw=functools.partial(_ratio, steady, known), truth=lambda: 1.0, simulations=0), 400) == verdict


def test_an_interval_that_does_not_know_of_slow_loads_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr(starts, "slow_stretch", lambda values: 1.0)
    assert coverage(KINDS["ratio under a slow load"], 100) == "too narrow"


def test_an_interval_of_a_tail_that_takes_the_starts_it_saw_for_all_is_found(monkeypatch: Patch) -> None:
    """Without an allowance for how far starts may spread, and starts that differ by more than calls do."""
    machine = Machine(start=0.08, calls=8)
    kind = Kind(draw=functools.partial(_quantile, machine, 0.9, DEFAULT_STARTS), truth=lambda: machine.quantile(0.9), simulations=0)
    assert coverage(kind, 200) == "right"
    monkeypatch.setattr(starts, "_deviation_factors", lambda units: (1.0, 1.0))
    monkeypatch.setattr(starts, "slow_stretch", lambda values: 1.0)
    assert coverage(kind, 400) == "too narrow"


def _quantile(machine: Machine, quantile: float, known: Sequence[int], random: Generator, seed: int) -> Bounds:
    return timing.quantile_intervals(machine.race(random), (quantile,), starts=known, seed=seed)[0]


def _ratio(machine: Machine, known: Sequence[int], random: Generator, seed: int) -> Bounds:
    return _bounds(timing.ratio_of(machine.race(random), machine.race(random), starts=known, seed=seed))


def test_an_interval_that_always_holds_the_truth_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr(bootstrap, "mean_interval", stretched(bootstrap.mean_interval, 100.0))
    assert coverage(KINDS["seeds"], 4000) == "too wide"
