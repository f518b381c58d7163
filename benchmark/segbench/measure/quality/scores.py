"""Scores from confusion matrices, in every convention that papers use: always say which.

The headline ``miou`` is the dataset's: one matrix over the whole split (Everingham 2010, PASCAL VOC, section 4.2), averaged over
the classes that have label pixels in that split. The others come from the same per-image matrices.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from segbench.analysis.statistics.bootstrap import miou_interval
from segbench.analysis.statistics.scores import interval_fields
from segbench.measure.quality.boundary import boundary_iou
from segbench.measure.quality.calibration import expected_calibration_error, reliability
from segbench.results.records import Quality
from segbench.results.scored_classes import only_class

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


def score(
    matrices: Tensor | npt.NDArray[Any],
    *,
    class_names: Sequence[str],
    split: str,
    headline: str | None = None,
    selected_on: str | None = None,
    trained_on: bool = False,
    image_size: tuple[int, int] | None = None,
    resize: str | None = None,
    seconds: float | None = None,
    interval: bool = False,
    groups: Sequence[Hashable] | None = None,
    ids: Sequence[str] | None = None,
    boundary: Counts | None = None,
    boundary_uncut: Counts | None = None,
    calibration: Floats | None = None,
) -> Quality:
    """Score a split from its per-image ``matrices`` (N, K, K), rows = label, columns = prediction.

    - ``miou``: mean IoU over the classes with label pixels in the split; ``mean_accuracy``: mean recall over the same classes.
    - ``miou_micro``: summed intersections over summed unions of all classes.
    - ``miou_imagewise``: mean over images of the mean IoU over the classes with label pixels in that image; an image without
      any valid pixel has none and is left out.
    - ``miou_worst_decile``: the same over the tenth of these images that scores worst (at least one).
    - ``miou_frequency_weighted``: IoU weighted by the share of label pixels.
    - per class: null without label pixels; a class that is labelled but never predicted has precision 0.

    ``trained_on`` says that images of this split were trained on: then the score stands as ``training_score`` and nothing that
    could be ranked is given. ``headline`` is the class that is quoted beside the mean; ``selected_on`` the split that chose the checkpoint,
    where it is this one. ``interval`` asks for ``miou_ci95``, over ``groups`` (one per image) where images come in such, and over blocks of
    images where neighbours in the natural order of ``ids`` are alike. ``boundary`` and ``boundary_uncut`` (N, 2, K) and ``calibration``
    (N, 3, 15) are the sums of the modules of those names. A split without a valid pixel scores null.
    """
    per_image = _counts(matrices, class_names)
    total = per_image.sum(axis=0)
    labelled = total.sum(axis=1)
    iou, f1, precision, recall = _per_class(total)
    imagewise = image_scores(per_image)
    boundary_ious = boundary_iou(boundary, labelled > 0) if boundary is not None else None
    summary: dict[str, float | None] = {
        "miou": _mean(iou),
        "miou_micro": _ratio(np.trace(total), _union(total).sum()),
        "miou_imagewise": _mean(imagewise),
        "miou_worst_decile": _mean(_worst_tenth(imagewise)),
        "miou_frequency_weighted": _ratio(np.nansum(iou * labelled), labelled.sum()),
        "pixel_accuracy": _ratio(np.trace(total), total.sum()),
        "mean_accuracy": _mean(recall),
        "headline_iou": _none_for_nan(iou[list(class_names).index(headline)]) if headline is not None else None,
        "boundary_iou": _mean(boundary_ious) if boundary_ious is not None else None,
        "boundary_iou_uncut": _mean(boundary_iou(boundary_uncut, labelled > 0)) if boundary_uncut is not None else None,
        "ece": expected_calibration_error(calibration) if calibration is not None else None,
    }
    training_score = summary["miou"] if trained_on else None
    if trained_on:
        summary = dict.fromkeys(summary)
    estimate = miou_interval(per_image, groups=groups, ids=ids) if interval and not trained_on else None
    quality = Quality(
        split=split,
        images=len(per_image),
        training_score=training_score,
        selected_on=selected_on,
        headline_class=headline,
        class_names=list(class_names),
        iou_per_class=_none_for_nans(iou),
        f1_per_class=_none_for_nans(f1),
        precision_per_class=_none_for_nans(precision),
        recall_per_class=_none_for_nans(recall),
        label_pixels_per_class=labelled.tolist(),
        predicted_pixels_per_class=total.sum(axis=0).tolist(),
        classes_averaged=int((labelled > 0).sum()),
        **(interval_fields(estimate) if estimate else {}),
        boundary_iou_per_class=_none_for_nans(boundary_ious) if boundary_ious is not None else [],
        reliability=reliability(calibration) if calibration is not None else [],
        image_size=image_size,
        resize=resize,
        seconds=seconds,
        **summary,
    )
    return quality.model_copy(update={"only_class": only_class(quality)})


def image_scores(matrices: Counts) -> Floats:
    """Mean IoU (N,) of each image over the classes with label pixels in it, from matrices (N, K, K); NaN without a valid pixel."""
    return _mean_rows(_iou(matrices))


def _counts(matrices: Tensor | npt.NDArray[Any], class_names: Sequence[str]) -> Counts:
    array = matrices.cpu().numpy() if isinstance(matrices, Tensor) else np.asarray(matrices)
    classes = len(class_names)
    if array.ndim != 3 or array.shape[1:] != (classes, classes):
        raise ValueError(f"expected matrices (N, {classes}, {classes}), got {array.shape}")
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"expected whole numbers, got {array.dtype}")
    return array.astype(np.int64)


def _per_class(total: Counts) -> tuple[Floats, Floats, Floats, Floats]:
    """IoU, F1, precision and recall of each class; NaN without label pixels."""
    hits, labelled, predicted = np.diagonal(total), total.sum(axis=1), total.sum(axis=0)
    present = labelled > 0
    precision = _divide(hits, np.maximum(predicted, 1), present)
    return _iou(total), _divide(2 * hits, labelled + predicted, present), precision, _divide(hits, labelled, present)


def _iou(matrices: Counts) -> Floats:
    """IoU per class of (.., K, K) matrices; NaN without label pixels."""
    hits = np.diagonal(matrices, axis1=-2, axis2=-1)
    return _divide(hits, _union(matrices), matrices.sum(axis=-1) > 0)


def _union(matrices: Counts) -> Counts:
    hits = np.diagonal(matrices, axis1=-2, axis2=-1)
    union: Counts = matrices.sum(axis=-1) + matrices.sum(axis=-2) - hits
    return union


def _divide(above: Counts | Floats, below: Counts, where: npt.NDArray[np.bool_]) -> Floats:
    out: Floats = np.full(above.shape, np.nan)
    np.divide(above, below, out=out, where=where)
    return out


def _mean_rows(values: Floats) -> Floats:
    present = ~np.isnan(values)
    return _divide(np.where(present, values, 0.0).sum(axis=1), present.sum(axis=1), present.sum(axis=1) > 0)


def _worst_tenth(values: Floats) -> Floats:
    """The lowest tenth, rounded up."""
    scores = np.sort(values[~np.isnan(values)])
    return scores[: -(-len(scores) // 10)]


def _mean(values: Floats) -> float | None:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else None


def _ratio(above: Any, below: Any) -> float | None:
    return float(above) / float(below) if below else None


def _none_for_nan(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _none_for_nans(values: Floats) -> list[float | None]:
    return [_none_for_nan(value) for value in values]
