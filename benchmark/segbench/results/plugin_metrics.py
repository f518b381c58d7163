"""Metrics of plugins in the table of metrics: whatever a run's scores declare is put there, whether the plugin is installed or not."""

from __future__ import annotations

from typing import Final

from segbench.errors import ConfigError
from segbench.results.metrics import METRICS, ChangeRow, Metric, TableColumn
from segbench.results.records import MetricScore, RunResult

RECORD: Final = "metrics"
"""The record of such metrics: ``quality.metrics`` of a cell."""


def is_plugin_metric(name: str) -> bool:
    """True for a metric of a plugin that some run of this process has."""
    return name in METRICS and METRICS[name].record == RECORD


def refuse_own_metric(name: str) -> None:
    """Raise :class:`ConfigError` for the name of one of segbench's own metrics, which is computed always or by a setting of its own."""
    if name in METRICS and METRICS[name].record != RECORD:
        raise ConfigError(
            f"eval.metrics names '{name}', which is a metric of segbench itself and needs no naming. It takes plugins' metrics: "
            "segbench list metrics. (A plugin whose MetricSpec has this name must give it another.)"
        )


def adopt(result: RunResult) -> RunResult:
    """Put the plugins' metrics of a run into the table; the latest declaration of a name counts. Returns the run itself."""
    for cell in result.cells:
        forms = [cell.quality, *(deployment.quality for deployment in cell.deployments)]
        for quality in forms:
            for name, score in (quality.metrics if quality else {}).items():
                _register(as_metric(name, score))
    return result


def as_metric(name: str, declared: MetricScore) -> Metric:
    """The entry of the table of metrics for a declared one."""
    share = declared.unit == "%"
    title = declared.title or name
    return Metric(
        name,
        title=title,
        words=title,
        meaning=f"**{title}**: {declared.meaning}" if declared.meaning else "",
        unit=declared.unit,
        scale=100.0 if share else 1.0,
        digits=1 if share else declared.digits,
        better=declared.better,
        compare="points",
        noise="scores",
        depends="training",
        record=RECORD,
        column=TableColumn(_ORDER, priority=3) if declared.column else None,
        change=ChangeRow(units={} if share else {declared.unit: 1.0}),
    )


_ORDER = 3
"""Behind the scores that segbench has columns for."""


def _register(metric: Metric) -> None:
    if METRICS.get(metric.name) == metric:
        return
    if metric.name in METRICS:
        if METRICS[metric.name].record != RECORD:  # a name that a later segbench took for its own
            return
        METRICS.remove(metric.name)
    METRICS.register(metric)
