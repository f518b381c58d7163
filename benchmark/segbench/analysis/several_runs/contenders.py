"""The contenders of several runs: a model, with the loss, recipe or settings in which its rows differ within a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from segbench.analysis.comparisons.matching import AXES, score_of, side_name
from segbench.results.readings import not_comparable
from segbench.results.records import CellResult, RunResult

QUANTITY = "miou"

ScoresBySeed = Mapping[int | None, float]
"""mIoU as a share."""


def varied_axes(runs: Sequence[RunResult]) -> tuple[str, ...]:
    """The axes beside the model along which the rows of some run differ; a recipe that goes with the dataset is none of them."""
    return tuple(axis for axis in AXES if axis != "model" and any(len({side_name(cell, axis) for cell in run.cells}) > 1 for run in runs))


def contender(cell: CellResult, axes: Sequence[str]) -> str:
    """A row's name among those of all runs."""
    further = [axis for axis in axes if axis != "settings" or cell.settings]
    return " | ".join([cell.model, *(side_name(cell, axis) for axis in AXES if axis in further)])


def scores(run: RunResult, axes: Sequence[str]) -> dict[str, ScoresBySeed]:
    """mIoU of each contender by seed, of the rows that may be compared."""
    found: dict[str, dict[int | None, float]] = {}
    for cell in run.cells:
        score = None if not_comparable(cell) else score_of(cell, QUANTITY)
        if score is not None and math.isfinite(score):
            found.setdefault(contender(cell, axes), {}).setdefault(cell.seed, score)
    return dict(found)


def names(runs: Sequence[RunResult], axes: Sequence[str]) -> list[str]:
    """All contenders in the order of the runs' rows, those without a score among them."""
    return list(dict.fromkeys(contender(cell, axes) for run in runs for cell in run.cells if not not_comparable(cell)))


def dataset_of(run: RunResult) -> str:
    """The dataset that a run is on."""
    return str(run.task.get("dataset") or next((cell.dataset for cell in run.cells if cell.dataset), ""))


def fold_of(run: RunResult) -> str | None:
    """The fold that a run is of."""
    return next((cell.fold for cell in run.cells if cell.fold), None)
