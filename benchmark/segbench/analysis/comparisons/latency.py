"""Speed of deployed models that were raced together: ratios with intervals and verdicts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from segbench.analysis.statistics.timing import CONFIDENCE, LEAST_ROUNDS, Ratio, holm, ratio_of
from segbench.results.deployments import EAGER
from segbench.results.metrics import metric
from segbench.results.records import Comparison, Deployment, Latency, RunResult

SCOPE = "this machine"
METHOD = (
    f"median over rounds of the ratio of the two medians in the same round; {CONFIDENCE:.0%} interval over rounds "
    "and over starts of the processes, wider where neighbouring rounds were alike"
)


@dataclass
class TimedModel:
    """One deployed model of one race, and the cells that share it."""

    model: str
    deployment: Deployment
    cells: list[str] = field(default_factory=list)

    def entry(self, context: Mapping[str, Any]) -> Latency | None:
        return next((entry for entry in self.deployment.latency if _context(entry) == context), None)


def compare_latencies(result: RunResult) -> list[Comparison]:
    """Every deployed model against the baseline (the first model, eager), and every pair where there are more than two.

    Latency at batch 1 is compared as time per call (``latency_ms``), larger batches as images per second (``throughput``), so that a ratio
    below one means faster there and slower here. Only what ran in one race is compared. Verdicts of pairs rest on Holm-corrected p values.
    """
    comparisons: list[Comparison] = []
    for runners in races(result):
        baseline = next((r for r in runners if r.model == result.cells[0].model and r.deployment.backend == EAGER), None)
        for context in contexts(runners):
            if baseline is not None:
                comparisons += [compare(runner, baseline, context, headline=True) for runner in runners if runner is not baseline]
            if len(runners) > 2:
                comparisons += _all_pairs(runners, context)
    return comparisons


def races(result: RunResult) -> Iterator[list[TimedModel]]:
    """The deployed models of each race."""
    by_race: dict[str, dict[tuple[str, str], TimedModel]] = {}
    for cell in result.cells:
        for deployment in cell.deployments:
            if deployment.raced is None:
                continue
            key = (cell.fingerprints.get("measure") or cell.model, deployment.backend)
            runners = by_race.setdefault(deployment.raced, {})
            runners.setdefault(key, TimedModel(cell.model, deployment)).cells.append(cell.id)
    for runners in by_race.values():
        yield list(runners.values())


def contexts(runners: Sequence[TimedModel]) -> list[dict[str, Any]]:
    """The circumstances under which at least two of them were timed."""
    counted: dict[str, list[dict[str, Any]]] = {}
    for runner in runners:
        for entry in runner.deployment.latency:
            counted.setdefault(str(_context(entry)), []).append(_context(entry))
    return [same[0] for same in counted.values() if len(same) > 1]


def _context(entry: Latency) -> dict[str, Any]:
    return {
        "batch_size": entry.batch_size,
        "input_size": list(entry.input_size),
        "device": entry.device,
        "threads": entry.threads,
    }


def _all_pairs(runners: Sequence[TimedModel], context: Mapping[str, Any]) -> list[Comparison]:
    """The earlier of two is the baseline. A verdict needs both the interval and the corrected p value."""
    pairs = [compare(b, a, context, headline=False) for a, b in itertools.combinations(runners, 2)]
    tested = [pair for pair in pairs if pair.p_value is not None]
    for pair, adjusted in zip(tested, holm([pair.p_value or 0.0 for pair in tested]), strict=True):
        pair.p_adjusted = adjusted
        if adjusted > 1 - CONFIDENCE:
            pair.verdict = "no difference shown"
    return pairs


def compare(subject: TimedModel, baseline: TimedModel, context: Mapping[str, Any], *, headline: bool) -> Comparison:
    """The ratio of one model to another at one size and batch, with the reason where nothing can be said."""
    timed = metric("throughput" if context["batch_size"] > 1 else "latency_ms")
    comparison = Comparison(
        quantity=timed.name,
        subject=subject.model,
        baseline=baseline.model,
        subject_cells=subject.cells,
        baseline_cells=baseline.cells,
        subject_backend=subject.deployment.backend,
        baseline_backend=baseline.deployment.backend,
        reading="ratio",
        headline=headline,
        scope=SCOPE,
        method=METHOD,
        context=dict(context),
    )
    ours, theirs = subject.entry(context), baseline.entry(context)
    if ours is None or theirs is None:
        missing = subject if ours is None else baseline
        reason = missing.deployment.error or "it was not timed under these circumstances"
        return comparison.model_copy(update={"reason": f"{missing.model} ({missing.deployment.backend}): {reason}"})
    if len(ours.rounds_ms) != len(theirs.rounds_ms) or not ours.rounds_ms:
        return comparison.model_copy(update={"reason": "their rounds are not the same ones"})
    ratio = ratio_of(ours.rounds_ms, theirs.rounds_ms, starts=ours.start_rounds)
    reason = f"it takes {LEAST_ROUNDS} rounds, these are {ratio.rounds}" if ratio.low is None else ""
    return comparison.model_copy(update={**_figures(ratio, inverse=timed.is_rate), "reason": reason})


def _figures(ratio: Ratio, *, inverse: bool) -> dict[str, Any]:
    low, high, value = ratio.low, ratio.high, ratio.value
    turn: Callable[[float], float] = (lambda x: 1 / x) if inverse else (lambda x: x)
    bounds = None if low is None or high is None else sorted((turn(low), turn(high)))
    return {
        "value": turn(value),
        "low": bounds[0] if bounds else None,
        "high": bounds[1] if bounds else None,
        "p_value": ratio.p_value,
        "verdict": ratio.verdict,
        "n": ratio.rounds,
    }
