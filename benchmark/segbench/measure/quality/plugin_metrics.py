"""Metrics of plugins over a split: image by image while it is evaluated, or from all confusion matrices at its end."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from segbench.analysis.statistics.bootstrap import Counts, resample
from segbench.analysis.statistics.plugin_scores import MetricValues, columns_and_statistic, from_matrices, per_image_values, raised
from segbench.plugin.chosen import Chosen
from segbench.plugin.specs import MetricSpec, resolve
from segbench.results.records import MetricScore

TRAINED_ON = "the network was trained on images of the scored split"


class ImageMetrics:
    """The values of metrics with ``from_image``, for the images that one process evaluates.

    ``values`` has, for each image's place in the split, a number or the reason for none, by the metric's name. A metric that failed on one
    image is not called again.
    """

    def __init__(self, specs: Sequence[MetricSpec], *, ignore_index: int) -> None:
        self._specs = [spec for spec in specs if spec.from_image is not None]
        self._ignore_index = ignore_index
        self._failed: set[str] = set()
        self.values: dict[int, dict[str, float | str]] = {}

    def add(self, place: int, prediction: Tensor, mask: Tensor, *, name: str) -> None:
        """Score one image: class ids (H, W) of prediction and label; ``name`` is its id, for messages."""
        if not self._specs:
            return
        arrays = [tensor.cpu().numpy().astype(np.int64) for tensor in (prediction, mask)]
        known = self.values.setdefault(place, {})
        for spec in self._specs:
            if spec.name not in self._failed:
                known[spec.name] = self._value(spec, arrays, name)

    def _value(self, spec: MetricSpec, arrays: Sequence[npt.NDArray[np.int64]], name: str) -> float | str:
        assert spec.from_image is not None
        prediction, mask = (array.copy() for array in arrays)  # a metric that writes into them must not change another's
        try:
            value = resolve(spec.from_image)(prediction, mask, self._ignore_index)
            number = float(value)
        except Exception as error:  # a plugin may raise anything, and only its own score may be missing for it
            reason = raised(error)
        else:
            if not math.isinf(number):
                return number
            reason = f"it returned {number}: return a finite number, or NaN where the label has nothing to be scored"
        self._failed.add(spec.name)
        return f"{reason} (image '{name}')"


def metric_values(
    specs: Sequence[MetricSpec], matrices: Counts, values: Mapping[int, Mapping[str, float | str]]
) -> dict[str, MetricValues]:
    """What each metric gave for a split, from all matrices (N, K, K) and the ``values`` of all images."""
    return {
        spec.name: from_matrices(spec, matrices) if spec.from_confusions is not None else _of_images(spec, values, len(matrices))
        for spec in specs
    }


def _of_images(spec: MetricSpec, values: Mapping[int, Mapping[str, float | str]], count: int) -> MetricValues:
    found = [values.get(place, {}).get(spec.name) for place in range(count)]
    reason = next((value for value in found if isinstance(value, str)), "")
    if reason:
        return MetricValues(reason=reason)
    return per_image_values(np.array([math.nan if value is None else value for value in found], dtype=np.float64))


def metric_scores(
    metrics: Sequence[Chosen[MetricSpec]],
    values: Mapping[str, MetricValues],
    matrices: Counts,
    *,
    trained_on: bool,
    groups: Sequence[Hashable] | None,
    ids: Sequence[str] | None,
) -> dict[str, MetricScore]:
    """The records of all metrics, with intervals over images as mIoU has them; no value where the split was trained on."""
    given = {name: MetricValues(reason=TRAINED_ON) for name in values} if trained_on else values
    return {one.spec.name: _record(one, given[one.spec.name], matrices, groups, ids) for one in metrics}


def _record(
    metric: Chosen[MetricSpec], values: MetricValues, matrices: Counts, groups: Sequence[Hashable] | None, ids: Sequence[str] | None
) -> MetricScore:
    spec = metric.spec
    interval: dict[str, Any] = {} if values.reason else _interval_fields(spec, values, matrices, groups, ids)
    return MetricScore(
        value=values.value,
        reason=values.reason,
        images=values.images,
        title=spec.title or spec.name.replace("_", " "),
        unit=spec.unit,
        better=spec.better,
        digits=spec.digits,
        meaning=spec.meaning or spec.summary,
        column=spec.column,
        code=metric.code.identity,
        **interval,
    )


def _interval_fields(
    spec: MetricSpec, values: MetricValues, matrices: Counts, groups: Sequence[Hashable] | None, ids: Sequence[str] | None
) -> dict[str, Any]:
    columns, statistic = columns_and_statistic(spec, matrices, values.per_image)
    interval = resample([columns], statistic, groups=groups, ids=ids)[0].interval()
    if interval.low is None or interval.high is None or interval.sampling is None:
        return {"ci95_reason": interval.why}
    return {"ci95": (interval.low, interval.high), "ci95_method": f"bootstrap over {interval.sampling.words}"}
