"""Each score as a function of sums over images, so that it can be resampled: its columns of the matrices, and what their sum gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from segbench.analysis.statistics.bootstrap import Floats, Interval, Statistic, class_iou_of, miou_columns, miou_of
from segbench.results.records import CellResult

Columns = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


def statistic_of(score: str, cell: CellResult) -> tuple[Columns, Statistic]:
    """Columns (n, F) of matrices (n, K, K), and the score of their sum. ``cell`` names the classes, for ``headline_iou``."""
    if score == "headline_iou":
        quality = cell.quality
        assert quality is not None
        assert quality.headline_class is not None
        return miou_columns, class_iou_of(quality.class_names.index(quality.headline_class))
    return {
        "miou": (miou_columns, miou_of),
        "miou_micro": (_hits_and_unions, _share),
        "miou_imagewise": (_image_scores, _share),
        "miou_frequency_weighted": (miou_columns, _frequency_weighted),
        "pixel_accuracy": (_hits_and_pixels, _share),
        "mean_accuracy": (miou_columns, _mean_accuracy),
    }[score]


def interval_fields(interval: Interval) -> dict[str, Any]:
    """The fields of :class:`Quality` on the interval of mIoU: its ends (shares), method and reason, null where they do not apply."""
    if interval.low is None or interval.high is None or interval.sampling is None:
        return {"miou_ci95": None, "miou_ci95_method": None, "miou_ci95_reason": interval.why}
    ends = max(interval.low, 0.0), min(interval.high, 1.0)
    return {"miou_ci95": ends, "miou_ci95_method": f"bootstrap over {interval.sampling.words}", "miou_ci95_reason": None}


def _hits_and_pixels(matrices: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.stack([np.trace(matrices, axis1=1, axis2=2), matrices.sum(axis=(1, 2))], axis=1)


def _hits_and_unions(matrices: npt.NDArray[Any]) -> npt.NDArray[Any]:
    hits = np.trace(matrices, axis1=1, axis2=2)
    return np.stack([hits, 2 * matrices.sum(axis=(1, 2)) - hits], axis=1)


def _image_scores(matrices: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Each image's own mIoU, and whether it has any."""
    scores = miou_of(miou_columns(matrices).astype(np.float64))
    scored = ~np.isnan(scores)
    return np.stack([np.where(scored, scores, 0.0), scored], axis=1)


def _share(sums: Floats) -> Floats:
    part, total = sums[..., 0], sums[..., 1]
    share: Floats = np.divide(part, total, out=np.full(part.shape, np.nan), where=total > 0)
    return share


def _mean_accuracy(sums: Floats) -> Floats:
    hits, labelled, _ = np.split(sums, 3, axis=-1)
    recall = np.divide(hits, labelled, out=np.zeros(hits.shape), where=labelled > 0)
    classes = (labelled > 0).sum(axis=-1)
    return _share(np.stack([recall.sum(axis=-1), classes], axis=-1))


def _frequency_weighted(sums: Floats) -> Floats:
    hits, labelled, predicted = np.split(sums, 3, axis=-1)
    union = labelled + predicted - hits
    iou = np.divide(hits, union, out=np.zeros(hits.shape), where=labelled > 0)
    return _share(np.stack([(iou * labelled).sum(axis=-1), labelled.sum(axis=-1)], axis=-1))
