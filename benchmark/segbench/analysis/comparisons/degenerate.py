"""Scores that compare nothing: one class only, none of the headline class in labels or predictions, every pixel predicted as one class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from segbench.analysis.comparisons.matching import score_of
from segbench.results.metrics import Metric
from segbench.results.readings import only_class_of
from segbench.results.records import CellResult
from segbench.results.scored_classes import averaged_classes, nothing_learned


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
    if None in classes:
        return ""
    if len(classes) == 1:
        return f"both sides predict one class only: {classes.pop()}"
    each = [" and ".join(dict.fromkeys(str(only_class_of(cell)) for cell in side)) for side in (subject, baseline)]
    return f"both sides predict one class only: {each[0]} against {each[1]}"


def unlike_classes(cells: Sequence[CellResult]) -> str:
    """The first two cells whose means are over different classes, in words; empty where all are over the same."""
    known = [(cell, averaged) for cell in cells if (averaged := averaged_classes(cell.quality)) is not None]
    for cell, averaged in known[1:]:
        first, of_first = known[0]
        if set(averaged.names) != set(of_first.names):
            return f"means over different classes: {first.id} over {of_first.words}, {cell.id} over {averaged.words}"
    return ""


def collapsed(cells: Iterable[CellResult]) -> str:
    """The words for cells that all predict one class each, as of several seeds of one model; empty where any predicts several."""
    classes = [only_class_of(cell) for cell in cells]
    names = [name for name in dict.fromkeys(classes) if name is not None]
    return nothing_learned(" or ".join(names)) if classes and None not in classes else ""
