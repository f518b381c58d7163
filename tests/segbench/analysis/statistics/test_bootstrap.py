"""Intervals against tables, hand computations, a plain loop, and data whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from segbench.analysis.statistics.bootstrap import (
    LEAST_SINGLE,
    mean_interval,
    mean_of,
    miou_columns,
    miou_difference,
    miou_interval,
    miou_of,
    resample,
)
from segbench.analysis.statistics.sampling import LEAST_PAIRS, sampling
from segbench.analysis.statistics.student_t import student_p_value, student_quantile
from segbench.measure.quality.scores import score

Counts = npt.NDArray[np.int64]
PRESENT = np.array([1.0, 0.8, 0.4])


def matrices(random: np.random.Generator, images: int, *, skill: float = 0.0) -> Counts:
    """Images of three classes, the last in 40 % of them, each with a difficulty of its own."""
    there = random.random((images, 3)) < PRESENT
    there[:, 0] = True
    pixels = (random.gamma(2.0, 300.0, (images, 3)) * there).astype(np.int64)
    right = 1 / (1 + np.exp(-(np.array([2.5, 1.5, 0.5]) + skill + random.normal(0, 0.5, (images, 3)))))
    hits = (pixels * right).astype(np.int64)
    found = np.zeros((images, 3, 3), dtype=np.int64)
    for k in range(3):
        wrong = pixels[:, k] - hits[:, k]
        found[:, k, k] = hits[:, k]
        found[:, k, (k + 1) % 3] = wrong // 3
        found[:, k, (k + 2) % 3] = wrong - wrong // 3
    return found


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.7062), (2, 4.30265), (3, 3.18245), (4, 2.77645), (9, 2.26216), (29, 2.04523), (499, 1.96473)]
)
def test_student_quantiles_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    assert student_quantile(0.975, freedom) == pytest.approx(quantile, abs=1e-4)
    assert student_p_value(quantile, freedom) == pytest.approx(0.05, abs=1e-5)


def test_student_p_values_integrate_the_density() -> None:
    for freedom in (1, 2, 5, 8):
        constant = math.gamma((freedom + 1) / 2) / (math.sqrt(freedom * math.pi) * math.gamma(freedom / 2))
        steps = np.linspace(0, 1.7, 20001)
        inside = np.trapezoid(constant * (1 + steps**2 / freedom) ** (-(freedom + 1) / 2), steps)
        assert student_p_value(-1.7, freedom) == pytest.approx(1 - 2 * float(inside), abs=1e-8)


def test_the_t_interval_is_the_textbooks() -> None:
    found = mean_interval([0.01, 0.02, 0.06])
    # mean 0.03, deviation sqrt(0.0014 / 2) = 0.026458, error 0.015275, t = 4.30265 with 2 degrees of freedom
    assert found.value == pytest.approx(0.03)
    assert found.n == 3
    assert found.low == pytest.approx(0.03 - 0.065724, abs=1e-6)
    assert found.high == pytest.approx(0.03 + 0.065724, abs=1e-6)
    # t = 0.03 / 0.015275 = 1.96396; with two degrees p = 1 - t / sqrt(2 + t^2)
    assert found.p_value == pytest.approx(1 - 1.963961 / math.sqrt(2 + 1.963961**2), abs=1e-6)


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.6], [0.5, 0.5, 0.5]])
def test_two_seeds_or_equal_ones_have_a_mean_and_no_interval(values: list[float]) -> None:
    found = mean_interval(values)
    assert found.value == pytest.approx(sum(values) / len(values))
    assert (found.low, found.high, found.p_value, found.n) == (None, None, None, len(values))


def test_a_resample_is_scored_as_a_dataset_of_its_own() -> None:
    """Against a loop that draws images by their index and scores the sum as any split is scored."""
    data = matrices(np.random.default_rng(3), 40)
    fast = resample([miou_columns(data)], miou_of, resamples=4000)[0]
    random = np.random.default_rng(8)
    slow = [score(data[random.integers(40, size=40)], class_names="abc", split="").miou for _ in range(1500)]
    assert fast.value == pytest.approx(score(data, class_names="abc", split="").miou, abs=1e-12)
    drawn = np.array(slow, dtype=np.float64)
    assert fast.resamples.mean() == pytest.approx(drawn.mean(), abs=4 * drawn.std() / math.sqrt(1500))
    assert fast.resamples.std() == pytest.approx(drawn.std(), rel=0.08)
    left_out = [score(np.delete(data, i, axis=0), class_names="abc", split="").miou for i in range(40)]
    assert fast.without.tolist() == pytest.approx(left_out, abs=1e-12)


def test_a_class_that_a_resample_lost_is_left_out_of_its_mean() -> None:
    sums = miou_columns(np.array([[[3, 1, 0], [0, 4, 0], [0, 0, 0]]])).astype(np.float64)
    assert miou_of(sums)[0] == pytest.approx((3 / 4 + 4 / 5) / 2)
    assert np.isnan(miou_of(np.zeros((1, 9))))


def test_models_share_their_resamples_so_that_equal_ones_differ_by_nothing() -> None:
    data = matrices(np.random.default_rng(0), 30)
    same = miou_difference(data, data.copy())
    assert (same.value, same.low, same.high, same.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_pairing_takes_out_what_both_models_find_hard() -> None:
    random = np.random.default_rng(5)
    data = matrices(random, 100)
    better = data.copy()
    moved = better[:, 0, 1] // 5
    better[:, 0, 1] -= moved
    better[:, 0, 0] += moved
    paired = miou_difference(better, data)
    apart = [miou_interval(one) for one in (better, data)]
    assert paired.low is not None
    assert paired.low > 0
    assert paired.p_value is not None
    assert paired.p_value < 0.01
    assert apart[0].low is not None
    assert apart[1].high is not None
    assert apart[0].low < apart[1].high, "intervals of each alone would not have shown it"


def test_the_p_value_is_the_level_at_which_the_interval_touches_zero() -> None:
    random = np.random.default_rng(2)
    for shift in (0.02, 0.07, -0.1):
        one, other = matrices(random, 60, skill=shift), matrices(random, 60)
        pair = resample([miou_columns(one), miou_columns(other)], miou_of)
        difference = pair[0] - pair[1]
        p = difference.difference_interval().p_value
        assert p is not None
        low, high = difference.difference_interval().estimate.interval(1 - p) or (1.0, 1.0)
        assert low < high
        assert min(abs(low), abs(high)) < 1e-9


def test_images_of_one_scene_count_once() -> None:
    single = matrices(np.random.default_rng(1), 25)
    copies = np.repeat(single, 4, axis=0)
    groups = [f"scene {i // 4}" for i in range(100)]
    alone, grouped, blind = miou_interval(single), miou_interval(copies, groups=groups), miou_interval(copies)
    assert (grouped.low, grouped.high, grouped.n) == (alone.low, alone.high, 25)
    assert blind.sampling is not None
    assert blind.sampling.serial.block >= 4, "neighbours that are alike are seen without groups, too"
    assert blind.n <= 25


def test_too_few_groups_are_held_fixed_and_said_to_be() -> None:
    data = matrices(np.random.default_rng(1), 40)
    units = sampling(40, ["a"] * 30 + ["b"] * 10)
    assert (units.kind, units.words) == ("within groups", "40 images within 2 groups")
    # one group of one image cannot vary, and the other has only equal images
    data[:39] = data[0]
    found = resample([miou_columns(data)], miou_of, groups=["a"] * 39 + ["b"], resamples=50)[0]
    assert np.ptp(found.resamples) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("groups", [None, [str(i) for i in range(12)]])
def test_groups_of_one_image_are_images(groups: list[str] | None) -> None:
    units = sampling(12, groups)
    assert (units.kind, units.words, units.units) == ("images", "12 images", 12)


def test_few_images_give_no_interval() -> None:
    random = np.random.default_rng(4)
    few = matrices(random, LEAST_PAIRS - 1)
    assert miou_difference(few, few).low is None
    assert miou_difference(matrices(random, LEAST_PAIRS), matrices(random, LEAST_PAIRS)).low is not None
    assert miou_interval(matrices(random, LEAST_SINGLE - 1)).low is None
    assert miou_interval(matrices(random, LEAST_SINGLE)).low is not None


def test_differences_of_seeds_are_averaged_resample_by_resample() -> None:
    random = np.random.default_rng(4)
    tables = [miou_columns(matrices(random, 20)) for _ in range(4)]
    a0, a1, b0, b1 = resample(tables, miou_of, resamples=200)
    pooled = mean_of([a0 - b0, a1 - b1])
    assert pooled.value == pytest.approx((a0.value - b0.value + a1.value - b1.value) / 2)
    assert pooled.resamples == pytest.approx((a0.resamples - b0.resamples + a1.resamples - b1.resamples) / 2)


@pytest.mark.parametrize("kind", ["single", "difference"])
def test_intervals_hold_the_truth_about_as_often_as_they_say(kind: str) -> None:
    random = np.random.default_rng(11)
    whole = [np.zeros((3, 3), dtype=np.int64), np.zeros((3, 3), dtype=np.int64)]
    for _ in range(20):
        for total, skill in zip(whole, (0.15, 0.0), strict=True):
            total += matrices(random, 5000, skill=skill).sum(axis=0)
    truths = [float(miou_of(miou_columns(total[None]).astype(np.float64))[0]) for total in whole]
    truth = truths[0] if kind == "single" else truths[0] - truths[1]
    held = given = 0
    for seed in range(250):
        one, other = matrices(random, 40, skill=0.15), matrices(random, 40)
        found = miou_interval(one, resamples=600, seed=seed) if kind == "single" else miou_difference(one, other, resamples=600, seed=seed)
        if found.low is not None and found.high is not None:
            given += 1
            held += found.low <= truth <= found.high
    # neighbours look alike by chance in one of twenty; then 40 images are too few for a single score
    assert given >= 230
    # over many repetitions 94 to 95 %; of 250 with a deviation of 1.5 %
    assert 0.90 <= held / given <= 0.99


def test_unpaired_matrices_and_missing_groups_are_refused() -> None:
    data = matrices(np.random.default_rng(0), 12)
    with pytest.raises(ValueError, match="paired images"):
        miou_difference(data, data[:11])
    with pytest.raises(ValueError, match="a group for each image"):
        miou_interval(data, groups=["a"] * 11)
