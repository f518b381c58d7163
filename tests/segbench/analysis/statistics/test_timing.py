from __future__ import annotations

import math
import random
import statistics
import time

import numpy as np
import pytest
from scipy.stats.mstats import trimmed_mean_ci

from segbench.analysis.statistics.starts import slow_stretch, spread_of
from segbench.analysis.statistics.student_t import student_p_value, student_quantile
from segbench.analysis.statistics.timing import (
    RESAMPLES,
    expanded_tail,
    is_falling,
    median_interval,
    quantile_intervals,
    quantile_of,
    ratio_of,
    samples_needed,
    serial_stretch,
)


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


def _naive(rounds: list[list[float]], quantile: float, seed: int) -> tuple[float, float]:
    """The same interval, resample by resample."""
    picks = np.random.default_rng(seed).integers(len(rounds), size=(RESAMPLES, len(rounds)))
    values = [np.quantile(np.concatenate([rounds[i] for i in pick]), quantile) for pick in picks]
    tail = expanded_tail(len(rounds))
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def test_intervals_of_quantiles_are_those_of_a_plain_loop() -> None:
    rng = random.Random(3)
    rounds = [[rng.gauss(10, 1) for _ in range(rng.randint(5, 12))] for _ in range(9)]
    p50, p90, p99 = quantile_intervals(rounds, (0.5, 0.9, 0.99), seed=4)
    assert p50 == pytest.approx(_naive(rounds, 0.5, 4))
    assert p90 == pytest.approx(_naive(rounds, 0.9, 4))
    assert p99 is None, "it takes 299 samples"
    assert quantile_intervals([[1.0] * 30] * 10, (0.99,)) == [(1.0, 1.0)]


@pytest.mark.clock
def test_an_interval_of_a_few_thousand_samples_takes_no_time() -> None:
    rng = np.random.default_rng(0)
    rounds = [list(rng.normal(10, 1, 200)) for _ in range(10)]
    start = time.process_time()
    quantile_intervals(rounds, (0.5, 0.9, 0.99))
    assert time.process_time() - start < 2


def test_student_quantiles_are_those_of_the_tables() -> None:
    table = {5: 2.571, 9: 2.262, 19: 2.093, 29: 2.045, 120: 1.980}
    assert {n: student_quantile(0.975, n) for n in table} == pytest.approx(table, abs=2e-3)


def _raced(ratio: float, rounds: int, rng: random.Random, *, load: float = 0.5) -> tuple[list[list[float]], list[list[float]]]:
    """Two contenders under a load that comes and goes: a round has one mood for both, in one of ten it changes in between."""
    a, b = [], []
    for _ in range(rounds):
        mood = 1 + load * (rng.random() < 0.5)
        other = 1 + load * (rng.random() < 0.5) if rng.random() < 0.1 else mood
        a.append([10 * ratio * mood * rng.gauss(1, 0.01) for _ in range(5)])
        b.append([10 * other * rng.gauss(1, 0.01) for _ in range(5)])
    return a, b


def test_the_interval_of_a_ratio_covers_it_and_stays_narrow_under_a_load_that_toggles() -> None:
    rng = random.Random(5)
    found = [ratio_of(*_raced(1.1, 12, rng), seed=trial) for trial in range(120)]
    covered = sum(f.low is not None and f.high is not None and f.low <= 1.1 <= f.high for f in found)
    assert covered >= 108  # 114 of 120 expected; below 108 would have a chance of 1 %
    widths = [(f.high - f.low) / 2 for f in found if f.low is not None and f.high is not None]
    assert statistics.median(widths) < 0.03


def _in_moods(rng: random.Random) -> list[list[float]]:
    """Forty rounds of a contender that a load slows by 3 % more than the other, for ten rounds at a time on average."""
    rounds, loaded = [], rng.random() < 0.5
    for _ in range(40):
        loaded ^= rng.random() < 0.1
        rounds.append([(1.03 if loaded else 1.0) * rng.gauss(1, 0.005)])
    return rounds


def test_two_races_meet_though_a_load_hits_one_contender_harder_for_rounds_on_end() -> None:
    """Resampled as if they were independent, as many rounds give intervals of which a third miss each other."""
    rng = random.Random(8)
    flat = [[1.0]] * 40
    races = [(_in_moods(rng), _in_moods(rng)) for _ in range(100)]
    found = [(ratio_of(a, flat), ratio_of(b, flat)) for a, b in races]
    meet = sum(a.low is not None and b.low is not None and a.low <= (b.high or 0) and b.low <= (a.high or 0) for a, b in found)
    naive = [(median_of_independent(a), median_of_independent(b)) for a, b in races]
    assert meet >= 84  # about 90 expected
    assert sum(a[0] <= b[1] and b[0] <= a[1] for a, b in naive) < 78


def median_of_independent(rounds: list[list[float]]) -> tuple[float, float]:
    values = np.array(rounds)[:, 0]
    picks = np.random.default_rng(0).integers(len(values), size=(1000, len(values)))
    low, high = np.quantile(np.median(values[picks], axis=1), [0.025, 0.975])
    return float(low), float(high)


def _over_starts(rng: random.Random, starts: list[int]) -> list[list[float]]:
    """A contender whose every start has a pace of its own, 3 % this way or that; the truth is 1."""
    return [[math.exp(pace + rng.gauss(0, 0.01))] * 5 for count in starts for pace in [rng.gauss(0, 0.03)] for _ in range(count)]


def test_starts_are_the_units_of_a_ratio() -> None:
    """Six rounds of each start say little more than one of them would."""
    rng, starts = random.Random(10), [6] * 5
    flat = [[1.0]] * sum(starts)
    raced = [_over_starts(rng, starts) for _ in range(200)]
    for found, least, most in (
        ([ratio_of(a, flat, starts=starts) for a in raced], 0.92, 0.99),
        ([ratio_of(a, flat) for a in raced], 0.0, 0.92),
    ):
        covered = sum(f.low is not None and f.high is not None and f.low <= 1 <= f.high for f in found)
        assert least <= covered / 200 <= most
        assert all(f.p_value is not None and (f.p_value < 0.05) == (f.verdict != "no difference shown") for f in found)


def test_a_p_value_over_starts_has_their_degrees_of_freedom() -> None:
    logs = [0.10, 0.14, 0.09, 0.12, 0.11]
    assert slow_stretch(logs) == 1.0
    found = ratio_of([[math.exp(log)] for log in logs for _ in range(4)], [[1.0]] * 20, starts=[4] * 5)
    assert found.value == pytest.approx(math.exp(0.112))
    t = 0.112 / (statistics.stdev(logs) / math.sqrt(5))
    assert found.p_value == pytest.approx(student_p_value(t, 4))


def test_a_median_over_starts_knows_that_they_differ() -> None:
    rng, starts = random.Random(11), [6] * 5
    raced = [_over_starts(rng, starts) for _ in range(150)]
    shares = []
    for given in (starts, ()):
        found = [quantile_intervals(a, (0.5,), starts=given)[0] for a in raced]
        shares.append(sum(f is not None and f[0] <= 1 <= f[1] for f in found) / 150)
    assert shares[0] >= 0.91
    assert shares[1] < shares[0] - 0.03


def test_one_start_that_something_hit_does_not_decide_how_wide_an_interval_is() -> None:
    logs = [0.10, 0.12, 0.09, 0.14, 0.11, 0.12, 0.10]
    flat = [[1.0]] * 21
    both = logs, [*logs[:3], 0.5, *logs[4:]]
    calm, hit = (ratio_of([[math.exp(log)] for log in each for _ in range(3)], flat, starts=[3] * 7) for each in both)
    assert calm.low is not None
    assert hit.low is not None
    assert calm.high is not None
    assert hit.high is not None
    assert hit.high - hit.low < 3 * (calm.high - calm.low)  # eight times without trimming
    assert hit.verdict == "slower"


@pytest.mark.parametrize("starts", [6, 11, 17])
def test_intervals_over_starts_are_those_of_a_trimmed_mean_in_scipy(starts: int) -> None:
    logs = np.random.default_rng(starts).normal(0, 0.1, starts)
    trimmed = (starts + 5) // 11
    low, high = trimmed_mean_ci(logs, limits=(trimmed / starts, trimmed / starts))
    spread = spread_of(logs)
    assert spread.reach == pytest.approx(spread.stretch * (high - low) / 2, rel=1e-9)
    assert spread.value == pytest.approx((high + low) / 2, rel=1e-9)
    assert spread.freedom == starts - 2 * trimmed - 1


def test_starts_must_add_up_to_the_rounds() -> None:
    with pytest.raises(ValueError, match="there are 6 rounds, but 3, 2 after starts"):
        ratio_of([[1.0]] * 6, [[1.0]] * 6, starts=[3, 2])
    with pytest.raises(ValueError, match="6 rounds"):
        quantile_intervals([[1.0]] * 6, (0.5,), starts=[7])


def test_rounds_in_no_order_are_not_stretched() -> None:
    rng = np.random.default_rng(9)
    assert statistics.median(serial_stretch(rng.normal(size=30)) for _ in range(100)) < 1.2
    assert serial_stretch([1.0] * 15 + [2.0] * 15) > 3


def test_rounds_are_paired() -> None:
    """The same times in another order of rounds say less."""
    rng = random.Random(6)
    a, b = _raced(1.1, 12, rng)
    paired, torn = ratio_of(a, b), ratio_of(a, b[1:] + b[:1])
    assert paired.high is not None
    assert paired.low is not None
    assert torn.high is not None
    assert torn.low is not None
    assert paired.high - paired.low < (torn.high - torn.low) / 3


def test_two_equal_contenders_are_seldom_told_apart() -> None:
    rng = random.Random(7)
    verdicts = [ratio_of(*_raced(1.0, 10, rng)).verdict for _ in range(200)]
    assert verdicts.count("no difference shown") >= 183  # 190 expected; fewer would have a chance below 1 %


def test_a_ratio_reads_as_subject_over_baseline() -> None:
    rng = random.Random(8)
    quick = ratio_of(*_raced(0.8, 10, rng))
    assert quick.verdict == "faster"
    assert quick.value == pytest.approx(0.8, rel=0.03)
    assert quick.p_value is not None
    assert quick.p_value < 0.01
    assert ratio_of(*_raced(1.25, 10, rng)).verdict == "slower"
    assert ratio_of([[1.0]] * 5, [[2.0]] * 5).verdict == "cannot tell"
    with pytest.raises(ValueError, match="got 6 and 5"):
        ratio_of([[1.0]] * 6, [[2.0]] * 5)


def test_a_clear_ratio_stays_clear_after_correction_for_a_hundred_pairs() -> None:
    random = np.random.default_rng(3)
    rounds = [[2.0 * noise] for noise in np.exp(random.normal(0, 0.02, 10))], [[noise] for noise in np.exp(random.normal(0, 0.02, 10))]
    clear = ratio_of(*rounds)
    assert clear.p_value is not None
    assert clear.p_value < 1e-6
    assert 100 * clear.p_value < 1e-4
    same = ratio_of([[n] for n in np.exp(random.normal(0, 0.02, 10))], [[n] for n in np.exp(random.normal(0, 0.02, 10))])
    assert same.p_value is not None
    assert same.p_value > 0.01
