"""Comparisons that fit a made-up run: each pair once, its figures those of the cells, its interval as wide as a test wants it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

from segbench import METRICS, CellResult, Comparison, RunResult
from segbench.analysis.comparisons.judging import Candidate, inverted, judged
from segbench.analysis.comparisons.matching import AXES, ComparisonGroup, baseline_of, comparison_groups, pairs_of, score_of, shared_seeds
from segbench.analysis.statistics.families import Bound, Estimate

Reach = Callable[[float], tuple[float, float] | None]
"""From a value to how far its 95 % interval reaches below and above it; None where there is none."""


def even(half: float) -> Reach:
    return lambda value: (half, half)


def no_interval(value: float) -> None:
    return None


_SCORE, _SPEED = even(0.004), even(0.02)


def with_comparisons(run: RunResult, *, score: Reach = _SCORE, speed: Reach = _SPEED, paired: float = 0.0) -> RunResult:
    """The run with comparisons of all scores (differences) and times (logarithms of ratios).

    ``paired`` is added to the logarithm of each ratio of times: a race's ratio, taken round by round, is not that of two medians.
    """
    times = [list(_speeds(run, name, speed, paired)) for name in ("latency_ms", "throughput")]
    comparisons = [*_scores(run, score), *(one for candidates in times for one in judged(candidates))]
    return run.model_copy(update={"comparisons": comparisons})


def _scores(run: RunResult, reach: Reach) -> Iterator[Comparison]:
    for metric in METRICS.scores:
        for axis in AXES:
            candidates = []
            for group in comparison_groups(run, axis):
                for pair in pairs_of(list(group.sides), baseline_of(run, axis)):
                    candidate = _score(group, metric.name, pair.subject, pair.baseline, reach)
                    record = candidate.record.model_copy(update={"headline": pair.headline})
                    candidates.append(Candidate(record, candidate.estimate, pair.planned))
            yield from judged([c for c in candidates if c.record.reason or c.estimate is not None])
        if metric.column is not None:
            yield from _leader(run, metric.name, reach)


def _leader(run: RunResult, quantity: str, reach: Reach) -> list[Comparison]:
    """The variant with the highest score against those that differ from it on several axes."""
    candidates = []
    for group in comparison_groups(run, "variant"):
        scores = {name: score_of(next(iter(side.values())), quantity) or 0 for name, side in group.sides.items()}
        leader = max(scores, key=lambda name: scores[name])
        top = next(iter(group.sides[leader].values()))
        for name, side in group.sides.items():
            cell = next(iter(side.values()))
            if sum(getattr(cell, axis) != getattr(top, axis) for axis in AXES) > 1 and shared_seeds(side, group.sides[leader], quantity):
                one = _score(group, quantity, leader, name, reach)
                candidates.append(Candidate(one.record.model_copy(update={"headline": False}), one.estimate, planned=False))
    return judged(candidates)


def _score(group: ComparisonGroup, quantity: str, subject: str, baseline: str, reach: Reach) -> Candidate:
    one, other = group.sides[subject], group.sides[baseline]
    seeds = shared_seeds(one, other, quantity)
    wanted = quantity == "miou"
    record = Comparison(
        quantity=quantity, axis=group.axis, subject=subject, baseline=baseline, unit="share",
        subject_cells=[one[s].id for s in seeds] or [cell.id for cell in one.values()],
        baseline_cells=[other[s].id for s in seeds] or [cell.id for cell in other.values()],
        scope="these two checkpoints", method="paired bootstrap over 20 images, percentiles of 5000 resamples", context=dict(group.context),
    )  # fmt: skip
    if not seeds:
        return Candidate(record.model_copy(update={"reason": "no seed in common"}) if wanted else record)
    value = sum((score_of(one[s], quantity) or 0) - (score_of(other[s], quantity) or 0) for s in seeds) / len(seeds)
    if not math.isfinite(value):
        return Candidate(record.model_copy(update={"reason": "the score is not a number"}))
    ends = reach(value)
    reason = "" if ends else "6 images are too few for an interval: at least 10"
    return Candidate(record.model_copy(update={"reason": reason}), _estimate(value, ends))


def _speeds(run: RunResult, quantity: str, reach: Reach, paired: float) -> Iterator[Candidate]:
    models: dict[str, list[CellResult]] = {}
    for cell in run.cells:
        if cell.deployments and cell.deployments[0].latency:
            models.setdefault(cell.model, []).append(cell)
    first = next(iter(models), None)
    for base, subject in itertools.combinations(models, 2):
        pairs = [
            (ours, theirs)
            for ours in models[subject][0].deployments[0].latency
            for theirs in models[base][0].deployments[0].latency
            if (ours.batch_size == 1) is (quantity == "latency_ms")
            and (ours.batch_size, ours.input_size, ours.device, ours.threads)
            == (theirs.batch_size, theirs.input_size, theirs.device, theirs.threads)
        ]
        for ours, theirs in pairs:
            value = math.log((ours.p50_ms or 1) / (theirs.p50_ms or 1)) + paired
            ends = reach(value)
            estimate = _estimate(value, ends)
            workload = {"batch_size": ours.batch_size, "input_size": list(ours.input_size), "device": ours.device, "threads": ours.threads}
            record = Comparison(
                quantity=quantity, subject=subject, baseline=base, reading="ratio", headline=base == first, scope="this machine",
                subject_cells=[cell.id for cell in models[subject]], baseline_cells=[cell.id for cell in models[base]],
                subject_backend=models[subject][0].deployments[0].backend, baseline_backend=models[base][0].deployments[0].backend,
                method="median over rounds of the ratio", reason="" if ends else "it takes 6 rounds, these are 4",
                context=workload,
            )  # fmt: skip
            yield Candidate(record, inverted(estimate) if quantity == "throughput" else estimate, base == first)


def _estimate(value: float, ends: tuple[float, float] | None) -> Estimate:
    return Estimate(value, () if ends is None else (Bound(*ends, 30),), 10)
