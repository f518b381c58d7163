from __future__ import annotations

import itertools
import json
import math
import random
import re
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segbench.config.settings import TrainSettings
from segbench.results.records import Diagnosis, Epoch
from segbench.training.diagnosis import diagnose
from segbench.training.schedules import Stopping
from segbench.training.session import State

Curve = Callable[[int], float]


def history(loss: Curve, miou: Curve, val_loss: Curve | None = None, *, epochs: int = 30, rate: Curve = lambda e: 1.0) -> list[Epoch]:
    return [
        Epoch(epoch=e, train_loss=loss(e), val_miou=miou(e), val_loss=val_loss(e) if val_loss else None, learning_rate=rate(e))
        for e in range(1, epochs + 1)
    ]


def falling(e: int) -> float:
    return 0.2 + 1.8 * math.exp(-e / 8)


def rising(e: int) -> float:
    return 0.7 * (1 - math.exp(-e / 8))


def decaying(e: int) -> float:
    return 1 - e / 31


def kinds(rows: list[Epoch]) -> list[str]:
    return [d.kind for d in diagnose(rows)]


def test_a_run_that_learns_and_levels_off_is_healthy() -> None:
    (found,) = diagnose(history(falling, rising, rate=decaying))
    assert found.kind == "healthy"
    assert found.message == (
        "the training loss fell from 1.79 (epoch 1) to 0.242 (epoch 30); validation mIoU reached 0.684 in epoch 30 of 30."
    )


def test_a_leap_of_the_loss_that_the_score_confirms_is_unstable() -> None:
    rows = history(lambda e: falling(e) + 2 * (e == 12), lambda e: rising(e) - 0.3 * (e == 12))
    assert kinds(rows) == ["unstable"]
    (found,) = diagnose(rows)
    assert found.message == f"the training loss rose to {falling(12) + 2:.3g} in epoch 12, from {falling(11):.3g} (epoch 11)."
    assert "train.lr" in found.remedy
    assert found.source


def test_a_loss_that_changes_its_definition_or_the_image_size_is_not_unstable() -> None:
    assert "unstable" not in kinds(history(lambda e: falling(e) + 2 * (e >= 12), rising))
    rows = history(lambda e: falling(e) + 0.8 * (e >= 25), lambda e: rising(e) - 0.3 * (e == 25), rate=decaying)
    rows = [row.model_copy(update={"image_size": (64, 64) if row.epoch < 25 else (128, 128)}) for row in rows]
    assert "unstable" not in kinds(rows)


def test_a_loss_that_is_no_number_is_unstable() -> None:
    rows = history(lambda e: math.nan if e == 3 else 1.0, rising, epochs=3)
    assert kinds(rows) == ["unstable"]


def test_a_score_that_swings_is_oscillating() -> None:
    rows = history(falling, lambda e: 0.5 + 0.08 * (-1) ** e)
    assert kinds(rows) == ["oscillating"]
    assert "swings by 0.160" in diagnose(rows)[0].message


def test_small_swings_are_not() -> None:
    assert "oscillating" not in kinds(history(falling, lambda e: rising(e) + 0.01 * (-1) ** e))


def test_a_loss_that_never_moves_is_flat_and_not_a_plateau_too() -> None:
    assert kinds(history(lambda e: 2.3 + 0.01 * (-1) ** e, lambda e: 0.1)) == ["flat"]


def test_a_score_that_falls_while_training_improves_is_overfitting() -> None:
    rows = history(lambda e: 2 * 0.9**e, lambda e: 0.6 * (1 - math.exp(-e / 3)) - 0.006 * max(e - 12, 0))
    found = diagnose(rows)
    assert [d.kind for d in found] == ["overfitting"]
    assert "validation mIoU fell from its best, 0.589 (epoch 12), to a mean of " in found[0].message
    assert "enhanced" in found[0].remedy


def test_a_validation_loss_that_rises_is_overfitting_unless_the_score_still_improves() -> None:
    def val_loss(e: int) -> float:
        return 1.0 + 0.02 * (e - 10) ** 2

    assert kinds(history(lambda e: 2 * 0.9**e, lambda e: 0.6 * (1 - math.exp(-e / 2)), val_loss)) == ["overfitting"]
    assert "overfitting" not in kinds(history(lambda e: 2 * 0.9**e, lambda e: 0.02 * e, val_loss))


def test_no_progress_at_a_high_rate_is_a_plateau_and_at_a_decayed_one_convergence() -> None:
    def loss(e: int) -> float:
        return 0.5 + 1.5 * math.exp(-e / 3)

    def score(e: int) -> float:
        return 0.5 * (1 - math.exp(-e / 3.5))

    assert kinds(history(loss, score)) == ["plateau"]
    assert "train.schedule" in diagnose(history(loss, score))[0].remedy
    assert kinds(history(loss, lambda e: 0.5 * (1 - math.exp(-e / 6)), rate=decaying)) == ["healthy"]
    assert kinds(history(loss, lambda e: min(0.1 * e, 0.3), rate=decaying)) == ["plateau"]


@pytest.mark.parametrize(
    ("score", "verb"),
    [
        (lambda e: 0.20877742767333984, "never moved from"),
        (lambda e: 0.2088 - 0.001 * (e == 3), "never rose above"),
        (lambda e: 0.2088 + 0.0004 * (e > 2), "never rose by 0.001 above"),
    ],
)
def test_a_network_that_is_never_better_than_after_its_first_epoch_is_not_healthy(score: Curve, verb: str) -> None:
    (found,) = diagnose(history(falling, score, epochs=5))
    assert (found.kind, found.message) == ("no gain", f"validation mIoU {verb} its first value, 0.209 (epoch 1), in epochs 2 to 5.")


def test_a_score_that_cannot_rise_or_that_too_few_validations_gave_is_not_held_against_a_network() -> None:
    assert kinds(history(falling, lambda e: 1.0, epochs=5)) == ["healthy"]
    sparse = [row if row.epoch % 2 else row.model_copy(update={"val_miou": None}) for row in history(falling, lambda e: 0.2, epochs=5)]
    assert kinds(sparse) == ["healthy"]


def test_both_still_improving_at_the_end_is_underfitting() -> None:
    (found,) = diagnose(history(lambda e: 2 - 0.05 * e, lambda e: 0.02 * e))
    assert found.kind == "underfitting"
    assert "still rose from 0.460 (epoch 23) to 0.600 (epoch 30)" in found.message
    assert "train.epochs" in found.remedy


@pytest.mark.parametrize(("epochs", "counted"), [(0, "0 epochs are"), (1, "1 epoch is"), (4, "4 epochs are")])
def test_short_histories_are_called_too_short(epochs: int, counted: str) -> None:
    (found,) = diagnose(history(falling, rising, epochs=epochs))
    assert (found.kind, found.message) == ("too short", f"{counted} too few to tell; 5 are needed.")


def test_a_small_late_gain_is_named_with_its_epoch() -> None:
    (found,) = diagnose(history(falling, lambda e: {12: 0.640, 15: 0.644}.get(e, min(0.06 * e, 0.63)), epochs=24, rate=decaying))
    assert found.message == "validation mIoU has improved only from 0.640 (epoch 12) to 0.644 (epoch 15) in epochs 13 to 24."


def test_a_gain_below_the_printed_digits_is_not_printed_as_two_equal_figures() -> None:
    (found,) = diagnose(history(falling, lambda e: {12: 0.6441, 15: 0.6442}.get(e, min(0.06 * e, 0.63)), epochs=24, rate=decaying))
    assert found.message == "validation mIoU has gained less than 0.001 on 0.644 (epoch 12), with its best in epoch 15, in epochs 13 to 24."


@pytest.mark.parametrize(
    ("setting", "advice"),
    [
        ({"augmentation": "enhanced"}, "train.augmentation"),
        ({"patience": 5}, "train.patience"),
    ],
)
def test_a_remedy_that_was_in_force_is_not_advised(setting: dict[str, Any], advice: str) -> None:
    rows = history(lambda e: 2 * 0.9**e, lambda e: 0.6 * (1 - math.exp(-e / 3)) - 0.006 * max(e - 12, 0))
    assert advice in diagnose(rows, TrainSettings())[0].remedy
    assert advice not in diagnose(rows, TrainSettings(**setting))[0].remedy


@pytest.mark.parametrize(("loss", "advice"), [(lambda e: 1.0 + 9 * (e == 9), "train.schedule"), (lambda e: math.nan, "train.clip")])
def test_the_remedies_of_an_unstable_training_leave_out_what_was_set(loss: Curve, advice: str) -> None:
    rows = history(loss, lambda e: 0.3 - 0.2 * (e >= 9))
    assert advice in diagnose(rows, TrainSettings(schedule="constant", clip=None))[0].remedy
    assert advice not in diagnose(rows, TrainSettings(schedule="onecycle", clip=1.0))[0].remedy


# Every sentence of a diagnosis is parsed, and each figure and statement in it is held against the history that it is of.

FIGURE = r"(-?[\d.]+(?:e[+-]?\d+)?)"
POINT = rf"{FIGURE} \(epoch (\d+)\)"
SPAN = r"epochs (\d+) to (\d+)"
Rows = Sequence[Epoch]
Check = Callable[[Rows, tuple[str, ...]], None]


def values(rows: Rows, name: str) -> dict[int, float]:
    read = {row.epoch: getattr(row, name) for row in rows}
    return {epoch: value for epoch, value in read.items() if value is not None and math.isfinite(value)}


def is_point(curve: dict[int, float], figure: str, epoch: str, digits: str) -> float:
    assert figure == format(curve[int(epoch)], digits)
    return curve[int(epoch)]


def is_mean(curve: dict[int, float], figure: str, first: str, last: str, digits: str) -> float:
    within = [value for epoch, value in curve.items() if int(first) <= epoch <= int(last)]
    assert int(first) in curve
    assert int(last) in curve
    assert figure == format(fmean(within), digits)
    return fmean(within)


def is_best(rows: Rows, epoch: str, figure: str | None = None) -> None:
    """As the training loop keeps it: the record's ``best_epoch`` and ``best_score``."""
    stopping = Stopping(None)
    for row in rows:
        stopping = stopping.seen(row.val_miou, epoch=row.epoch)
    assert stopping.best_epoch == int(epoch)
    assert figure is None or figure == f"{stopping.best_score:.3f}"


def is_lowest(rows: Rows, name: str, epoch: str) -> None:
    assert values(rows, name)[int(epoch)] == min(values(rows, name).values())


def check_few(rows: Rows, found: tuple[str, ...]) -> None:
    assert int(found[0]) == len(rows) == len(values(rows, "train_loss")) < int(found[1])


def check_gaps(rows: Rows, found: tuple[str, ...]) -> None:
    assert (int(found[0]), int(found[1])) == (len(values(rows, "train_loss")), len(rows))


def check_broken(rows: Rows, found: tuple[str, ...]) -> None:
    (first, *_) = [row.epoch for row in rows if row.train_loss is not None and not math.isfinite(row.train_loss)]
    assert int(found[0]) == first


def check_spike(rows: Rows, found: tuple[str, ...]) -> None:
    curve = values(rows, "train_loss")
    high, low = is_point(curve, found[0], found[1], ".3g"), is_point(curve, found[2], found[3], ".3g")
    assert high > low
    assert low == min(value for epoch, value in curve.items() if epoch < int(found[1]))


def check_swings(rows: Rows, found: tuple[str, ...]) -> None:
    curve = values(rows, "val_miou")
    is_mean(curve, found[1], found[2], found[3], ".3f")
    within = [value for epoch, value in curve.items() if int(found[2]) <= epoch <= int(found[3])]
    assert found[0] == f"{fmean(abs(b - a) for a, b in itertools.pairwise(within)):.3f}"


def check_flat(rows: Rows, found: tuple[str, ...]) -> None:
    curve = values(rows, "train_loss")
    is_point(curve, found[0], found[1], ".3g")
    is_point(curve, found[2], found[3], ".3g")
    is_lowest(rows, "train_loss", found[3])
    assert int(found[1]) == min(curve)
    assert int(found[4]) == len(rows)


def check_never_lower(rows: Rows, found: tuple[str, ...]) -> None:
    is_point(values(rows, "train_loss"), found[0], found[1], ".3g")
    is_lowest(rows, "train_loss", found[1])
    assert int(found[2]) == len(rows)


def _check_training_fell(rows: Rows, found: tuple[str, ...], *, since: str) -> None:
    curve = values(rows, "train_loss")
    assert is_point(curve, found[0], found[1], ".3g") > is_point(curve, found[2], found[3], ".3g")
    assert found[1] == since
    assert int(found[3]) == max(curve)


def check_score_lost(rows: Rows, found: tuple[str, ...]) -> None:
    curve = values(rows, "val_miou")
    best, now = is_point(curve, found[0], found[1], ".3f"), is_mean(curve, found[2], found[3], found[4], ".3f")
    is_best(rows, found[1], found[0])
    assert best > now
    assert int(found[4]) == max(curve)
    _check_training_fell(rows, found[5:], since=found[1])


def check_loss_risen(rows: Rows, found: tuple[str, ...]) -> None:
    curve = values(rows, "val_loss")
    lowest, now = is_point(curve, found[0], found[1], ".3g"), is_mean(curve, found[2], found[3], found[4], ".3g")
    is_lowest(rows, "val_loss", found[1])
    assert lowest < now
    assert int(found[4]) == max(curve)
    _check_training_fell(rows, found[5:], since=found[1])


def _split(curve: dict[int, float], first: str, last: str) -> tuple[dict[int, float], dict[int, float]]:
    """The curve before a span, and within it; the span ends with the curve."""
    assert int(last) == max(curve)
    assert int(first) in curve
    return {e: v for e, v in curve.items() if e < int(first)}, {e: v for e, v in curve.items() if e >= int(first)}


def _above_first(rows: Rows, found: tuple[str, ...]) -> list[float]:
    """By how much the validations after the first one are better than it; the span holds all of them."""
    before, within = _split(values(rows, "val_miou"), found[2], found[3])
    assert list(before) == [int(found[1])]
    assert len(within) >= 3
    first = is_point(before, found[0], found[1], ".3f")
    return [value - first for value in within.values()]


def check_never_moved(rows: Rows, found: tuple[str, ...]) -> None:
    assert set(_above_first(rows, found)) == {0.0}


def check_never_rose(rows: Rows, found: tuple[str, ...]) -> None:
    gains = _above_first(rows, found)
    assert max(gains) <= 0
    assert min(gains) < 0
    is_best(rows, found[1], found[0])


def check_never_rose_by(rows: Rows, found: tuple[str, ...]) -> None:
    assert 0 < max(_above_first(rows, found)) < 0.001


def check_no_gain(rows: Rows, found: tuple[str, ...]) -> None:
    before, within = _split(values(rows, "val_miou"), found[2], found[3])
    assert max(within.values()) <= is_point(before, found[0], found[1], ".3f")
    is_best(rows, found[1], found[0])


def check_tiny_gain(rows: Rows, found: tuple[str, ...]) -> None:
    before, within = _split(values(rows, "val_miou"), found[3], found[4])
    old = is_point(before, found[0], found[1], ".3f")
    assert old == max(before.values())
    assert 0 < within[int(found[2])] - old < 0.001
    is_best(rows, found[2])


def check_small_gain(rows: Rows, found: tuple[str, ...]) -> None:
    before, within = _split(values(rows, "val_miou"), found[4], found[5])
    assert max(before.values()) == is_point(before, found[0], found[1], ".3f") < is_point(within, found[2], found[3], ".3f")
    is_best(rows, found[3], found[2])
    assert found[0] != found[2]


def check_no_fall(rows: Rows, found: tuple[str, ...]) -> None:
    before, within = _split(values(rows, "train_loss"), found[2], found[3])
    assert min(before.values()) == is_point(before, found[0], found[1], ".3g") <= min(within.values())


def check_tiny_fall(rows: Rows, found: tuple[str, ...]) -> None:
    before, within = _split(values(rows, "train_loss"), found[3], found[4])
    old = is_point(before, found[0], found[1], ".3g")
    assert min(before.values()) == old > min(within.values()) == within[int(found[2])] > old - 0.01 * abs(old)


def check_small_fall(rows: Rows, found: tuple[str, ...]) -> None:
    before, within = _split(values(rows, "train_loss"), found[4], found[5])
    assert min(before.values()) == is_point(before, found[0], found[1], ".3g") > is_point(within, found[2], found[3], ".3g")
    assert min(within.values()) == within[int(found[3])]
    assert found[0] != found[2]


def check_still_rising(rows: Rows, found: tuple[str, ...]) -> None:
    curve = values(rows, "val_miou")
    assert is_point(curve, found[0], found[1], ".3f") < is_point(curve, found[2], found[3], ".3f")
    is_best(rows, found[3], found[2])
    losses = values(rows, "train_loss")
    before = is_mean(losses, found[4], found[5], found[6], ".3g")
    assert before > is_mean(losses, found[7], found[8], found[9], ".3g")
    assert int(found[9]) == max(losses)


def check_fell(rows: Rows, found: tuple[str, ...]) -> None:
    curve = values(rows, "train_loss")
    assert is_point(curve, found[0], found[1], ".3g") > is_point(curve, found[2], found[3], ".3g")
    assert (int(found[1]), int(found[3])) == (min(curve), max(curve))
    assert found[0] != found[2]


def check_did_not_fall(rows: Rows, found: tuple[str, ...]) -> None:
    curve = values(rows, "train_loss")
    for i in (0, 2, 4):
        is_point(curve, found[i], found[i + 1], ".3g")
    is_lowest(rows, "train_loss", found[3])
    assert (int(found[1]), int(found[5])) == (min(curve), max(curve))


def check_reached(rows: Rows, found: tuple[str, ...]) -> None:
    is_best(rows, found[1], found[0])
    assert int(found[2]) == len(rows)


_TRAINING_FELL = rf", while the training loss fell from {POINT} to {POINT}\."
_REACHED = rf"; validation mIoU reached {FIGURE} in epoch (\d+) of (\d+)"
SENTENCES: dict[str, list[tuple[str, Check]]] = {
    "too short": [
        (r"(\d+) epochs? (?:is|are) too few to tell; (\d+) are needed\.", check_few),
        (r"only (\d+) of (\d+) epochs? had a training loss; 5 are needed to tell\.", check_gaps),
    ],
    "unstable": [
        (r"the training loss was not finite in epoch (\d+)\.", check_broken),
        (rf"the training loss rose to {FIGURE} in epoch (\d+), from {POINT}\.", check_spike),
    ],
    "oscillating": [
        (
            rf"validation mIoU swings by {FIGURE} on average from one validation to the next, around a mean of {FIGURE} \({SPAN}\)\.",
            check_swings,
        )
    ],
    "flat": [
        (rf"the training loss was {POINT} and at its lowest {POINT}, in (\d+) epochs?\.", check_flat),
        (rf"the training loss was {POINT} and never lower, in (\d+) epochs?\.", check_never_lower),
    ],
    "overfitting": [
        (rf"validation mIoU fell from its best, {POINT}, to a mean of {FIGURE} over {SPAN}{_TRAINING_FELL}", check_score_lost),
        (rf"the validation loss rose from its lowest, {POINT}, to a mean of {FIGURE} over {SPAN}{_TRAINING_FELL}", check_loss_risen),
    ],
    "no gain": [
        (rf"validation mIoU never moved from its first value, {POINT}, in {SPAN}\.", check_never_moved),
        (rf"validation mIoU never rose above its first value, {POINT}, in {SPAN}\.", check_never_rose),
        (rf"validation mIoU never rose by 0\.001 above its first value, {POINT}, in {SPAN}\.", check_never_rose_by),
    ],
    "plateau": [
        (rf"validation mIoU has not improved on {POINT} in {SPAN}\.", check_no_gain),
        (rf"validation mIoU has gained less than 0\.001 on {POINT}, with its best in epoch (\d+), in {SPAN}\.", check_tiny_gain),
        (rf"validation mIoU has improved only from {POINT} to {POINT} in {SPAN}\.", check_small_gain),
        (rf"the training loss has not fallen below {POINT} in {SPAN}\.", check_no_fall),
        (
            rf"the training loss has fallen by less than 1 % from {POINT}, with its lowest value in epoch (\d+), in {SPAN}\.",
            check_tiny_fall,
        ),
        (rf"the training loss has fallen only from {POINT} to {POINT} in {SPAN}\.", check_small_fall),
    ],
    "underfitting": [
        (
            rf"validation mIoU still rose from {POINT} to {POINT}, and the mean training loss fell from {FIGURE} \({SPAN}\) "
            rf"to {FIGURE} \({SPAN}\)\.",
            check_still_rising,
        )
    ],
    "healthy": [
        (rf"the training loss fell from {POINT} to {POINT}\.", check_fell),
        (rf"the training loss was {POINT}, at its lowest {POINT}, and {POINT} at the end\.", check_did_not_fall),
    ],
}


def hold_against(rows: Rows, diagnosis: Diagnosis) -> str:
    """Check the sentence against the history; its pattern. A sentence that is not listed fails."""
    text = diagnosis.message
    if diagnosis.kind == "healthy" and (reached := re.search(_REACHED, text)):
        check_reached(rows, reached.groups())
        text = text.replace(reached.group(), "")
    for pattern, check in SENTENCES[diagnosis.kind]:
        if match := re.fullmatch(pattern, text):
            check(rows, match.groups())
            return pattern
    raise AssertionError(f"nothing checks this sentence: {text}")


@st.composite
def histories(draw: st.DrawFn) -> list[Epoch]:
    """Histories of all shapes: short, plateaus, ties, overfitting, swings, gaps, NaN, no validation, few validations."""
    epochs, every = draw(st.integers(0, 40)), draw(st.integers(1, 4))
    rng = random.Random(draw(st.integers(0, 2**32)))
    scale, digits = draw(st.sampled_from([1e-4, 1.0, 300.0])), draw(st.sampled_from([1, 2, 3, 4, 17]))
    noise = draw(st.sampled_from([0.0, 0.0, 1e-4, 0.003, 0.02, 0.2]))
    step, at = draw(st.sampled_from([0.0, 2e-4, 4e-3])), draw(st.integers(12, 18))
    losses = [*LOSSES, lambda e: 0.5 + 1 / (1 + e**3) - step * (e >= at), lambda e: max(1 - 0.2 * e, 0.4) - step * (e >= at)]
    scores = [*SCORES, lambda e: min(0.1 * e, 0.6) + step * (e >= at), lambda e: min(0.1 * e, 0.5) + step * (e >= at)]
    scores += [lambda e: min(0.1 * e, 0.6) + 2e-4 * (e >= at)] * 2
    loss, score = draw(st.sampled_from(losses)), draw(st.sampled_from(scores))
    missing, broken = draw(st.sampled_from([0.0, 0.0, 0.3])), draw(st.sampled_from([0.0, 0.0, 0.0, 0.05]))
    validated, decays = draw(st.sampled_from([True, True, False])), draw(st.booleans())
    growing = draw(st.booleans())

    def value(curve: Curve, e: int, *, share: bool = False) -> float | None:
        if rng.random() < broken:
            return rng.choice([math.nan, math.inf])
        if rng.random() < missing:
            return None
        exact = curve(e) + noise * rng.uniform(-1, 1)
        return round(min(max(exact, 0.0), 1.0), digits) if share else scale * round(exact, digits)

    return [
        Epoch(
            epoch=e,
            train_loss=value(loss, e),
            val_loss=value(draw(st.sampled_from(LOSSES)), e) if validated and e % every == 0 else None,
            val_miou=value(score, e, share=True) if validated and (e % every == 0 or e == epochs) else None,
            learning_rate=1 - e / (epochs + 1) if decays else 1.0,
            image_size=(64, 64) if growing and e > epochs // 2 else (32, 32),
        )
        for e in range(1, epochs + 1)
    ]


LOSSES: list[Curve] = [
    falling,
    lambda e: 2 * 0.9**e,
    lambda e: 2.3,
    lambda e: 2 - 0.05 * e,
    lambda e: 0.5 + 1.5 * math.exp(-e / 3),
    lambda e: 1 + 0.02 * (e - 10) ** 2,
    lambda e: 1.3 - 0.3 * math.sin(e / 3),
    lambda e: -0.5 - 0.01 * e,
    lambda e: 0.0,
]
SCORES: list[Curve] = [
    rising,
    lambda e: 0.3,
    lambda e: 0.02 * e,
    lambda e: 0.6 * (1 - math.exp(-e / 3)) - 0.006 * max(e - 12, 0),
    lambda e: 0.5 + 0.08 * (-1) ** e,
    lambda e: 0.5 * (1 - math.exp(-e / 3.5)),
    lambda e: 0.0,
]


@settings(max_examples=300, deadline=None)
@given(histories())
def test_every_sentence_is_true_of_its_history(rows: list[Epoch]) -> None:
    for diagnosis in diagnose(rows):
        hold_against(rows, diagnosis)


@settings(max_examples=50, deadline=None)
@given(histories(), st.integers(0, 40))
def test_a_resumed_training_has_the_diagnosis_of_the_whole(rows: list[Epoch], done: int) -> None:
    state = State(Stopping(None), history=rows[:done])
    resumed = State.from_dict(json.loads(json.dumps(state.to_dict())))
    again = diagnose([*resumed.history, *rows[done:]])
    kept = [row if row in rows[done:] else Epoch(**row.model_dump(mode="json")) for row in rows]
    assert again == diagnose(kept)
    for diagnosis in again:
        hold_against(kept, diagnosis)


def test_every_kind_of_sentence_is_among_those_that_are_checked() -> None:
    """The strategy reaches each sentence: nothing above passes for want of an example."""
    seen: set[str] = set()

    @settings(max_examples=4000, deadline=None, derandomize=True, database=None)
    @given(histories())
    def collect(rows: list[Epoch]) -> None:
        seen.update(hold_against(rows, diagnosis) for diagnosis in diagnose(rows))

    collect()
    assert {pattern for sentences in SENTENCES.values() for pattern, _ in sentences} - seen == set()


maybe = st.none() | st.floats(allow_nan=True, allow_infinity=True, width=32) | st.floats(0, 1)
share = st.none() | st.just(math.nan) | st.floats(0, 1)


@given(st.lists(st.tuples(maybe, maybe, share, st.none() | st.floats(0, 1)), max_size=40))
def test_no_history_breaks_it(rows: list[tuple[float | None, float | None, float | None, float | None]]) -> None:
    found = diagnose(
        [Epoch(epoch=i, train_loss=a, val_loss=b, val_miou=c, learning_rate=d) for i, (a, b, c, d) in enumerate(rows, start=1)]
    )
    assert found
    assert all(d.message and (d.remedy or d.kind in ("healthy", "too short")) for d in found)
