"""Cost against the size of the input: time of one image, and multiply-adds, over megapixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from segbench import RunResult
from segbench_reports.charts.charts import COLORS, DASHES, THEME
from segbench_reports.charts.names import short_names
from segbench_reports.view.cells import EAGER
from segbench_reports.view.timed_models import TimedModel, timed_models

if TYPE_CHECKING:
    import altair as alt

_WIDTH, _HEIGHT = 390, 240

Record = dict[str, Any]
Names = Mapping[str, str]


def cost_against_size(result: RunResult) -> alt.HConcatChart | None:
    """Latency at batch 1 and MACs over the sizes that were swept; None where no model was timed at two sizes."""
    import altair as alt

    swept = [timed for timed in timed_models(result) if len(timed.sizes) > 1]
    if not swept:
        return None
    names = short_names([*(timed.cell.model for timed in swept), *(timed.deployment.backend for timed in swept)])
    latency = [record for timed in swept for record in _latencies(timed, names)]
    macs = [record for timed in swept if timed.deployment.backend == EAGER for record in _macs(timed, names)]
    models = [names[model] for model in dict.fromkeys(timed.cell.model for timed in swept)]
    backends = [names[backend] for backend in dict.fromkeys(timed.deployment.backend for timed in swept)]
    panels = [_panel(latency, "latency, batch 1 (ms)", models, backends)] + ([_panel(macs, "MACs (G)", models, backends)] if macs else [])
    chart: alt.HConcatChart = alt.hconcat(*panels, spacing=30).configure(**THEME).properties(background="#ffffff", padding=16)
    return chart


def has_intervals(result: RunResult) -> bool:
    """True where a latency of the chart has an interval."""
    swept = (timed for timed in timed_models(result) if len(timed.sizes) > 1)
    return any(entry.ci95_ms for timed in swept for entry in timed.deployment.latency if entry.batch_size == 1)


def _latencies(timed: TimedModel, names: Names) -> list[Record]:
    """One point for each size, with its interval."""
    points = []
    for entry in timed.deployment.latency:
        if entry.batch_size == 1 and entry.p50_ms is not None:
            low, high = entry.ci95_ms or (entry.p50_ms, entry.p50_ms)
            points.append({**_identity(timed, names), **_size(entry.input_size), "value": entry.p50_ms, "low": low, "high": high})
    return points


def _macs(timed: TimedModel, names: Names) -> list[Record]:
    sizes = {text: tuple(map(int, (text.split("x") * 2)[:2])) for text in timed.cell.macs_at_sizes}
    return [{**_identity(timed, names), **_size(sizes[text]), "value": macs / 1e9} for text, macs in timed.cell.macs_at_sizes.items()]


def _identity(timed: TimedModel, names: Names) -> Record:
    return {"model": names[timed.cell.model], "form": names[timed.deployment.backend]}


def _size(size: Sequence[int]) -> Record:
    return {"megapixels": size[0] * size[1] / 1e6, "size": f"{size[0]}×{size[1]}"}


def _panel(records: Sequence[Record], title: str, models: Sequence[str], backends: Sequence[str]) -> alt.LayerChart:
    import altair as alt

    color = alt.Color(
        "model:N", scale=alt.Scale(domain=models, range=[COLORS[i % len(COLORS)] for i in range(len(models))]), legend=_legend("model")
    )
    x = alt.X("megapixels:Q", title="input (megapixels)", scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=6))
    base = alt.Chart(alt.InlineData(values=list(records))).encode(x=x, color=color, detail="form:N")
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=6))
    line = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=45)).encode(y=y)
    if len(backends) > 1:
        dashes = alt.Scale(domain=backends, range=[DASHES[i % len(DASHES)] for i in range(len(backends))])
        line = line.encode(strokeDash=alt.StrokeDash("form:N", scale=dashes, legend=_legend("form")))
    layers = [line]
    if any("low" in record for record in records):
        layers.append(base.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q", title=title), y2="high:Q"))
    chart: alt.LayerChart = alt.layer(*layers).properties(width=_WIDTH, height=_HEIGHT)
    return chart


def _legend(title: str) -> alt.Legend:
    import altair as alt

    return alt.Legend(title=title, titleOrient="left", orient="bottom", direction="horizontal", columns=2)
