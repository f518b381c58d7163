"""Comparable cells: those of two models that share loss, recipe, settings and seed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from segbench.results.metrics import metric
from segbench.results.readings import stored
from segbench.results.records import CellResult, RunResult

CellsBySeed = Mapping[int | None, CellResult]
"""The cells of one model by their seed."""


@dataclass(frozen=True)
class ComparisonGroup:
    """The models that were trained under one loss, recipe and variation of settings, in the run's order."""

    context: Mapping[str, Any]
    models: Mapping[str, CellsBySeed]

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Subject and baseline of every pair of models."""
        return ((subject, baseline) for baseline, subject in itertools.combinations(self.models, 2))


def comparison_groups(result: RunResult) -> list[ComparisonGroup]:
    """The run's cells sorted by what they share. A cell that neither has a score nor failed is left out: it is not done."""
    groups: dict[str, tuple[dict[str, Any], dict[str, dict[int | None, CellResult]]]] = {}
    for cell in result.cells:
        if cell.loss is None and cell.quality is None:
            continue
        context = {"dataset": cell.dataset, "loss": cell.loss, "recipe": cell.recipe, "settings": cell.settings}
        _, models = groups.setdefault(json.dumps(context, sort_keys=True, default=str), (context, {}))
        models.setdefault(cell.model, {}).setdefault(cell.seed, cell)
    return [ComparisonGroup(context, models) for context, models in groups.values()]


def baseline_of(result: RunResult) -> str | None:
    """The model with which headlines compare: the run's first."""
    return next((cell.model for cell in result.cells), None)


def shared_seeds(subject: CellsBySeed, baseline: CellsBySeed, quantity: str) -> list[int | None]:
    """Seeds with which both have been scored."""
    return [seed for seed, cell in baseline.items() if seed in subject and _has(cell, quantity) and _has(subject[seed], quantity)]


def score_of(cell: CellResult, quantity: str) -> float | None:
    """A score that counts: none of training images, none of a cell that failed."""
    return stored(cell, "quality", metric(quantity).key) if cell.status == "ok" else None


def _has(cell: CellResult, quantity: str) -> bool:
    return score_of(cell, quantity) is not None
