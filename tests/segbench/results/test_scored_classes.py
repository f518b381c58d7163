"""Over which classes a mean is, and when a network is one that predicts a single class."""

from __future__ import annotations

import numpy as np
import pytest

from segbench.measure.quality.scores import score
from segbench.results.records import Quality
from segbench.results.scored_classes import NO_COUNTERPART, averaged_classes, missing_headline, only_class

NAMES = ("ground", "disk", "rare")


def _quality(total: list[list[int]], *, headline: str | None = None) -> Quality:
    """Two images that together have these counts, rows = label, columns = prediction."""
    first = np.array(total) // 2
    return score(np.stack([first, np.array(total) - first]), class_names=NAMES, split="val", headline=headline)


def test_all_classes_with_labels_are_averaged() -> None:
    averaged = averaged_classes(_quality([[8, 1, 0], [2, 6, 0], [0, 0, 5]]))
    assert averaged is not None
    assert (averaged.names, averaged.absent, averaged.words) == (NAMES, (), "all 3 classes")


def test_a_class_without_label_pixels_is_not_averaged_even_where_it_is_predicted() -> None:
    """20 of 100 pixels are predicted as the absent class: they lower the IoU of the class that they are of, and nothing else."""
    quality = _quality([[60, 0, 20], [0, 20, 0], [0, 0, 0]], headline="rare")
    averaged = averaged_classes(quality)
    assert averaged is not None
    assert averaged.words == "2 of 3 classes (no pixel of rare in the scored split)"
    assert quality.miou == pytest.approx((60 / 80 + 1) / 2)
    assert (quality.classes_averaged, quality.predicted_pixels_per_class) == (2, [60, 20, 20])
    assert (quality.headline_iou, missing_headline(quality)) == (None, "rare")


def test_the_column_of_a_class_map_is_no_class() -> None:
    counts = np.array([[[6, 0, 2], [0, 4, 0], [0, 0, 0]]])
    averaged = averaged_classes(score(counts, class_names=("ground", "disk", NO_COUNTERPART), split="val"))
    assert averaged is not None
    assert averaged.words == "all 2 classes"


def test_the_set_is_the_same_for_every_model_of_a_split() -> None:
    sets = [averaged_classes(_quality([[a, 0, 100 - a], [b, 100 - b, 0], [0, 0, 0]])) for a, b in ((100, 0), (50, 50), (0, 100))]
    assert len(set(sets)) == 1


@pytest.mark.parametrize(
    ("total", "only"),
    [
        ([[80, 0, 0], [20, 0, 0], [0, 0, 0]], "ground"),
        ([[0, 80, 0], [0, 20, 0], [0, 0, 0]], "disk"),
        ([[0, 0, 80], [0, 0, 20], [0, 0, 0]], "rare"),  # every recall is 0: only the predictions show it
        ([[0, 80, 0], [0, 0, 0], [0, 0, 0]], "disk"),  # labels of one class, all predicted as another
        ([[80, 0, 0], [0, 0, 0], [0, 0, 0]], None),  # labels of that class alone: nothing else could be predicted
        ([[79, 1, 0], [20, 0, 0], [0, 0, 0]], None),  # one pixel of another class
        ([[80, 0, 0], [0, 20, 0], [0, 0, 0]], None),
    ],
)
def test_a_single_predicted_class(total: list[list[int]], only: str | None) -> None:
    quality = _quality(total)
    assert (quality.only_class, only_class(quality)) == (only, only)


def test_records_of_earlier_versions_are_read_by_their_recalls() -> None:
    old = _quality([[80, 0, 0], [20, 0, 0], [0, 0, 0]]).model_copy(update={"predicted_pixels_per_class": [], "only_class": None})
    assert only_class(old) == "ground"
    assert averaged_classes(old.model_copy(update={"label_pixels_per_class": []})) == averaged_classes(old)
