"""The main table as data: rows are cells, columns are figures; every format draws the same one."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from segbench import (
    METRICS,
    CellResult,
    Metric,
    RunResult,
    SeedSummary,
    ShownValue,
    TableColumn,
    averaged_classes,
    missing_headline,
    not_comparable,
)
from segbench_reports.text import numbers
from segbench_reports.text.verdicts import FAVOURABLE, relative
from segbench_reports.view.cells import axis_text, group_key, throughput, varying_axes
from segbench_reports.view.comparisons import Side, between

Mark = Literal["best", "second", ""]


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

    @property
    def is_score(self) -> bool:
        """A score of predictions, in per cent or in a unit of its own: it varies with the seed."""
        return self.is_share or self.metric.is_score

    @property
    def is_exact(self) -> bool:
        """True for counts: their ratios and order need no verdict."""
        return self.metric.noise == "none"

    def text(self, figure: ShownValue | None) -> str:
        """The figure in the column's unit, with ± where its interval is even; an en dash where nothing was measured."""
        if figure is None:
            return numbers.NOT_MEASURED
        if self.is_share:
            spread = "" if figure.spread is None else f" ±{numbers.percent(figure.spread)}"
            return numbers.percent(figure.value) + spread
        if self.is_score:
            spread = "" if figure.spread is None else f" ±{numbers.fixed(figure.spread, self.metric.digits)}"
            return numbers.fixed(figure.value, self.metric.digits) + spread
        return self._bounded(figure)[0]

    def interval_text(self, figure: ShownValue | None) -> str:
        """The interval from low to high; empty where there is none, or ± says it."""
        if figure is None or figure.interval is None:
            return ""
        if self.is_score and not self.is_share:
            return " to ".join(numbers.fixed(end, self.metric.digits) for end in figure.interval)
        return numbers.shares(figure.interval) if self.is_share else self._bounded(figure)[1]

    def _bounded(self, figure: ShownValue) -> tuple[str, str]:
        value, interval = figure.value * self.metric.scale, figure.interval
        if figure.at_least:
            return f"≥{numbers.significant(value)}", ""
        if interval is None or self.layout.quiet:
            return numbers.significant(value), ""
        return numbers.with_interval(value, interval[0] * self.metric.scale, interval[1] * self.metric.scale)


@dataclass(frozen=True)
class Row:
    """A cell, or the mean over the seeds of one. ``relative`` is against the table's reference row, ``marks`` by column."""

    cell: CellResult
    labels: Mapping[str, str]
    figures: Mapping[str, ShownValue]
    kind: Literal["cell", "mean"] = "cell"
    ranked: bool = True
    cells: tuple[CellResult, ...] = ()
    marks: Mapping[str, Mark] = field(default_factory=dict)
    relative: Mapping[str, str] = field(default_factory=dict)

    @property
    def competes(self) -> bool:
        """True where it takes part in marks, ratios and sentences: no single seed, failed row, or row not to be compared."""
        cells = self.cells or (self.cell,)
        return self.ranked and not any(map(not_comparable, cells)) and any(cell.status != "failed" for cell in cells)

    def exact(self, key: str) -> ShownValue | None:
        """The figure of a column; None where it is a lower bound, which is not compared."""
        figure = self.figures.get(key)
        return None if figure is None or figure.at_least else figure

    @property
    def side(self) -> Side:
        """The row as one side of a comparison."""
        return Side(self.cells)


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

    def mark(self, row: Row, column: Column) -> Mark:
        """Best or second best of a column; rows that cannot be told apart share it, and a column of such rows has none."""
        return row.marks.get(column.key, "")

    def has_mark(self, mark: Mark) -> bool:
        """True where some figure has it."""
        return any(mark in row.marks.values() for row in self.rows)

    def relative_text(self, row: Row, column: Column) -> str:
        """``×0.37``, ``−1.2`` or ``+0.3 n.s.``; empty for the reference, for equal costs and where nothing can be told."""
        return row.relative.get(column.key, "")


MARKS_MEANING = "rows share it where no verdict tells them apart (costs that are counted: where they read the same)"


def main_table(result: RunResult) -> Table:
    """The comparison of all cells that have something to show, with means over seeds where there are several."""
    axes = varying_axes(result.cells)
    columns = _columns(result)
    rows = [_cell_row(cell, axes, columns) for cell in result.cells]
    rows = _with_means([row for row in rows if row.figures], axes, columns, result.seeds)
    columns = tuple(column for column in columns if any(column.key in row.figures or _is_missed(row, column) for row in rows))
    ranked = [row for row in rows if row.competes]
    reference = ranked[0] if len(ranked) > 1 else None
    marks = {column.key: _marks(result, ranked, column) for column in columns}
    judged = tuple(_judged(result, row, marks, reference, columns) for row in rows)
    return Table(axes, columns, judged, None if reference is None else judged[rows.index(reference)])


def _is_missed(row: Row, column: Column) -> bool:
    """True where the headline class has no pixel in the scored split: the column stays, with a dash and a note."""
    return column.metric.of_class and any(missing_headline(c.quality) and c.quality and c.quality.miou is not None for c in row.cells)


def relative_to(result: RunResult, row: Row, baseline: Row, column: Column) -> str:
    """A row's figure against another's, in the words of the run's comparison; a plain ratio for counts."""
    own, base = row.exact(column.key), baseline.exact(column.key)
    if own is None or base is None or column.compare is None:
        return ""
    if not column.is_exact:
        comparison = between(result, column.metric.name, row.side, baseline.side)
        if comparison is None or not (
            covers(comparison.subject_cells, row, column) and covers(comparison.baseline_cells, baseline, column)
        ):
            return ""
        return relative(comparison)
    return f"×{numbers.unequal(own.value / base.value)}" if base.value > 0 and own.value != base.value else ""


def covers(cells: Sequence[str], row: Row, column: Column) -> bool:
    """True where a comparison is of all the cells that a row's figure is of: seeds that the other side lacks are not compared."""
    return not column.is_score or {cell.id for cell in row.cells if column.metric.value(cell) is not None} <= set(cells)


def _columns(result: RunResult) -> tuple[Column, ...]:
    headline = next((c.quality.headline_class for c in result.cells if c.quality and c.quality.headline_class), None)
    batches = sorted({entry.batch_size for entry in map(throughput, result.cells) if entry})
    batch = "/".join(map(str, batches))
    known = {averaged for cell in result.cells if (averaged := averaged_classes(cell.quality))}
    over = "/".join(sorted({one.short for one in known})) if any(one.absent for one in known) else ""
    return tuple(_column(metric, headline, batch, over) for metric in METRICS.columns)


def _column(metric: Metric, headline: str | None, batch: str, over: str) -> Column:
    """``over`` says how many classes a mean over classes is of, where not all have labels."""
    unit = metric.column_unit.format(batch=batch)
    means = metric.name in ("miou", "training_score")
    return Column(metric, metric.heading(str(headline)), f"{unit}, {over}" if over and means else unit)


def _cell_row(cell: CellResult, axes: Sequence[str], columns: Sequence[Column]) -> Row:
    read = {column.key: column.metric.value(cell) for column in columns}
    figures = {key: figure for key, figure in read.items() if figure is not None}
    return Row(cell, {axis: axis_text(cell, axis) for axis in axes}, figures, cells=(cell,))


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
        if measured and not column.is_score and len(set(measured)) == 1:
            figures[column.key] = measured[0]  # measured once for all seeds
        elif measured:
            spread = statistics.stdev(values) if column.is_score and len(values) > 1 else None
            bound = any(figure.at_least for figure in measured)
            figures[column.key] = ShownValue(statistics.fmean(values), spread, _interval(group, column, known), at_least=bound)
    return Row(group[0].cell, labels, figures, kind="mean", cells=tuple(row.cell for row in group))


def _interval(group: Sequence[Row], column: Column, known: Sequence[SeedSummary]) -> tuple[float, float] | None:
    """The interval of the mean over these cells, as the run has it."""
    cells = {row.cell.id for row in group if column.key in row.figures}
    seeds = next((summary for summary in known if summary.quantity == column.metric.name and set(summary.cells) == cells), None)
    return None if seeds is None or seeds.low is None or seeds.high is None else (seeds.low, seeds.high)


def _judged(result: RunResult, row: Row, marks: Mapping[str, Mapping[int, Mark]], reference: Row | None, columns: Sequence[Column]) -> Row:
    if reference is None or not row.competes:
        return row
    own = {key: by_row[id(row)] for key, by_row in marks.items() if id(row) in by_row}
    texts = {} if row is reference else {column.key: relative_to(result, row, reference, column) for column in columns}
    return replace(row, marks=own, relative={key: text for key, text in texts.items() if text})


def _marks(result: RunResult, ranked: Sequence[Row], column: Column) -> dict[int, Mark]:
    """Marks of the rows by their identity: of a count by its digits, of a noisy figure by the run's verdicts."""
    rows = [row for row in ranked if row.exact(column.key) is not None]
    if column.metric.better is None:
        return {}
    rows.sort(key=lambda row: row.figures[column.key].value, reverse=column.metric.better == "higher")
    best = _level(result, rows, column)
    # where a verdict speaks against the figures (a race's ratio against two medians, other seeds) no row is marked
    if len(best) == len(rows) or not any(row is rows[0] for row in best):
        return {}
    rest = [row for row in rows if not any(row is one for one in best)]
    second = _level(result, rest, column)
    marks: dict[int, Mark] = {id(row): "best" for row in best}
    return marks if len(second) == len(rest) else marks | {id(row): "second" for row in second}


def _level(result: RunResult, rows: Sequence[Row], column: Column) -> list[Row]:
    """Of rows in order, the first and those that read the same; of a noisy figure, those that no other is shown to be better than."""
    if not rows:
        return []
    if column.is_exact:
        return [row for row in rows if _bare(column, row.figures[column.key]) == _bare(column, rows[0].figures[column.key])]
    return [row for row in rows if not any(other is not row and _is_better(result, column, other, row) for other in rows)]


def _is_better(result: RunResult, column: Column, row: Row, other: Row) -> bool:
    comparison = between(result, column.metric.name, row.side, other.side)
    return comparison is not None and comparison.verdict in FAVOURABLE


def _bare(column: Column, figure: ShownValue) -> str:
    return column.text(ShownValue(figure.value))
