"""The steps of an ablation: each model against the one before it, as comparisons that were planned ahead.

They are few and each answers a question of its own, so that a step is judged by itself; its p value corrected for all steps of the walk
(Holm) stands beside it, and a verdict that would not survive that says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segbench.analysis.comparisons.confusions import ConfusionFiles
from segbench.analysis.comparisons.latency import compare, contexts, races
from segbench.analysis.comparisons.matching import comparison_groups
from segbench.analysis.comparisons.quality import ScoreComparator
from segbench.analysis.statistics.timing import CONFIDENCE, holm
from segbench.results.deployments import EAGER
from segbench.results.metrics import metric
from segbench.results.records import Ablation, Comparison, RunResult


def compare_steps(result: RunResult, directory: Path) -> list[Comparison]:
    """mIoU and, from each race, latency of single images of every step; ``context`` has its number as ``step``."""
    if result.ablation is None:
        return []
    return [*_quality(result, result.ablation, directory), *_latency(result, result.ablation)]


def _quality(result: RunResult, ablation: Ablation, directory: Path) -> list[Comparison]:
    comparisons = []
    for group in comparison_groups(result):
        comparator = ScoreComparator(group, metric("miou"), ConfusionFiles(directory))
        steps = [(n, step) for n, step in enumerate(ablation.steps, 1) if step.subject in group.models and step.baseline in group.models]
        comparisons += _family([_numbered(comparator.compare(step.subject, step.baseline), n) for n, step in steps])
    return comparisons


def _latency(result: RunResult, ablation: Ablation) -> list[Comparison]:
    comparisons = []
    for runners in races(result):
        eager = {runner.model: runner for runner in runners if runner.deployment.backend == EAGER}
        steps = [(n, step) for n, step in enumerate(ablation.steps, 1) if step.subject in eager and step.baseline in eager]
        for context in contexts(list(eager.values())):
            if context["batch_size"] == 1:
                pairs = [(n, eager[step.subject], eager[step.baseline]) for n, step in steps]
                comparisons += _family([_numbered(compare(subject, base, context, headline=False), n) for n, subject, base in pairs])
    return comparisons


def _numbered(comparison: Comparison, step: int) -> Comparison:
    return comparison.model_copy(update={"headline": False, "context": {**comparison.context, "step": step}})


def _family(steps: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons with their corrected p values."""
    known = [step for step in steps if step.p_value is not None]
    adjusted = dict(zip(map(id, known), holm([step.p_value or 0.0 for step in known]), strict=True))
    return [_with_p(step, adjusted.get(id(step)), len(known)) for step in steps]


def _with_p(step: Comparison, adjusted: float | None, family: int) -> Comparison:
    shown = step.verdict not in ("no difference shown", "cannot tell")
    lost = shown and adjusted is not None and adjusted >= 1 - CONFIDENCE
    reason = f"by itself, but not after correction for {family} steps" if lost else step.reason
    return step.model_copy(update={"p_adjusted": adjusted, "reason": reason})
