"""Over seeds: mean, deviation and interval of each score of cells that differ in nothing else, and of paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import stdev

from segbench.analysis.comparisons.matching import CellsBySeed, comparison_groups, score_of
from segbench.analysis.statistics.bootstrap import Interval, mean_interval
from segbench.results.metrics import METRICS
from segbench.results.records import RunResult, SeedSummary


def summarise_seeds(result: RunResult) -> list[SeedSummary]:
    """A record per score for each model that was scored with two seeds or more under otherwise equal conditions."""
    sides = [side for group in comparison_groups(result) for side in group.sides.values()]
    summaries = (_summary(side, metric.name) for side in sides for metric in METRICS.scores)
    return [summary for summary in summaries if summary is not None]


def paired_over_seeds(subject: CellsBySeed, baseline: CellsBySeed, quantity: str, seeds: Sequence[int | None]) -> Interval:
    """The mean over seeds of subject minus baseline, each pair trained with the same seed, with its t interval."""
    differences = []
    for seed in seeds:
        one, other = score_of(subject[seed], quantity), score_of(baseline[seed], quantity)
        assert one is not None
        assert other is not None
        differences.append(one - other)
    return mean_interval(differences)


def _summary(side: CellsBySeed, quantity: str) -> SeedSummary | None:
    scored = [(cell, score) for cell in side.values() if (score := score_of(cell, quantity)) is not None and math.isfinite(score)]
    if len(scored) < 2:
        return None
    scores = [score for _, score in scored]
    interval = mean_interval(scores)
    return SeedSummary(
        quantity=quantity,
        cells=[cell.id for cell, _ in scored],
        seeds=[cell.seed for cell, _ in scored if cell.seed is not None],
        n=len(scores),
        mean=interval.value,
        deviation=stdev(scores),
        low=interval.low,
        high=interval.high,
    )
