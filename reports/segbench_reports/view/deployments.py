"""Deployments, a model through a backend each, as rows that all formats share; whether each keeps its quality is decided here."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from segbench import CellResult, Comparison, Deployment, Latency, RunResult
from segbench_reports.text.verdicts import turned
from segbench_reports.view.cells import EAGER, cell_name, finite, group_key, varying_axes
from segbench_reports.view.comparisons import is_of_workload

KEEPS = 0.01
"""A deployment keeps a model's quality where its mIoU is at most one point below eager's."""

Keeping = Literal["kept", "lost", "cannot tell"]


def keeping(comparison: Comparison | None) -> Keeping:
    """Whether a form keeps its mIoU within 1 point of eager's: what the whole interval of the paired difference says.

    >>> form = Comparison(quantity="miou", subject="a", baseline="a", low=-0.015, high=0.07)
    >>> keeping(form), keeping(form.model_copy(update={"low": -0.01})), keeping(form.model_copy(update={"high": -0.012}))
    ('cannot tell', 'kept', 'lost')
    """
    if comparison is None or comparison.low is None or comparison.high is None:
        return "cannot tell"
    if comparison.low >= -KEEPS:
        return "kept"
    return "lost" if comparison.high < -KEEPS else "cannot tell"


@dataclass(frozen=True)
class DeploymentRow:
    """One model through one backend; over several seeds scores are means, and drift is the worst.

    ``score`` is the run's comparison with the same networks in eager mode, ``races`` are those of its times with all others.
    """

    name: str
    backend: str
    deployments: tuple[Deployment, ...]
    eager: tuple[Deployment, ...]
    eager_scores: tuple[float, ...]
    cells: tuple[str, ...] = ()
    score: Comparison | None = None
    races: tuple[Comparison, ...] = ()

    @property
    def first(self) -> Deployment:
        """The first deployment without an error: file, latency and memory do not depend on the seed."""
        return next((one for one in self.deployments if one.error is None), self.deployments[0])

    @property
    def is_eager(self) -> bool:
        return self.backend == EAGER

    @property
    def latency(self) -> Latency | None:
        """The timing at batch 1 and the size at which the model is measured."""
        return _single(self.first)

    @property
    def miou(self) -> float | None:
        """Mean over seeds; in eager mode that of the cells themselves."""
        if self.is_eager:
            return statistics.fmean(self.eager_scores) if self.eager_scores else None
        scores = [one.quality.miou for one in self.deployments if one.quality and one.quality.miou is not None]
        return statistics.fmean(scores) if scores and len(scores) == len(self.deployments) else None

    @property
    def change(self) -> float | None:
        """Difference of mIoU from the same networks in eager mode."""
        if self.score is not None and self.score.value is not None:
            return self.score.value
        if self.is_eager or self.miou is None or not self.eager_scores:
            return None
        return self.miou - statistics.fmean(self.eager_scores)

    @property
    def keeping(self) -> Keeping:
        """Whether its mIoU is kept within 1 point of eager's."""
        return "kept" if self.is_eager else keeping(self.score)

    def against(self, other: DeploymentRow) -> Comparison | None:
        """The race's comparison of its time for single images with another row's, this one as the subject; None where it made none."""
        for comparison in self.races:
            subject = comparison.subject_cells, comparison.subject_backend
            baseline = comparison.baseline_cells, comparison.baseline_backend
            if self._is(*subject) and other._is(*baseline):
                return comparison
            if self._is(*baseline) and other._is(*subject):
                return turned(comparison)
        return None

    def _is(self, cells: Sequence[str], backend: str | None) -> bool:
        return backend == self.backend and not set(self.cells).isdisjoint(cells)

    @property
    def errors(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.error for one in self.deployments if one.error))

    def drift(self, read: Callable[[Deployment], float | None], worst: Callable[[Iterable[float]], float] = max) -> float | None:
        """The worst value over seeds of a figure of the drift."""
        values = [value for one in self.deployments if one.drift and (value := finite(read(one))) is not None]
        return worst(values) if values else None


def deployment_rows(result: RunResult) -> list[DeploymentRow]:
    """A row for each model and backend; empty for runs in eager mode only."""
    if not any(one.backend != EAGER for cell in result.cells for one in cell.deployments):
        return []
    axes = [axis for axis in varying_axes(result.cells) if axis != "seed"]
    groups: dict[str, list[CellResult]] = {}
    for cell in result.cells:
        if cell.deployments:
            groups.setdefault(group_key(cell), []).append(cell)
    rows = [row for cells in groups.values() for row in _rows_of_model(cells, cell_name(cells[0], axes))]
    return [replace(row, score=_score(result, row), races=_races(result, row)) for row in rows]


def _score(result: RunResult, row: DeploymentRow) -> Comparison | None:
    """The run's comparison of a form's mIoU with that of the same networks in eager mode."""
    for c in result.comparisons:
        of_form = c.quantity == "miou" and c.subject_backend == row.backend and c.baseline_backend == EAGER
        if of_form and c.subject_cells == c.baseline_cells and not set(row.cells).isdisjoint(c.subject_cells):
            return c
    return None


def _races(result: RunResult, row: DeploymentRow) -> tuple[Comparison, ...]:
    """The run's comparisons of times under the circumstances of the row's own."""
    entry = row.latency
    timed = [c for c in result.comparisons if c.quantity == "latency_ms"]
    return tuple(c for c in timed if entry is not None and is_of_workload(c, entry))


def _rows_of_model(cells: Sequence[CellResult], name: str) -> list[DeploymentRow]:
    backends = dict.fromkeys(one.backend for cell in cells for one in cell.deployments)
    scores = tuple(cell.quality.miou for cell in cells if cell.quality and cell.quality.miou is not None)
    by_backend = {b: tuple(one for cell in cells for one in cell.deployments if one.backend == b) for b in (EAGER, *backends)}
    ids = tuple(cell.id for cell in cells)
    return [DeploymentRow(name, backend, group, by_backend[EAGER], scores, ids) for backend, group in by_backend.items() if group]


def _single(deployment: Deployment) -> Latency | None:
    return next((entry for entry in deployment.latency if entry.batch_size == 1 and entry.p50_ms), None)
