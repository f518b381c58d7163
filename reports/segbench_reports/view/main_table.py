"""The main table as data: rows are cells, columns are figures; every format draws the same one."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from segbench import METRICS, CellResult, Metric, RunResult, SeedSummary, ShownValue, TableColumn
from segbench_reports.text import numbers
from segbench_reports.view.cells import axis_text, group_key, throughput, varying_axes


@dataclass(frozen=True)
class Column:
    """A metric's column in the table of one run; ``title`` and ``unit`` name the run's headline class and batch."""

    metric: Metric
    title: str
    unit: str

    @property
    def layout(self) -> TableColumn:
        """The metric's entry for this table."""
        return self.metric.column or TableColumn()

    @property
    def key(self) -> str:
        return self.metric.column_key

    @property
    def compare(self) -> Literal["ratio", "points"] | None:
        """The comparison with the first row that stands below a value."""
        return self.metric.compare if self.layout.relative else None

    @property
    def is_share(self) -> bool:
        """Printed in per cent, with the deviation over seeds."""
        return self.metric.unit == "%"

    def text(self, figure: ShownValue | None) -> str:
        """The figure in the column's unit, an en dash where nothing was measured."""
        if figure is None:
            return numbers.NOT_MEASURED
        if self.is_share:
            spread = "" if figure.spread is None else f" ±{numbers.percent(figure.spread)}"
            return numbers.percent(figure.value) + spread
        value = figure.value * self.metric.scale
        if figure.spread is None or self.layout.quiet:
            return numbers.significant(value)
        return numbers.margin(value, figure.spread * self.metric.scale)


@dataclass(frozen=True)
class Row:
    """A cell, or the mean over the seeds of one. ``relative`` is against the table's reference row; ``best`` names columns."""

    cell: CellResult
    labels: Mapping[str, str]
    figures: Mapping[str, ShownValue]
    kind: Literal["cell", "mean"] = "cell"
    ranked: bool = True
    best: frozenset[str] = frozenset()
    relative: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Columns that have at least one figure, rows that have at least one, and the row to which ratios refer."""

    axes: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    reference: Row | None = None

    @property
    def main(self) -> tuple[Row, ...]:
        """One row for each thing compared: a cell, or the mean over its seeds."""
        return tuple(row for row in self.rows if row.ranked)

    @property
    def single_seeds(self) -> tuple[Row, ...]:
        """The cells behind the means."""
        return tuple(row for row in self.rows if not row.ranked)

    def mark(self, row: Row, column: Column) -> Literal["best", "second", ""]:
        """Best or second best of a column, as far as digits and intervals tell."""
        if column.key in row.best:
            return "best"
        figure = row.figures.get(column.key)
        if figure is None or not row.ranked:
            return ""
        return "second" if _bare(column, figure) == self._seconds[column.key] else ""

    @functools.cached_property
    def _seconds(self) -> Mapping[str, str]:
        """The next value after the best ones as text, by column; nothing where it is the last as well."""
        return {column.key: self._second(column) for column in self.columns}

    def _second(self, column: Column) -> str:
        left = [row.figures[column.key] for row in self.main if column.key in row.figures and column.key not in row.best]
        if not any(column.key in row.best for row in self.rows) or len({_bare(column, figure) for figure in left}) < 2:
            return ""
        return _bare(column, (max if column.metric.better == "higher" else min)(left, key=lambda figure: figure.value))

    def relative_text(self, row: Row, column: Column) -> str:
        """``×0.37`` or ``−1.2``; empty for the reference itself, for equal costs and where there is nothing to compare."""
        value = row.relative.get(column.key)
        if value is None or (column.compare == "ratio" and value == 1):
            return ""
        return numbers.points(value) if column.compare == "points" else numbers.times(value)


def main_table(result: RunResult) -> Table:
    """The comparison of all cells that have something to show, with means over seeds where there are several."""
    axes = varying_axes(result.cells)
    columns = _columns(result)
    rows = [_cell_row(cell, axes, columns) for cell in result.cells]
    rows = _with_means([row for row in rows if row.figures], axes, columns, result.seeds)
    columns = tuple(column for column in columns if any(column.key in row.figures for row in rows))
    ranked = [row for row in rows if row.ranked]
    reference = ranked[0] if len(ranked) > 1 else None
    tops = {column.key: _top(ranked, column) for column in columns}
    judged = tuple(_judged(row, tops, reference, columns) for row in rows)
    return Table(axes, columns, judged, None if reference is None else judged[rows.index(reference)])


def _columns(result: RunResult) -> tuple[Column, ...]:
    headline = next((c.quality.headline_class for c in result.cells if c.quality and c.quality.headline_class), None)
    batches = sorted({entry.batch_size for entry in map(throughput, result.cells) if entry})
    batch = "/".join(map(str, batches))
    return tuple(_column(metric, headline, batch) for metric in METRICS.columns)


def _column(metric: Metric, headline: str | None, batch: str) -> Column:
    return Column(metric, metric.heading(str(headline)), metric.column_unit.format(batch=batch))


def _cell_row(cell: CellResult, axes: Sequence[str], columns: Sequence[Column]) -> Row:
    read = {column.key: column.metric.value(cell) for column in columns}
    figures = {key: figure for key, figure in read.items() if figure is not None}
    return Row(cell, {axis: axis_text(cell, axis) for axis in axes}, figures)


def _with_means(rows: Sequence[Row], axes: Sequence[str], columns: Sequence[Column], known: Sequence[SeedSummary]) -> list[Row]:
    """The rows in order; after the last seed of a group its mean. Single seeds of such a group are not ranked."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(group_key(row.cell), []).append(row)
    ordered: list[Row] = []
    for group in groups.values():
        several = len({row.cell.seed for row in group}) > 1
        ordered += [replace(row, ranked=not several) for row in group]
        if several:
            ordered.append(_mean_row(group, axes, columns, known))
    return ordered


def _mean_row(group: Sequence[Row], axes: Sequence[str], columns: Sequence[Column], known: Sequence[SeedSummary]) -> Row:
    labels = {axis: group[0].labels[axis] for axis in axes} | {"seed": f"mean of {len(group)}"}
    figures = {}
    for column in columns:
        measured = [row.figures[column.key] for row in group if column.key in row.figures]
        values = [figure.value for figure in measured]
        if measured and not column.is_share and len(set(measured)) == 1:
            figures[column.key] = measured[0]  # measured once for all seeds
        elif measured:
            spread = statistics.stdev(values) if column.is_share and len(values) > 1 else None
            figures[column.key] = ShownValue(statistics.fmean(values), spread, _interval(group, column, known))
    return Row(group[0].cell, labels, figures, kind="mean")


def _interval(group: Sequence[Row], column: Column, known: Sequence[SeedSummary]) -> tuple[float, float] | None:
    """The interval of the mean over these cells, as the run has it."""
    cells = {row.cell.id for row in group if column.key in row.figures}
    seeds = next((summary for summary in known if summary.quantity == column.metric.name and set(summary.cells) == cells), None)
    return None if seeds is None or seeds.low is None or seeds.high is None else (seeds.low, seeds.high)


def _judged(row: Row, tops: Mapping[str, ShownValue | None], reference: Row | None, columns: Sequence[Column]) -> Row:
    if reference is None or not row.ranked:
        return row
    best = frozenset(column.key for column in columns if _is_best(row, tops[column.key], column))
    relative = {} if row is reference else {c.key: value for c in columns if (value := _relative(row, reference, c)) is not None}
    return replace(row, best=best, relative=relative)


def _top(ranked: Sequence[Row], column: Column) -> ShownValue | None:
    """The best figure of a column; None where all are alike or none can be better."""
    figures = [row.figures[column.key] for row in ranked if column.key in row.figures]
    if column.metric.better is None or len({_bare(column, figure) for figure in figures}) < 2:
        return None
    return (max if column.metric.better == "higher" else min)(figures, key=lambda figure: figure.value)


def _is_best(row: Row, top: ShownValue | None, column: Column) -> bool:
    """True where no row is better, as far as the shown digits and the interval can tell."""
    own = row.figures.get(column.key)
    if own is None or top is None:
        return False
    if _bare(column, own) == _bare(column, top):
        return True
    return row.kind == "cell" and overlap(own, top)


def _bare(column: Column, figure: ShownValue) -> str:
    return column.text(ShownValue(figure.value))


def overlap(one: ShownValue, other: ShownValue) -> bool:
    """True where two intervals meet; False where either has none."""
    if one.spread is None or other.spread is None:
        return False
    return abs(one.value - other.value) <= one.spread + other.spread


def _relative(row: Row, reference: Row, column: Column) -> float | None:
    own, base = row.figures.get(column.key), reference.figures.get(column.key)
    if own is None or base is None or column.compare is None:
        return None
    if column.compare == "points":
        return own.value - base.value
    return own.value / base.value if base.value > 0 else None
