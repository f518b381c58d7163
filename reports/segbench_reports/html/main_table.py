"""The main table for the page: the texts of every cell, and the numbers by which the page sorts and compares them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from segbench import Comparison, RunResult, ShownValue
from segbench_reports.html.embed import printable, rounded
from segbench_reports.text import numbers
from segbench_reports.text.verdicts import effect, in_words, interval_words
from segbench_reports.view.cells import cell_name
from segbench_reports.view.comparisons import between
from segbench_reports.view.main_table import Column, Row, Table, relative_to

_MOST_COMPARISONS = 6000
_NAME = 80
_SHORT_NAME = 44


@dataclass(frozen=True)
class TableCell:
    """One figure as it stands in the table; ``mark`` is best, second or nothing."""

    text: str
    relative: str = ""
    mark: str = ""
    interval: str = ""


@dataclass(frozen=True)
class Line:
    """One row; ``name`` is its whole name, ``labels`` its leading columns."""

    name: str
    labels: Sequence[str]
    cells: Sequence[TableCell]
    kind: str
    ranked: bool
    status: str = ""


@dataclass(frozen=True)
class Heading:
    """A column of figures: its title, unit, and what the number means."""

    key: str
    title: str
    unit: str
    meaning: str


def row_names(table: Table) -> list[str]:
    """The rows' whole names, made different where they are not."""
    names = [printable(_row_name(row, table), _NAME) for row in table.rows]
    return [f"{name} ({place})" if names.count(name) > 1 else name for place, name in enumerate(names, 1)]


def headings(table: Table) -> list[Heading]:
    """The columns of figures, in the table's order."""
    return [Heading(c.key, printable(c.title), c.unit, _meaning(c)) for c in table.columns]


def lines(table: Table) -> list[Line]:
    """All rows as text; ratios are to the table's own reference."""
    return [_line(row, name, table) for row, name in zip(table.rows, row_names(table), strict=True)]


def table_data(result: RunResult, table: Table) -> dict[str, Any]:
    """Data with which the page sorts, compares with another baseline and copies."""
    names = row_names(table)
    return {
        "axes": list(table.axes),
        "columns": [
            {
                "key": c.key,
                "title": printable(c.title),
                "unit": c.unit,
                "better": c.metric.better,
                "compare": c.compare,
                "exact": c.is_exact,
            }
            for c in table.columns
        ],
        "rows": [
            {
                "name": name,
                "ranked": row.ranked,
                "figures": [_number(row.figures.get(column.key), column) for column in table.columns],
            }
            for row, name in zip(table.rows, names, strict=True)
        ],
        "reference": next((place for place, row in enumerate(table.rows) if row is table.reference), None),
        "comparisons": _comparisons(result, table),
    }


def winners(table: Table) -> list[tuple[str, str, str]]:
    """The best rows by question: (question, names, figure), only where digits or verdicts tell rows apart."""
    answers = []
    axes = [axis for axis in table.axes if axis != "seed"]
    for column in table.columns:
        question = column.layout.question
        best = [row for row in table.rows if table.mark(row, column) == "best"]
        if question and best and len(best) < len([row for row in table.rows if row.competes]):
            names = numbers.listed([printable(cell_name(row.cell, axes), _SHORT_NAME) for row in best[:3]])
            more = f" and {len(best) - 3} more" if len(best) > 3 else ""
            top = (max if column.metric.better == "higher" else min)(
                (row.figures[column.key] for row in best), key=lambda figure: figure.value
            )
            unit = column.unit if column.is_share else column.unit.partition(",")[0]
            answers.append((question, names + more, f"{column.text(top)} {unit}"))
    return answers


def _row_name(row: Row, table: Table) -> str:
    axes = [axis for axis in table.axes if axis != "seed"] if row.kind == "mean" else table.axes
    name = cell_name(row.cell, axes)
    return f"{name}, {row.labels['seed']}" if row.kind == "mean" else name


def _meaning(column: Column) -> str:
    return re.sub(r"\*\*(.+?)\*\*", r"\1", column.metric.meaning).strip()


def _line(row: Row, name: str, table: Table) -> Line:
    cells = [_cell(row, column, table) for column in table.columns]
    labels = [printable(row.labels[axis], _NAME) or numbers.NOT_MEASURED for axis in table.axes]
    return Line(name, labels, cells, row.kind, row.ranked, "" if row.cell.status == "ok" else row.cell.status)


def _cell(row: Row, column: Column, table: Table) -> TableCell:
    figure = row.figures.get(column.key)
    return TableCell(column.text(figure), table.relative_text(row, column), table.mark(row, column), column.interval_text(figure))


def _number(figure: ShownValue | None, column: Column) -> list[Any] | None:
    """Value and spread in the column's unit; None where nothing was measured, or a lower bound only."""
    if figure is None or figure.at_least:
        return None
    scale = column.metric.scale
    return [round(figure.value * scale, 6), None if figure.spread is None else rounded(figure.spread * scale)]


def _comparisons(result: RunResult, table: Table) -> list[list[Any]]:
    """The run's comparisons between two rows, both ways: column, row, baseline, text below the figure, and the verdict in words."""
    ranked = [(place, row) for place, row in enumerate(table.rows) if row.competes]
    noisy = [column for column in table.columns if column.compare and not column.is_exact]
    entries: list[list[Any]] = []
    for column in noisy:
        for (place, row), (other_place, other) in itertools.permutations(ranked, 2):
            comparison = between(result, column.metric.name, row.side, other.side)
            if comparison is not None:
                entries.append([column.key, place, other_place, relative_to(result, row, other, column), _explained(comparison)])
    return entries[:_MOST_COMPARISONS]


def _explained(comparison: Comparison) -> str:
    scope = f", {comparison.scope}" if comparison.scope else ""
    interval = interval_words(comparison)
    figures = f"{effect(comparison)} ({interval}): " if interval else ""
    return printable(f"{figures}{in_words(comparison)}{scope}")
