"""The steps of an ablation as a waterfall: parameters, MACs, latency and mIoU, each bar from before a change to after it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segbench import CellResult
from segbench_reports.charts.charts import THEME
from segbench_reports.text.escape import plain
from segbench_reports.text.numbers import elided
from segbench_reports.view.ablation import MeasuredAblation, MeasuredStep
from segbench_reports.view.cells import finite, single_latency

if TYPE_CHECKING:
    import altair as alt

_GOOD, _BAD, _NEITHER = "#12866a", "#d1520a", "#8c959f"
_EFFECT_COLORS = {"cheaper or better": _GOOD, "dearer or worse": _BAD, "no difference shown": _NEITHER}
_WIDTH, _ROW = 190, 26

Record = dict[str, Any]


@dataclass(frozen=True)
class _Panel:
    title: str
    read: Callable[[CellResult], float | None]
    zero: bool
    rising_is_good: bool = False
    difference_shown: Callable[[MeasuredStep], bool | None] = lambda step: None
    """True where a race or seeds have shown a difference, False where not, None where the value is exact."""


def _latency(cell: CellResult) -> float | None:
    entry = single_latency(cell)
    return entry.p50_ms if entry else None


_PANELS = (
    _Panel("parameters (M)", lambda cell: None if cell.params is None else cell.params / 1e6, zero=True),
    _Panel("MACs (G)", lambda cell: None if cell.macs is None else cell.macs / 1e9, zero=True),
    _Panel("latency, batch 1 (ms)", _latency, True, difference_shown=lambda step: step.speed is not None),
    _Panel(
        "mIoU (%)",
        lambda cell: 100 * cell.quality.miou if cell.quality and cell.quality.miou is not None else None,
        zero=False,
        rising_is_good=True,
        difference_shown=lambda step: bool(step.miou and step.miou.verdict in ("better", "worse")),
    ),
)


def waterfall(measured: MeasuredAblation) -> alt.HConcatChart | None:
    """One panel for each quantity that was measured; None where none was."""
    import altair as alt

    panels = [(panel, records) for panel in _PANELS if len(records := _records(measured, panel)) > 1]
    if not panels:
        return None
    rows = [_row_name(measured, place) for place in range(len(measured.steps) + 1)]
    plots = [_plot(panel, records, rows, labelled=place == 0) for place, (panel, records) in enumerate(panels)]
    chart: alt.HConcatChart = alt.hconcat(*plots, spacing=24).configure(**THEME).properties(background="#ffffff", padding=16)
    return chart


def _row_name(measured: MeasuredAblation, place: int) -> str:
    if place == 0:
        return elided(plain(measured.ablation.start), 34)
    change = measured.steps[place - 1].change
    return elided(plain(f"{change.option}: {change.before} → {change.after}"), 34)


def _records(measured: MeasuredAblation, panel: _Panel) -> list[Record]:
    records: list[Record] = []
    previous: float | None = None
    for place, cells in enumerate(measured.levels):
        value = _mean(cells, panel)
        if value is None:
            previous = None
            continue
        record: Record = {"row": _row_name(measured, place), "value": value, "from": value if previous is None else previous}
        if place and previous is not None:
            record |= _effect(measured.steps[place - 1], panel, previous, value)
        records.append(record)
        previous = value
    return records


def _effect(step: MeasuredStep, panel: _Panel, before: float, after: float) -> Record:
    shown = panel.difference_shown(step)
    good = (after > before) == panel.rising_is_good
    effects = list(_EFFECT_COLORS)
    record: Record = {"effect": effects[2] if shown is False or after == before else effects[0 if good else 1]}
    interval = step.miou if panel.rising_is_good else None
    if interval is not None and interval.low is not None and interval.high is not None:
        record |= {"low": before + 100 * interval.low, "high": before + 100 * interval.high}
    return record


def _mean(cells: Sequence[CellResult], panel: _Panel) -> float | None:
    values = [value for value in map(panel.read, cells) if value is not None and finite(value) is not None]
    return statistics.fmean(values) if values else None


def _plot(panel: _Panel, records: list[Record], rows: list[str], *, labelled: bool) -> alt.LayerChart:
    import altair as alt

    scale = alt.Scale(zero=panel.zero, nice=True)
    axis = alt.Axis(labelLimit=260, ticks=False, domain=False) if labelled else None
    base = alt.Chart(alt.InlineData(values=records)).encode(
        y=alt.Y("row:N", sort=rows, title=None, axis=axis, scale=alt.Scale(domain=rows))
    )
    x = alt.X("value:Q", title=panel.title, scale=scale, axis=alt.Axis(tickCount=4))
    legend = alt.Legend(title=None, orient="bottom", direction="horizontal", columns=3) if labelled else None
    color = alt.Color("effect:N", scale=alt.Scale(domain=list(_EFFECT_COLORS), range=list(_EFFECT_COLORS.values())), legend=legend)
    layers = [
        base.mark_bar(height=12).encode(x=x, x2="from:Q", color=color).transform_filter("isValid(datum.effect)"),
        base.mark_tick(thickness=2, size=18, color="#1f2328").encode(x=x),
    ]
    if any("low" in record for record in records):
        layers.append(
            base.mark_rule(strokeWidth=1.5, color="#1f2328").encode(x="low:Q", x2="high:Q").transform_filter("isValid(datum.low)")
        )
    chart: alt.LayerChart = alt.layer(*layers).properties(width=_WIDTH, height=_ROW * len(rows))
    return chart
