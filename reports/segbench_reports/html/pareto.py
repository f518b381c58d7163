"""Quality against cost: every pair of axes that was measured, and which rows no other row beats on both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segbench import Metric, RunResult, metric
from segbench_reports.charts.charts import COLORS
from segbench_reports.charts.names import short_names
from segbench_reports.html.chart import Drawing, Entry, column_width
from segbench_reports.html.embed import rounded
from segbench_reports.html.main_table import row_names
from segbench_reports.view.cells import finite, group_key
from segbench_reports.view.learned import chart_note, is_collapsed
from segbench_reports.view.main_table import Row, Table

Bounds = tuple[float, float] | None

_COSTS = ("latency_ms", "macs", "params", "inference_memory_mb", "energy")
_SCORES = ("miou", "headline_iou", "boundary_iou", "miou_worst_decile")
"""The axes in the order of the page's menus."""


def front(result: RunResult, table: Table) -> Drawing | None:
    """The chart with all its axes; None where fewer than two rows have a score and a cost."""
    learned = [row.competes and not is_collapsed(row.cells) for row in table.rows]
    rows = [row for row, wanted in zip(table.rows, learned, strict=True) if wanted]
    named = zip(table.rows, row_names(table), learned, strict=True)
    points = [_point(result, row, name) for row, name, wanted in named if wanted]
    costs, qualities = _axes(_COSTS, [point["x"] for point in points]), _axes(_SCORES, [point["y"] for point in points])
    if not costs or not qualities:
        return None
    models = list(dict.fromkeys(row.cell.model for row in rows))
    colours = {model: COLORS[place % len(COLORS)] for place, model in enumerate(models)}
    names = short_names(models)
    for point, row in zip(points, rows, strict=True):
        point["model"] = names[row.cell.model]
    words = (
        "Each mark is a row of the table; boxes are 95 % intervals where there are some; faded marks are beaten on both axes by point "
        "values, whether or not a verdict shows it"
    )
    left_out = [cell for row in table.rows if row.ranked and is_collapsed(row.cells) for cell in row.cells]
    words += f"{chart_note(result, left_out)}."
    drawn = column_width("front", _chart({names[model]: colour for model, colour in colours.items()}), words)
    extra = {"points": points, "costs": costs, "qualities": qualities, "front": _fronts(points, costs, qualities)}
    legend = [Entry(names[model], colour) for model, colour in colours.items()]
    return Drawing(drawn.key, words, drawn.spec, {}, "Score against cost", legend=legend, wide=True, extra=extra)


def undominated(points: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the points (cost, quality) that no other beats: at most their cost, at least their score, and better in one of both.

    >>> undominated([(1.0, 0.5), (2.0, 0.6), (2.0, 0.4), (1.0, 0.5)])
    [0, 1, 3]
    """
    return [
        place
        for place, (cost, score) in enumerate(points)
        if not any(c <= cost and s >= score and (c < cost or s > score) for c, s in points)
    ]


def _axes(names: Sequence[str], points: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Key and title of each metric that two points have."""
    return {each.column_key: each.axis_title for each in map(metric, names) if sum(each.column_key in point for point in points) > 1}


def _fronts(points: Sequence[dict[str, Any]], costs: dict[str, str], qualities: dict[str, str]) -> dict[str, list[int]]:
    fronts = {}
    for cost in costs:
        for quality in qualities:
            both = [place for place, point in enumerate(points) if cost in point["x"] and quality in point["y"]]
            best = undominated([(points[place]["x"][cost][0], points[place]["y"][quality][0]) for place in both])
            fronts[f"{quality}/{cost}"] = [both[place] for place in best]
    return fronts


def _point(result: RunResult, row: Row, name: str) -> dict[str, Any]:
    cell = row.cell
    x = {each.column_key: _cost(row, each) for each in map(metric, _COSTS)}
    y = {each.column_key: _quality(result, row, each) for each in map(metric, _SCORES)}
    return {
        "name": name,
        "model": cell.model,
        "x": {key: value for key, value in x.items() if value},
        "y": {key: value for key, value in y.items() if value},
    }


def _cost(row: Row, cost: Metric) -> list[float | None] | None:
    reading = row.exact(cost.column_key) or (None if cost.column else cost.value(row.cell))
    if reading is None or finite(reading.value) is None:
        return None
    bounds = None if reading.interval is None else (reading.interval[0] * cost.scale, reading.interval[1] * cost.scale)
    return _bounded(reading.value * cost.scale, bounds)


def _quality(result: RunResult, row: Row, score: Metric) -> list[float | None] | None:
    if row.kind == "mean":
        return _of_seeds(result, row, score)
    reading, quality = score.value(row.cell), row.cell.quality
    if reading is None:
        return None
    interval = quality.miou_ci95 if quality and score.name == "miou" else None
    return _bounded(score.scale * reading.value, None if interval is None else (score.scale * interval[0], score.scale * interval[1]))


def _of_seeds(result: RunResult, row: Row, score: Metric) -> list[float | None] | None:
    cells = [cell for cell in result.cells if group_key(cell) == group_key(row.cell)]
    values = [reading.value for cell in cells if (reading := score.value(cell)) is not None]
    if not values:
        return None
    seeds = next((s for s in result.seeds if s.quantity == score.name and set(s.cells) == {c.id for c in cells}), None)
    bounds = (score.scale * seeds.low, score.scale * seeds.high) if seeds and seeds.low is not None and seeds.high is not None else None
    return _bounded(score.scale * sum(values) / len(values), bounds)


def _bounded(value: float, bounds: Bounds) -> list[float | None]:
    return [rounded(value), *([rounded(bounds[0]), rounded(bounds[1])] if bounds else [])]


def _chart(colours: dict[str, str]) -> Any:
    """Boxes below marks below the front's line; the page fills in the data and the axes' titles."""
    import altair as alt

    base = alt.Chart(alt.NamedData(name="points"))
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    color, stroke = alt.Color("model:N", scale=scale, legend=None), alt.Stroke("model:N", scale=scale, legend=None)
    x = alt.X("x:Q", title="COST", scale=alt.Scale(zero=False, nice=True, padding=20), axis=alt.Axis(tickCount=6))
    y = alt.Y("y:Q", title="QUALITY", scale=alt.Scale(zero=False, nice=True, padding=20), axis=alt.Axis(tickCount=6))
    faded = alt.condition("datum.front", alt.value(1), alt.value(0.35))
    tips = [alt.Tooltip("name:N", title="variant"), alt.Tooltip("ytext:N", title="quality"), alt.Tooltip("xtext:N", title="cost")]
    line = base.mark_line(strokeWidth=1.5, strokeDash=[4, 3], color="#57606a", interpolate="step-after", opacity=0.8)
    box = base.mark_rect(fillOpacity=0.16, strokeOpacity=0.5, strokeWidth=1.5).encode(
        x=alt.X("xlow:Q", title="COST"), x2="xhigh:Q", y=alt.Y("ylow:Q", title="QUALITY"), y2="yhigh:Q", color=color, stroke=stroke
    )
    words = base.encode(x=x, y=y, text="label:N")
    right = words.mark_text(align="left", dx=10, dy=-9, fontSize=11, color="#1f2328").transform_filter("!datum.late")
    left = words.mark_text(align="right", dx=-10, dy=-9, fontSize=11, color="#1f2328").transform_filter("datum.late")
    layers = [
        box.transform_filter("isValid(datum.xlow) && isValid(datum.ylow)"),
        line.transform_filter("datum.front").encode(x=x, y=y),
        base.mark_point(filled=True, size=130).encode(x=x, y=y, color=color, opacity=faded, tooltip=tips),
        right,
        left,
    ]
    return alt.layer(*layers).properties(height=380)
