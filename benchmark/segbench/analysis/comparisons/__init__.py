"""Comparisons of a run's models: differences and ratios with intervals, and verdicts that go no further than these."""

from __future__ import annotations

from pathlib import Path

from segbench.analysis.comparisons.forms import compare_forms
from segbench.analysis.comparisons.latency import compare_latencies
from segbench.analysis.comparisons.memory import compare_memory
from segbench.analysis.comparisons.quality import compare_quality
from segbench.analysis.comparisons.seeds import summarise_seeds
from segbench.analysis.comparisons.training_speed import compare_training_speeds
from segbench.results.plugin_metrics import adopt
from segbench.results.readings import not_comparable
from segbench.results.records import Comparison, RunResult


def compare_all(result: RunResult, directory: Path) -> list[Comparison]:
    """Every comparison that a run's cells allow, each pair once; ``directory`` is the run's, where the confusion matrices lie.

    Rows of which nothing may be compared (:func:`~segbench.results.readings.not_comparable`) take part in none.
    """
    result = result.model_copy(update={"cells": [cell for cell in result.cells if not not_comparable(cell)]})
    scores = [*compare_quality(result, directory), *compare_forms(result, directory)]
    return [*scores, *compare_latencies(result), *compare_memory(result), *compare_training_speeds(result)]


def with_comparisons(result: RunResult, directory: Path) -> RunResult:
    """The run with its comparisons and its figures over seeds."""
    adopt(result)
    return result.model_copy(update={"comparisons": compare_all(result, directory), "seeds": summarise_seeds(result)})


__all__ = [
    "compare_all",
    "compare_forms",
    "compare_latencies",
    "compare_memory",
    "compare_quality",
    "compare_training_speeds",
    "summarise_seeds",
    "with_comparisons",
]
