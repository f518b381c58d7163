"""The section on conventions of scoring: the same predictions under each of them, and the calibration of their confidence."""

from __future__ import annotations

from collections.abc import Sequence

from segbench import CellResult, Quality, ReportTarget, RunResult, metric, only_masks
from segbench_reports.charts import charts
from segbench_reports.charts.reliability import CAPTION, reliability_curves
from segbench_reports.text import numbers
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import bullets, grid
from segbench_reports.view.cells import cell_name
from segbench_reports.view.learned import class_notes
from segbench_reports.view.main_table import Table

_CHART = "reliability"


def _convention(name: str) -> tuple[str, str]:
    """Title and note of a score; what the main table shows is explained there."""
    score = metric(name)
    return score.heading("{}"), "" if score.column else score.meaning


_CONVENTIONS: dict[str, tuple[str, str]] = {
    "miou": _convention("miou"),
    "miou_ci95": ("95 % interval", "**95 % interval**: of this checkpoint's mIoU over images like these; other seeds are not in it."),
    **{
        name: _convention(name)
        for name in (
            "headline_iou", "miou_imagewise", "miou_worst_decile", "miou_micro", "miou_frequency_weighted", "boundary_iou",
            "boundary_iou_uncut", "mean_accuracy", "pixel_accuracy", "ece",
        )
    },
}  # fmt: skip


def conventions(result: RunResult, table: Table, target: ReportTarget | None = None) -> str:
    """A table of all scores of each cell, their definitions, and the reliability curves (only with a ``target``)."""
    scored = [cell for cell in result.cells if cell.quality]
    plugins = list(dict.fromkeys(name for cell in scored if cell.quality for name in cell.quality.metrics))
    keys = [key for key in _CONVENTIONS if any(_is_shown(cell.quality, key) for cell in scored if cell.quality)]
    if len(keys) + len(plugins) < 2:
        return ""
    headline = next((cell.quality.headline_class for cell in scored if cell.quality and cell.quality.headline_class), "")
    headers = ["cell", *(f"{_CONVENTIONS[key][0].format(markdown(headline))}<br>%" for key in keys)]
    headers += ["<br>".join(filter(None, (markdown(metric(name).title), markdown(metric(name).unit)))) for name in plugins]
    rows = [
        [markdown(cell_name(cell, table.axes)), *(_share(cell, key) for key in keys), *(_plugin_score(cell, name) for name in plugins)]
        for cell in scored
    ]
    definitions = [markdown(note) for note in class_notes(result)]
    notes = {key: _CONVENTIONS[key][1] for key in keys if _CONVENTIONS[key][1]}
    if "miou_ci95" in notes and only_masks(scored):
        notes["miou_ci95"] = "**95 % interval**: of these masks' mIoU over images like these."
    definitions += [note + _drawn(scored, table, key) for key, note in notes.items()]
    definitions += [note for name in plugins for note in _plugin_notes(scored, table, name)]
    return "\n\n".join(part for part in (grid(headers, rows), bullets(definitions), _chart(result, target)) if part)


def _is_shown(quality: Quality, key: str) -> bool:
    return getattr(quality, key) is not None or (key == "miou_ci95" and bool(quality.miou_ci95_reason))


def _drawn(scored: Sequence[CellResult], table: Table, key: str) -> str:
    """What was resampled for the intervals, or why there is none: once where it is the same for all cells, else of which."""
    if key != "miou_ci95":
        return ""
    cells: dict[str, list[str]] = {}
    for cell in scored:
        assert cell.quality is not None
        reason = f"none: {cell.quality.miou_ci95_reason}" if cell.quality.miou_ci95_reason else ""
        if reason or cell.quality.miou_ci95_method:
            cells.setdefault(reason or f"{cell.quality.miou_ci95_method}", []).append(markdown(cell_name(cell, table.axes)))
    whose = {text: f" ({', '.join(names)})" if len(cells) > 1 else "" for text, names in cells.items()}
    return "".join(f" {text[0].upper()}{text[1:]}{names}." for text, names in whose.items())


def _share(cell: CellResult, key: str) -> str:
    quality: Quality | None = cell.quality
    value = getattr(quality, key)
    if value is None:
        return numbers.NOT_MEASURED
    return numbers.shares(value) if key == "miou_ci95" else numbers.percent(value)


def _plugin_score(cell: CellResult, name: str) -> str:
    """A plugin's score with its interval over images."""
    score = cell.quality.metrics.get(name) if cell.quality else None
    if score is None or score.value is None:
        return numbers.NOT_MEASURED
    values = [score.value, *(score.ci95 or ())]
    value, *ends = [numbers.percent(one) if score.unit == "%" else numbers.fixed(one, score.digits) for one in values]
    return f"{value} ({' to '.join(ends)})" if ends else value


def _plugin_notes(scored: Sequence[CellResult], table: Table, name: str) -> list[str]:
    """What a plugin's metric means and what its intervals are of, and for each reason the cells that have no value or no interval."""
    score = metric(name)
    direction = "" if score.better is None else f" {score.better[0].upper()}{score.better[1:]} is better."
    methods = dict.fromkeys(
        own.ci95_method for cell in scored if cell.quality and (own := cell.quality.metrics.get(name)) and own.ci95_method
    )
    drawn = "".join(f" 95 % interval: {method}." for method in methods)
    meaning = markdown(score.meaning.partition("**: ")[2]) or "a plugin's metric"
    reasons: dict[str, list[str]] = {}
    for cell in scored:
        own = cell.quality.metrics.get(name) if cell.quality else None
        why = "" if own is None else own.reason or (f"no interval: {own.ci95_reason}" if own.ci95_reason else "")
        if why:
            reasons.setdefault(why, []).append(cell_name(cell, table.axes))
    missing = [f"**{markdown(score.title)}** of {markdown(', '.join(cells))}: {markdown(why)}." for why, cells in reasons.items()]
    return [f"**{markdown(score.title)}**: {meaning.rstrip('.')}.{direction}{drawn}", *missing]


def _chart(result: RunResult, target: ReportTarget | None) -> str:
    if target is None or not charts.available():
        return ""
    chart = reliability_curves(result)
    if chart is None:
        return ""
    target.directory.mkdir(parents=True, exist_ok=True)
    chart.save(str(target.directory / f"{_CHART}.svg"))
    return f"![{CAPTION}]({_CHART}.svg)\n\n<sub>{CAPTION}.</sub>"
