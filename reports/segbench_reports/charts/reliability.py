"""Reliability curves: the share of right pixels over the confidence of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segbench import CellResult, RunResult
from segbench_reports.charts.charts import THEME, Styles
from segbench_reports.charts.names import ChartNames
from segbench_reports.view.cells import finite

if TYPE_CHECKING:
    import altair as alt

CAPTION = "Share of right pixels over confidence; on the dashed line a network is as sure as it is right, below it too sure"
_LEAST_SHARE = 1e-4
_SIDE = 380


def reliability_curves(result: RunResult) -> alt.LayerChart | None:
    """One curve per cell through the bins that hold at least one pixel in ten thousand; None where none was measured."""
    names = ChartNames.of(result)
    records = [record for cell in result.cells for record in _records(cell, names)]
    return _chart(records, Styles.of(names)) if records else None


def _records(cell: CellResult, names: ChartNames) -> list[dict[str, Any]]:
    bins = cell.quality.reliability if cell.quality else []
    pixels = sum(row.count for row in bins)
    return [
        {**names.identity(cell), "confidence": 100 * row.confidence, "accuracy": 100 * row.accuracy, "share": row.count / pixels}
        for row in bins
        if row.count >= _LEAST_SHARE * pixels
        and row.confidence is not None
        and row.accuracy is not None
        and finite(row.confidence) is not None
        and finite(row.accuracy) is not None
    ]


def _chart(records: list[dict[str, Any]], styles: Styles) -> alt.LayerChart:
    import altair as alt

    scale = alt.Scale(domain=[0, 100], nice=False)
    x = alt.X("confidence:Q", title="confidence (%)", scale=scale)
    y = alt.Y("accuracy:Q", title="right (%)", scale=scale)
    ideal = [{"confidence": 0, "accuracy": 0}, {"confidence": 100, "accuracy": 100}]
    diagonal = alt.Chart(alt.InlineData(values=ideal)).mark_line(strokeDash=[4, 4], color="#8c959f", strokeWidth=1.5).encode(x=x, y=y)
    base = alt.Chart(alt.InlineData(values=records)).encode(x=x, y=y, color=styles.color(), detail="cell:N")
    size = alt.Size("share:Q", title="share of pixels", legend=None, scale=alt.Scale(range=[25, 220]))
    curves = base.mark_line(strokeWidth=2).encode(strokeDash=styles.dash())
    layered = alt.layer(diagonal, curves, base.mark_point(filled=True, opacity=0.9).encode(size=size)).properties(width=_SIDE, height=_SIDE)
    chart: alt.LayerChart = layered.configure(**THEME).properties(background="#ffffff", padding=16)
    return chart
