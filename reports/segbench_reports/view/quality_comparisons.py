"""Measured comparisons of quality, and wording that claims no more than their verdicts."""

from __future__ import annotations

from collections.abc import Iterable

from segbench import METRICS, CellResult, Comparison, RunResult
from segbench_reports.text import numbers
from segbench_reports.view.cells import finite


def quality_comparisons(result: RunResult, *, headline: bool) -> list[Comparison]:
    """Comparisons of models in scores: against the run's first, or of all pairs; deployed forms and an ablation's steps are left out."""
    scores = {metric.name for metric in METRICS.scores}
    of_models = [c for c in result.comparisons if c.quantity in scores and c.subject_backend is None and "step" not in c.context]
    return [c for c in of_models if c.headline is headline]


def between(result: RunResult, subject: CellResult, baseline: CellResult, quantity: str = "miou") -> Comparison | None:
    """The run's comparison of two models under what their cells share; headlines first, then pairs in either order."""
    candidates = [c for headline in (True, False) for c in quality_comparisons(result, headline=headline) if c.quantity == quantity]
    same = [c for c in candidates if _shares(c, subject) and _shares(c, baseline)]
    return next((c for c in same if (c.subject, c.baseline) == (subject.model, baseline.model)), None) or next(
        (turned(c) for c in same if (c.subject, c.baseline) == (baseline.model, subject.model)), None
    )


def turned(comparison: Comparison) -> Comparison:
    """The same comparison seen from the other side."""
    swapped = {"better": "worse", "worse": "better"}
    return comparison.model_copy(
        update={
            "subject": comparison.baseline,
            "baseline": comparison.subject,
            "subject_cells": comparison.baseline_cells,
            "baseline_cells": comparison.subject_cells,
            "value": None if comparison.value is None else -comparison.value,
            "low": None if comparison.high is None else -comparison.high,
            "high": None if comparison.low is None else -comparison.low,
            "verdict": swapped.get(comparison.verdict, comparison.verdict),
        }
    )


def interval(comparison: Comparison) -> str:
    """The bounds in points, empty where there are none.

    >>> interval(Comparison(quantity="miou", subject="a", baseline="b", low=-0.031, high=0.004))
    '−3.1 to +0.4'
    """
    if comparison.low is None or comparison.high is None or finite(comparison.low) is None or finite(comparison.high) is None:
        return ""
    return f"{numbers.points(comparison.low)} to {numbers.points(comparison.high)}"


def basis(comparison: Comparison) -> str:
    """The basis of an interval in a few words: ``3 seeds`` or ``these two checkpoints``."""
    return f"{comparison.n} seeds" if comparison.method.startswith("t interval") else comparison.scope


def not_shown_better(result: RunResult, leader: CellResult, others: Iterable[CellResult]) -> list[str]:
    """Models that ``leader`` was compared with and not shown to be better than."""
    compared = ((other.model, between(result, leader, other)) for other in others if other.model != leader.model)
    return list(dict.fromkeys(model for model, comparison in compared if comparison is not None and comparison.verdict != "better"))


def _shares(comparison: Comparison, cell: CellResult) -> bool:
    return all(comparison.context.get(key) == getattr(cell, key) for key in ("loss", "recipe", "settings"))
