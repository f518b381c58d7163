"""Each metric here breaks one rule, and the check of that rule must name it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from segbench import MetricSpec
from segbench.testing import MetricSubject, checks_for
from segbench.testing.check import run_all
from segbench_plugins.metrics import segbench_metrics


def failures(spec: MetricSpec) -> dict[str, str]:
    """Message of each failed check by name."""
    return {r.name: r.message for r in run_all(checks_for("metrics"), MetricSubject(spec)) if not r.passed}


def accuracy(prediction: Any, mask: Any, ignore_index: int) -> float:
    valid = mask != ignore_index
    return float((prediction == mask)[valid].mean()) if valid.any() else float("nan")


def hits(matrices: Any) -> float:
    return float(np.trace(matrices.sum(axis=0)) / matrices.sum())


def spec(function: Callable[..., Any], **fields: Any) -> MetricSpec:
    kind = "from_image" if function.__code__.co_argcount == 3 else "from_confusions"
    return MetricSpec(**{"name": "mine", "summary": "", kind: function, **fields})


@pytest.mark.parametrize("good", [*segbench_metrics(), spec(accuracy), spec(hits), spec(lambda m: np.trace(m, 0, 1, 2) / m.sum((1, 2)))])
def test_good_metrics_keep_every_rule(good: MetricSpec) -> None:
    assert failures(good) == {}


def spoils(prediction: Any, mask: Any, ignore_index: int) -> float:
    value = accuracy(prediction, mask, ignore_index)
    mask[:] = 0
    return value


class Counting:
    """A value that grows from call to call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, matrices: Any) -> Any:
        self.calls += 1
        return np.full(len(matrices), hits(matrices) / self.calls)


def only_where_found(prediction: Any, mask: Any, ignore_index: int) -> float:
    return accuracy(prediction, mask, ignore_index) if (prediction == 1).any() else float("nan")


def with_ignored(prediction: Any, mask: Any, ignore_index: int) -> float:
    return float((prediction == np.where(mask == ignore_index, 0, mask)).mean())


@pytest.mark.parametrize(
    ("broken", "rule", "message"),
    [
        (spec(hits, name="miou"), "name_is_free", "'miou' is a metric of segbench itself"),
        (spec(lambda matrices: hits(matrices) + 1 / (matrices.shape[1] - 2)), "value_is_a_finite_number", "ZeroDivisionError"),
        (spec(lambda matrices: 100 * hits(matrices)), "shares_lie_between_0_and_1", "its unit is %: return shares from 0 to 1"),
        (spec(hits, better="lower"), "perfect_predictions_are_best", "lower is declared to be better: turn 'better' round"),
        (spec(with_ignored), "ignored_pixels_have_no_influence", "leave out pixels where mask == ignore_index"),
        (MetricSpec(name="mine", summary="", from_confusions=Counting()), "value_is_not_that_of_the_order", "keep nothing between calls"),
        (spec(only_where_found), "undefined_images_are_those_of_the_label", "return the worst value there"),
        (spec(spoils), "arguments_are_left_alone", "work on a copy"),
        (spec(lambda m: float(np.median(np.trace(m, 0, 1, 2) / m.sum((1, 2))))), "pooled_value_is_of_the_sum", "return one value for each"),
    ],
)
def test_a_broken_rule_is_named(broken: MetricSpec, rule: str, message: str) -> None:
    assert message in failures(broken)[rule]
