"""Cost against the size of the input: time of one image, and multiply-adds, over megapixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from segbench import RunResult
from segbench_reports.cells import EAGER
from segbench_reports.charts import THEME
from segbench_reports.escape import plain
from segbench_reports.raced import Runner, runners
from segbench_reports.wording import elided

if TYPE_CHECKING:
    import altair as alt

_COLORS = ("#0b6fb8", "#d1520a", "#12866a", "#a8468f", "#9a7400", "#4aa3d8", "#6b4fb3", "#8a4b35", "#5c6a70", "#c2185b")
_DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4], [4, 1])
_WIDTH, _HEIGHT, _LONGEST = 390, 240, 48

Record = dict[str, Any]


def cost_against_size(result: RunResult) -> alt.HConcatChart | None:
    """Latency at batch 1 and MACs over the sizes that were swept; None where no model was timed at two sizes."""
    import altair as alt

    found = [runner for runner in runners(result) if len(runner.sizes) > 1]
    if not found:
        return None
    latency = [record for runner in found for record in _latencies(runner)]
    macs = [record for runner in found if runner.form.backend == EAGER for record in _macs(runner)]
    panels = [_panel(latency, "latency, batch 1 (ms)", found)] + ([_panel(macs, "MACs (G)", found)] if macs else [])
    chart: alt.HConcatChart = alt.hconcat(*panels, spacing=30).configure(**THEME).properties(background="#ffffff", padding=16)
    return chart


def _latencies(runner: Runner) -> list[Record]:
    """One point for each size, with its interval."""
    points = []
    for entry in runner.form.latency:
        if entry.batch_size == 1 and entry.p50_ms is not None:
            low, high = entry.ci95_ms or (entry.p50_ms, entry.p50_ms)
            points.append({**_identity(runner), **_place(entry.input_size), "value": entry.p50_ms, "low": low, "high": high})
    return points


def _macs(runner: Runner) -> list[Record]:
    places = {text: tuple(map(int, (text.split("x") * 2)[:2])) for text in runner.cell.macs_at_sizes}
    return [{**_identity(runner), **_place(places[text]), "value": macs / 1e9} for text, macs in runner.cell.macs_at_sizes.items()]


def _identity(runner: Runner) -> Record:
    return {"model": elided(plain(runner.cell.model), _LONGEST), "form": elided(plain(runner.form.backend), _LONGEST)}


def _place(size: Sequence[int]) -> Record:
    return {"megapixels": size[0] * size[1] / 1e6, "size": f"{size[0]}×{size[1]}"}


def _panel(records: Sequence[Record], title: str, found: Sequence[Runner]) -> alt.LayerChart:
    import altair as alt

    models = list(dict.fromkeys(_identity(runner)["model"] for runner in found))
    forms = list(dict.fromkeys(_identity(runner)["form"] for runner in found))
    color = alt.Color(
        "model:N", scale=alt.Scale(domain=models, range=[_COLORS[i % len(_COLORS)] for i in range(len(models))]), legend=_legend("model")
    )
    x = alt.X("megapixels:Q", title="input (megapixels)", scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=6))
    base = alt.Chart(alt.InlineData(values=list(records))).encode(x=x, color=color, detail="form:N")
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=6))
    line = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=45)).encode(y=y)
    if len(forms) > 1:
        dashes = alt.Scale(domain=forms, range=[_DASHES[i % len(_DASHES)] for i in range(len(forms))])
        line = line.encode(strokeDash=alt.StrokeDash("form:N", scale=dashes, legend=_legend("form")))
    layers = [line]
    if any("low" in record for record in records):
        layers.append(base.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q", title=title), y2="high:Q"))
    chart: alt.LayerChart = alt.layer(*layers).properties(width=_WIDTH, height=_HEIGHT)
    return chart


def _legend(title: str) -> alt.Legend:
    import altair as alt

    return alt.Legend(title=title, titleOrient="left", orient="bottom", direction="horizontal", columns=2)
