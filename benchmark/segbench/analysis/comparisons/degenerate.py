"""Scores that compare nothing: one class only, none of the headline class found, every pixel predicted as one class."""

from __future__ import annotations

from collections.abc import Sequence

from segbench.analysis.comparisons.matching import score_of
from segbench.results.metrics import Metric
from segbench.results.readings import only_class_of
from segbench.results.records import CellResult


def degenerate(metric: Metric, subject: Sequence[CellResult], baseline: Sequence[CellResult]) -> str:
    """The reason why scores of these cells compare nothing; empty where they do."""
    cells = [*subject, *baseline]
    quality = cells[0].quality
    assert quality is not None
    if sum(pixels > 0 for pixels in quality.label_pixels_per_class) == 1:
        return "only one class has labels in the scored split"
    if metric.of_class and not any(score_of(cell, metric.name) for cell in cells):
        return f"neither side finds any {quality.headline_class}: the IoU is 0 on both"
    classes = {only_class_of(cell) for cell in cells}
    if len(classes) == 1 and None not in classes:
        return f"both sides predict one class only: {classes.pop()}"
    return ""
