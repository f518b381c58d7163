"""Speed of deployed models that were raced together: ratios with intervals and verdicts."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from segbench.analysis.comparisons.judging import Candidate, inverted, judged
from segbench.analysis.statistics.timing import ratio_method, ratio_notes, ratio_of
from segbench.results.deployments import EAGER
from segbench.results.metrics import metric
from segbench.results.records import Comparison, ComparisonAxis, Deployment, Latency, RunResult

SCOPE = "this machine"


@dataclass
class TimedModel:
    """One deployed model of one race, and the cells that share it."""

    model: str
    deployment: Deployment
    settings: str = ""
    cells: list[str] = field(default_factory=list)

    @property
    def is_eager(self) -> bool:
        return self.deployment.backend == EAGER

    def entry(self, context: Mapping[str, Any]) -> Latency | None:
        return next((entry for entry in self.deployment.latency if _context(entry) == context), None)


def compare_latencies(result: RunResult) -> list[Comparison]:
    """Every pair of deployed models that ran in one race; against the baseline (the first model, eager) where one of them is that.

    Latency at batch 1 is compared as time per call (``latency_ms``), larger batches as images per second (``throughput``), so that a ratio
    below one means faster there and slower here. Planned are the comparisons with the baseline, those of a form with the same model in
    eager mode, and an ablation's steps; each of the two quantities is a family of its own.
    """
    candidates = [candidate for runners in races(result) for candidate in _candidates(runners, result)]
    return [one for name in ("latency_ms", "throughput") for one in judged([c for c in candidates if c.record.quantity == name])]


def _candidates(runners: Sequence[TimedModel], result: RunResult) -> Iterator[Candidate]:
    first = result.cells[0].model
    steps = {(s.subject, s.baseline): number for number, s in enumerate(result.ablation.steps, 1)} if result.ablation else {}
    for context in contexts(runners):
        # the first model in front, so that it is nobody's subject
        for one, other in itertools.combinations(sorted(runners, key=lambda runner: not runner.is_eager or runner.model != first), 2):
            axis, is_eager = _axis(one, other), one.is_eager and other.is_eager
            if is_eager and (one.model, other.model) in steps:
                one, other = other, one
            step = steps.get((other.model, one.model)) if is_eager and axis == "model" else None
            headline = axis in ("model", "form") and one.is_eager and one.model == first
            own_eager = axis == "form" and one.is_eager
            yield compare(other, one, context, axis=axis, headline=headline, planned=own_eager or headline or step is not None, step=step)


def _axis(one: TimedModel, other: TimedModel) -> ComparisonAxis:
    """In what two timed networks differ; those of other training settings may be in one race without differing as they are deployed."""
    if one.settings != other.settings:
        return "settings" if (one.model, one.deployment.backend) == (other.model, other.deployment.backend) else "variant"
    return "form" if one.model == other.model else "model"


def races(result: RunResult) -> Iterator[list[TimedModel]]:
    """The deployed models of each race."""
    by_race: dict[str, dict[tuple[str, str], TimedModel]] = {}
    for cell in result.cells:
        for deployment in cell.deployments:
            if deployment.raced is None:
                continue
            key = (cell.fingerprints.get("measure") or cell.model, deployment.backend)
            runners = by_race.setdefault(deployment.raced, {})
            settings = json.dumps([cell.recipe, cell.settings], sort_keys=True, default=str)
            runners.setdefault(key, TimedModel(cell.model, deployment, settings)).cells.append(cell.id)
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


def compare(
    subject: TimedModel,
    baseline: TimedModel,
    context: Mapping[str, Any],
    *,
    axis: ComparisonAxis,
    headline: bool,
    planned: bool,
    step: int | None = None,
) -> Candidate:
    """The ratio of one model to another at one size and batch, with the reason where nothing can be said."""
    timed = metric("throughput" if context["batch_size"] > 1 else "latency_ms")
    record = Comparison(
        quantity=timed.name,
        axis=axis,
        subject=subject.model,
        baseline=baseline.model,
        subject_cells=subject.cells,
        baseline_cells=baseline.cells,
        subject_backend=subject.deployment.backend,
        baseline_backend=baseline.deployment.backend,
        reading="ratio",
        headline=headline,
        scope=SCOPE,
        context={**context, **({} if step is None else {"step": step})},
    )
    ours, theirs = subject.entry(context), baseline.entry(context)
    if ours is None or theirs is None:
        missing = subject if ours is None else baseline
        reason = missing.deployment.error or "it was not timed under these circumstances"
        return Candidate(record.model_copy(update={"reason": f"{missing.model} ({missing.deployment.backend}): {reason}"}), None, planned)
    if len(ours.rounds_ms) != len(theirs.rounds_ms) or ours.start_rounds != theirs.start_rounds or not ours.rounds_ms:
        return Candidate(record.model_copy(update={"reason": "their rounds are not the same ones"}), None, planned)
    if min(map(min, (*ours.rounds_ms, *theirs.rounds_ms))) <= 0:
        return Candidate(record.model_copy(update={"reason": "there are times of zero"}), None, planned)
    ratio = ratio_of(ours.rounds_ms, theirs.rounds_ms, starts=ours.start_rounds)
    estimate = inverted(ratio.estimate) if timed.is_rate else ratio.estimate
    words = {"reason": ratio.why, "method": ratio_method(ratio, ours.start_rounds), "notes": ratio_notes(ratio)}
    return Candidate(record.model_copy(update=words), estimate, planned)
