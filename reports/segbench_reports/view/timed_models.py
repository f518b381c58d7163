"""Deployed models as they were raced: each once, whichever cells share it, with what the run says of it against the first."""

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
    """One model in one form; ``cell`` is the first of those that share it."""

    cell: CellResult
    form: Deployment

    @property
    def sizes(self) -> set[tuple[int, int]]:
        """Input sizes at which single images were timed."""
        return {entry.input_size for entry in self.form.latency if entry.batch_size == 1}

    def against_first(self, result: RunResult, entry: Latency) -> Comparison | None:
        """What the run says of this timing against the first model's."""
        for found in result.comparisons:
            if (
                found.headline
                and found.quantity in ("latency_ms", "throughput")
                and self.cell.id in found.subject_cells
                and found.subject_backend == self.form.backend
                and is_under(found.context, entry)
            ):
                return found
        return None


@dataclass(frozen=True)
class Starts:
    """How often the processes were started, and what that changed: the deviation of a network's time from start to start, as a share.

    It is that of the typical (median) network, in the course where it is largest; where several were raced, of its time beside the others'
    of the same start, so that moods of the machine are not taken for its own.
    """

    count: int
    deviation: float


def starts(found: Sequence[TimedModel]) -> Starts | None:
    """Of single calls; None where nothing was started twice."""
    courses: dict[tuple[Any, ...], list[list[float]]] = {}
    for runner in found:
        for entry in runner.form.latency:
            medians = _medians_of_starts(entry)
            if entry.batch_size == 1 and len(medians) > 1 and min(medians) > 0:
                course = (entry.input_size, entry.device, runner.form.raced, len(medians))
                courses.setdefault(course, []).append([math.log(each) for each in medians])
    told = [Starts(course[-1], _deviation(logs)) for course, logs in courses.items()]
    return max(told, key=lambda each: each.deviation, default=None)


def _deviation(logs: Sequence[Sequence[float]]) -> float:
    moods = [statistics.fmean(start) for start in zip(*logs, strict=True)] if len(logs) > 1 else [0.0] * len(logs[0])
    return statistics.median(statistics.stdev([x - mood for x, mood in zip(each, moods, strict=True)]) for each in logs)


def _medians_of_starts(entry: Latency) -> list[float]:
    ends = list(itertools.accumulate(entry.start_rounds, initial=0))
    starts = [entry.rounds_ms[begin:end] for begin, end in itertools.pairwise(ends)]
    return [statistics.median(itertools.chain.from_iterable(rounds)) for rounds in starts if rounds]


def is_under(context: Mapping[str, Any], entry: Latency) -> bool:
    """Whether a timing was taken under these circumstances."""
    return (context.get("batch_size"), tuple(context.get("input_size") or ()), context.get("device"), context.get("threads")) == (
        entry.batch_size,
        entry.input_size,
        entry.device,
        entry.threads,
    )


def runners(result: RunResult) -> list[TimedModel]:
    """Every deployed model that was timed, in the order of the cells."""
    found: dict[tuple[str, str, str | None], TimedModel] = {}
    for cell in result.cells:
        for form in cell.deployments:
            if form.latency:
                key = (cell.fingerprints.get("measure") or cell.model, form.backend, form.raced)
                found.setdefault(key, TimedModel(cell, form))
    return list(found.values())


def verdicts(result: RunResult, *, headline: bool) -> Sequence[Comparison]:
    """Comparisons of speed, against the first model or of all pairs."""
    found = [one for one in result.comparisons if one.quantity in ("latency_ms", "throughput") and one.headline is headline]
    return [one for one in found if "step" not in one.context]  # those belong to an ablation
