"""Models in the forms in which they are deployed, as data: every format draws the same rows and the same sentences."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from segbench import CellResult, Deployment, Latency, RunResult
from segbench_reports.text import numbers
from segbench_reports.view.cells import EAGER, cell_name, finite, group_key, varying_axes

KEEPS = 0.01
"""A form keeps a model's quality where its mIoU is at most one point below eager's."""


@dataclass(frozen=True)
class DeploymentRow:
    """One model in one form; over several seeds scores are means, and drift is the worst."""

    name: str
    backend: str
    forms: tuple[Deployment, ...]
    eager: tuple[Deployment, ...]
    eager_scores: tuple[float, ...]

    @property
    def first(self) -> Deployment:
        """What all seeds share: file, latency, memory."""
        return next((form for form in self.forms if form.error is None), self.forms[0])

    @property
    def is_eager(self) -> bool:
        return self.backend == EAGER

    @property
    def latency(self) -> Latency | None:
        """At batch 1 and the size at which the model is measured."""
        return _single(self.first)

    @property
    def miou(self) -> float | None:
        """Mean over seeds; eager's is the cell's own."""
        if self.is_eager:
            return statistics.fmean(self.eager_scores) if self.eager_scores else None
        scores = [form.quality.miou for form in self.forms if form.quality and form.quality.miou is not None]
        return statistics.fmean(scores) if scores and len(scores) == len(self.forms) else None

    @property
    def change(self) -> float | None:
        """mIoU against the same networks in eager mode."""
        if self.is_eager or self.miou is None or not self.eager_scores:
            return None
        return self.miou - statistics.fmean(self.eager_scores)

    @property
    def keeps_quality(self) -> bool:
        return self.is_eager or (self.change is not None and self.change >= -KEEPS)

    @property
    def errors(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(form.error for form in self.forms if form.error))

    def drift(self, read: Callable[[Deployment], float | None], worst: Callable[[Iterable[float]], float] = max) -> float | None:
        """The worst of a figure of the drift over seeds."""
        values = [value for form in self.forms if form.drift and (value := finite(read(form))) is not None]
        return worst(values) if values else None


def deployed_forms(result: RunResult) -> list[DeploymentRow]:
    """All forms of all models of a run in which any model has more than eager's; empty for other runs."""
    if not any(form.backend != EAGER for cell in result.cells for form in cell.deployments):
        return []
    axes = [axis for axis in varying_axes(result.cells) if axis != "seed"]
    groups: dict[str, list[CellResult]] = {}
    for cell in result.cells:
        if cell.deployments:
            groups.setdefault(group_key(cell), []).append(cell)
    return [form for cells in groups.values() for form in _forms_of(cells, cell_name(cells[0], axes))]


def time_ratio(form: DeploymentRow, other: DeploymentRow) -> float | None:
    """``form``'s time per image over ``other``'s, where both were timed in one race under the same conditions."""
    own, base = form.latency, other.latency
    if own is None or base is None or not own.p50_ms or not base.p50_ms or form.first.raced != other.first.raced:
        return None
    same = (own.input_size, own.device, own.threads) == (base.input_size, base.device, base.threads)
    return own.p50_ms / base.p50_ms if same else None


def told_apart(form: DeploymentRow, other: DeploymentRow) -> bool:
    """Whether the intervals of both times do not meet."""
    own, base = form.latency, other.latency
    if own is None or base is None or own.ci95_ms is None or base.ci95_ms is None:
        return False
    return own.ci95_ms[1] < base.ci95_ms[0] or base.ci95_ms[1] < own.ci95_ms[0]


def sentences(forms: Sequence[DeploymentRow]) -> list[str]:
    """What the deployed forms say that eager mode does not."""
    models = list(dict.fromkeys(form.name for form in forms))
    return [*(text for name in models if (text := _fastest(name, forms))), *_orders(models, forms)]


def _forms_of(cells: Sequence[CellResult], name: str) -> list[DeploymentRow]:
    backends = dict.fromkeys(form.backend for cell in cells for form in cell.deployments)
    scores = tuple(cell.quality.miou for cell in cells if cell.quality and cell.quality.miou is not None)
    found = {b: tuple(form for cell in cells for form in cell.deployments if form.backend == b) for b in (EAGER, *backends)}
    return [DeploymentRow(name, backend, forms, found[EAGER], scores) for backend, forms in found.items() if forms]


def _single(form: Deployment) -> Latency | None:
    return next((entry for entry in form.latency if entry.batch_size == 1 and entry.p50_ms), None)


def _fastest(name: str, forms: Sequence[DeploymentRow]) -> str:
    """The fastest form of one model that keeps its quality."""
    eager = next((form for form in forms if form.name == name and form.is_eager), None)
    others = [form for form in forms if form.name == name and not form.is_eager and not form.errors]
    if eager is None or not any(form.change is not None for form in others):
        return ""
    timed = [(ratio, form) for form in others if form.keeps_quality and (ratio := time_ratio(form, eager)) is not None]
    faster = [(ratio, form) for ratio, form in timed if ratio < 1 and told_apart(form, eager)]
    if not faster:
        return f"No other form of {name} that keeps its mIoU within 1 point runs faster than eager beyond the noise." if timed else ""
    ratio, best = min(faster, key=lambda pair: pair[0])
    assert best.change is not None
    size = f", {numbers.significant(best.first.file_mb)} MB" if best.first.file_mb else ""
    return (
        f"The fastest form of {name} that keeps its mIoU within 1 point is {best.backend}: "
        f"{numbers.factor(1 / ratio)}x as fast as eager, mIoU {numbers.points(best.change)} points{size}."
    )


def _orders(models: Sequence[str], forms: Sequence[DeploymentRow]) -> list[str]:
    """Whether the order of the models, by speed and by score, is the same in every form as in eager mode."""
    if len(models) < 2:
        return []
    by = {(form.name, form.backend): form for form in forms if not form.errors}
    backends = [b for b in dict.fromkeys(form.backend for form in forms) if b != EAGER and all((m, b) in by for m in models)]
    return [*_speed_order(models, backends, by), *_score_order(models, backends, by)]


_ByForm = dict[tuple[str, str], DeploymentRow]


def _speed_order(models: Sequence[str], backends: Sequence[str], by: _ByForm) -> list[str]:
    swapped, compared = [], []
    for first, second in combinations(models, 2):
        ratios = {b: _decided(by.get((first, b)), by.get((second, b))) for b in (EAGER, *backends)}
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
    """The ratio of two times, where their intervals tell them apart."""
    return time_ratio(first, second) if first and second and told_apart(first, second) else None


def _score_order(models: Sequence[str], backends: Sequence[str], by: _ByForm) -> list[str]:
    texts, same = [], []
    for backend in backends:
        scores = {m: (by[m, EAGER].miou, by[m, backend].miou) for m in models if (m, EAGER) in by}
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
