"""Deployments, a model through a backend each, as rows and sentences that all formats share."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from segbench import CellResult, Deployment, Latency, RunResult
from segbench_reports.text import numbers
from segbench_reports.view.cells import EAGER, cell_name, finite, group_key, varying_axes

KEEPS = 0.01
"""A deployment keeps a model's quality where its mIoU is at most one point below eager's."""


@dataclass(frozen=True)
class DeploymentRow:
    """One model through one backend; over several seeds scores are means, and drift is the worst."""

    name: str
    backend: str
    deployments: tuple[Deployment, ...]
    eager: tuple[Deployment, ...]
    eager_scores: tuple[float, ...]

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
        if self.is_eager or self.miou is None or not self.eager_scores:
            return None
        return self.miou - statistics.fmean(self.eager_scores)

    @property
    def keeps_quality(self) -> bool:
        return self.is_eager or (self.change is not None and self.change >= -KEEPS)

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
    return [row for cells in groups.values() for row in _rows_of_model(cells, cell_name(cells[0], axes))]


def time_ratio(row: DeploymentRow, other: DeploymentRow) -> float | None:
    """``row``'s time per image over ``other``'s; None unless both were timed in one race under the same conditions."""
    own, base = row.latency, other.latency
    if own is None or base is None or not own.p50_ms or not base.p50_ms or row.first.raced != other.first.raced:
        return None
    same = (own.input_size, own.device, own.threads) == (base.input_size, base.device, base.threads)
    return own.p50_ms / base.p50_ms if same else None


def times_differ(row: DeploymentRow, other: DeploymentRow) -> bool:
    """True where the intervals of both times do not overlap."""
    own, base = row.latency, other.latency
    if own is None or base is None or own.ci95_ms is None or base.ci95_ms is None:
        return False
    return own.ci95_ms[1] < base.ci95_ms[0] or base.ci95_ms[1] < own.ci95_ms[0]


def sentences(rows: Sequence[DeploymentRow]) -> list[str]:
    """The fastest backend of each model that keeps its quality, and changes of the models' order against eager mode."""
    models = list(dict.fromkeys(row.name for row in rows))
    return [*(text for name in models if (text := _fastest(name, rows))), *_orders(models, rows)]


def _rows_of_model(cells: Sequence[CellResult], name: str) -> list[DeploymentRow]:
    backends = dict.fromkeys(one.backend for cell in cells for one in cell.deployments)
    scores = tuple(cell.quality.miou for cell in cells if cell.quality and cell.quality.miou is not None)
    by_backend = {b: tuple(one for cell in cells for one in cell.deployments if one.backend == b) for b in (EAGER, *backends)}
    return [DeploymentRow(name, backend, group, by_backend[EAGER], scores) for backend, group in by_backend.items() if group]


def _single(deployment: Deployment) -> Latency | None:
    return next((entry for entry in deployment.latency if entry.batch_size == 1 and entry.p50_ms), None)


def _fastest(name: str, rows: Sequence[DeploymentRow]) -> str:
    """A sentence on the fastest backend of one model that keeps its quality."""
    eager = next((row for row in rows if row.name == name and row.is_eager), None)
    others = [row for row in rows if row.name == name and not row.is_eager and not row.errors]
    if eager is None or not any(row.change is not None for row in others):
        return ""
    timed = [(ratio, row) for row in others if row.keeps_quality and (ratio := time_ratio(row, eager)) is not None]
    faster = [(ratio, row) for ratio, row in timed if ratio < 1 and times_differ(row, eager)]
    if not faster:
        return f"No other form of {name} that keeps its mIoU within 1 point runs faster than eager beyond the noise." if timed else ""
    ratio, best = min(faster, key=lambda pair: pair[0])
    assert best.change is not None
    size = f", {numbers.significant(best.first.file_mb)} MB" if best.first.file_mb else ""
    return (
        f"The fastest form of {name} that keeps its mIoU within 1 point is {best.backend}: "
        f"{numbers.factor(1 / ratio)}x as fast as eager, mIoU {numbers.points(best.change)} points{size}."
    )


def _orders(models: Sequence[str], rows: Sequence[DeploymentRow]) -> list[str]:
    """Sentences on the order of the models by speed and by score, in each backend against eager mode."""
    if len(models) < 2:
        return []
    by_name = {(row.name, row.backend): row for row in rows if not row.errors}
    backends = [b for b in dict.fromkeys(row.backend for row in rows) if b != EAGER and all((m, b) in by_name for m in models)]
    return [*_speed_order(models, backends, by_name), *_score_order(models, backends, by_name)]


_ByModelAndBackend = dict[tuple[str, str], DeploymentRow]


def _speed_order(models: Sequence[str], backends: Sequence[str], by_name: _ByModelAndBackend) -> list[str]:
    swapped, compared = [], []
    for first, second in combinations(models, 2):
        ratios = {b: _decided(by_name.get((first, b)), by_name.get((second, b))) for b in (EAGER, *backends)}
        eager = ratios.pop(EAGER)
        compared += [b for b, ratio in ratios.items() if ratio is not None and eager is not None]
        for backend, ratio in ratios.items():
            if eager and ratio and (eager > 1) != (ratio > 1):
                slow, fast = (first, second) if ratio > 1 else (second, first)
                before = numbers.factor(max(eager, 1 / eager))
                after = numbers.factor(max(ratio, 1 / ratio))
                swapped.append(f"In {backend} {fast} is {after}x as fast as {slow}; in eager mode it is the other way round, {before}x.")
    if swapped or not compared:
        return swapped
    return [f"The order of the models by speed is the same in {numbers.listed(list(dict.fromkeys(compared)))} as in eager mode."]


def _decided(first: DeploymentRow | None, second: DeploymentRow | None) -> float | None:
    """The ratio of two times; None where their intervals overlap."""
    return time_ratio(first, second) if first and second and times_differ(first, second) else None


def _score_order(models: Sequence[str], backends: Sequence[str], by_name: _ByModelAndBackend) -> list[str]:
    texts, same = [], []
    for backend in backends:
        scores = {m: (by_name[m, EAGER].miou, by_name[m, backend].miou) for m in models if (m, EAGER) in by_name}
        if len(scores) < len(models) or any(score is None for pair in scores.values() for score in pair):
            continue
        swaps = [
            f"{b if was > 0 else a} passes {a if was > 0 else b} by {100 * abs(now):.1f} points"
            for a, b in combinations(models, 2)
            if (was := (scores[a][0] or 0) - (scores[b][0] or 0)) * (now := (scores[a][1] or 0) - (scores[b][1] or 0)) < 0
        ]
        if swaps:
            texts.append(f"In {backend} the order by mIoU changes: {numbers.listed(swaps)}, a difference without an interval.")
        else:
            same.append(backend)
    return [*texts, *([f"The order by mIoU is the same in {numbers.listed(same)} as in eager mode."] if same else [])]
