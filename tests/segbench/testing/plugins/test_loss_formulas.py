"""Any plugin's loss may declare its formula, and is then held against it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segbench import LossBatch, LossFormula, LossSpec, Options, Progress, Task, option
from segbench.testing import LossSubject, checks_for
from segbench.testing.check import run_all


class Scaled(Options):
    scale: float = option(1.0)


def _build(task: Task, options: Scaled) -> Callable[..., dict[str, Tensor]]:
    """A loss in two parts: the mean logit over valid pixels, and how many pixels its worker prepared, times the share that passed."""

    def loss(outputs: dict[str, Tensor], batch: LossBatch, progress: Progress) -> dict[str, Tensor]:
        valid = (batch.mask != task.ignore_index).unsqueeze(1)
        mean = torch.where(valid, outputs["logits"], 0.0).sum() / (valid.sum() * task.num_classes)
        return {"mean": options.scale * mean, "pixels": batch.extras["pixels"].sum() * progress.share}

    return loss


def _prepare(mask: Tensor) -> dict[str, Tensor]:
    return {"pixels": torch.tensor(float(mask.numel()))}


def _formula(logits: Any, mask: Any, *, ignore_index: int, options: Scaled, share: float) -> float:
    return float(options.scale * np.moveaxis(logits, 1, -1)[mask != ignore_index].mean() + mask.size * share)


def _wrong(logits: Any, mask: Any, *, ignore_index: int, options: Scaled, share: float) -> float:
    return 1.01 * _formula(logits, mask, ignore_index=ignore_index, options=options, share=share)


def _unscaled(logits: Any, mask: Any, *, ignore_index: int, options: Scaled, share: float) -> float:
    return _formula(logits, mask, ignore_index=ignore_index, options=Scaled(), share=share)


def _late(logits: Any, mask: Any, *, ignore_index: int, options: Scaled, share: float) -> float:
    return _formula(logits, mask, ignore_index=ignore_index, options=options, share=2 * share)


def _message(formula: LossFormula | None, **chosen: float) -> str:
    spec = LossSpec(name="own", summary="s", build=_build, takes="batch", prepare=_prepare, options=Scaled, formula=formula)
    rules = [check for check in checks_for("losses") if check.name == "value_is_that_of_the_formula"]
    (result,) = run_all(rules, LossSubject(spec, Scaled.resolve(chosen)))
    return result.message


def test_a_loss_that_keeps_its_formula_or_declares_none_passes() -> None:
    assert _message(None) == ""
    assert _message(LossFormula(function=_formula, num_classes=3, choices=("own[scale=2]",)), scale=3.0) == ""


def test_a_formula_that_is_one_per_cent_off_is_found() -> None:
    message = _message(LossFormula(function=_wrong))
    assert message.startswith("own is ")
    assert ": off by 0.0099 of the value (1e-05 would be float32's rounding)" in message
    assert "own is 120.0" in message, "in the middle of training"
    assert " after 50% of training, its formula gives 121.2" in message


def test_a_formula_that_disagrees_with_one_choice_or_later_in_training_alone_is_found() -> None:
    choice = _message(LossFormula(function=_unscaled, choices=("own[scale=2]",)))
    assert "own is" not in choice
    assert "own[scale=2] is" in choice
    assert _message(LossFormula(function=_unscaled), scale=2.0).startswith("own is")
    late = _message(LossFormula(function=_late))
    assert late.startswith("own is 120.0")
    assert ";" not in late, "at the start they agree"


def test_worked_figures_are_held_against_the_loss() -> None:
    worked = LossFormula(function=_formula, worked=lambda: [("one and one", 2.0, 3.0), ("two and two", 4.0, 4.0)])
    assert _message(worked) == "one and one: 3 instead of 2"


def test_a_formula_that_raises_is_said_to() -> None:
    assert "the formula of own raised TypeError" in _message(LossFormula(function=lambda logits, mask: 0.0))
