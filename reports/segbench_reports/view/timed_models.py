"""Timed deployments, each once however many cells share it, with their comparisons against the first model."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segbench import CellResult, Comparison, Deployment, Latency, RunResult


@dataclass(frozen=True)
class TimedModel:
    """One model through one backend; ``cell`` is the first of those that share it."""

    cell: CellResult
    deployment: Deployment

    @property
    def sizes(self) -> set[tuple[int, int]]:
        """Input sizes at which single images were timed."""
        return {entry.input_size for entry in self.deployment.latency if entry.batch_size == 1}

    def against_first(self, result: RunResult, entry: Latency) -> Comparison | None:
        """The run's comparison of this timing with the first model's; None where it made none."""
        for comparison in result.comparisons:
            if (
                comparison.headline
                and comparison.quantity in ("latency_ms", "throughput")
                and self.cell.id in comparison.subject_cells
                and comparison.subject_backend == self.deployment.backend
                and same_workload(comparison.context, entry)
            ):
                return comparison
        return None


@dataclass(frozen=True)
class StartVariation:
    """Variation of a network's time between starts of its process: number of starts, and standard deviation as a share.

    The deviation is that of the typical (median) network under the workload where it is largest; where several networks were raced, of its
    time relative to the others' of the same start, so that slower phases of the machine are not taken for its own.
    """

    count: int
    deviation: float


def start_variation(models: Sequence[TimedModel]) -> StartVariation | None:
    """Variation of single calls between starts; None where nothing was started twice."""
    workloads: dict[tuple[Any, ...], list[list[float]]] = {}
    for timed in models:
        for entry in timed.deployment.latency:
            medians = _medians_of_starts(entry)
            if entry.batch_size == 1 and len(medians) > 1 and min(medians) > 0:
                workload = (entry.input_size, entry.device, timed.deployment.raced, len(medians))
                workloads.setdefault(workload, []).append([math.log(median) for median in medians])
    variations = [StartVariation(workload[-1], _deviation(logs)) for workload, logs in workloads.items()]
    return max(variations, key=lambda variation: variation.deviation, default=None)


def _deviation(logs: Sequence[Sequence[float]]) -> float:
    """The median over networks of the deviation of log times between starts, each start's mean over the networks taken off."""
    shifts = [statistics.fmean(start) for start in zip(*logs, strict=True)] if len(logs) > 1 else [0.0] * len(logs[0])
    return statistics.median(statistics.stdev([x - shift for x, shift in zip(network, shifts, strict=True)]) for network in logs)


def _medians_of_starts(entry: Latency) -> list[float]:
    ends = list(itertools.accumulate(entry.start_rounds, initial=0))
    starts = [entry.rounds_ms[begin:end] for begin, end in itertools.pairwise(ends)]
    return [statistics.median(itertools.chain.from_iterable(rounds)) for rounds in starts if rounds]


def same_workload(context: Mapping[str, Any], entry: Latency) -> bool:
    """True where a comparison is of the timing's batch and size, device and threads."""
    return (context.get("batch_size"), tuple(context.get("input_size") or ()), context.get("device"), context.get("threads")) == (
        entry.batch_size,
        entry.input_size,
        entry.device,
        entry.threads,
    )


def timed_models(result: RunResult) -> list[TimedModel]:
    """Every deployment that was timed, in the order of the cells."""
    models: dict[tuple[str, str, str | None], TimedModel] = {}
    for cell in result.cells:
        for deployment in cell.deployments:
            if deployment.latency:
                key = (cell.fingerprints.get("measure") or cell.model, deployment.backend, deployment.raced)
                models.setdefault(key, TimedModel(cell, deployment))
    return list(models.values())


def speed_comparisons(result: RunResult, *, headline: bool) -> Sequence[Comparison]:
    """Comparisons of speed against the first model (``headline``), or of all pairs."""
    compared = [one for one in result.comparisons if one.quantity in ("latency_ms", "throughput") and one.headline is headline]
    return [one for one in compared if "step" not in one.context]  # those belong to an ablation
