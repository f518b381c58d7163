"""The protocol's lines on training that are there only where a setting is not the usual one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from segbench import CellResult, ClassWeights, RunResult
from segbench_reports.sections.protocol import protocol

UNUSUAL: dict[str, Any] = {
    "optimizer": "sgd", "encoder_lr": 0.1, "weight_decay": 1e-4,
    "decay_norms": False, "freeze": ["encoder", "decoder.0"], "ema": 0.99, "sampler": "balanced",
}  # fmt: skip


def test_unusual_settings_of_training_stand_in_the_protocol(
    make_cell: Callable[..., CellResult], make_run: Callable[..., RunResult]
) -> None:
    plain, cell = protocol(make_run([make_cell()])), make_cell()
    cell.resolved["train"] |= UNUSUAL
    assert cell.training is not None
    assert cell.quality is not None
    cell.training.optimizer, cell.training.trainable_params = "SGD, momentum 0.9", 1234
    weights = [0.25 * (index + 1) for index in range(len(cell.quality.class_names))]
    cell.training.class_weights = [ClassWeights(rule="effective", beta=1 - 1e-6, pixels=[1] * len(weights), weights=weights)]
    before, lines = set(plain.splitlines()), protocol(make_run([cell])).splitlines()
    new = [line for line in lines[: lines.index("<details>")] if line not in before]
    named = ", ".join(f"{name} {weight:.3g}" for name, weight in zip(cell.quality.class_names, weights, strict=True))
    assert new == [
        f"| class weights | effective number of pixels, beta 1 - 1e-06: {named} |",
        "| optimiser | SGD, momentum 0.9 |",
        "| learning rate of the encoder | 0.1 times the learning rate |",
        "| weight decay | 1e-4, none on norms and biases |",
        "| not trained | encoder, decoder.0 (1,234 parameters are trained) |",
        "| moving average of the weights | decay 0.99, less in the first steps; it is what was validated, kept and scored |",
        "| sampling | balanced: every class is drawn as often, with replacement |",
    ]
