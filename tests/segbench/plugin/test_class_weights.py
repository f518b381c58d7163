from __future__ import annotations

import itertools
import math

import pytest

from segbench.errors import DataError
from segbench.plugin.class_weights import WeightRule, class_weights


def test_the_effective_number_by_hand() -> None:
    """N = 1000 / 4 pixels of a class on average, beta = 249 / 250, E = 250 (1 - beta ** n)."""
    pixels = [900, 90, 9, 1]
    beta = 249 / 250
    effective = [(1 - beta**n) / (1 - beta) for n in pixels]
    assert effective == pytest.approx([243.22, 75.70, 8.86, 1.0], abs=0.01)
    scale = 1000 / sum(n / e for n, e in zip(pixels, effective, strict=True))
    made = class_weights("effective", pixels)
    assert made.beta == beta
    assert made.weights == pytest.approx([scale / e for e in effective])
    assert made == class_weights("auto", pixels)


@pytest.mark.parametrize("rule", ["inverse", "effective"])
@pytest.mark.parametrize("pixels", [[5, 5], [10**9, 1], [3 * 10**9, 10**6, 0, 7], [1, 1, 1], [0, 12]])
def test_the_mean_weight_of_a_pixel_is_1_and_rarer_classes_weigh_more(rule: WeightRule, pixels: list[int]) -> None:
    weights = class_weights(rule, pixels).weights
    assert sum(n * w for n, w in zip(pixels, weights, strict=True)) == pytest.approx(sum(pixels))
    assert all((weight == 0) == (count == 0) for count, weight in zip(pixels, weights, strict=True))
    present = sorted((count, weight) for count, weight in zip(pixels, weights, strict=True) if count)
    assert all(b[1] < a[1] or a[0] == b[0] for a, b in itertools.pairwise(present))
    assert all(math.isfinite(weight) for weight in weights)


def test_millions_of_pixels_do_not_make_all_classes_alike() -> None:
    weights = class_weights("auto", [90 * 10**6, 9 * 10**6, 10**6]).weights
    assert weights[2] / weights[0] == pytest.approx((1 - math.exp(-2.7)) / (1 - math.exp(-0.03)), rel=1e-6)


def test_a_split_without_labels_has_no_weights() -> None:
    with pytest.raises(DataError, match="no pixel of the training split is labelled"):
        class_weights("inverse", [0, 0])
