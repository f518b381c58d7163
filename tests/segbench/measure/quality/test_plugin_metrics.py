"""Metrics of plugins over a split: their values, intervals, and reasons where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from segbench.analysis.statistics.bootstrap import miou_interval, miou_of
from segbench.analysis.statistics.plugin_scores import from_matrices
from segbench.measure.quality.plugin_metrics import ImageMetrics, metric_scores, metric_values
from segbench.measure.quality.scores import score
from segbench.plugin.choice import Choice
from segbench.plugin.chosen import Chosen, Plugin
from segbench.plugin.options import NoOptions
from segbench.plugin.specs import MetricSpec
from segbench.results.records import MetricScore
from segbench_plugins.metrics.dice import mean_dice


def matrices(count: int = 40, classes: int = 3) -> Any:
    random = np.random.default_rng(3)
    return random.integers(0, 30, size=(count, classes, classes)) + 60 * np.eye(classes, dtype=np.int64)


def spec(function: Callable[..., Any], **fields: Any) -> MetricSpec:
    kind = "from_image" if function.__code__.co_argcount == 3 else "from_confusions"
    return MetricSpec(**{"name": "mine", "summary": "a metric", kind: function, **fields})


def record(one: MetricSpec, counts: Any, *, trained_on: bool = False) -> MetricScore:
    chosen = Chosen(Choice(one.name), one, NoOptions(), Plugin("p", package="pack", version="1.0"))
    values = metric_values([one], counts, {})
    return metric_scores([chosen], values, counts, trained_on=trained_on, groups=None, ids=None)["mine"]


def miou_per_image(counts: Any) -> Any:
    hits = np.diagonal(counts, axis1=1, axis2=2)
    return miou_of(np.concatenate([hits, counts.sum(2), counts.sum(1)], axis=1).astype(float))


def pooled_miou(counts: Any) -> float:
    return float(miou_per_image(counts.sum(axis=0, keepdims=True))[0])


def test_a_pooled_metric_has_the_value_and_the_interval_that_the_harness_gives_the_same_score() -> None:
    counts = matrices()
    found, own = record(spec(pooled_miou), counts), miou_interval(counts)
    assert found.value == pytest.approx(own.value)
    assert found.ci95 == pytest.approx((own.low, own.high))
    assert (found.images, found.code, found.ci95_method) == (None, "pack==1.0", "bootstrap over 40 images")


def test_a_metric_of_each_image_is_their_mean_without_those_that_have_nothing() -> None:
    def per_image(counts: Any) -> Any:
        values = miou_per_image(counts)
        values[:5] = np.nan
        return values

    counts = matrices()
    found = record(spec(per_image), counts)
    assert found.value == pytest.approx(miou_per_image(counts)[5:].mean())
    assert found.images == 35
    assert found.ci95 is not None
    assert found.value is not None
    assert found.ci95[0] < found.value < found.ci95[1]


def test_dice_is_the_mean_of_the_f1_scores_of_the_classes_with_labels() -> None:
    counts = matrices(classes=4)
    counts[:, 2] = 0
    quality = score(counts, class_names=["a", "b", "c", "d"], split="val")
    assert mean_dice(counts) == pytest.approx(np.mean([f1 for f1 in quality.f1_per_class if f1 is not None]))


def raises(counts: Any) -> float:
    raise KeyError("no such class")


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (raises, "it raised KeyError: 'no such class'"),
        (lambda counts: float("nan"), "it returned nan"),
        (lambda counts: float("inf"), "it returned inf"),
        (lambda counts: np.full(len(counts), np.nan), "it is NaN for every image: none has anything to be scored"),
        (lambda counts: np.where(np.arange(len(counts)) < 2, np.inf, 0.5), "it is infinite for 2 of 40 images"),
        (lambda counts: counts.sum(axis=0), "it returned the shape (3, 3): expected one float, or one for each of the 40 images"),
        (lambda counts: "good", "it raised ValueError: could not convert string to float: 'good'"),
        (lambda counts: float(np.median(miou_per_image(counts))), "is not that of the sum of their matrices"),
    ],
)
def test_what_a_metric_does_wrong_costs_only_its_own_value_and_is_named(function: Callable[..., Any], reason: str) -> None:
    found = record(spec(function), matrices())
    assert (found.value, found.ci95) == (None, None)
    assert reason in found.reason


def test_no_value_stands_where_the_split_was_trained_on() -> None:
    found = record(spec(pooled_miou), matrices(), trained_on=True)
    assert (found.value, found.reason) == (None, "the network was trained on images of the scored split")


def test_metrics_cannot_change_each_others_matrices() -> None:
    def spoils(counts: Any) -> float:
        counts[:] = 0
        return 0.5

    counts = matrices()
    from_matrices(spec(spoils), counts)
    assert np.array_equal(counts, matrices())


def images(*functions: Callable[..., Any], ignore_index: int = 255) -> dict[str, Any]:
    """What the functions give for two images, under the names m0, m1, .."""
    specs = [spec(function, name=f"m{n}") for n, function in enumerate(functions)]
    found = ImageMetrics(specs, ignore_index=ignore_index)
    for place, label in enumerate((0, 1)):
        mask = torch.tensor([[label, label, ignore_index]])
        found.add(place, torch.zeros_like(mask), mask, name=f"picture {place}")
    return dict(metric_values(specs, np.zeros((2, 2, 2), dtype=np.int64), found.values))


def accuracy(prediction: Any, mask: Any, ignore_index: int) -> float:
    valid = mask != ignore_index
    return float((prediction == mask)[valid].mean())


def test_metrics_of_an_image_get_class_ids_of_their_own_and_the_ignored_one() -> None:
    def spoils(prediction: Any, mask: Any, ignore_index: int) -> float:
        assert (prediction.dtype, mask.dtype, mask.shape, ignore_index) == (np.int64, np.int64, (1, 3), 255)
        mask[:] = 0
        return 1.0

    found = images(spoils, accuracy)
    assert found["m0"].value == 1.0
    assert found["m1"].per_image.tolist() == [1.0, 0.0]


def test_one_image_that_fails_takes_the_metric_and_names_the_image() -> None:
    calls = []

    def fails(prediction: Any, mask: Any, ignore_index: int) -> float:
        calls.append(mask)
        raise RuntimeError("too few\npixels")

    def infinite(prediction: Any, mask: Any, ignore_index: int) -> float:
        return float("inf") if mask[0, 0] else 0.0

    found = images(fails, infinite, accuracy)
    assert found["m0"].reason == "it raised RuntimeError: too few pixels (image 'picture 0')"
    assert len(calls) == 1
    assert found["m1"].reason.endswith("NaN where the label has nothing to be scored (image 'picture 1')")
    assert found["m2"].value == 0.5
