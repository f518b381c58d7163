"""The heat map of IoU per class and row, which the page can change to differences from a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segbench import RunResult
from segbench_reports.html.embed import printable
from segbench_reports.html.main_table import row_names
from segbench_reports.text import numbers
from segbench_reports.view.cells import finite, group_key
from segbench_reports.view.main_table import Row, Table


@dataclass(frozen=True)
class ClassTable:
    """IoU per class of the ranked rows; ``rows`` are (place in the main table, name, IoU per class)."""

    classes: Sequence[str]
    pixels: Sequence[str]
    rows: Sequence[tuple[int, str, Sequence[float | None]]]

    @property
    def numbers(self) -> dict[str, list[float | None]]:
        """Per cent per class, by the row's place in the main table."""
        return {str(place): [None if v is None else round(100 * v, 2) for v in values] for place, _, values in self.rows}

    @property
    def texts(self) -> list[tuple[int, str, list[str]]]:
        """The rows with their values as text."""
        return [(p, name, [numbers.NOT_MEASURED if v is None else numbers.percent(v) for v in values]) for p, name, values in self.rows]


def class_table(result: RunResult, table: Table) -> ClassTable | None:
    """The table of the ranked rows that have scores per class; None where there are none."""
    rows = []
    for place, (row, name) in enumerate(zip(table.rows, row_names(table), strict=True)):
        values = _values(result, row) if row.ranked else []
        if any(value is not None for value in values):
            rows.append((place, name, values))
    first = next((c.quality for c in result.cells if c.quality and c.quality.class_names), None)
    if first is None or not rows:
        return None
    names = [printable(name, 40) for name in first.class_names]
    total = sum(first.label_pixels_per_class)
    counted = total and len(first.label_pixels_per_class) == len(names)
    pixels = [numbers.significant(100 * n / total, 2) for n in first.label_pixels_per_class] if counted else []
    return ClassTable(names, pixels, [(p, name, [*values, *[None] * len(names)][: len(names)]) for p, name, values in rows])


def _values(result: RunResult, row: Row) -> list[float | None]:
    cells = [c for c in result.cells if group_key(c) == group_key(row.cell)] if row.kind == "mean" else [row.cell]
    lists = [cell.quality.iou_per_class for cell in cells if cell.quality]
    columns = [[value for value in column if value is not None and finite(value) is not None] for column in zip(*lists, strict=False)]
    return [sum(column) / len(column) if column else None for column in columns]
