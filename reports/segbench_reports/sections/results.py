"""The section with the main table: one row per variant, the seeds behind a mean folded."""

from __future__ import annotations

from segbench import RunResult
from segbench_reports.text import numbers
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import bullets, folded, grid
from segbench_reports.view.main_table import MARKS_MEANING, Column, Row, Table
from segbench_reports.view.notes import table_notes


def main(result: RunResult, table: Table) -> str:
    """The main table with its notes: best value per column bold, ratio to the first row below each value."""
    if not table.rows:
        return ""
    headers = [*table.axes, *(_heading(column) for column in table.columns)]
    main_rows, seeds = (
        grid(headers, [[*_labels(row, table), *(_figure(row, column, table) for column in table.columns)] for row in rows], ["left"] * left)
        for rows, left in ((table.main, len(table.axes)), (table.single_seeds, len(table.axes)))
    )
    bold = [f"**Bold**: best of its column; {MARKS_MEANING}."] if table.has_mark("best") else []
    notes = bullets([*bold, *map(markdown, table_notes(result, table))])
    single = folded(f"Each seed by itself: {numbers.counted(len(table.single_seeds), 'cell')}", seeds) if table.single_seeds else ""
    return "\n\n".join(part for part in (main_rows, notes, single) if part)


def _heading(column: Column) -> str:
    return f"{markdown(column.title)}<br>{markdown(column.unit)}"


def _labels(row: Row, table: Table) -> list[str]:
    texts = [markdown(row.labels[axis]) or numbers.NOT_MEASURED for axis in table.axes]
    if row.cell.status != "ok":
        texts[0] += f" ({row.cell.status})"
    return [f"*{text}*" for text in texts] if row.kind == "mean" else texts


def _figure(row: Row, column: Column, table: Table) -> str:
    figure = row.figures.get(column.key)
    text = column.text(figure)
    value = f"**{text}**" if table.mark(row, column) == "best" else text
    interval = column.interval_text(figure)
    parts = (f"95 %: {interval}" if interval else "", table.relative_text(row, column))
    return value + "".join(f"<br><sub>{part}</sub>" for part in parts if part)
