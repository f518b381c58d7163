"""A score read off the sums that are resampled is the score that the report gives."""

from __future__ import annotations

import numpy as np
import pytest

from segbench.analysis.statistics.scores import statistic_of
from segbench.measure.quality.scores import score
from segbench.results.records import CellResult

SCORES = ("miou", "miou_micro", "miou_imagewise", "miou_frequency_weighted", "pixel_accuracy", "mean_accuracy", "headline_iou")


@pytest.mark.parametrize("name", SCORES)
def test_the_whole_scores_as_it_is_reported(name: str) -> None:
    random = np.random.default_rng(1)
    matrices = random.integers(0, 50, (12, 4, 4)) * (random.random((12, 4, 1)) < 0.7)
    matrices[:, 3] = 0  # a class without labels
    matrices[5] = 0  # an image without a valid pixel
    quality = score(matrices, class_names=["a", "b", "c", "d"], split="val", headline="b")
    columns, statistic = statistic_of(name, CellResult(id="x", model="x", quality=quality))
    sums = columns(matrices).sum(axis=0).astype(np.float64)
    assert float(statistic(sums)) == pytest.approx(getattr(quality, name))
    both = statistic(np.stack([sums, 2 * sums]))
    assert both[0] == pytest.approx(both[1]), "many resamples at once, and shares do not depend on how many images there are"
