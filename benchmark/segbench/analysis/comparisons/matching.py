"""Comparable cells: those of two models, losses, recipes or settings that share everything else, and the pairs that a run compares."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segbench.results.metrics import metric
from segbench.results.readings import stored
from segbench.results.records import AS_GIVEN, Ablation, CellResult, ComparisonAxis, RunResult

CellsBySeed = Mapping[int | None, CellResult]
"""The cells of one side of a comparison by their seed."""

AXES: tuple[ComparisonAxis, ...] = ("model", "loss", "recipe", "settings")
"""In what the sides of a comparison may differ, one at a time."""


@dataclass(frozen=True)
class ComparisonGroup:
    """Sides that differ on one axis only, by their name there and in the run's order; ``context`` is what they share."""

    context: Mapping[str, Any]
    sides: Mapping[str, CellsBySeed]
    axis: ComparisonAxis = "model"


@dataclass(frozen=True)
class ComparisonPair:
    """Two sides by name. ``headline``: the baseline is the run's first; ``planned``: a run is made for it; ``step`` of an ablation."""

    subject: str
    baseline: str
    headline: bool
    planned: bool
    step: int | None = None


def comparison_groups(result: RunResult, axis: ComparisonAxis = "model") -> list[ComparisonGroup]:
    """The run's cells by what they share beside one axis. A cell that neither has a score nor failed is left out: it is not done."""
    groups: dict[str, tuple[dict[str, Any], dict[str, dict[int | None, CellResult]]]] = {}
    for cell in result.cells:
        if cell.loss is None and cell.quality is None:
            continue
        shared = ("dataset",) if axis == "variant" else ("dataset", *(name for name in AXES if name != axis))
        context = {name: getattr(cell, name) for name in shared}
        _, sides = groups.setdefault(json.dumps(context, sort_keys=True, default=str), (context, {}))
        sides.setdefault(side_name(cell, axis), {}).setdefault(cell.seed, cell)
    return [ComparisonGroup(context, sides, axis) for context, sides in groups.values()]


def side_name(cell: CellResult, axis: ComparisonAxis) -> str:
    """A cell's name on one axis."""
    if axis == "settings":
        return ", ".join(f"{key}={value}" for key, value in cell.settings.items()) or "as given"
    if axis == "variant":
        return " | ".join(filter(None, (side_name(cell, each) if each != "settings" or cell.settings else "" for each in AXES)))
    if axis == "loss" and cell.is_as_given:
        return AS_GIVEN
    return str(getattr(cell, axis) or "none")


def pairs_of(names: Sequence[str], first: str | None, ablation: Ablation | None = None) -> list[ComparisonPair]:
    """Every pair of names once, those with the run's ``first`` in front; the earlier name is the baseline.

    Planned are the pairs with the first, and an ablation's steps, each model against the one before it.

    >>> [(pair.subject, pair.baseline, pair.planned) for pair in pairs_of(["a", "b", "c"], "a")]
    [('b', 'a', True), ('c', 'a', True), ('c', 'b', False)]
    """
    steps = {(step.subject, step.baseline): number for number, step in enumerate(ablation.steps, 1)} if ablation else {}
    pairs = []
    for baseline, subject in itertools.combinations(names, 2):
        if (baseline, subject) in steps:
            subject, baseline = baseline, subject
        headline, step = baseline == first, steps.get((subject, baseline))
        pairs.append(ComparisonPair(subject, baseline, headline, headline or step is not None, step))
    return sorted(pairs, key=lambda pair: not pair.headline)


def baseline_of(result: RunResult, axis: ComparisonAxis = "model") -> str | None:
    """The side with which headlines compare: that of the run's first cell."""
    return next((side_name(cell, axis) for cell in result.cells), None)


def shared_seeds(subject: CellsBySeed, baseline: CellsBySeed, quantity: str) -> list[int | None]:
    """Seeds with which both have been scored."""
    return [seed for seed, cell in baseline.items() if seed in subject and _has(cell, quantity) and _has(subject[seed], quantity)]


def score_of(cell: CellResult, quantity: str) -> float | None:
    """A score that counts: none of training images, none of a cell that failed."""
    scored = metric(quantity)
    return stored(cell, scored.record or "quality", scored.key) if cell.status == "ok" else None


def _has(cell: CellResult, quantity: str) -> bool:
    return score_of(cell, quantity) is not None
