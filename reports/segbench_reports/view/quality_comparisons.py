"""Measured comparisons of quality, and how they may be worded: as far as the verdict goes, and no further."""

from __future__ import annotations

from collections.abc import Iterable

from segbench import METRICS, CellResult, Comparison, RunResult
from segbench_reports.text import numbers as wording
from segbench_reports.view.cells import finite


def of_quality(result: RunResult, *, headline: bool) -> list[Comparison]:
    """Those of scores: against the run's first model, or of all pairs; an ablation's steps are told by their own section."""
    scores = {metric.name for metric in METRICS.scores}
    return [c for c in result.comparisons if c.quantity in scores and c.headline is headline and "step" not in c.context]


def between(result: RunResult, subject: CellResult, baseline: CellResult, quantity: str = "miou") -> Comparison | None:
    """What the run says of two models under what their cells share; headlines first, then pairs in either order."""
    found = [c for headline in (True, False) for c in of_quality(result, headline=headline) if c.quantity == quantity]
    same = [c for c in found if _shares(c, subject) and _shares(c, baseline)]
    return next((c for c in same if (c.subject, c.baseline) == (subject.model, baseline.model)), None) or next(
        (turned(c) for c in same if (c.subject, c.baseline) == (baseline.model, subject.model)), None
    )


def turned(found: Comparison) -> Comparison:
    """The same comparison seen from the other side."""
    swapped = {"better": "worse", "worse": "better"}
    return found.model_copy(
        update={
            "subject": found.baseline,
            "baseline": found.subject,
            "subject_cells": found.baseline_cells,
            "baseline_cells": found.subject_cells,
            "value": None if found.value is None else -found.value,
            "low": None if found.high is None else -found.high,
            "high": None if found.low is None else -found.low,
            "verdict": swapped.get(found.verdict, found.verdict),
        }
    )


def interval(found: Comparison) -> str:
    """The bounds in points, empty where there are none.

    >>> interval(Comparison(quantity="miou", subject="a", baseline="b", low=-0.031, high=0.004))
    '−3.1 to +0.4'
    """
    if found.low is None or found.high is None or finite(found.low) is None or finite(found.high) is None:
        return ""
    return f"{wording.points(found.low)} to {wording.points(found.high)}"


def basis(found: Comparison) -> str:
    """What an interval rests on, in a few words: ``3 seeds`` or ``these two checkpoints``."""
    return f"{found.n} seeds" if found.method.startswith("t interval") else found.scope


def not_shown_better(result: RunResult, leader: CellResult, others: Iterable[CellResult]) -> list[str]:
    """Models that ``leader`` was compared with and not shown to be better than."""
    found = ((other.model, between(result, leader, other)) for other in others if other.model != leader.model)
    return list(dict.fromkeys(model for model, said in found if said is not None and said.verdict != "better"))


def _shares(found: Comparison, cell: CellResult) -> bool:
    return all(found.context.get(key) == getattr(cell, key) for key in ("loss", "recipe", "settings"))
