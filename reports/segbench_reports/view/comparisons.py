"""Comparisons of a run, found by what they compare; every ratio, mark and sentence of a report is read from these records."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from segbench import METRICS, CellResult, Comparison, Latency, RunResult, metric
from segbench_reports.text.verdicts import FAVOURABLE, turned
from segbench_reports.view.cells import deployment, single_latency, throughput

TIMED = ("latency_ms", "throughput")


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a cell, or the cells of all its seeds."""

    cells: tuple[CellResult, ...]

    @property
    def cell(self) -> CellResult:
        """The first, by which a side is named."""
        return self.cells[0]

    @functools.cached_property
    def ids(self) -> frozenset[str]:
        return frozenset(cell.id for cell in self.cells)


def quality_comparisons(result: RunResult, *, headline: bool | None = None) -> list[Comparison]:
    """Comparisons of scores between models, losses, recipes or settings: with the run's first, all others, or both."""
    scores = {metric.name for metric in METRICS.scores}
    return [c for c in result.comparisons if c.quantity in scores and c.axis != "form" and headline in (None, c.headline)]


def speed_comparisons(result: RunResult, *, headline: bool | None = None) -> list[Comparison]:
    """Comparisons of speed: with the first model in eager mode, all others, or both."""
    return [c for c in result.comparisons if c.quantity in TIMED and headline in (None, c.headline)]


def between(result: RunResult, quantity: str, subject: Side, baseline: Side) -> Comparison | None:
    """The run's comparison of two sides in what tables show of them, seen from ``subject``; None where it made none.

    Of speeds and memory that is the comparison of the forms and the workload that tables show.
    """
    compared = [c for c in result.comparisons if c.quantity == quantity and _is_of(c, subject, baseline)]
    of_subject = [c if subject.ids & set(c.subject_cells) and baseline.ids & set(c.baseline_cells) else turned(c) for c in compared]
    # seeds that were raced apart may have several records: they say something only where they agree
    return of_subject[0] if len({c.verdict for c in of_subject}) == 1 else None


def not_shown_better(result: RunResult, quantity: str, leader: Side, others: Iterable[Side]) -> list[Side]:
    """Sides that ``leader`` is not shown to be better than, whether or not they were compared."""
    compared = ((other, between(result, quantity, leader, other)) for other in others if other != leader)
    return [other for other, comparison in compared if comparison is None or comparison.verdict not in FAVOURABLE]


def is_of_workload(comparison: Comparison, entry: Latency) -> bool:
    """True where a comparison is of a timing's batch and size, device and threads."""
    context = comparison.context
    return (context.get("batch_size"), tuple(context.get("input_size") or ()), context.get("device"), context.get("threads")) == (
        entry.batch_size,
        tuple(entry.input_size),
        entry.device,
        entry.threads,
    )


def _is_of(comparison: Comparison, subject: Side, baseline: Side) -> bool:
    """True where the comparison is of these two sides in either order, as tables show them."""
    for one, other in ((subject, baseline), (baseline, subject)):
        if one.ids & set(comparison.subject_cells) and other.ids & set(comparison.baseline_cells):
            forms = ((one, comparison.subject_backend), (other, comparison.baseline_backend))
            return all(_is_shown(comparison, side, backend) for side, backend in forms)
    return False


def _is_shown(comparison: Comparison, side: Side, backend: str | None) -> bool:
    """True where a cell of the side is shown through this backend, and for times at this workload: a cell may have failed before."""
    return any(_is_form(cell, backend) and _is_timed(comparison, cell) for cell in side.cells)


def _is_form(cell: CellResult, backend: str | None) -> bool:
    shown = deployment(cell)
    return backend is None or (shown is not None and shown.backend == backend)


def _is_timed(comparison: Comparison, cell: CellResult) -> bool:
    if metric(comparison.quantity).noise != "calls":
        return True
    entry = (single_latency if comparison.quantity == "latency_ms" else throughput)(cell)
    return entry is not None and is_of_workload(comparison, entry)


def scores_of(result: RunResult, comparison: Comparison) -> tuple[float, float] | None:
    """The mean scores of both sides over the very cells that were compared, as shares; None where one is missing."""
    means = [_mean(result, comparison.quantity, ids) for ids in (comparison.subject_cells, comparison.baseline_cells)]
    return None if means[0] is None or means[1] is None else (means[0], means[1])


def _mean(result: RunResult, quantity: str, ids: Collection[str]) -> float | None:
    values = [value.value for cell in result.cells if cell.id in ids and (value := metric(quantity).value(cell)) is not None]
    return sum(values) / len(values) if values else None
