"""Memory of a process during one call, model against model: the ratio of the figures that tables show, with its uncertainty."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from segbench.analysis.comparisons.judging import Candidate, judged
from segbench.analysis.comparisons.matching import ComparisonPair, baseline_of, pairs_of
from segbench.analysis.statistics.families import Bound, Estimate
from segbench.analysis.statistics.memory import memory_ratio, why_no_interval
from segbench.results.deployments import EAGER, deployment_of
from segbench.results.records import CellResult, Comparison, Memory, RunResult
from segbench.util.sequences import counted

SCOPE = "this kind of machine"
_INTERVAL = "; interval from the intervals of both medians, never narrower than what the meter resolves"
CUDA_METHOD = "ratio of the peaks that the allocator counted"


@dataclass
class MeasuredModel:
    """One network whose memory was measured, and the cells that share it."""

    model: str
    memory: Memory
    machine: dict[str, str]
    cells: list[str] = field(default_factory=list)

    @property
    def context(self) -> dict[str, Any]:
        """Batch, input size and device: two networks are compared only where these are equal, and the machine is."""
        size = self.memory.input_size
        return {
            "batch_size": self.memory.batch_size,
            "input_size": list(size) if size else None,
            "device": self.machine.get("device", "").partition(":")[0],
        }


def compare_memory(result: RunResult) -> list[Comparison]:
    """The comparisons of :func:`memory_candidates`, as one family."""
    return judged(memory_candidates(result))


def memory_candidates(result: RunResult) -> list[Candidate]:
    """Every pair of distinct eager models that were measured alike: same batch, input size, kind of device and machine.

    The ratio is that of ``inference_peak``, which tables show. One reading of each side supports no verdict, except on CUDA, where the
    allocator counts bytes.
    """
    candidates = []
    for alike in _alike(result):
        by_name: dict[str, MeasuredModel] = {}
        for model in alike:
            by_name.setdefault(model.model, model)
        pairs = pairs_of(list(by_name), baseline_of(result), result.ablation)
        candidates += [_candidate(by_name[pair.subject], by_name[pair.baseline], pair) for pair in pairs]
    return candidates


def _alike(result: RunResult) -> Iterator[Sequence[MeasuredModel]]:
    """The networks that were measured under the same circumstances; the first measurement of each model stands for it."""
    groups: dict[str, dict[str, MeasuredModel]] = {}
    for cell in result.cells:
        measured = _measured(cell)
        if measured is not None:
            models = groups.setdefault(json.dumps([measured.machine, measured.context], sort_keys=True), {})
            models.setdefault(cell.fingerprints.get("measure") or cell.model, measured).cells.append(cell.id)
    for models in groups.values():
        yield list(models.values())


def _measured(cell: CellResult) -> MeasuredModel | None:
    deployment = deployment_of(cell, EAGER)
    if deployment is None or deployment.memory_mb is None or not deployment.memory_mb.inference_peak:
        return None
    return MeasuredModel(cell.model, deployment.memory_mb, deployment.machine)


def _candidate(subject: MeasuredModel, baseline: MeasuredModel, pair: ComparisonPair) -> Candidate:
    on_cuda = subject.context["device"] == "cuda"
    ours, theirs = (model.memory.inference_peaks or [model.memory.inference_peak or 0.0] for model in (subject, baseline))
    reason = why_no_interval(ours, theirs)
    record = Comparison(
        quantity="inference_memory_mb",
        subject=subject.model,
        baseline=baseline.model,
        subject_cells=subject.cells,
        baseline_cells=baseline.cells,
        subject_backend=EAGER,
        baseline_backend=EAGER,
        reading="ratio",
        headline=pair.headline,
        scope=SCOPE,
        method=CUDA_METHOD if on_cuda else _method(len(ours), len(theirs)) + ("" if reason else _INTERVAL),
        unit="processes",
        context={**subject.context, **({} if pair.step is None else {"step": pair.step})},
    )
    estimate = memory_ratio(ours, theirs)
    if on_cuda:
        return Candidate(record, Estimate(estimate.value, (Bound(0.0, 0.0, 1),), 1), pair.planned)
    return Candidate(record.model_copy(update={"reason": reason}), estimate, pair.planned)


def _method(ours: int, theirs: int) -> str:
    """The method of the ratio in words, by the number of processes that were read on either side."""
    whole = "of the whole process, interpreter and libraries included"
    if ours == theirs == 1:
        return f"ratio of the peaks {whole}, read in one process each"
    readers = f"{ours} processes each" if ours == theirs else f"{counted(ours, 'process', 'processes')} and {theirs}"
    return f"ratio of the median peaks {whole}, over {readers}"
