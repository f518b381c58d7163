"""The main table, and the same predictions under other conventions of scoring."""

from __future__ import annotations

from segbench import CellResult, Quality, RunResult
from segbench_reports import wording
from segbench_reports.cells import cell_name
from segbench_reports.escape import markdown
from segbench_reports.grid import bullets, grid
from segbench_reports.notes import table_notes
from segbench_reports.tables import Column, Row, Table

_CONVENTIONS = {
    "miou": "mIoU",
    "miou_imagewise": "mIoU, image by image",
    "miou_micro": "IoU, pooled (micro)",
    "miou_frequency_weighted": "IoU, frequency weighted",
    "mean_accuracy": "mean class accuracy",
    "pixel_accuracy": "pixel accuracy",
}


def main(result: RunResult, table: Table) -> str:
    """The comparison: best value per column bold, ratio to the first row behind it."""
    if not table.rows:
        return ""
    headers = [*table.axes, *(_heading(column) for column in table.columns)]
    rows = [[*_labels(row, table), *(_figure(row, column, table) for column in table.columns)] for row in table.rows]
    drawn = grid(headers, rows, ["left" for _ in table.axes])
    bold = ["**Bold**: best of its column."] if any(row.best for row in table.rows) else []
    return f"{drawn}\n\n{bullets([*bold, *map(markdown, table_notes(result, table))])}".rstrip()


def conventions(result: RunResult, table: Table) -> str:
    """All scores of each cell that its matrices give."""
    scored = [cell for cell in result.cells if cell.quality]
    keys = [key for key in _CONVENTIONS if any(getattr(cell.quality, key) is not None for cell in scored)]
    if len(keys) < 2:
        return ""
    rows = [[markdown(cell_name(cell, table.axes)), *(_share(cell, key) for key in keys)] for cell in scored]
    return grid(["cell", *(f"{_CONVENTIONS[key]}<br>%" for key in keys)], rows)


def _share(cell: CellResult, key: str) -> str:
    quality: Quality | None = cell.quality
    value = getattr(quality, key)
    return wording.NOT_MEASURED if value is None else wording.percent(value)


def _heading(column: Column) -> str:
    return f"{markdown(column.title)}<br>{markdown(column.unit)}"


def _labels(row: Row, table: Table) -> list[str]:
    texts = [markdown(row.labels[axis]) or wording.NOT_MEASURED for axis in table.axes]
    if row.cell.status != "ok":
        texts[0] += f" ({row.cell.status})"
    return [f"*{text}*" for text in texts] if row.kind == "mean" else texts


def _figure(row: Row, column: Column, table: Table) -> str:
    text = column.text(row.figures.get(column.key))
    relative = table.relative_text(row, column)
    shown = f"**{text}**" if column.key in row.best else text
    return f"{shown}<br><sub>{relative}</sub>" if relative else shown
