"""Scores of a run's models against each other, with intervals and verdicts.

With one or two seeds the only thing that can be resampled is the images: the verdict is about these checkpoints, since another training
might have come out otherwise. Two seeds are pooled: images are resampled, and the difference is the mean of both seeds'. With three or
more, the differences between cells of equal seed vary as trainings do, and their t interval speaks of the architectures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from segbench.analysis.comparisons.confusions import ConfusionFiles, Images, same_images
from segbench.analysis.comparisons.matching import ComparisonGroup, baseline_of, comparison_groups, score_of, shared_seeds
from segbench.analysis.comparisons.seeds import paired_over_seeds
from segbench.analysis.statistics.bootstrap import (
    CONFIDENCE,
    LEAST_SEEDS,
    RESAMPLES,
    Floats,
    Interval,
    Resampled,
    Statistic,
    mean_of,
    resample,
)
from segbench.analysis.statistics.scores import statistic_of
from segbench.analysis.statistics.timing import holm
from segbench.results.metrics import METRICS, Metric
from segbench.results.records import CellResult, Comparison, RunResult

if TYPE_CHECKING:
    from pathlib import Path

ARCHITECTURES = "the architectures under this recipe"
CHECKPOINTS = "these two checkpoints"

Verdict = Literal["better", "worse", "no difference shown", "cannot tell"]


def compare_quality(result: RunResult, directory: Path) -> list[Comparison]:
    """mIoU, headline class and boundary IoU of each model against the run's first under the same loss, recipe and settings.

    Where there are more than two models also every pair, with Holm-corrected p values (``headline`` false). ``directory`` is the run's.
    """
    files, first = ConfusionFiles(directory), baseline_of(result)
    comparisons: list[Comparison] = []
    for group in comparison_groups(result):
        for metric in METRICS.scores:
            cells = [cell for side in group.models.values() for cell in side.values()]
            if len(group.models) < 2 or not _is_wanted(cells, metric.name):
                continue
            comparator = ScoreComparator(group, metric, files)
            if first in group.models:
                comparisons += [comparator.compare(model, str(first)) for model in group.models if model != first]
            if len(group.models) > 2:
                comparisons += _corrected([comparator.compare(subject, baseline) for subject, baseline in group.pairs()])
    return comparisons


def _is_wanted(cells: Sequence[CellResult], quantity: str) -> bool:
    """True where there is a score, or none of mIoU because something went wrong; a profile scores nothing, and nothing is missing."""
    scored = any(score_of(cell, quantity) is not None for cell in cells)
    return scored or (quantity == "miou" and any(cell.status != "ok" or cell.training is not None for cell in cells))


def verdict(interval: Interval, *, lower_is_better: bool = False) -> Verdict:
    """The verdict on an interval of a difference in a score."""
    if interval.low is None or interval.high is None:
        return "cannot tell"
    if interval.low <= 0 <= interval.high:
        return "no difference shown"
    return "better" if (interval.low > 0) is not lower_is_better else "worse"


@dataclass(frozen=True)
class _Pair:
    """Cells of two models by shared seed."""

    subject: Sequence[CellResult]
    baseline: Sequence[CellResult]

    @property
    def cells(self) -> list[CellResult]:
        return [*self.subject, *self.baseline]


class ScoreComparator:
    """Compares the models of one group in one score; all of its cells are resampled together, once."""

    def __init__(self, group: ComparisonGroup, metric: Metric, files: ConfusionFiles, *, resamples: int = RESAMPLES) -> None:
        self._group, self._metric, self._files, self._resamples = group, metric, files, resamples
        self._resampled: dict[str, Resampled] | None = None

    def compare(self, subject: str, baseline: str) -> Comparison:
        """One record, with the reason where nothing can be said."""
        one, other = self._group.models[subject], self._group.models[baseline]
        seeds = shared_seeds(one, other, self._metric.name)
        pair = _Pair([one[seed] for seed in seeds], [other[seed] for seed in seeds])
        record = Comparison(
            quantity=self._metric.name,
            subject=subject,
            baseline=baseline,
            subject_cells=[cell.id for cell in pair.subject or one.values()],
            baseline_cells=[cell.id for cell in pair.baseline or other.values()],
            unit=self._metric.stored_unit,
            context={**self._group.context, **_scored_on(pair, self._metric), "seeds": seeds},
        )
        why = _nothing_shared([*one.values()], [*other.values()], self._metric.name) if not seeds else self._unlike(pair)
        if why:
            return record.model_copy(update={"reason": why})
        if len(seeds) >= LEAST_SEEDS:
            return record.model_copy(update=self._over_seeds(paired_over_seeds(one, other, self._metric.name, seeds)))
        if self._metric.noise == "seeds":
            return record.model_copy(
                update={"reason": f"{self._metric.words} takes {LEAST_SEEDS} seeds: it cannot be taken of drawn images"}
            )
        return record.model_copy(update=self._over_images(pair))

    def _unlike(self, pair: _Pair) -> str:
        """The reason why the cells were not scored on the same images; empty where they were."""
        unlike = _unlike_records(pair.cells)
        images = {cell.id: self._files.images(cell) for cell in pair.cells}
        needs_images = self._metric.noise != "seeds" and len(pair.subject) < LEAST_SEEDS
        if unlike or (not needs_images and None in images.values()):
            return unlike
        if self._metric.name == "boundary_iou" and any(each and each.boundary is None for each in images.values()):
            return "the boundary counts of the images are missing: evaluate the cells again"
        return same_images(images)

    def _over_images(self, pair: _Pair) -> dict[str, Any]:
        seeds = len(pair.subject)
        known = self._all_resampled()
        differences = [known[one.id] - known[other.id] for one, other in zip(pair.subject, pair.baseline, strict=True)]
        interval = mean_of(differences).difference_interval()
        pooled = f", mean of the differences of {seeds} seeds" if seeds > 1 else ""
        assert interval.sampling is not None
        checkpoints = CHECKPOINTS if seeds == 1 else f"these {2 * seeds} checkpoints"
        return self._judged(interval) | {
            "scope": checkpoints + interval.sampling.scope,
            "method": f"paired bootstrap over {interval.sampling.words}{pooled}, {interval.sampling.percentiles(self._resamples)}",
            "reason": interval.why,
        }

    def _over_seeds(self, interval: Interval) -> dict[str, Any]:
        same = "all seeds differ by the same amount: there is nothing to estimate a deviation from" if interval.low is None else ""
        method = f"t interval of the differences between cells of equal seed, {interval.n} seeds; all on the same images"
        return self._judged(interval) | {"scope": ARCHITECTURES, "method": method, "reason": same}

    def _judged(self, interval: Interval) -> dict[str, Any]:
        return {
            "value": interval.value,
            "low": interval.low,
            "high": interval.high,
            "confidence": CONFIDENCE,
            "p_value": interval.p_value,
            "n": interval.n,
            "verdict": verdict(interval, lower_is_better=self._metric.better == "lower"),
        }

    def _all_resampled(self) -> dict[str, Resampled]:
        if self._resampled is None:
            cells = [cell for side in self._group.models.values() for cell in side.values()]
            self._resampled = dict(_resampled(cells, self._metric.name, self._files, self._resamples))
        return self._resampled


def _resampled(cells: Sequence[CellResult], quantity: str, files: ConfusionFiles, resamples: int) -> Iterator[tuple[str, Resampled]]:
    """Each scored cell's resamples; those of the same images were drawn together."""
    together: list[list[tuple[CellResult, Images]]] = []
    for cell in cells:
        images = files.images(cell)
        if images is None or score_of(cell, quantity) is None:
            continue
        fitting = (batch for batch in together if not same_images({"": batch[0][1], cell.id: images}))
        batch = next(fitting, None)
        if batch is None:
            together.append([(cell, images)])
        else:
            batch.append((cell, images.in_order_of(batch[0][1].ids)))
    for batch in together:
        tables, statistics = zip(*(_columns(cell, images, quantity) for cell, images in batch), strict=True)
        drawn = resample(tables, statistics[0], groups=batch[0][1].groups, ids=batch[0][1].ids, resamples=resamples)
        yield from ((cell.id, one) for (cell, _), one in zip(batch, drawn, strict=True))


def _columns(cell: CellResult, images: Images, quantity: str) -> tuple[Any, Statistic]:
    """Each image's counts, and the score of their sum."""
    if quantity == "boundary_iou":
        assert images.boundary is not None
        return np.concatenate([images.boundary[:, 0], images.boundary[:, 1], images.matrices.sum(axis=2)], axis=1), _boundary_iou_of
    columns, statistic = statistic_of(quantity, cell)
    return columns(images.matrices), statistic


def _boundary_iou_of(sums: Floats) -> Floats:
    shared, union, labelled = np.split(sums, 3, axis=-1)
    scored = (labelled > 0) & (union > 0)
    iou = np.divide(shared, union, out=np.zeros(shared.shape), where=scored)
    total: Floats = iou.sum(axis=-1)
    classes = scored.sum(axis=-1)
    mean: Floats = np.divide(total, classes, out=np.full(total.shape, np.nan), where=classes > 0)
    return mean


def _corrected(pairs: Sequence[Comparison]) -> list[Comparison]:
    """The same pairs as one family: a verdict stands where its corrected p value does."""
    known = [pair for pair in pairs if pair.p_value is not None]
    adjusted = dict(zip(map(id, known), holm([pair.p_value or 0.0 for pair in known]), strict=True))
    return [_with_p(pair, adjusted.get(id(pair)), len(known)) for pair in pairs]


def _with_p(pair: Comparison, adjusted: float | None, family: int) -> Comparison:
    if adjusted is None:
        return pair.model_copy(update={"headline": False})
    lost = pair.verdict in ("better", "worse") and adjusted >= 1 - CONFIDENCE
    return pair.model_copy(
        update={
            "headline": False,
            "p_adjusted": adjusted,
            "verdict": "no difference shown" if lost else pair.verdict,
            "method": f"{pair.method}; p by Holm over {family} pairs",
            "reason": f"its interval leaves out zero, but not after correction for {family} pairs" if lost else pair.reason,
        }
    )


def _scored_on(pair: _Pair, metric: Metric) -> Mapping[str, Any]:
    quality = next((cell.quality for cell in pair.cells if cell.quality), None)
    if quality is None:
        return {}
    return {"split": quality.split, **({"class": quality.headline_class} if metric.of_class else {})}


def _nothing_shared(subject: Sequence[CellResult], baseline: Sequence[CellResult], quantity: str) -> str:
    cells = [*subject, *baseline]
    seen = [cell.id for cell in cells if cell.quality and cell.quality.training_score is not None]
    if seen:
        return f"scored on images that were trained on: {', '.join(seen)}"
    missing = [cell.id for cell in cells if score_of(cell, quantity) is None]
    return f"not scored: {', '.join(missing)}" if missing else "no seed in common"


def _unlike_records(cells: Sequence[CellResult]) -> str:
    """A difference between the scores' records which shows that they are of different images."""
    first, *others = cells
    for name, words in (
        ("split", "splits"),
        ("class_names", "classes"),
        ("images", "numbers of images"),
        ("label_pixels_per_class", "labels"),
    ):
        for cell in others:
            if getattr(cell.quality, name) != getattr(first.quality, name):
                return f"scored on different {words}: {first.id} and {cell.id}"
    return ""
