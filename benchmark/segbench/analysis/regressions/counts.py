"""Counts have no noise: any difference is one."""

from __future__ import annotations

import math
from collections.abc import Iterator

from segbench.analysis.regressions.pairing import NetworkPair
from segbench.analysis.regressions.verdicts import judged
from segbench.results.deployments import EAGER, deployment_of
from segbench.results.metrics import METRICS, Metric
from segbench.results.records import CellResult
from segbench.results.run_comparison import Change


def count_rows(network: NetworkPair) -> Iterator[Change]:
    """Every count of the network (params, multiply-adds, size of the weights), and of each exported file its size."""
    counts = [metric for metric in METRICS.changes if metric.noise == "none" and not metric.is_score]
    for metric in counts:
        if metric.record != "deployment":
            yield from _of_network(metric, network)
    for form in network.forms:
        for metric in counts:
            if metric.record == "deployment" and form != EAGER:
                yield from _of_deployment(metric, network, form)


def _of_network(metric: Metric, network: NetworkPair) -> Iterator[Change]:
    old, new = network.baseline, network.new
    values = [shown.value if (shown := metric.value(cell)) and not shown.at_least else None for cell in (old, new)]
    if values != [None, None]:
        row = network.row(metric, baseline=values[0], new=values[1])
        yield counted(row, _other_input(old, new) if metric.at_input else "")


def _of_deployment(metric: Metric, network: NetworkPair, form: str) -> Iterator[Change]:
    deployments = [deployment_of(cell, form) for cell in (network.baseline, network.new)]
    values = [getattr(each, metric.key, None) for each in deployments]
    if values != [None, None]:
        row = network.row(metric, form=form, baseline=values[0], new=values[1])
        versions = [each.version if each else None for each in deployments]
        notes = [f"written with {form} {versions[0]} -> {versions[1]}"] if versions[0] != versions[1] else []
        yield counted(row.model_copy(update={"notes": notes}))


def counted(row: Change, why: str = "") -> Change:
    """The row of a count; ``why`` says that the two are not counts of the same thing."""
    row = row.model_copy(update={"exact": True, "method": "counted: no noise"})
    missing = [which for which, value in (("baseline", row.baseline), ("new run", row.new)) if value is None or not math.isfinite(value)]
    if why or missing:
        return row.model_copy(update={"reason": why or f"not measured in the {' and the '.join(missing)}"})
    assert row.baseline is not None
    assert row.new is not None
    if row.baseline == 0:
        return row.model_copy(update={"verdict": "no difference shown" if row.new == 0 else "regressed"})
    ratio = row.new / row.baseline
    return judged(row, {"change": ratio, "low": ratio, "high": ratio})


def _other_input(old: CellResult, new: CellResult) -> str:
    if old.input_shape is None or new.input_shape is None or old.input_shape == new.input_shape:
        return ""
    return f"counted for other inputs: {_shapes(old)} -> {_shapes(new)}"


def _shapes(cell: CellResult) -> str:
    return " and ".join("x".join(map(str, shape)) for shape in cell.input_shape or ())
