"""The scored cells of a comparison: their images resampled together, so that differences are of the same images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from segbench.analysis.comparisons.confusions import ConfusionFiles, Images, same_images
from segbench.analysis.comparisons.matching import score_of
from segbench.analysis.statistics.bootstrap import RESAMPLES, Floats, Resampled, Statistic, resample
from segbench.analysis.statistics.scores import statistic_of
from segbench.results.metrics import Metric
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
