"""Training speed of models: ratios over seeds or epochs, only of trainings under which the machine was quiet.

Trainings run one after the other and not in turns, as the contenders of a race do, so that nothing in them tells a slow network from a
slow machine. What other programs used is recorded with each epoch (:mod:`segbench.results.training_epochs`), and the little that a quiet
machine may have given to them widens the interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median, stdev
from typing import Literal

from segbench.analysis.comparisons.judging import Candidate, judged
from segbench.analysis.comparisons.matching import CellsBySeed, ComparisonGroup, ComparisonPair, baseline_of, comparison_groups, pairs_of
from segbench.analysis.statistics.bootstrap import LEAST_SEEDS, ROUNDING, Interval, mean_interval
from segbench.analysis.statistics.families import CONFIDENCE, Bound, Estimate
from segbench.analysis.statistics.student_t import student_quantile
from segbench.results.metrics import metric
from segbench.results.publishing import differences
from segbench.results.records import CellResult, Comparison, ComparisonAxis, RunResult, Training
from segbench.results.training_epochs import counted, disturbed, share_of_others

QUANTITY = "train_images_per_second"
LEAST_EPOCHS = 3
_AXES: tuple[ComparisonAxis, ...] = ("model", "loss")

Epochs = Sequence[float]
"""A figure of one training, epoch by epoch, of those that count."""


@dataclass(frozen=True)
class EpochRatio:
    """The logarithm of a ratio of two figures of trainings, by seeds or by epochs."""

    interval: Interval
    units: Literal["seeds", "epochs"]
    method: str


def compare_training_speeds(result: RunResult) -> list[Comparison]:
    """Images per second of every pair of models, and of every pair of losses, that share all else; each axis is one family."""
    return [one for axis in _AXES for one in judged([c for group in comparison_groups(result, axis) for c in _of_group(group, result)])]


def ratio_over_epochs(pairs: Sequence[tuple[Epochs, Epochs]], subjects: Sequence[Epochs], baselines: Sequence[Epochs]) -> EpochRatio | None:
    """Student's t on logarithms: of the medians of ``pairs`` of equal seed where there are three, else Welch's of all epochs.

    None where a side has fewer than three epochs. Welch, Biometrika 34, 1947.
    """
    if len(pairs) >= LEAST_SEEDS and all(one and other for one, other in pairs):
        interval = mean_interval([math.log(median(one) / median(other)) for one, other in pairs])
        return EpochRatio(interval, "seeds", f"t interval over {interval.n} seeds")
    ours, theirs = ([math.log(value) for epochs in side for value in epochs] for side in (subjects, baselines))
    if min(len(ours), len(theirs)) < LEAST_EPOCHS:
        return None
    method = f"t interval over {len(ours)} and {len(theirs)} epochs, trained one after the other; the first of each warms up"
    return EpochRatio(_welch(ours, theirs), "epochs", method)


def allowing(interval: Interval, subjects: Sequence[CellResult], baselines: Sequence[CellResult]) -> Interval:
    """An interval of a log ratio of speeds, wider by what other programs may have taken from either side.

    For times the sides are exchanged: what others took made them longer.
    """
    if interval.low is None or interval.high is None:
        return interval
    above, below = (max((-math.log1p(-_share(cell)) for cell in side), default=0.0) for side in (subjects, baselines))
    bounds = tuple(Bound(bound.below + below, bound.above + above, bound.freedom) for bound in interval.bounds)
    return replace(interval, low=interval.low - below, high=interval.high + above, bounds=bounds)


def disturbed_cell(cells: Sequence[CellResult]) -> str:
    """The first reason why the speed of one of these trainings compares with no other; empty where all were quiet."""
    reasons = ((cell.id, disturbed(cell.training)) for cell in cells if cell.training)
    return next((f"{cell}: {why}" for cell, why in reasons if why), "")


def _of_group(group: ComparisonGroup, result: RunResult) -> Iterator[Candidate]:
    for pair in pairs_of(list(group.sides), baseline_of(result, group.axis), result.ablation if group.axis == "model" else None):
        one, other = _trained(group.sides[pair.subject]), _trained(group.sides[pair.baseline])
        if one and other:
            record, estimate = _compare(group, pair, one, other)
            yield Candidate(record, estimate, pair.planned)


def _trained(cells: CellsBySeed) -> dict[int | None, CellResult]:
    return {seed: cell for seed, cell in cells.items() if cell.status == "ok" and cell.training and counted(cell.training.history)}


def _compare(group: ComparisonGroup, pair: ComparisonPair, one: CellsBySeed, other: CellsBySeed) -> tuple[Comparison, Estimate | None]:
    seeds = [seed for seed in other if seed in one]
    ours, theirs = [one[seed] for seed in seeds], [other[seed] for seed in seeds]
    record = Comparison(
        quantity=QUANTITY,
        axis=group.axis,
        subject=pair.subject,
        baseline=pair.baseline,
        subject_cells=[cell.id for cell in ours or one.values()],
        baseline_cells=[cell.id for cell in theirs or other.values()],
        reading="ratio",
        headline=pair.headline,
        unit=metric(QUANTITY).stored_unit,
        context={**group.context, "seeds": seeds},
    )
    why = _unlike([*theirs, *ours]) or disturbed_cell([*theirs, *ours]) if seeds else "no seed in common"
    pairs = [(_speeds(a), _speeds(b)) for a, b in zip(ours, theirs, strict=True)]
    ratio = None if why else ratio_over_epochs(pairs, [a for a, _ in pairs], [b for _, b in pairs])
    if ratio is None:
        return record.model_copy(update={"reason": why or f"an interval takes {LEAST_EPOCHS} epochs after the first one"}), None
    scope = "this machine" if ratio.units == "seeds" else f"these {len(ours) + len(theirs)} trainings on this machine"
    interval = allowing(ratio.interval, ours, theirs)
    reason = "" if interval.bounds else f"its {ratio.units} do not vary"
    method = f"{ratio.method}; wider by what other programs used"
    fields = {"scope": scope, "method": method, "reason": reason}
    return record.model_copy(update=fields), interval.estimate


def _unlike(cells: Sequence[CellResult]) -> str:
    """A difference between trainings, other than the models, on which their speed depends; empty where there is none."""
    first, *others = cells
    for cell in others:
        moved = differences(first.machine, cell.machine)
        changed = [name for name in _CONDITIONS if getattr(cell.training, name) != getattr(first.training, name)]
        if moved or changed:
            return f"{first.id} and {cell.id} were trained under different conditions: {', '.join([*moved, *changed])}"
    sizes = {row.image_size for cell in cells for row in _training(cell).history}
    return "the image size was not the same in all epochs" if len(sizes) > 1 else ""


_CONDITIONS = ("device", "precision", "batch_size", "accumulate", "world_size")


def _welch(ours: Epochs, theirs: Epochs) -> Interval:
    """Difference of two means with unequal variances; without an interval where nothing varies."""
    errors = [stdev(side) ** 2 / len(side) for side in (ours, theirs)]
    value, total, n = fmean(ours) - fmean(theirs), sum(errors), min(len(ours), len(theirs))
    if max(max(side) - min(side) for side in (ours, theirs)) <= ROUNDING:
        return Interval(value, None, None, None, n)
    freedom = total**2 / sum(error**2 / (len(side) - 1) for error, side in zip(errors, (ours, theirs), strict=True))
    # whole degrees of freedom, rounded to the wider side; scipy.stats.ttest_ind takes fractions and would give narrower intervals
    whole = max(1, math.floor(freedom))
    half = student_quantile((1 + CONFIDENCE) / 2, whole) * math.sqrt(total)
    estimate = Estimate(value, (Bound(half, half, whole),), n)
    return Interval(value, value - half, value + half, estimate.p_value, n, estimate.bounds)


def _speeds(cell: CellResult) -> list[float]:
    return [row.images_per_second for row in counted(_training(cell).history) if row.images_per_second is not None]


def _share(cell: CellResult) -> float:
    return share_of_others(_training(cell).history) or 0.0


def _training(cell: CellResult) -> Training:
    assert cell.training is not None
    return cell.training
