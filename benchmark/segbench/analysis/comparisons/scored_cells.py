"""The scored cells of a comparison: their images resampled together, so that differences are of the same images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from segbench.analysis.comparisons import plugin_metrics
from segbench.analysis.comparisons.confusions import ConfusionFiles, Images, same_images
from segbench.analysis.comparisons.matching import score_of
from segbench.analysis.statistics.bootstrap import RESAMPLES, Floats, Resampled, Statistic, resample
from segbench.analysis.statistics.scores import statistic_of
from segbench.results.metrics import Metric
from segbench.results.plugin_metrics import is_plugin_metric
from segbench.results.records import CellResult


class ScoredCells:
    """The cells of a comparison with their images; all are resampled together, once and when the first difference needs it."""

    def __init__(self, cells: Sequence[CellResult], metric: Metric, files: ConfusionFiles, *, resamples: int = RESAMPLES) -> None:
        self._cells, self._metric = cells, metric
        self.files, self.resamples = files, resamples
        self._resampled: dict[str, Resampled] | None = None

    def resampled(self, cell: CellResult) -> Resampled:
        """A cell's score in every resample of the images."""
        if self._resampled is None:
            self._resampled = dict(_resampled(self._cells, self._metric.name, self.files, self.resamples))
        return self._resampled[cell.id]


def _resampled(cells: Sequence[CellResult], quantity: str, files: ConfusionFiles, resamples: int) -> Iterator[tuple[str, Resampled]]:
    """Each scored cell's resamples; those of the same images were drawn together."""
    together: list[list[tuple[CellResult, Images]]] = []
    for cell in cells:
        images = files.images(cell)
        if images is None or score_of(cell, quantity) is None or plugin_metrics.not_drawn(quantity, cell, images):
            continue
        fitting = (batch for batch in together if _fits(quantity, batch[0], (cell, images)))
        batch = next(fitting, None)
        if batch is None:
            together.append([(cell, images)])
        else:
            batch.append((cell, images.in_order_of(batch[0][1].ids)))
    for batch in together:
        tables, statistics = zip(*(columns_and_statistic(cell, images, quantity) for cell, images in batch), strict=True)
        drawn = resample(tables, statistics[0], groups=batch[0][1].groups, ids=batch[0][1].ids, resamples=resamples)
        yield from ((cell.id, one) for (cell, _), one in zip(batch, drawn, strict=True))


def _fits(quantity: str, one: tuple[CellResult, Images], other: tuple[CellResult, Images]) -> bool:
    """True for cells of the same images whose score is summed up in the same way."""
    alike = plugin_metrics.is_per_image(quantity, one[0]) == plugin_metrics.is_per_image(quantity, other[0])
    return alike and not same_images({"": one[1], other[0].id: other[1]})


def columns_and_statistic(cell: CellResult, images: Images, quantity: str) -> tuple[Any, Statistic]:
    """Each image's counts, and the score of their sum."""
    if is_plugin_metric(quantity):
        return plugin_metrics.columns_of(quantity, images)
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
