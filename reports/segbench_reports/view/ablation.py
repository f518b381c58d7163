"""The measured steps of an ablation: the effect of each change on cost and on mIoU, and its verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from segbench import Ablation, AblationStep, CellResult, Comparison, RunResult
from segbench_reports.text import numbers
from segbench_reports.view.cells import axis_text, finite

Cost = Literal["lower", "higher", "equal", "mixed"]
Outcome = Literal["pays", "cheaper", "costs", "dearer", "a trade", "no effect shown", "cannot tell"]

_OUTCOMES: dict[tuple[str, Cost], tuple[Outcome, str]] = {
    ("better", "lower"): ("pays", "better at a lower cost"),
    ("better", "equal"): ("pays", "better at the same cost"),
    ("better", "higher"): ("a trade", "better at a higher cost"),
    ("better", "mixed"): ("a trade", "better; one cost falls, another rises"),
    ("no difference shown", "lower"): ("cheaper", "no loss of mIoU shown"),
    ("no difference shown", "equal"): ("no effect shown", "same cost, no difference of mIoU shown"),
    ("no difference shown", "higher"): ("dearer", "no gain in mIoU shown"),
    ("no difference shown", "mixed"): ("a trade", "one cost falls, another rises; no difference of mIoU shown"),
    ("worse", "lower"): ("a trade", "lower cost, but worse"),
    ("worse", "equal"): ("costs", "worse at the same cost"),
    ("worse", "higher"): ("costs", "worse at a higher cost"),
    ("worse", "mixed"): ("costs", "worse; one cost falls, another rises"),
}

_VERBS: dict[Outcome, tuple[str, str]] = {
    "pays": ("pays", "pay"),
    "cheaper": ("is cheaper", "are cheaper"),
    "costs": ("costs more than it gives", "cost more than they give"),
    "dearer": ("is dearer", "are dearer"),
    "a trade": ("is a trade", "are trades"),
    "no effect shown": ("has no effect shown", "have no effect shown"),
    "cannot tell": ("cannot be judged", "cannot be judged"),
}


@dataclass(frozen=True)
class MeasuredStep:
    """One change with its two sides. Ratios are after / before, None where not measured; ``miou`` and ``latency`` carry intervals."""

    number: int
    change: AblationStep
    before: Sequence[CellResult]
    after: Sequence[CellResult]
    params: float | None
    macs: float | None
    latency: Comparison | None
    miou: Comparison | None

    @property
    def speed(self) -> Literal["faster", "slower"] | None:
        """The verdict of the race, after correction for the number of steps; None where it shows no difference."""
        if self.latency is None or self.latency.reason:
            return None
        return "faster" if self.latency.verdict == "faster" else "slower" if self.latency.verdict == "slower" else None

    @property
    def cost(self) -> Cost | None:
        """The direction of the change in cost: of parameters, MACs and, where a race shows a difference, latency."""
        signs = {ratio > 1 for ratio in (self.params, self.macs) if ratio is not None and ratio != 1}
        if self.speed is not None:
            signs.add(self.speed == "slower")
        if self.params is None and self.macs is None and not signs:
            return None
        return "mixed" if len(signs) == 2 else "equal" if not signs else "higher" if True in signs else "lower"

    @property
    def outcome(self) -> tuple[Outcome, str]:
        """The verdict on the change with its reason, from measured differences alone."""
        if not all(any(cell.quality for cell in side) for side in (self.before, self.after)):
            return "cannot tell", "not run yet"
        if self.miou is None or self.miou.verdict == "cannot tell":
            return "cannot tell", (self.miou.reason if self.miou else "") or "no interval for the difference in mIoU"
        if self.cost is None:
            return "cannot tell", "its cost was not measured"
        outcome, why = _OUTCOMES[self.miou.verdict, self.cost]
        low = finite(self.miou.low)
        if outcome == "cheaper" and low is not None:
            why += f" (a loss of up to {max(0.0, -100 * low):.1f} points is not excluded)"
        if self.miou.verdict in ("better", "worse") and self.miou.reason:
            why += f" ({self.miou.reason})"
        return outcome, why


@dataclass(frozen=True)
class MeasuredAblation:
    """The steps from one model to another under one loss, recipe and variation (``name``); ``start`` are the first model's cells."""

    ablation: Ablation
    name: str
    start: Sequence[CellResult]
    steps: Sequence[MeasuredStep]

    @property
    def levels(self) -> list[Sequence[CellResult]]:
        """The cells of the first model and of the model after each step."""
        return [self.start, *(step.after for step in self.steps)]


def measured_ablations(result: RunResult) -> list[MeasuredAblation]:
    """The ablation of the run under each combination of loss, recipe and variation in which its first model has cells."""
    if result.ablation is None:
        return []
    return [measured for name, cells in _groups(result) if (measured := _measured(result, result.ablation, name, cells)) is not None]


def sentences(result: RunResult) -> list[str]:
    """The verdicts in one sentence for each loss, recipe and variation; none where nothing could be judged."""
    return [sentence for measured in measured_ablations(result) if (sentence := _sentence(measured))]


def _groups(result: RunResult) -> Iterator[tuple[str, list[CellResult]]]:
    groups: dict[tuple[str, ...], list[CellResult]] = {}
    for cell in result.cells:
        groups.setdefault(tuple(axis_text(cell, axis) for axis in ("loss", "recipe", "settings")), []).append(cell)
    varying = [place for place in range(3) if len({key[place] for key in groups}) > 1]
    for key, cells in groups.items():
        yield ", ".join(key[place] for place in varying if key[place]), cells


def _measured(result: RunResult, ablation: Ablation, name: str, cells: Sequence[CellResult]) -> MeasuredAblation | None:
    by_model: dict[str, list[CellResult]] = {}
    for cell in cells:
        by_model.setdefault(cell.model, []).append(cell)
    if ablation.start not in by_model:
        return None
    steps = [
        _step(result, number, change, by_model.get(change.baseline, []), by_model.get(change.subject, []))
        for number, change in enumerate(ablation.steps, 1)
    ]
    return MeasuredAblation(ablation, name, by_model[ablation.start], steps)


def _step(result: RunResult, number: int, change: AblationStep, before: list[CellResult], after: list[CellResult]) -> MeasuredStep:
    return MeasuredStep(
        number,
        change,
        before,
        after,
        params=_ratio(before, after, "params"),
        macs=_ratio(before, after, "macs"),
        latency=_comparison(result, "latency_ms", number, before, after),
        miou=_comparison(result, "miou", number, before, after),
    )


def _ratio(before: Sequence[CellResult], after: Sequence[CellResult], key: str) -> float | None:
    """After / before of a count, by the first cell that has one: counts do not depend on the seed."""
    one, other = (next((v for v in (getattr(cell, key) for cell in side) if v), None) for side in (before, after))
    return other / one if one and other else None


def _comparison(
    result: RunResult, quantity: str, number: int, before: Sequence[CellResult], after: Sequence[CellResult]
) -> Comparison | None:
    """The run's comparison of one quantity of a step; None where it made none."""
    subjects, baselines = {cell.id for cell in after}, {cell.id for cell in before}
    for comparison in result.comparisons:
        is_of_step = comparison.quantity == quantity and comparison.context.get("step") == number
        if is_of_step and subjects & set(comparison.subject_cells) and baselines & set(comparison.baseline_cells):
            return comparison
    return None


def _sentence(measured: MeasuredAblation) -> str:
    by_reason: dict[tuple[Outcome, str], list[MeasuredStep]] = {}
    for step in measured.steps:
        outcome, why = step.outcome
        reason = "" if outcome in ("no effect shown", "cannot tell") else why.partition(" (")[0]
        by_reason.setdefault((outcome, reason), []).append(step)
    if {outcome for outcome, _ in by_reason} <= {"cannot tell"}:
        return ""
    worst = [-100 * step.miou.low for step in measured.steps if step.outcome[0] == "cheaper" and step.miou and step.miou.low is not None]
    order = sorted(by_reason, key=lambda key: list(_VERBS).index(key[0]))
    clauses = [_clause(outcome, why, by_reason[outcome, why]) for outcome, why in order]
    under = f" ({measured.name})" if measured.name else ""
    judged = [step.miou for step in measured.steps if step.miou is not None and step.miou.low is not None]
    checkpoints = bool(judged) and all(miou.scope.startswith("these") for miou in judged)
    scope = "With too few seeds to speak of more than these checkpoints, of" if checkpoints else "Of"
    limit = f"; where no loss is shown, losses of up to {max(worst):.1f} points are not excluded" if worst and max(worst) > 0 else ""
    return f"{scope} the changes from {measured.ablation.start} to {measured.ablation.end}{under}, {'; '.join(clauses)}{limit}."


def _clause(outcome: Outcome, why: str, steps: Sequence[MeasuredStep]) -> str:
    one, many = _VERBS[outcome]
    names = numbers.listed([f"{step.change.option}={step.change.after}" for step in steps])
    return f"{names} {one if len(steps) == 1 else many}{f' ({why})' if why else ''}"
