"""Every loss that declares its formula against that formula in float64: value, ignored pixels, and worked figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segbench.plugin.chosen import Chosen
from segbench.plugin.registry import Catalog, load_catalog
from segbench.plugin.specs import LossBatch, LossFormula, LossSpec, Progress, Task, resolve
from segbench.testing.instruments.findings import Finding, judged

IGNORED = 255
TOLERANCE = 1e-5
"""Relative; losses compute in float32, whose steps are 6e-8, and sum over a few hundred pixels."""
SHARES = (0.0, 0.5)


def check(catalog: Catalog | None = None) -> Iterator[Finding]:
    """Rows for each loss with a formula; built-in losses and plugins' alike."""
    catalog = catalog or load_catalog()
    for spec, _ in catalog.specs("losses"):
        formula: LossFormula | None = spec.formula
        if formula is None:
            continue
        for text in (spec.name, *formula.choices):
            yield _compare(catalog.loss(text), formula)
        for what, expected, measured in resolve(formula.worked)() if formula.worked else ():
            yield judged(
                abs(measured - expected) <= TOLERANCE * abs(expected),
                subject=f"{spec.name}: {what}",
                expected=f"{expected:g}",
                measured=f"{measured:g}",
                source=spec.source or "a worked figure",
            )


def _compare(chosen: Chosen[LossSpec], formula: LossFormula) -> Finding:
    """Value with ignored pixels (whose logits are not even numbers), at the start and the middle of training."""
    logits, mask = _scene(formula.num_classes)
    task = Task(class_names=tuple(f"class {k}" for k in range(formula.num_classes)), ignore_index=IGNORED)
    loss = resolve(chosen.spec.build)(task, chosen.options)
    shares = SHARES if chosen.spec.takes == "batch" else SHARES[:1]
    pairs = [(_formula(formula, chosen, logits, mask, share), _value(loss, chosen, logits, mask, share)) for share in shares]
    off = [abs(measured - expected) / max(abs(expected), 1e-9) for expected, measured in pairs]
    return judged(
        all(difference <= TOLERANCE for difference in off),  # a nan is no smaller than anything
        subject=str(chosen),
        expected=" then ".join(f"{expected:.6f}" for expected, _ in pairs),
        measured=" then ".join(f"{measured:.6f}" for _, measured in pairs),
        reason=f"off by {max(off):.2g} of the value; {TOLERANCE:g} is float32's rounding",
        source=chosen.spec.source or "its formula in float64",
    )


def _formula(formula: LossFormula, chosen: Chosen[LossSpec], logits: Tensor, mask: Tensor, share: float) -> float:
    given = {"ignore_index": IGNORED, "options": chosen.options, "share": share}
    return float(resolve(formula.function)(logits.double().numpy(), np.asarray(mask), **given))


def _value(loss: Any, chosen: Chosen[LossSpec], logits: Tensor, mask: Tensor, share: float) -> float:
    if chosen.spec.takes == "logits":
        return float(loss(logits, mask))
    extras = resolve(chosen.spec.prepare)(mask) if chosen.spec.prepare else {}
    progress = Progress(epoch=0, epochs=1, step=round(share * 100), steps=100)
    value = loss({"logits": logits}, LossBatch(inputs=(), mask=mask, extras=extras), progress)
    return float(sum(value.values()) if isinstance(value, dict) else value)


def _scene(classes: int) -> tuple[Tensor, Tensor]:
    """Logits (3, K, 8, 10) and a mask in which every ninth pixel or so is ignored; there the logits are nan.

    The last image has nothing of the last class, which the second half of the batch's losses must cope with.
    """
    random = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(3, classes, 8, 10, generator=random)
    mask = torch.randint(classes, (3, 8, 10), generator=random)
    mask[2] = mask[2].clamp(max=classes - 2)
    ignored = torch.rand(mask.shape, generator=random) < 0.12
    return logits.masked_fill(ignored.unsqueeze(1), torch.nan), mask.masked_fill(ignored, IGNORED)
