"""Scores of predictions in other classes than the labels', against hand counts."""

from __future__ import annotations

import pytest
import torch

from segbench.errors import DataError
from segbench.measure.quality.confusion import confusion_matrix
from segbench.measure.quality.mapped import MappedClasses
from segbench.measure.quality.scores import score
from segbench.plugin.class_map import match_classes
from segbench.plugin.specs import Task

LABELS = torch.tensor([[0, 0, 1, 1], [2, 2, 255, 0]])


def matrix(
    network: tuple[str, ...], chosen: list[list[int]], text: str | None, ignore_index: int = 255
) -> tuple[list[list[int]], tuple[str, ...]]:
    task = Task(class_names=("a", "b", "c"), ignore_index=ignore_index)
    class_map = match_classes(network, task.class_names, text, source="it", target="them")
    mapped = MappedClasses(task, class_map)
    mask = mapped.labels(torch.where(LABELS == 255, ignore_index, LABELS))
    counts = confusion_matrix(mapped.prediction(torch.tensor(chosen)), mask, num_classes=mapped.count, ignore_index=mapped.ignore_index)
    return counts.tolist(), class_map.class_names


@pytest.mark.parametrize("ignore_index", [255, 3, -100])
def test_what_has_no_counterpart_is_missed_and_no_false_positive(ignore_index: int) -> None:
    counts, names = matrix(("a", "b", "c", "x"), [[0, 3, 1, 3], [2, 3, 3, 0]], "x:ignore", ignore_index)
    assert names == ("a", "b", "c", "(no counterpart)")
    assert counts == [[2, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1], [0, 0, 0, 0]], "the ignored pixel counts nowhere, 3 being its label or not"
    quality = score(torch.tensor([counts]), class_names=names, split="val")
    assert quality.iou_per_class == pytest.approx([2 / 3, 1 / 2, 1 / 2, None])
    assert quality.miou == pytest.approx((2 / 3 + 1 / 2 + 1 / 2) / 3)
    assert quality.pixel_accuracy == pytest.approx(4 / 7)


def test_labels_that_do_not_count_have_no_iou_and_punish_nobody() -> None:
    counts, names = matrix(("a", "b"), [[0, 0, 1, 1], [0, 1, 0, 1]], "ignore:c")
    assert names == ("a", "b", "c")
    assert counts == [[2, 1, 0], [0, 2, 0], [0, 0, 0]]


def test_probabilities_of_merged_classes_are_summed_before_the_argmax() -> None:
    """By hand: car 0.3 + bus 0.3 = vehicle 0.6 above road 0.4; x and y have no counterpart and are not added up, 0.3 each below 0.4."""
    task = Task(class_names=("road", "vehicle"))
    names = ("car", "road", "bus", "x", "y")
    class_map = match_classes(names, task.class_names, "car:vehicle,bus:vehicle,x:ignore,y:ignore", source="it", target="them")
    mapped = MappedClasses(task, class_map)
    pixels = [[0.3, 0.4, 0.3, 0.0, 0.0], [0.0, 0.4, 0.0, 0.3, 0.3], [0.2, 0.3, 0.09, 0.4, 0.01]]
    logits = mapped.logits(torch.tensor(pixels).T.clamp(min=1e-30).log()[None, :, None] + 7)  # (1, 5, 1, 3), not normalised
    assert logits.softmax(dim=1)[0, :, 0].T.tolist() == [
        pytest.approx(row, abs=1e-6) for row in ([0.6, 0.4, 0.0, 0.0], [0.0, 0.4, 0.3, 0.3], [0.29, 0.3, 0.4, 0.01])
    ]
    assert mapped.prediction(logits.argmax(dim=1)).tolist() == [[[1, 0, 2]]]
    assert class_map.class_names == ("road", "vehicle", "(no counterpart)")


def test_without_merged_classes_logits_stay_as_they_are() -> None:
    task = Task(class_names=("a", "b"))
    logits = torch.randn(1, 3, 2, 2)
    for network, text in ((("b", "a"), None), (("b", "a", "x"), "x:ignore")):
        mapped = MappedClasses(task, match_classes(network, task.class_names, text, source="it", target="them"))
        assert mapped.logits(logits) is logits


def test_a_label_that_is_no_class_is_still_an_error() -> None:
    task = Task(class_names=("a", "b", "c"))
    mapped = MappedClasses(task, match_classes(("a", "b", "c", "x"), task.class_names, "x:ignore", source="it", target="them"))
    with pytest.raises(DataError, match="label 3 among 3 classes"):
        mapped.labels(torch.tensor([[0, 3]]))
