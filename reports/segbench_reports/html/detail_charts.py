"""Charts of a page: learning curves, ablation, reliability, latency distributions, cost by part and by input size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from segbench import CellResult, Latency, RunResult
from segbench_reports.charts import ablation as ablation_chart
from segbench_reports.charts import charts
from segbench_reports.charts.charts import COLORS
from segbench_reports.charts.cost_against_size import cost_against_size, has_intervals
from segbench_reports.charts.names import short_name, short_names
from segbench_reports.charts.reliability import CAPTION, reliability_curves
from segbench_reports.html.chart import Drawing, Entry, column_width, fixed_width, panels
from segbench_reports.view.ablation import measured_ablations
from segbench_reports.view.cells import cell_name, finite, single_latency, varying_axes

_MOST_ROWS = 40
_MOST_SAMPLES = 120
_MOST_POINTS = 4000
_LEAST_EPOCHS = 15
_ROW = 24

Record = dict[str, Any]


def learning_curves(result: RunResult) -> list[Drawing]:
    """Validation mIoU and training losses, one drawing each."""
    chart = charts.learning_curves(_with_fewer_epochs(result))
    drawn = panels("curves", chart, "one line per cell over the epochs.") if chart else ()
    return [_with_dot(drawing) if drawing.title == charts.SCORES and charts.marks_kept_epoch(result) else drawing for drawing in drawn]


def _with_dot(drawing: Drawing) -> Drawing:
    dot = f"; {charts.KEPT_DOT}."
    return replace(drawing, alt=drawing.alt.removesuffix(".") + dot, caption=drawing.caption.removesuffix(".") + dot)


def ablation_steps(result: RunResult) -> list[Drawing]:
    """The waterfall of the ablation under each loss, recipe and variation."""
    ablations = measured_ablations(result)
    drawn = [(measured.name, chart) for measured in ablations if (chart := ablation_chart.waterfall(measured)) is not None]
    words = "each bar reaches from the value before a change to the one after it; the line on a bar of mIoU is the interval of the change."
    return [fixed_width(f"ablation-{place}", chart, f"Ablation: {words}", title=name) for place, (name, chart) in enumerate(drawn, 1)]


def reliability(result: RunResult) -> list[Drawing]:
    """The share of right pixels over the confidence of the network."""
    chart = reliability_curves(result)
    return list(panels("reliability", chart, f"{CAPTION}.")) if chart else []


def latency_distributions(result: RunResult) -> Drawing | None:
    """The calls of each cell at batch 1 (evenly thinned where they are many), their median and its interval."""
    import altair as alt

    names = _names(result)
    timed = [(cell, entry) for cell in result.cells if (entry := single_latency(cell)) and entry.samples_ms and finite(entry.p50_ms)]
    if not timed:
        return None
    drawn = timed[:_MOST_ROWS]
    calls = [{"cell": names[c.id], "ms": ms} for c, entry in drawn for ms in thinned(entry.samples_ms, _MOST_SAMPLES)]
    medians = [_median(names[cell.id], entry) for cell, entry in drawn]
    rows = [names[cell.id] for cell, _ in drawn]
    y = alt.Y("cell:N", sort=rows, title=None, scale=alt.Scale(domain=rows))
    title = "time of one call, batch 1 (ms)"
    top = _axis_end([ms for _, entry in drawn for ms in entry.samples_ms])
    x = alt.X("ms:Q", title=title, scale=alt.Scale(domain=[0, top], nice=True, clamp=True))
    ticks = alt.Chart(alt.InlineData(values=calls)).mark_tick(thickness=1, size=14, opacity=0.35, color="#0b6fb8").encode(x=x, y=y)
    base = alt.Chart(alt.InlineData(values=medians)).encode(y=y)
    tips = ["cell:N", alt.Tooltip("ms:Q", format=".2f", title="median"), alt.Tooltip("p90:Q", format=".2f"), "calls:Q"]
    rules = base.mark_rule(strokeWidth=7, opacity=0.4, color="#d1520a").encode(x=alt.X("low:Q", title=title), x2="high:Q")
    middle = base.mark_tick(thickness=3, size=18, color="#d1520a").encode(x=x, tooltip=tips)
    chart = alt.layer(ticks, rules, middle).properties(height=alt.Step(_ROW))
    band = ", the band behind it the 95 % interval of the median" if any(entry.ci95_ms for _, entry in drawn) else ""
    words = f"Latency: one fine line per call, the thick line is the median{band}."
    note = f"The first {_MOST_ROWS} of {len(timed)} cells. " if len(timed) > _MOST_ROWS else ""
    return column_width("latency", chart, words, note=note)


def cost_by_part(result: RunResult) -> list[Drawing]:
    """Parameters, MACs and time by part of the network; a chart for each that was measured."""
    models = _models(result)
    quantities = (("params", "parameters (M)", 1e-6), ("macs", "MACs (G)", 1e-9), ("ms", "time of one call (ms)", 1.0))
    names = short_names(cell.model for cell in models)
    records = {key: [r for cell in models for r in _parts(cell, names[cell.model], key, scale)] for key, _, scale in quantities}
    parts = dict.fromkeys(record["part"] for group in records.values() for record in group)
    colours = {part: COLORS[place % len(COLORS)] for place, part in enumerate(parts)}
    return [_stacked(f"parts-{key}", records[key], title, colours) for key, title, _ in quantities if records[key]]


def cost_by_size(result: RunResult) -> list[Drawing]:
    """Latency and MACs over the input's pixels, where a run swept sizes."""
    chart = cost_against_size(result)
    intervals = ", with 95 % intervals" if has_intervals(result) else ""
    return list(panels("sizes", chart, f"over the size of the input, one line per model{intervals}.")) if chart else []


def thinned(values: Sequence[float], most: int) -> list[float]:
    """At most ``most`` order statistics of ``values``, evenly spaced, with minimum and maximum.

    >>> thinned([3.0, 1.0, 2.0], 5), thinned([float(n) for n in range(101)], 3)
    ([1.0, 2.0, 3.0], [0.0, 50.0, 100.0])
    """
    ordered = sorted(value for value in values if math.isfinite(value))
    if len(ordered) <= most:
        return ordered
    return [ordered[round(place * (len(ordered) - 1) / (most - 1))] for place in range(most)]


def _with_fewer_epochs(result: RunResult) -> RunResult:
    """The run with shorter histories where its cells are many: some epochs evenly spaced, the best and the last."""
    most = max(_LEAST_EPOCHS, _MOST_POINTS // max(1, len(result.cells)))
    return result.model_copy(update={"cells": [_with_history_of(cell, most) for cell in result.cells]})


def _with_history_of(cell: CellResult, most: int) -> CellResult:
    if cell.training is None or len(cell.training.history) <= most:
        return cell
    history, best = cell.training.history, cell.training.best_epoch
    places = {round(place * (len(history) - 1) / (most - 1)) for place in range(most)}
    fewer = [row for place, row in enumerate(history) if place in places or row.epoch == best]
    return cell.model_copy(update={"training": cell.training.model_copy(update={"history": fewer})})


def _axis_end(values: Sequence[float]) -> float:
    """The upper end of the axis, cut where a few stalled calls would stretch it; values beyond are drawn at the edge."""
    ordered = sorted(value for value in values if math.isfinite(value))
    return min(ordered[-1], 1.6 * ordered[int(0.97 * (len(ordered) - 1))])


def _names(result: RunResult) -> dict[str, str]:
    axes = varying_axes(result.cells)
    full = {cell.id: cell_name(cell, axes) for cell in result.cells}
    short = short_names(full.values())
    return {cell: short[name] for cell, name in full.items()}


def _models(result: RunResult) -> list[CellResult]:
    """One cell per model, the first that was measured."""
    models: dict[str, CellResult] = {}
    for cell in result.cells:
        if cell.params is not None or cell.deployments:
            models.setdefault(cell.model, cell)
    return list(models.values())[:_MOST_ROWS]


def _median(name: str, entry: Latency) -> Record:
    low, high = entry.ci95_ms or (None, None)
    return {"cell": name, "ms": entry.p50_ms, "low": low, "high": high, "p90": entry.p90_ms, "calls": len(entry.samples_ms)}


def _parts(cell: CellResult, name: str, key: str, scale: float) -> Iterator[Record]:
    """One record per part; time and MACs only where the run measured modules."""
    for part, value in _sums(cell, key).items():
        yield {"model": name, "part": short_name(part), "value": value * scale}


def _sums(cell: CellResult, key: str) -> dict[str, float]:
    if key == "params":
        return {part: count for part, count in cell.params_per_part.items() if count}
    sums: dict[str, float] = {}
    for module in cell.modules.modules if cell.modules else []:
        value = getattr(module, key)
        if value:
            part = module.part or module.name.partition(".")[0]
            sums[part] = sums.get(part, 0.0) + value
    return sums


def _stacked(key: str, records: list[Record], title: str, all_colours: dict[str, str]) -> Drawing:
    import altair as alt

    present = {record["part"] for record in records}
    colours = {part: colour for part, colour in all_colours.items() if part in present}
    parts = list(colours)
    rows = list(dict.fromkeys(record["model"] for record in records))
    order = {part: place for place, part in enumerate(parts)}
    values = [{**record, "order": order[record["part"]]} for record in records]
    chart = (
        alt.Chart(alt.InlineData(values=values))
        .mark_bar(height=14)
        .encode(
            x=alt.X("value:Q", title=title, stack="zero"),
            y=alt.Y("model:N", sort=rows, title=None),
            color=alt.Color("part:N", sort=parts, scale=alt.Scale(domain=parts, range=list(colours.values())), legend=None),
            order="order:Q",
            tooltip=["model:N", "part:N", alt.Tooltip("value:Q", format=".3~s", title=title)],
        )
        .properties(height=alt.Step(_ROW))
    )
    drawing = column_width(key, chart, f"{title} by part of the network, one bar per model.", wide=False)
    return replace(drawing, title=title, legend=[Entry(part, colour) for part, colour in colours.items()])
