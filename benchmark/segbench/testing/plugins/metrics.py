"""The rules that every metric keeps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from segbench.analysis.statistics.plugin_scores import MetricValues, from_matrices
from segbench.errors import ConfigError
from segbench.measure.quality.confusion import confusion_matrix
from segbench.measure.quality.plugin_metrics import ImageMetrics, metric_values
from segbench.plugin.specs import IGNORE_INDEX, MetricSpec, resolve
from segbench.results.plugin_metrics import refuse_own_metric
from segbench.testing.check import Check, during, fail

_COUNTS = (3, 2)
_IMAGES = 5
_SAME = 1e-6

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class MetricSubject:
    """A metric, tried on predictions that are right in about two of three pixels (5 images of 12 x 16 pixels)."""

    spec: MetricSpec

    def labels(self, classes: int, *, ignored: bool = True) -> Labels:
        """Labels (5, 12, 16) of every class in every image; an eighth of them ignored."""
        random = np.random.default_rng(0)
        masks = random.integers(classes, size=(_IMAGES, 12, 16))
        masks[:, :8, :8] = np.arange(classes).repeat(64 // classes + 1)[:64].reshape(8, 8)
        return np.where(random.random(masks.shape) < 1 / 8, IGNORE_INDEX, masks) if ignored else masks

    def predictions(self, masks: Labels, classes: int) -> Labels:
        """Predictions for labels: another class in about a third of the pixels, any class at ignored ones."""
        random = np.random.default_rng(1)
        drawn = random.integers(classes, size=masks.shape)
        return np.where((masks == IGNORE_INDEX) | (random.random(masks.shape) < 1 / 3), drawn, masks)

    def values(self, predictions: Labels, masks: Labels, classes: int, *, case: str) -> MetricValues:
        """What the metric gives, as a run computes it; fails where it gives nothing."""
        values = self.given(predictions, masks, classes)
        if values.reason:
            fail(f"with {case}: {values.reason}")
        return values

    def given(self, predictions: Labels, masks: Labels, classes: int) -> MetricValues:
        """What the metric gives, with the reason where that is nothing."""
        pairs = list(zip(map(torch.from_numpy, predictions), map(torch.from_numpy, masks), strict=True))
        images = ImageMetrics([self.spec], ignore_index=IGNORE_INDEX)
        for place, (prediction, mask) in enumerate(pairs):
            images.add(place, prediction, mask, name=f"image {place}")
        matrices = [confusion_matrix(prediction, mask, num_classes=classes, ignore_index=IGNORE_INDEX) for prediction, mask in pairs]
        return metric_values([self.spec], torch.stack(matrices).numpy(), images.values)[self.spec.name]

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The metric's own function."""
        with during("importing it"):
            return resolve(self.spec.from_confusions or self.spec.from_image or "")


def name_is_free(subject: MetricSubject) -> None:
    """The name is none of segbench's own metrics."""
    try:
        refuse_own_metric(subject.spec.name)
    except ConfigError:
        fail(f"'{subject.spec.name}' is a metric of segbench itself: give the MetricSpec another name")


def value_is_a_finite_number(subject: MetricSubject) -> None:
    """A finite value for ordinary predictions of two and of three classes, and for one image."""
    for classes in _COUNTS:
        masks = subject.labels(classes)
        predictions = subject.predictions(masks, classes)
        subject.values(predictions, masks, classes, case=f"{classes} classes")
        subject.values(predictions[:1], masks[:1], classes, case=f"one image of {classes} classes")


def shares_lie_between_0_and_1(subject: MetricSubject) -> None:
    """A metric in per cent gives shares from 0 to 1: reports show them times 100."""
    if subject.spec.unit != "%":
        return
    masks = subject.labels(3)
    worst = (masks + 1) % 3
    cases = {"ordinary predictions": subject.predictions(masks, 3), "perfect ones": np.minimum(masks, 2), "wrong ones": worst}
    for case, predictions in cases.items():
        values = subject.values(predictions, masks, 3, case=case)
        shown = [values.pooled] if values.per_image is None else values.per_image[~np.isnan(values.per_image)]
        if not all(one is not None and -_SAME <= one <= 1 + _SAME for one in shown):
            fail(f"{case} give {values.value:.6g}, and its unit is %: return shares from 0 to 1, or declare another unit")


def perfect_predictions_are_best(subject: MetricSubject) -> None:
    """Perfect predictions score better than ordinary ones, in the direction that is declared."""
    masks = subject.labels(3)
    perfect = subject.values(np.where(masks == IGNORE_INDEX, 0, masks), masks, 3, case="perfect predictions").value
    ordinary = subject.values(subject.predictions(masks, 3), masks, 3, case="ordinary predictions").value
    assert perfect is not None
    assert ordinary is not None
    if not (perfect > ordinary if subject.spec.better == "higher" else perfect < ordinary):
        fail(
            f"perfect predictions give {perfect:.6g}, ones with a third of the pixels wrong {ordinary:.6g}, and {subject.spec.better} is "
            "declared to be better: turn 'better' round, or mend the metric"
        )


def ignored_pixels_have_no_influence(subject: MetricSubject) -> None:
    """What is predicted at ignored pixels changes nothing."""
    masks = subject.labels(3)
    one = subject.predictions(masks, 3)
    other = np.where(masks == IGNORE_INDEX, (one + 1) % 3, one)
    first, second = (subject.values(each, masks, 3, case="ignored pixels").value for each in (one, other))
    if not _close(first, second):
        fail(f"other predictions at ignored pixels change it from {first:.6g} to {second:.6g}: leave out pixels where mask == ignore_index")


def value_is_not_that_of_the_order(subject: MetricSubject) -> None:
    """The order of the images changes nothing, and neither does a second call."""
    masks = subject.labels(3)
    predictions = subject.predictions(masks, 3)
    first = subject.values(predictions, masks, 3, case="ordinary predictions").value
    for case, turn in (("a second call", slice(None)), ("the images in reverse", slice(None, None, -1))):
        other = subject.values(predictions[turn].copy(), masks[turn].copy(), 3, case=case).value
        if not _close(first, other):
            fail(f"{case} gives {other:.6g} in place of {first:.6g}: keep nothing between calls")


def undefined_images_are_those_of_the_label(subject: MetricSubject) -> None:
    """Whether an image has a value depends on its label alone: means of two models would be over different images otherwise."""
    masks = subject.labels(3, ignored=False)
    masks[0] = 0
    masks[1] = 1
    masks[2] = IGNORE_INDEX
    undefined = []
    for predictions in (np.minimum(masks, 2), np.zeros_like(masks), np.ones_like(masks)):
        values = subject.given(predictions, masks, 3)
        if values.per_image is None:
            return  # one value of all images, or the reason for none, which the other rules judge
        undefined.append(np.isnan(values.per_image).tolist())
    if any(one != undefined[0] for one in undefined):
        fail("which images are NaN depends on what was predicted: return the worst value there, and NaN only where the label has nothing")


def arguments_are_left_alone(subject: MetricSubject) -> None:
    """The arrays that it gets are as they were afterwards."""
    masks = subject.labels(3)
    predictions = subject.predictions(masks, 3)
    given: tuple[Labels, ...]
    if subject.spec.from_image is not None:
        given = (predictions[0].copy(), masks[0].copy())
    else:
        given = (np.random.default_rng(0).integers(1, 9, size=(_IMAGES, 3, 3)),)
    further = (IGNORE_INDEX,) if subject.spec.from_image is not None else ()
    before = [array.copy() for array in given]
    with during("the metric"):
        subject.function(*given, *further)
    if not all(np.array_equal(array, old) for array, old in zip(given, before, strict=True)):
        fail("it writes into the arrays that it was given: work on a copy")


def pooled_value_is_of_the_sum(subject: MetricSubject) -> None:
    """One value of all images is that of the sum of their matrices, so that drawn images can be summed up for its interval."""
    if subject.spec.from_confusions is None:
        return
    matrices = np.random.default_rng(2).integers(0, 50, size=(_IMAGES, 3, 3))
    matrices[1] *= 40
    values = from_matrices(subject.spec, matrices)
    if values.reason:
        fail(values.reason)


def _close(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and math.isclose(one, other, rel_tol=_SAME, abs_tol=1e-9)


_VALUE = "value_is_a_finite_number"
CHECKS: tuple[Check[MetricSubject], ...] = (
    Check.of(name_is_free),
    Check.of(value_is_a_finite_number),
    Check.of(shares_lie_between_0_and_1, _VALUE),
    Check.of(perfect_predictions_are_best, _VALUE),
    Check.of(ignored_pixels_have_no_influence, _VALUE),
    Check.of(value_is_not_that_of_the_order, _VALUE),
    Check.of(undefined_images_are_those_of_the_label, _VALUE),
    Check.of(arguments_are_left_alone, _VALUE),
    Check.of(pooled_value_is_of_the_sum),
)
