"""Weights and activations of inference in two runs, by what was read in the fresh processes of each."""

from __future__ import annotations

import math
from collections.abc import Iterator

from segbench.analysis.regressions.environment import unlike_machines
from segbench.analysis.regressions.pairing import NetworkPair
from segbench.analysis.regressions.verdicts import judged
from segbench.analysis.statistics.memory import memory_ratio, why_no_interval
from segbench.results.deployments import deployment_of
from segbench.results.metrics import metric
from segbench.results.records import Deployment, Memory
from segbench.results.run_comparison import Change


def memory_rows(network: NetworkPair, margin: float) -> Iterator[Change]:
    """Peak of a call in each form: what the allocator counted on CUDA, weights and activations of the process on a CPU."""
    for name in network.forms:
        old, new = deployment_of(network.baseline, name), deployment_of(network.new, name)
        if old and new and (old.memory_mb or new.memory_mb):
            values = {"baseline": _peak(old), "new": _peak(new)}
            row = network.row(metric("inference_memory_mb"), form=name, margin=margin, scope="this kind of machine", **values)
            yield _judged(row, old, new)


def _judged(row: Change, old: Deployment, new: Deployment) -> Change:
    one, other, why = row.baseline, row.new, _unlike(old, new)
    if why or one is None or other is None:
        return row.model_copy(update={"reason": why or "not measured in both"})
    if _is_cuda(new):
        change = other / one if one else None
        return judged(row.model_copy(update={"method": "counted by the allocator"}), {"change": change, "low": change, "high": change})
    before, now = _processes(old), _processes(new)
    why = why_no_interval(now, before)
    if why:
        return row.model_copy(update={"change": other / one if one else None, "reason": why})
    estimate = memory_ratio(now, before)
    method = f"medians over {len(before)} and {len(now)} fresh processes, interval from those of both"
    low, high = map(math.exp, estimate.interval() or ())
    row = row.model_copy(update={"method": method, "n": estimate.n})
    return judged(row, {"change": math.exp(estimate.value), "low": low, "high": high})


def _unlike(old: Deployment, new: Deployment) -> str:
    # the processor does not matter for what is allocated; torch, the device and the threads' buffers do
    machines = unlike_machines(old.machine, new.machine, keys=("device", "gpu", "torch"))
    if machines:
        return machines
    one, other = old.memory_mb, new.memory_mb
    if one is None or other is None:
        return ""
    for name in ("input_size", "batch_size", "method"):
        if getattr(one, name) != getattr(other, name):
            return f"measured at another {name.replace('_', ' ')}: {getattr(one, name)} -> {getattr(other, name)}"
    return ""


def _peak(form: Deployment) -> float | None:
    memory: Memory | None = form.memory_mb
    if memory is None:
        return None
    if _is_cuda(form):
        return memory.inference_peak
    # the peak of a whole process holds the interpreter and its libraries too
    known = (memory.weights, memory.activation_peak)
    return None if known[1] is None else sum(x for x in known if x is not None)


def _processes(form: Deployment) -> list[float]:
    """Weights and activations in each process of a CPU."""
    memory: Memory | None = form.memory_mb
    return [(memory.weights or 0.0) + peak for peak in memory.activation_peaks] if memory else []


def _is_cuda(form: Deployment) -> bool:
    return form.machine.get("device", "").startswith("cuda")
