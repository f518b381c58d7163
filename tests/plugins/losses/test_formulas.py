"""The built-in losses keep their declared formulas, and each, broken on purpose, is found by the rule that says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from torch import Tensor

from segbench.testing import LossSubject, checks_for
from segbench_plugins.losses import segbench_losses

LOSSES = {spec.name: spec for spec in segbench_losses()}
(RULE,) = (check for check in checks_for("losses") if check.name == "value_is_that_of_the_formula")


def _message(name: str) -> str:
    """What the rule says of a loss; empty where it keeps its formula."""
    try:
        RULE.run(LossSubject(LOSSES[name], LOSSES[name].options.resolve()))
    except AssertionError as error:
        return str(error)
    return ""


def _off(name: str) -> list[str]:
    """Which choices and worked figures of a loss are off."""
    problems = filter(None, _message(name).split("; "))
    return [problem.partition(" is ")[0].partition(": ")[0] for problem in problems]


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_declares_its_formula_and_keeps_it(name: str) -> None:
    assert LOSSES[name].formula is not None
    assert _message(name) == ""


def _mean_over_all(terms: Tensor, valid: Tensor) -> Tensor:
    return terms.mean()


def _no_modulation(cross_entropy: Tensor, missing: Tensor, *, gamma: float) -> Tensor:
    return cross_entropy


def _dice_without_two(overlap: Tensor, predicted: Tensor, labelled: Tensor, *, smooth: float) -> Tensor:
    return (overlap + smooth) / (predicted + labelled + smooth)


@pytest.mark.parametrize(
    ("where", "what", "red"),
    [
        ("cross_entropy.mean_over_valid", _mean_over_all, ["ce", "ce[label_smoothing=0.1]", "schedule"]),
        ("focal.mean_over_valid", _mean_over_all, ["focal", "combined"]),
        ("focal.modulate", _no_modulation, ["focal", "combined", "p_t 0.9, cross-entropy 0.1", "p_t 0.3, cross-entropy 2.5"]),
        ("dice.soft_dice", _dice_without_two, ["dice", "dice[smooth=0]", "combined", "schedule"]),
        ("bce_dice.mean_over_valid", _mean_over_all, ["bce-dice"]),
        ("bce_dice.soft_dice", _dice_without_two, ["bce-dice"]),
    ],
)
def test_a_broken_loss_is_found(where: str, what: Any, red: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"segbench_plugins.losses.{where}", what)
    off = {name: _off(name) for name in LOSSES}
    assert set(red) <= {choice for choices in off.values() for choice in choices}
    assert [] in off.values(), "other losses keep their formula"


def test_a_loss_that_looks_at_ignored_pixels_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("cross_entropy", "focal", "dice", "bce_dice"):
        monkeypatch.setattr(f"segbench_plugins.losses.{module}.without_ignored", lambda logits, valid: logits)
    assert "dice" in _off("dice"), "the logits of ignored pixels are nan there"
