"""The section on conventions of scoring: the same predictions under each of them, and the calibration of their confidence."""

from __future__ import annotations

from segbench import CellResult, Quality, ReportTarget, RunResult
from segbench_reports.charts import charts
from segbench_reports.charts.reliability import CAPTION, reliability_curves
from segbench_reports.text import numbers
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import bullets, grid
from segbench_reports.view.cells import cell_name
from segbench_reports.view.main_table import Table

_CHART = "reliability"

_CONVENTIONS: dict[str, tuple[str, str]] = {
    "miou": ("mIoU", ""),
    "miou_ci95": ("95 % interval", "**95 % interval**: of this checkpoint's mIoU over images like these; other seeds are not in it."),
    "headline_iou": ("IoU {}", ""),
    "miou_imagewise": (
        "mIoU, image by image",
        "**image by image**: each image's mean over its own classes, averaged over images; small objects weigh more.",
    ),
    "miou_worst_decile": ("worst tenth of images", "**worst tenth of images**: the same, over the images that score lowest."),
    "miou_micro": (
        "IoU, pooled (micro)",
        "**pooled (micro)**: all classes' pixels in one count; large classes decide, and it is higher than mIoU nearly always.",
    ),
    "miou_frequency_weighted": ("IoU, frequency weighted", ""),
    "boundary_iou": (
        "boundary IoU",
        "**boundary IoU** (Cheng et al. 2021): mIoU of the strips inside the masks' outlines, 2 % of the image's diagonal wide.",
    ),
    "mean_accuracy": ("mean class accuracy", ""),
    "pixel_accuracy": ("pixel accuracy", ""),
    "ece": (
        "calibration error",
        "**calibration error** (ECE, 15 bins): mean distance between a pixel's highest probability and how often such pixels are right.",
    ),
}


def conventions(result: RunResult, table: Table, target: ReportTarget | None = None) -> str:
    """A table of all scores of each cell, their definitions, and the reliability curves (only with a ``target``)."""
    scored = [cell for cell in result.cells if cell.quality]
    keys = [key for key in _CONVENTIONS if any(getattr(cell.quality, key) is not None for cell in scored)]
    if len(keys) < 2:
        return ""
    headline = next((cell.quality.headline_class for cell in scored if cell.quality and cell.quality.headline_class), "")
    headers = ["cell", *(f"{_CONVENTIONS[key][0].format(markdown(headline))}<br>%" for key in keys)]
    rows = [[markdown(cell_name(cell, table.axes)), *(_share(cell, key) for key in keys)] for cell in scored]
    definitions = [_CONVENTIONS[key][1] for key in keys if _CONVENTIONS[key][1]]
    return "\n\n".join(part for part in (grid(headers, rows), bullets(definitions), _chart(result, target)) if part)


def _share(cell: CellResult, key: str) -> str:
    quality: Quality | None = cell.quality
    value = getattr(quality, key)
    if value is None:
        return numbers.NOT_MEASURED
    return numbers.shares(value) if key == "miou_ci95" else numbers.percent(value)


def _chart(result: RunResult, target: ReportTarget | None) -> str:
    if target is None or not charts.available():
        return ""
    chart = reliability_curves(result)
    if chart is None:
        return ""
    target.directory.mkdir(parents=True, exist_ok=True)
    chart.save(str(target.directory / f"{_CHART}.svg"))
    return f"![{CAPTION}]({_CHART}.svg)\n\n<sub>{CAPTION}.</sub>"
