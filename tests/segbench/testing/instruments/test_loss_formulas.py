"""Any plugin's loss may declare its formula, and is then held against it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from segbench import LossBatch, LossFormula, LossSpec, Options, Progress, Task, hookimpl
from segbench.plugin.chosen import Plugin
from segbench.plugin.registry import Catalog
from segbench.testing.instruments.losses import check


def _build(task: Task, options: Options) -> Callable[..., dict[str, Tensor]]:
    """A loss in two parts: the mean logit over valid pixels, and how many pixels its worker prepared, times the share that passed."""

    def loss(outputs: dict[str, Tensor], batch: LossBatch, progress: Progress) -> dict[str, Tensor]:
        valid = (batch.mask != task.ignore_index).unsqueeze(1)
        mean = torch.where(valid, outputs["logits"], 0.0).sum() / (valid.sum() * task.num_classes)
        return {"mean": mean, "pixels": batch.extras["pixels"] * progress.share}

    return loss


def _prepare(mask: Tensor) -> dict[str, Tensor]:
    return {"pixels": torch.tensor(float(mask.numel()))}


def _formula(logits: Any, mask: Any, *, ignore_index: int, options: Options, share: float) -> float:
    return float(np.moveaxis(logits, 1, -1)[mask != ignore_index].mean() + mask.size * share)


def _wrong(logits: Any, mask: Any, *, ignore_index: int, options: Options, share: float) -> float:
    return 1.01 * _formula(logits, mask, ignore_index=ignore_index, options=options, share=share)


class Losses:
    @hookimpl
    def segbench_losses(self) -> Iterable[LossSpec]:
        given: dict[str, Any] = {"summary": "s", "build": _build, "takes": "batch", "prepare": _prepare}
        return [
            LossSpec(name="right", formula=LossFormula(function=_formula, num_classes=3), **given),
            LossSpec(name="wrong", formula=LossFormula(function=_wrong), **given),
            LossSpec(name="worked", formula=LossFormula(function=_formula, worked=lambda: [("one and one", 2.0, 3.0)]), **given),
            LossSpec(name="silent", **given),
        ]


@pytest.fixture
def catalog() -> Catalog:
    catalog = Catalog()
    catalog.add(Losses(), Plugin("strangers"))
    return catalog


def test_a_strangers_loss_is_held_against_its_own_formula(catalog: Catalog) -> None:
    found = {finding.subject: finding for finding in check(catalog)}
    assert {subject: finding.verdict for subject, finding in found.items()} == {
        "right": "ok",
        "wrong": "FAILED",
        "worked": "ok",
        "worked: one and one": "FAILED",
    }
    assert " then " in found["right"].expected, "at the start and in the middle of training"
    assert found["wrong"].reason.startswith("off by 0.0")
