"""Coverage of intervals over the frames of one film: ``pytest tests/benchmarks/test_film_coverage.py --benchmark-only -s`` (two minutes).

Two models are scored on frames whose classes, scenes and errors are autoregressive. An interval has to hold the truth about as often as it
says, or there is none: of 100 data sets at most about five get an interval that misses it. Drawn one by one, as if they were independent,
most frames give such intervals.

Seen: per cent of 200 data sets each with an interval that misses (and with an interval), by the correlation of neighbouring frames:

==================================  =======  ========  ========  ========  ========
frames and interval                 0        0.5       0.8       0.9       0.95
==================================  =======  ========  ========  ========  ========
51, difference                      7 (100)  7 (92)    6 (20)    2 (4)     1 (2)
101, difference                     2 (100)  4 (97)    6 (60)    6 (16)    2 (3)
200, difference                     4 (100)  4 (100)   6 (93)    6 (56)    4 (8)
51, difference, frames one by one   7 (100)  26 (100)  52 (100)  72 (100)  75 (100)
101, difference, frames one by one  2 (100)  20 (100)  51 (100)  67 (100)  78 (100)
200, difference, frames one by one  6 (100)  26 (100)  48 (100)  64 (100)  80 (100)
51, mIoU                            6 (97)   3 (6)     0 (0)     0 (0)     0 (0)
101, mIoU                           5 (100)  6 (75)    0 (1)     0 (0)     0 (0)
200, mIoU                           6 (100)  4 (96)    2 (20)    0 (0)     0 (0)
==================================  =======  ========  ========  ========  ========

Where frames are alike by 0.9 and more, intervals are given for films whose dependence looks smaller than it is: five to nine of ten hold.
A slow change that is buried in the noise of single frames (a third of the variance, with 0.95) is not seen whole.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from segbench.analysis.statistics.bootstrap import Interval, Resampled, miou_columns, miou_of, resample

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

CLASSES = 4
PIXELS = 2000
ACCURACY = (0.80, 0.77)
SHARES = np.log([0.42, 0.32, 0.16, 0.10])
FRAMES = (51, 101, 200)
CORRELATIONS = (0.0, 0.5, 0.8, 0.9, 0.95)
SIMULATIONS = 200


def autoregressive(random: np.random.Generator, length: int, correlation: float, series: int = 1) -> Floats:
    """Series (length, series) of variance one whose neighbours have that correlation (AR(1))."""
    noise = random.standard_normal((length, series))
    values = np.empty_like(noise)
    values[0] = noise[0]
    for place in range(1, length):
        values[place] = correlation * values[place - 1] + math.sqrt(1 - correlation**2) * noise[place]
    return values


def frames(random: np.random.Generator, count: int, correlation: float) -> tuple[Counts, Counts]:
    """Matrices (n, 4, 4) of two models on the same frames; the scene's difficulty is shared."""
    shares = np.exp(SHARES + 0.3 * autoregressive(random, count, correlation, CLASSES))
    labelled = (PIXELS * shares / shares.sum(axis=1, keepdims=True)).astype(np.int64)
    scene = 0.5 * autoregressive(random, count, correlation)
    return _matrices(random, labelled, scene, correlation, ACCURACY[0]), _matrices(random, labelled, scene, correlation, ACCURACY[1])


def _matrices(random: np.random.Generator, labelled: Counts, scene: Floats, correlation: float, accuracy: float) -> Counts:
    logit = math.log(accuracy / (1 - accuracy)) + scene + 0.3 * autoregressive(random, len(labelled), correlation, CLASSES)
    right = (labelled / (1 + np.exp(-logit))).astype(np.int64)
    matrices = np.zeros((len(labelled), CLASSES, CLASSES), dtype=np.int64)
    for label in range(CLASSES):
        wrong = labelled[:, label] - right[:, label]
        matrices[:, label, label] = right[:, label]
        for place, other in enumerate(k for k in range(CLASSES) if k != label):
            matrices[:, label, other] = wrong // 3 + (wrong % 3 > place)
    return matrices


def true_scores() -> tuple[float, float]:
    """mIoU of the first model, and its difference to the second, over so many frames that they are as good as all."""
    one, other = (float(miou_of(miou_columns(m.sum(axis=0)[None]).astype(float))[0]) for m in frames(np.random.default_rng(99), 200_000, 0))
    return one, one - other


@dataclasses.dataclass
class Held:
    """Of the simulated data sets those that got an interval, and those whose interval held the truth."""

    given: int = 0
    held: int = 0

    def add(self, interval: Interval, truth: float) -> None:
        if interval.low is not None and interval.high is not None:
            self.given += 1
            self.held += interval.low <= truth <= interval.high

    @property
    def wrong(self) -> float:
        """Per cent of the data sets with an interval that misses the truth."""
        return 100 * (self.given - self.held) / SIMULATIONS

    def __str__(self) -> str:
        return f"{self.wrong:.0f} ({100 * self.given / SIMULATIONS:.0f})"


def simulated(count: int, correlation: float) -> dict[str, Held]:
    """Intervals of the difference and of one mIoU from that many frames of one film, and those of frames drawn one by one."""
    random = np.random.default_rng(round(1000 * correlation) + count)
    score, difference = true_scores()
    found = {name: Held() for name in ("difference", "miou", "difference, one by one", "miou, one by one")}
    for number in range(SIMULATIONS):
        columns = [miou_columns(matrices) for matrices in frames(random, count, correlation)]
        one, other = resample(columns, miou_of, groups=["film"] * count, resamples=600, seed=number)
        found["difference"].add((one - other).difference_interval(), difference)
        found["miou"].add(one.interval(), score)
        found["difference, one by one"].add(_independent(one - other).difference_interval(), difference)
        found["miou, one by one"].add(_independent(one).interval(), score)
    return found


def _independent(one: Resampled) -> Resampled:
    return dataclasses.replace(one, units=dataclasses.replace(one.units, films=()))


def _rows(found: dict[tuple[int, float], dict[str, Held]]) -> Iterator[str]:
    for name in ("difference", "difference, one by one", "miou", "miou, one by one"):
        for count in FRAMES:
            yield f"{f'{count}: {name}':27}" + "".join(f"{found[count, correlation][name]!s:10}" for correlation in CORRELATIONS)


def test_intervals_over_frames_of_a_film_hold_the_truth_or_are_not_given(
    benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    def all_of_them() -> dict[tuple[int, float], dict[str, Held]]:
        return {(count, correlation): simulated(count, correlation) for count in FRAMES for correlation in CORRELATIONS}

    found = benchmark.pedantic(all_of_them, rounds=1, iterations=1)  # type: ignore[no-untyped-call]
    with capsys.disabled():
        print("", *_rows(found), sep="\n")
    for held in found.values():
        # 5 %, and what 200 data sets scatter by in 99 of 100 simulations
        assert max(held["difference"].wrong, held["miou"].wrong) <= 9
    assert all(found[count, 0.8]["difference, one by one"].wrong > 30 for count in FRAMES)
    assert all(found[count, 0.0]["difference"].given >= 0.95 * SIMULATIONS for count in FRAMES)
