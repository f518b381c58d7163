"""Scores of a run's models, losses, recipes and settings: differences with intervals and verdicts.

With one or two seeds the only thing that can be resampled is the images: the verdict is about these checkpoints, since another training
might have come out otherwise. Two seeds are pooled: images are resampled, and the difference is the mean of both seeds'. With three or
more, the differences between cells of equal seed vary as trainings do, and their t interval speaks of the architectures.

The comparisons of one score along one axis are a family (:mod:`segbench.analysis.comparisons.judging`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from segbench.analysis.comparisons import plugin_metrics
from segbench.analysis.comparisons.confusions import ConfusionFiles, same_images
from segbench.analysis.comparisons.degenerate import degenerate, unlike_classes
from segbench.analysis.comparisons.judging import Candidate, judged
from segbench.analysis.comparisons.matching import (
    AXES,
    CellsBySeed,
    ComparisonGroup,
    baseline_of,
    comparison_groups,
    pairs_of,
    score_of,
    shared_seeds,
)
from segbench.analysis.comparisons.scored_cells import ScoredCells
from segbench.analysis.comparisons.seeds import paired_over_seeds
from segbench.analysis.statistics.bootstrap import (
    LEAST_SEEDS,
    Interval,
    mean_of,
)
from segbench.results.metrics import METRICS, Metric
from segbench.results.readings import only_masks
from segbench.results.records import CellResult, Comparison, ComparisonAxis, RunResult

if TYPE_CHECKING:
    from pathlib import Path

CHECKPOINTS = "these two checkpoints"
FOLDERS = "these two folders of masks"
_SCOPES = {
    "model": "the architectures under this recipe",
    "loss": "the losses with this model and recipe",
    "recipe": "the recipes with this model and loss",
    "settings": "the settings with this model, loss and recipe",
    "variant": "these variants",
}
"""The scope of a verdict over seeds, by axis."""


def compare_quality(result: RunResult, directory: Path) -> list[Comparison]:
    """Every score of each model, loss, recipe and variation of settings against the run's first of its kind, then all other pairs.

    The two sides of a pair share all else. Where a run varies more than one of these, the variant with the highest score is also compared
    with all that differ from it in several. ``directory`` is the run's.
    """
    files = ConfusionFiles(directory)
    return [one for metric in METRICS.scores for one in _compare(result, metric, ScoredCells(result.cells, metric, files))]


def _compare(result: RunResult, metric: Metric, scored: ScoredCells) -> Iterator[Comparison]:
    for axis in AXES:
        yield from judged(list(_candidates(result, metric, scored, axis)))
    if metric.column is not None:
        yield from _leader_against_variants(result, metric, scored)


def _candidates(result: RunResult, metric: Metric, scored: ScoredCells, axis: ComparisonAxis) -> Iterator[Candidate]:
    """All pairs along one axis."""
    first = baseline_of(result, axis)
    for group in comparison_groups(result, axis):
        cells = [cell for side in group.sides.values() for cell in side.values()]
        if len(group.sides) < 2 or not _is_wanted(cells, metric.name):
            continue
        comparator = ScoreComparator(group, metric, scored)
        for pair in pairs_of(list(group.sides), first, result.ablation if axis == "model" else None):
            candidate = comparator.candidate(pair.subject, pair.baseline)
            step = {} if pair.step is None else {"step": pair.step}
            update = {"headline": pair.headline, "context": {**candidate.record.context, **step}}
            yield Candidate(candidate.record.model_copy(update=update), candidate.estimate, pair.planned)


def _leader_against_variants(result: RunResult, metric: Metric, scored: ScoredCells) -> list[Comparison]:
    """The variant with the highest score against those that differ from it on several axes; of all such pairs as one family."""
    candidates: list[Candidate] = []
    further = 0
    for group in comparison_groups(result, "variant"):
        means = {name: _mean_score(side, metric.name) for name, side in group.sides.items()}
        known = {name: mean for name, mean in means.items() if mean is not None}
        if len(known) < 2:
            continue
        leader = max(known, key=lambda name: known[name])
        comparator = ScoreComparator(group, metric, scored)
        apart = [name for name in known if _axes_apart(group.sides[name], group.sides[leader]) > 1]
        candidates += [comparator.candidate(leader, name) for name in apart]
        names = list(known)
        pairs = sum(_axes_apart(group.sides[a], group.sides[b]) > 1 for i, a in enumerate(names) for b in names[:i])
        further += pairs - len(apart)
    late = [Candidate(one.record.model_copy(update={"headline": False}), one.estimate, planned=False) for one in candidates]
    return judged(late, further=further)


def _axes_apart(one: CellsBySeed, other: CellsBySeed) -> int:
    first, second = next(iter(one.values())), next(iter(other.values()))
    return sum(getattr(first, axis) != getattr(second, axis) for axis in AXES)


def _mean_score(side: CellsBySeed, quantity: str) -> float | None:
    scores = [score for cell in side.values() if (score := score_of(cell, quantity)) is not None and math.isfinite(score)]
    return fmean(scores) if scores else None


def _is_wanted(cells: Sequence[CellResult], quantity: str) -> bool:
    """True where there is a score, or none of mIoU because something went wrong.

    A profile scores nothing, and training scores are not compared: nothing is missing.
    """
    if any(score_of(cell, quantity) is not None for cell in cells):
        return True
    wanting = [cell for cell in cells if not (cell.quality and cell.quality.training_score is not None)]
    return quantity == "miou" and any(cell.status != "ok" or cell.training is not None for cell in wanting)


@dataclass(frozen=True)
class _Pair:
    """Cells of two models by shared seed."""

    subject: Sequence[CellResult]
    baseline: Sequence[CellResult]

    @property
    def cells(self) -> list[CellResult]:
        return [*self.subject, *self.baseline]


class ScoreComparator:
    """Compares the sides of one group in one score."""

    def __init__(self, group: ComparisonGroup, metric: Metric, scored: ScoredCells) -> None:
        self._group, self._metric, self._scored, self._files = group, metric, scored, scored.files

    def compare(self, subject: str, baseline: str) -> Comparison:
        """One record that stands alone, with the reason where nothing can be said."""
        return judged([self.candidate(subject, baseline)])[0]

    def candidate(self, subject: str, baseline: str) -> Candidate:
        """One pair for a family, with the reason where nothing can be said."""
        one, other = self._group.sides[subject], self._group.sides[baseline]
        seeds = shared_seeds(one, other, self._metric.name)
        pair = _Pair([one[seed] for seed in seeds], [other[seed] for seed in seeds])
        record = Comparison(
            quantity=self._metric.name,
            axis=self._group.axis,
            subject=subject,
            baseline=baseline,
            subject_cells=[cell.id for cell in pair.subject or one.values()],
            baseline_cells=[cell.id for cell in pair.baseline or other.values()],
            unit=self._metric.stored_unit,
            context={**self._group.context, **_scored_on(pair, self._metric), "seeds": seeds},
        )
        if seeds:
            why = _not_numbers(pair.cells, self._metric.name)
            why = why or _unlike_records(pair.cells)
            why = why or degenerate(self._metric, pair.subject, pair.baseline) or self._unlike(pair)
        else:
            why = _nothing_shared([*one.values()], [*other.values()], self._metric.name)
        if why:
            return Candidate(record.model_copy(update={"reason": why}))
        if len(seeds) >= LEAST_SEEDS:
            interval, words = self._over_seeds(paired_over_seeds(one, other, self._metric.name, seeds))
        elif self._metric.noise == "seeds":
            return Candidate(
                record.model_copy(update={"reason": f"{self._metric.words} takes {LEAST_SEEDS} seeds: it cannot be taken of drawn images"})
            )
        else:
            interval, words = self._over_images(pair)
        return Candidate(record.model_copy(update=words), interval.estimate)

    def _unlike(self, pair: _Pair) -> str:
        """The reason why cells of like records were not scored on the same images; empty where they were."""
        name = self._metric.name
        images = {cell.id: self._files.images(cell) for cell in pair.cells}
        why = plugin_metrics.of_other_code(name, pair.cells) or plugin_metrics.unlike_images(name, pair.cells, images)
        if why:
            return why
        needs_images = self._metric.noise != "seeds" and len(pair.subject) < LEAST_SEEDS
        if not needs_images and None in images.values():
            return ""
        if name == "boundary_iou" and any(each and each.boundary is None for each in images.values()):
            return "the boundary counts of the images are missing: evaluate the cells again"
        drawn = ((cell, images[cell.id]) for cell in pair.cells) if needs_images else ()
        why = next((why for cell, one in drawn if one is not None and (why := plugin_metrics.not_drawn(name, cell, one))), "")
        return same_images(images) or why

    def _over_images(self, pair: _Pair) -> tuple[Interval, dict[str, Any]]:
        seeds = len(pair.subject)
        resampled = self._scored.resampled
        differences = [resampled(one) - resampled(other) for one, other in zip(pair.subject, pair.baseline, strict=True)]
        interval = mean_of(differences).difference_interval()
        assert interval.sampling is not None
        compared = CHECKPOINTS if seeds == 1 else f"these {2 * seeds} checkpoints"
        if only_masks(pair.cells):
            compared = FOLDERS
        return interval, {
            "scope": compared + interval.sampling.scope,
            "method": interval.sampling.paired_method(self._scored.resamples, seeds),
            "reason": interval.why,
        }

    def _over_seeds(self, interval: Interval) -> tuple[Interval, dict[str, Any]]:
        same = "all seeds differ by the same amount: there is nothing to estimate a deviation from" if interval.low is None else ""
        method = f"t interval of the differences between cells of equal seed, {interval.n} seeds; all on the same images"
        return interval, {"scope": _SCOPES[self._group.axis], "method": method, "reason": same}


def _scored_on(pair: _Pair, metric: Metric) -> Mapping[str, Any]:
    quality = next((cell.quality for cell in pair.cells if cell.quality), None)
    if quality is None:
        return {}
    return {"split": quality.split, **({"class": quality.headline_class} if metric.of_class else {})}


def _not_numbers(cells: Sequence[CellResult], quantity: str) -> str:
    broken = [cell.id for cell in cells if not math.isfinite(score_of(cell, quantity) or 0.0)]
    return f"the score of {', '.join(broken)} is not a number" if broken else ""


def _nothing_shared(subject: Sequence[CellResult], baseline: Sequence[CellResult], quantity: str) -> str:
    cells = [*subject, *baseline]
    seen = [cell.id for cell in cells if cell.quality and cell.quality.training_score is not None]
    if seen:
        return f"scored on images that were trained on: {', '.join(seen)}"
    missing = [cell.id for cell in cells if score_of(cell, quantity) is None]
    return f"not scored: {', '.join(missing)}" if missing else "no seed in common"


def _unlike_records(cells: Sequence[CellResult]) -> str:
    """A difference between the scores' records which shows that they are of different images."""
    for name, words in (("split", "splits"), ("class_names", "classes"), ("images", "numbers of images")):
        if other := _differing(cells, name):
            return f"scored on different {words}: {cells[0].id} and {other}"
    other = _differing(cells, "label_pixels_per_class")
    return unlike_classes(cells) or (f"scored on different labels: {cells[0].id} and {other}" if other else "")


def _differing(cells: Sequence[CellResult], name: str) -> str:
    """The first cell whose record differs from the first cell's in a field; empty where none does."""
    first, *others = cells
    return next((cell.id for cell in others if getattr(cell.quality, name) != getattr(first.quality, name)), "")
