"""Blocks of images that are alike: their length against theory, what is drawn against plain loops, and coverage on frames of a film."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from segbench.analysis.statistics import bootstrap, serial
from segbench.analysis.statistics.bootstrap import Interval, Resampled, mean_of, miou_difference, miou_interval, resample
from segbench.analysis.statistics.sampling import LEAST_PAIRS, draw_weights, sampling
from segbench.analysis.statistics.serial import Dependence, batch_error, dependence

Floats = npt.NDArray[np.float64]


def autoregressive(random: np.random.Generator, series: int, length: int, correlation: float) -> Floats:
    """Series (series, length) of variance one whose neighbours have that correlation (AR(1))."""
    noise = random.standard_normal((series, length))
    values = np.empty_like(noise)
    values[:, 0] = noise[:, 0]
    for place in range(1, length):
        values[:, place] = correlation * values[:, place - 1] + math.sqrt(1 - correlation**2) * noise[:, place]
    return values


def share(sums: Floats) -> Floats:
    """A score that is a mean over images: the first column's share of the second."""
    quotient: Floats = sums[..., 0] / sums[..., 1]
    return quotient


def film(values: Floats, **options: object) -> Resampled:
    """Images of one film with these scores."""
    columns = np.stack([values, np.ones(len(values))], axis=1)
    return resample([columns], share, groups=["film"] * len(values), resamples=400, **options)[0]  # type: ignore[arg-type]


def test_blocks_are_as_long_as_theory_has_them_for_a_long_series() -> None:
    """AR(1) with 0.8: sum of |k| R(k) is 40, of R(k) 9; hence (3/2 (40/9)^2 n)^(1/3), which is 39 for 2 000 (Politis and White 2004)."""
    series = autoregressive(np.random.default_rng(0), 20, 2000, 0.8)
    lengths = [dependence(values, [np.arange(2000)]).block for values in series]
    assert 30 <= np.median(lengths) <= 48


@pytest.mark.parametrize("length", [20, 51, 200])
def test_independent_images_are_drawn_one_by_one(length: int) -> None:
    series = np.random.default_rng(1).standard_normal((400, length))
    blocks = np.array([dependence(values, [np.arange(length)]).block for values in series])
    assert (blocks == 1).mean() >= 0.9
    assert np.quantile(blocks, 0.98) <= 6


def test_shuffled_frames_lose_their_dependence() -> None:
    random = np.random.default_rng(2)
    series = autoregressive(random, 60, 100, 0.8)
    ordered = [dependence(values, [np.arange(100)]).block for values in series]
    shuffled = [dependence(random.permutation(values), [np.arange(100)]).block for values in series]
    assert min(ordered) >= 2
    assert np.median(ordered) >= 8
    assert np.mean(np.array(shuffled) == 1) >= 0.85


def test_films_of_other_difficulty_are_no_dependence_within_them() -> None:
    random = np.random.default_rng(5)
    values = np.concatenate([random.standard_normal(60), 9 + random.standard_normal(60)])
    assert dependence(values, [np.arange(60), np.arange(60, 120)]) == Dependence()
    assert dependence(values, [np.arange(120)]).block > 10


def test_frames_are_put_into_their_natural_order() -> None:
    values = autoregressive(np.random.default_rng(3), 1, 120, 0.6)[0]
    order = np.random.default_rng(4).permutation(120)
    sorted_, mixed = film(values), film(values[order], ids=[f"frame{place}" for place in order])
    assert mixed.sampling.serial == sorted_.sampling.serial
    assert mixed.sampling.serial.block > 2
    assert film(values[order]).sampling.serial.block < sorted_.sampling.serial.block


def test_drawn_blocks_are_those_of_a_plain_loop() -> None:
    """Every resample is a sum of circular blocks, whose starts the same generator gives."""
    weights = draw_weights(np.random.default_rng(6), [np.arange(10)], 10, 50, 4)
    random = np.random.default_rng(6)
    whole = random.multinomial(2, np.full(10, 0.1), size=50)
    rest = random.multinomial(1, np.full(10, 0.1), size=50)
    for row, starts, short in zip(weights, whole, rest, strict=True):
        counted = np.zeros(10)
        for first, times in enumerate(starts):
            for step in range(4):
                counted[(first + step) % 10] += times
        for step in range(2):
            counted[(int(short.argmax()) + step) % 10] += 1
        assert row.tolist() == counted.tolist()


def test_each_film_keeps_its_number_of_frames_and_short_ones_are_one_block() -> None:
    films = [np.array([0, 2, 4, 6, 8, 10, 11, 12]), np.array([1, 3]), np.array([5, 7, 9])]
    weights = draw_weights(np.random.default_rng(0), films, 13, 40, 5)
    for places in films:
        assert (weights[:, places].sum(axis=1) == len(places)).all()
    assert (weights[:, [1, 3]] == 1).all()


def test_resamples_of_blocks_vary_as_bartletts_window_says() -> None:
    """The variance of a mean of circular blocks of b is that of the circular autocovariances, weighted by 1 - k / b."""
    values = autoregressive(np.random.default_rng(7), 1, 120, 0.8)[0]
    columns = np.stack([values, np.ones(120)], axis=1)
    (one,) = resample([columns], share, resamples=20_000)
    block = 12
    centred = values - values.mean()
    covariances = [float(np.dot(centred, np.roll(centred, lag))) / 120 for lag in range(block)]
    variance = (covariances[0] + 2 * sum((1 - lag / block) * covariances[lag] for lag in range(1, block))) / 120
    assert one.drawn(block).var() == pytest.approx(variance, rel=0.05)


def test_the_error_over_batches_is_that_of_their_means() -> None:
    values = np.arange(12.0) ** 2
    # six batches would be shorter than four images: three; sums 14, 126, 366 less their mean of 168.67
    error, freedom = batch_error(values, [np.arange(12)])
    sums = np.array([14.0, 126.0, 366.0])
    assert freedom == 2
    assert error == pytest.approx(sums.std(ddof=1) / math.sqrt(3) / 4)


@pytest.mark.parametrize("correlation", [0.5, 0.8, 0.95])
def test_frames_that_are_alike_give_intervals_that_hold_or_none(correlation: float) -> None:
    wrong, given = _wrong(correlation)
    assert wrong <= 0.10, "5 %, and what 120 films scatter by"
    assert given >= {0.5: 0.9, 0.8: 0.3, 0.95: 0.0}[correlation]


def test_frames_that_are_drawn_one_by_one_do_not_hold_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "dependence", lambda influences, films: Dependence())
    wrong, given = _wrong(0.8)
    assert given == 1
    assert wrong > 0.4


def _wrong(correlation: float, length: int = 100, films: int = 120) -> tuple[float, float]:
    """Shares of simulated films with an interval that misses the true mean of zero, and of those with an interval."""
    wrong = given = 0
    for values in autoregressive(np.random.default_rng(8), films, length, correlation):
        interval = film(values).difference_interval()
        if interval.low is not None and interval.high is not None:
            given += 1
            wrong += not interval.low <= 0 <= interval.high
    return wrong / films, given / films


def test_a_difference_has_blocks_of_its_own() -> None:
    """What both models find hard for many frames cancels; their own errors are independent."""
    random = np.random.default_rng(9)
    scene = autoregressive(random, 1, 101, 0.9)[0]
    tables = [np.stack([scene + 0.1 * random.standard_normal(101), np.ones(101)], axis=1) for _ in range(2)]
    one, other = resample(tables, share, groups=["film"] * 101, resamples=400)
    assert one.sampling.serial.block > 10
    assert one.interval().low is None
    difference = (one - other).difference_interval()
    assert difference.sampling is not None
    assert difference.sampling.serial.block == 1
    assert difference.low is not None
    pooled = mean_of([one, other])
    assert pooled.sampling.serial.block > 10
    assert pooled.resamples == pytest.approx((one.drawn(pooled.sampling.serial.block) + other.drawn(pooled.sampling.serial.block)) / 2)


def test_units_are_the_blocks_that_fit_and_words_say_so() -> None:
    interval = film(autoregressive(np.random.default_rng(10), 1, 200, 0.7)[0]).difference_interval()
    units = interval.sampling
    assert units is not None
    assert interval.n == 200 // units.serial.block >= LEAST_PAIRS
    alike = f"neighbours are alike up to a lag of {units.serial.lag}"
    assert units.words == f"moving blocks of {units.serial.block} images ({alike}), 200 images within one group"
    assert units.scope == " on 200 images of this one group"
    assert [bound.freedom for bound in interval.bounds] == [interval.n - 1, serial.BATCHES - 1]
    assert units.percentiles(400) == "percentiles of 400 resamples, or t over long batches of images where wider"


def test_too_few_blocks_are_the_reason_for_no_interval() -> None:
    interval = film(autoregressive(np.random.default_rng(11), 1, 60, 0.8)[0]).difference_interval()
    assert (interval.low, interval.high, interval.p_value, interval.bounds) == (None, None, None, ())
    assert interval.sampling is not None
    block, lag = interval.sampling.serial.block, interval.sampling.serial.lag
    assert interval.why == (
        f"60 images within one group: neighbours are alike up to a lag of {lag}, so that in blocks of {block} they tell as much as "
        f"{interval.n} independent images, too few for an interval: at least 10"
    )


def test_a_film_that_changes_once_is_one_image() -> None:
    interval = film(np.repeat([0.2, 0.8], 20) + 0.01 * np.random.default_rng(0).standard_normal(40)).difference_interval()
    assert interval.sampling is not None
    assert interval.sampling.serial.block == 40
    assert "in blocks of 40 they tell as much as 1 independent image, too few" in interval.why


def counted(hits: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Matrices (n, 2, 2) of one class with 100 pixels in each image, of which so many are found."""
    return np.array([[[each, 100 - each], [0, 0]] for each in hits])


REASONS = {
    "one image": (counted(np.array([40])), "1 image is too few for an interval: at least"),
    "images that are all the same": (counted(np.full(30, 40)), "all images tell the same: there is nothing to estimate a deviation from"),
    "a perfect score": (counted(np.full(30, 100)), "all images tell the same: there is nothing to estimate a deviation from"),
    "no labels": (np.zeros((30, 2, 2), dtype=np.int64), "there is no score"),
    "labels in one image": (
        np.concatenate([counted(np.array([40])), np.zeros((29, 2, 2), dtype=np.int64)]),
        "36 % of the resamples have no score: too few images have what it is made of",
    ),
}


@pytest.mark.parametrize("case", REASONS)
def test_scores_without_an_interval_have_a_reason(case: str) -> None:
    matrices, why = REASONS[case]
    _assert_reason(miou_interval(matrices), why)
    if case != "a perfect score":
        worse, lost = matrices.copy(), matrices[:, 0, 0] // 4
        worse[:, 0, 0] -= lost
        worse[:, 0, 1] += lost
        _assert_reason(miou_difference(worse, matrices), why)


def test_models_that_are_equal_in_every_image_differ_by_nothing() -> None:
    same = miou_difference(counted(np.full(30, 40)), counted(np.full(30, 40)))
    assert (same.value, same.low, same.high, same.why) == (0.0, 0.0, 0.0, "")


def test_images_without_groups_are_one_series() -> None:
    values = autoregressive(np.random.default_rng(12), 1, 200, 0.7)[0]
    (one,) = resample([np.stack([values, np.ones(200)], axis=1)], share, resamples=50)
    assert one.sampling.serial.block > 4
    assert one.sampling.scope == " on 200 images of this one sequence"
    assert sampling(200, None).scope == ""


def _assert_reason(interval: Interval, why: str) -> None:
    assert (interval.low, interval.high, interval.p_value) == (None, None, None)
    assert interval.why.startswith(why)
