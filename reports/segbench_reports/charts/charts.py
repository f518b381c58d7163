"""Learning curves and mIoU against cost, drawn by Altair: one definition gives SVG, PNG or interactive HTML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segbench import CellResult, Epoch, RunResult, counted_classes, only_class_of
from segbench_reports.charts.names import ChartNames, short_name
from segbench_reports.text import numbers
from segbench_reports.view.cells import finite, single_latency
from segbench_reports.view.learned import chart_note

if TYPE_CHECKING:
    import altair as alt

INSTALL = "pip install 'segbench[report]'"

COLORS = ("#0b6fb8", "#d1520a", "#12866a", "#a8468f", "#9a7400", "#4aa3d8", "#6b4fb3", "#8a4b35", "#5c6a70", "#c2185b")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4], [4, 1])
_SHAPES = ("circle", "diamond", "triangle-up", "square", "cross", "triangle-down")
_FONT = "Helvetica, Arial, sans-serif"
_INK, _GREY, _GRID = "#1f2328", "#57606a", "#e4e7eb"
_WIDTH = 860
_PANEL_GAP = 92
_LEAST_SPAN = 6.0

Record = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """One plot: its records, title, the field on its vertical axis and that axis' title."""

    records: list[Record]
    title: str
    key: str
    axis: str
    zero: bool


def available() -> bool:
    """True where the extra ``report`` (Altair and vl-convert) is installed."""
    try:
        import altair  # noqa: F401
        import vl_convert  # noqa: F401
    except ImportError:
        return False
    return True


def learning_curves(result: RunResult) -> alt.HConcatChart | alt.VConcatChart | None:
    """Validation mIoU and, for each loss by itself, training loss per epoch; None where no cell has a history."""
    names = ChartNames.of(result)
    panels = [panel for panel in _curve_panels(result, names) if panel.records]
    if not panels:
        return None
    styles = Styles.of(names)
    columns = len(panels) if len(panels) < 4 else 2
    width = (_WIDTH - _PANEL_GAP * (columns - 1)) // columns
    return _arranged([_curve(panel, styles, width) for panel in panels], columns)


def curves_caption(result: RunResult) -> str:
    """What the panels of :func:`learning_curves` show, without a full stop."""
    keys = {panel.key for panel in _curve_panels(result, ChartNames.of(result)) if panel.records}
    shown = " and ".join(words for key, words in (("val_miou", "validation mIoU"), ("train_loss", "training loss")) if key in keys)
    dot = f"; {KEPT_DOT}" if marks_kept_epoch(result) else ""
    return f"{shown[:1].upper()}{shown[1:]} by epoch{dot}{_over_classes(result)}"


def _over_classes(result: RunResult) -> str:
    """The number of classes that validation scores are averaged over, where not all have labels in that split."""
    rows = [row for cell in result.cells if cell.training for row in cell.training.history]
    counts = {(row.val_classes_averaged, row.val_classes) for row in rows if row.val_classes_averaged and row.val_classes}
    few = [counted_classes(averaged, total) for averaged, total in sorted(counts) if averaged < total]
    return f"; mIoU is the mean over {numbers.listed(few)}" if few else ""


def marks_kept_epoch(result: RunResult) -> bool:
    """True where a dot stands on a curve of scores."""
    return any(record["best"] for record in _scores(result.cells, ChartNames.of(result)))


def miou_against_cost(result: RunResult) -> alt.HConcatChart | alt.VConcatChart | None:
    """mIoU over parameters, MACs and latency, each from zero; None where fewer than two cells have a score."""
    names = ChartNames.of(result)
    styles = Styles.of(names)
    records = _cost_records(result, names)
    used = _used_costs(records)
    if not used or len(records) < 2:
        return None
    width = (_WIDTH - _PANEL_GAP * (len(used) - 1)) // len(used)
    plots = [_scatter([r for r in records if key in r], key, title, styles, width) for key, title in used]
    return _arranged(plots, len(used))


def cost_caption(result: RunResult) -> str:
    """What the panels of :func:`miou_against_cost` show, without a full stop."""
    costs = [title.partition(" (")[0].partition(",")[0] for _, title in _used_costs(_cost_records(result, ChartNames.of(result)))]
    return f"mIoU over {numbers.listed(costs)}{chart_note(result, result.cells)}"


SCORES = "Validation mIoU"
KEPT_DOT = "the dot marks the epoch that was kept"
_COSTS = {"params": "parameters (M)", "macs": "MACs (G)", "latency": "latency, batch 1 (ms)"}


@dataclass(frozen=True)
class Styles:
    """One colour per model and one dash and mark per variant, the same in all charts of a run."""

    models: Sequence[str]
    variants: Sequence[str]
    varied: str

    @staticmethod
    def of(names: ChartNames) -> Styles:
        return Styles(list(names.models.values()), list(names.variants.values()), ", ".join(axis for axis in names.axes if axis != "model"))

    def color(self) -> alt.Color:
        import altair as alt

        scale = alt.Scale(domain=list(self.models), range=list(_cycled(COLORS, len(self.models))))
        return alt.Color("model:N", scale=scale, legend=self._legend("model", self.models, symbolType="circle"))

    def dash(self) -> alt.StrokeDash | alt.Undefined:
        import altair as alt

        if len(self.variants) < 2:
            return alt.Undefined
        scale = alt.Scale(domain=list(self.variants), range=list(_cycled(DASHES, len(self.variants))))
        return alt.StrokeDash("variant:N", scale=scale, legend=self._legend(self.varied, self.variants, symbolType="stroke"))

    def shape(self) -> Any:
        import altair as alt

        if len(self.variants) < 2:
            return alt.Undefined
        scale = alt.Scale(domain=list(self.variants), range=list(_cycled(_SHAPES, len(self.variants))))
        return alt.Shape(
            "variant:N",
            scale=scale,
            legend=self._legend(self.varied, self.variants, symbolFillColor=_GREY, symbolStrokeColor=_GREY),
        )

    def _legend(self, title: str, names: Sequence[str], **style: Any) -> alt.Legend:
        import altair as alt

        widest = 40 + 7 * max(map(len, names))
        room = _WIDTH - 80 if len(self.variants) < 2 else _WIDTH // 2 - 80
        columns = max(1, min(len(names), room // widest))
        return alt.Legend(title=title, titleOrient="left", orient="bottom", direction="horizontal", columns=columns, **style)


def _cycled(values: Sequence[Any], count: int) -> Iterable[Any]:
    return (values[i % len(values)] for i in range(count))


def _curve_panels(result: RunResult, names: ChartNames) -> Iterable[Panel]:
    cells = [cell for cell in result.cells if cell.training and cell.training.history]
    yield Panel(_scores(cells, names), SCORES, "val_miou", "mIoU (%)", zero=False)
    losses = list(dict.fromkeys(cell.loss or "" for cell in cells))
    for loss in losses[:3]:
        # losses of different kinds have different units: each gets axes of its own
        records = _epochs([cell for cell in cells if (cell.loss or "") == loss], names, "train_loss")
        title = f"Training loss: {short_name(loss)}" if len(losses) > 1 and loss else "Training loss"
        yield Panel(records, title, "train_loss", "loss", zero=True)


def _scores(cells: Iterable[CellResult], names: ChartNames) -> list[Record]:
    return _epochs(cells, names, "val_miou", scale=100.0)


def _epochs(cells: Iterable[CellResult], names: ChartNames, key: str, scale: float = 1.0) -> list[Record]:
    records = []
    for cell in cells:
        history: Sequence[Epoch] = cell.training.history if cell.training else []
        best = cell.training.best_epoch if cell.training else None
        for row in history:
            value = finite(getattr(row, key))
            if value is not None:
                records.append({**names.identity(cell), "epoch": row.epoch, key: value * scale, "best": row.epoch == best})
    return records


def _cost_records(result: RunResult, names: ChartNames) -> list[Record]:
    scored = [cell for cell in result.cells if cell.quality and finite(cell.quality.miou) is not None]
    return [_cost_record(cell, names) for cell in scored if only_class_of(cell) is None]


def _used_costs(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Keys and titles of the costs that a record has."""
    return [(key, title) for key, title in _COSTS.items() if any(key in record for record in records)]


def _cost_record(cell: CellResult, names: ChartNames) -> Record:
    entry = single_latency(cell)
    latency = finite(entry.p50_ms) if entry else None
    record = {
        "miou": 100 * cell.quality.miou if cell.quality and cell.quality.miou is not None else None,
        "params": None if cell.params is None else cell.params / 1e6,
        "macs": None if cell.macs is None else cell.macs / 1e9,
        "latency": latency,
    }
    if entry and latency is not None and entry.ci95_ms:
        record |= {"latency_low": entry.ci95_ms[0], "latency_high": entry.ci95_ms[1]}
    return names.identity(cell) | {key: value for key, value in record.items() if value is not None}


def _curve(panel: Panel, styles: Styles, width: int) -> alt.LayerChart:
    import altair as alt

    last = max(record["epoch"] for record in panel.records)
    base = alt.Chart(alt.InlineData(values=panel.records)).encode(
        x=alt.X("epoch:Q", title="epoch", scale=alt.Scale(domain=[min(1, last - 1), last], nice=False), axis=_epoch_axis(last)),
        y=alt.Y(f"{panel.key}:Q", title=panel.axis, scale=alt.Scale(domain=_score_domain(panel)), axis=alt.Axis(tickCount=6)),
        color=styles.color(),
        detail="cell:N",
    )
    few = {"point": alt.OverlayMarkDef(size=30)} if last <= 3 else {}
    layers = [base.mark_line(strokeWidth=2, **few).encode(strokeDash=styles.dash())]
    if panel.key == "val_miou":
        layers.append(base.mark_point(filled=True, size=70, opacity=1).transform_filter("datum.best"))
    chart: alt.LayerChart = alt.layer(*layers).properties(width=width, height=250, title=panel.title)
    return chart


def _score_domain(panel: Panel) -> list[float] | alt.UndefinedType:
    """The domain of the vertical axis: scores between multiples of ten, losses from zero to a round number."""
    import altair as alt

    values = [record[panel.key] for record in panel.records]
    if panel.zero:
        return alt.Undefined
    return [math.floor(min(values) / 10) * 10, max(math.ceil(max(values) / 10), math.floor(min(values) / 10) + 1) * 10]


def _epoch_axis(last: int) -> alt.Axis:
    """An axis with ticks at whole epochs: all of up to eight, else about five."""
    import altair as alt

    few = {"values": list(range(1, last + 1))} if last <= 8 else {"tickCount": 5}
    return alt.Axis(format="d", **few)


def _scatter(records: Sequence[Record], key: str, title: str, styles: Styles, width: int) -> alt.LayerChart:
    import altair as alt

    widest = max(float(record.get(f"{key}_high") or record[key]) for record in records)
    x_scale = alt.Scale(domain=[0, widest * 1.08 or 1], nice=False)
    x_axis = alt.Axis(tickCount=6)
    y = alt.Y(
        "miou:Q", title="mIoU (%)", scale=alt.Scale(domain=_score_range([record["miou"] for record in records])), axis=alt.Axis(tickCount=6)
    )
    base = alt.Chart(alt.InlineData(values=list(records))).encode(y=y, color=styles.color())
    x = alt.X(f"{key}:Q", title=title, scale=x_scale, axis=x_axis)
    layers = [base.mark_point(filled=True, size=120, opacity=0.9).encode(x=x, shape=styles.shape())]
    if any(f"{key}_high" in record for record in records):
        low = alt.X(f"{key}_low:Q", title=title, scale=x_scale, axis=x_axis)
        layers.insert(0, base.mark_rule(strokeWidth=1.5).encode(x=low, x2=f"{key}_high:Q"))
    chart: alt.LayerChart = alt.layer(*layers).properties(width=width, height=240)
    return chart


def _score_range(values: Sequence[float]) -> list[float]:
    """The domain of an axis of scores: around the values, and wide enough that small differences look small."""
    low, high = min(values), max(values)
    margin = max((_LEAST_SPAN - (high - low)) / 2, 0.08 * (high - low))
    return [max(0.0, low - margin), min(100.0, high + margin)]


def _arranged(plots: Sequence[alt.LayerChart], columns: int) -> alt.HConcatChart | alt.VConcatChart:
    import altair as alt

    rows = [alt.hconcat(*plots[i : i + columns], spacing=30) for i in range(0, len(plots), columns)]
    chart: alt.HConcatChart | alt.VConcatChart = rows[0] if len(rows) == 1 else alt.vconcat(*rows, spacing=30)
    chart = chart.resolve_scale(color="shared", shape="shared", strokeDash="shared")
    finished: alt.HConcatChart | alt.VConcatChart = chart.configure(**THEME).properties(background="#ffffff", padding=16)
    return finished


THEME: dict[str, Any] = {
    "font": _FONT,
    "view": {"stroke": None},
    "title": {"anchor": "start", "frame": "group", "fontSize": 15, "fontWeight": 600, "color": _INK, "offset": 12},
    "axis": {
        "labelColor": _GREY,
        "titleColor": _INK,
        "labelFontSize": 12,
        "titleFontSize": 13,
        "titleFontWeight": "normal",
        "titlePadding": 10,
        "gridColor": _GRID,
        "domainColor": "#afb8c1",
        "tickColor": "#afb8c1",
        "labelOverlap": True,
        "labelFlush": False,
    },
    "axisX": {"labelSeparation": 8},
    "legend": {
        "titleColor": _GREY,
        "titleFontSize": 13,
        "titleFontWeight": "normal",
        "labelColor": _INK,
        "labelFontSize": 13,
        "labelLimit": 0,
        "symbolSize": 110,
        "symbolStrokeWidth": 2,
        "columnPadding": 24,
        "padding": 10,
        "offset": 8,
        "titlePadding": 10,
    },
}
