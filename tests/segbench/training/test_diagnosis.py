from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segbench.results.records import Epoch
from segbench.training.diagnosis import diagnose

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


def kinds(rows: list[Epoch]) -> list[str]:
    return [d.kind for d in diagnose(rows)]


def test_a_run_that_learns_and_levels_off_is_healthy() -> None:
    (found,) = diagnose(history(falling, rising, rate=lambda e: 1 - e / 31))
    assert found.kind == "healthy"
    assert found.message == "the training loss fell from 1.79 to 0.242; validation mIoU reached 0.684 in epoch 30 of 30."


def test_a_leap_of_the_loss_that_the_score_confirms_is_unstable() -> None:
    rows = history(lambda e: falling(e) + 2 * (e == 12), lambda e: rising(e) - 0.3 * (e == 12))
    assert kinds(rows) == ["unstable"]
    (found,) = diagnose(rows)
    assert found.message == f"the training loss rose from {falling(11):.3g} to {falling(12) + 2:.3g} in epoch 12."
    assert "train.lr" in found.remedy
    assert found.source


def test_a_loss_that_changes_its_definition_or_the_image_size_is_not_unstable() -> None:
    assert "unstable" not in kinds(history(lambda e: falling(e) + 2 * (e >= 12), rising))
    rows = history(lambda e: falling(e) + 0.8 * (e >= 25), lambda e: rising(e) - 0.3 * (e == 25), rate=lambda e: 1 - e / 31)
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
    assert "since epoch 12 validation mIoU fell from 0.589" in found[0].message
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
    assert kinds(history(loss, lambda e: 0.5 * (1 - math.exp(-e / 6)), rate=lambda e: 1 - e / 31)) == ["healthy"]
    assert kinds(history(loss, lambda e: 0.3, rate=lambda e: 1 - e / 31)) == ["plateau"]


def test_both_still_improving_at_the_end_is_underfitting() -> None:
    (found,) = diagnose(history(lambda e: 2 - 0.05 * e, lambda e: 0.02 * e))
    assert found.kind == "underfitting"
    assert "still rose by 0.140" in found.message
    assert "train.epochs" in found.remedy


@pytest.mark.parametrize("epochs", [0, 1, 4])
def test_short_histories_are_called_too_short(epochs: int) -> None:
    (found,) = diagnose(history(falling, rising, epochs=epochs))
    assert (found.kind, found.message) == ("too short", f"{epochs} epochs are too few to tell; 5 are needed.")


maybe = st.none() | st.floats(allow_nan=True, allow_infinity=True, width=32) | st.floats(0, 1)


@given(st.lists(st.tuples(maybe, maybe, maybe, st.none() | st.floats(0, 1)), max_size=40))
def test_no_history_breaks_it(rows: list[tuple[float | None, float | None, float | None, float | None]]) -> None:
    found = diagnose(
        [Epoch(epoch=i, train_loss=a, val_loss=b, val_miou=c, learning_rate=d) for i, (a, b, c, d) in enumerate(rows, start=1)]
    )
    assert found
    assert all(d.message and (d.remedy or d.kind in ("healthy", "too short")) for d in found)
