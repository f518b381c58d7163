"""Boundary IoU against a pixel-by-pixel erosion of each class's mask, as the paper has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from segbench.measure.quality.boundary import boundary_counts, boundary_distance, boundary_iou, is_boundary
from segbench.measure.quality.scores import score


def blobs(seed: int, size: tuple[int, int], classes: int, *, ignored: bool = True) -> Tensor:
    """Labels in areas of several pixels; the last value becomes 255."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, classes + ignored, (1, 1, 7, 9), generator=generator).float()
    labels = functional.interpolate(coarse, size=size)[0, 0].long()
    labels[labels == classes] = 255
    return labels


def eroded(mask: Tensor, times: int) -> Tensor:
    """3x3 erosion, so many times, where what lies outside is not in the mask: max-pooling of the complement."""
    outside = 1 - mask.float()[None, None]
    for _ in range(times):
        outside = functional.max_pool2d(functional.pad(outside, (1, 1, 1, 1), value=1.0), 3, stride=1)
    return outside[0, 0] == 0


def expected(prediction: Tensor, label: Tensor, classes: int, *, cut: bool = True) -> list[list[int]]:
    """Class by class: masks, their boundaries as mask minus eroded mask, intersection and union over pixels that are not ignored."""
    reach = max(1, round(0.02 * float(np.sqrt(label.shape[0] ** 2 + label.shape[1] ** 2))))
    valid = label != 255
    found: list[list[int]] = [[], []]
    for k in range(classes):
        one, other = label == k, (prediction == k) & valid if cut else prediction == k
        one, other = one & ~eroded(one, reach), other & ~eroded(other, reach) & valid
        found[0].append(int((one & other).sum()))
        found[1].append(int((one | other).sum()))
    return found


@pytest.mark.parametrize(("size", "classes"), [((60, 90), 4), ((200, 140), 3), ((31, 250), 6)])
def test_counts_are_those_of_eroded_masks(size: tuple[int, int], classes: int) -> None:
    for seed in range(4):
        label = blobs(seed, size, classes)
        prediction = torch.roll(blobs(seed, size, classes, ignored=False), (seed, -2 * seed), (0, 1))
        for cut in (True, False):
            found = boundary_counts(prediction, label, num_classes=classes, ignore_index=255, cut=cut)
            assert found.tolist() == expected(prediction, label, classes, cut=cut)


@pytest.mark.parametrize("reach", [1, 2, 3, 7])
def test_the_boundary_is_what_erosion_of_its_own_label_removes(reach: int) -> None:
    labels = blobs(reach, (40, 50), 5)
    found = is_boundary(labels, reach)
    for k in set(labels.flatten().tolist()):
        assert torch.equal(found & (labels == k), (labels == k) & ~eroded(labels == k, reach))


def test_a_square_shifted_by_one_pixel() -> None:
    """10 x 10, regions one pixel wide: rings of 36 pixels; the shifted ring shares 2 x 9 pixels of its sides with the other."""
    label, prediction = torch.zeros(40, 40, dtype=torch.long), torch.zeros(40, 40, dtype=torch.long)
    label[10:20, 10:20] = 1
    prediction[10:20, 11:21] = 1
    assert boundary_distance(40, 40) == 1
    shared, union = boundary_counts(prediction, label, num_classes=2, ignore_index=255)[:, 1].tolist()
    assert (shared, union) == (18, 54)


def test_an_exact_prediction_has_one_and_ignored_pixels_count_nowhere() -> None:
    label = blobs(1, (50, 60), 3)
    shared, union = boundary_counts(torch.where(label == 255, 0, label), label, num_classes=3, ignore_index=255)
    assert torch.equal(shared, union)
    nothing = torch.full((20, 20), 255)
    assert boundary_counts(torch.zeros_like(nothing), nothing, num_classes=3, ignore_index=255).sum() == 0


def test_cut_predictions_end_where_the_label_does_and_uncut_ones_do_not() -> None:
    """40 x 40, regions one pixel wide; below row 20 all is ignored, and one class is predicted everywhere."""
    label, prediction = torch.zeros(40, 40, dtype=torch.long), torch.zeros(40, 40, dtype=torch.long)
    label[20:] = 255
    ring = 2 * 40 + 2 * 18
    assert boundary_counts(prediction, label, num_classes=1, ignore_index=255).tolist() == [[ring], [ring]]
    # the label's ring has 38 pixels along row 19 that the prediction's has not; those below row 20 count nowhere
    assert boundary_counts(prediction, label, num_classes=1, ignore_index=255, cut=False).tolist() == [[ring - 38], [ring]]


def test_without_ignored_pixels_both_conventions_are_the_same() -> None:
    label, prediction = (blobs(seed, (50, 60), 3, ignored=False) for seed in (1, 2))
    one, other = (boundary_counts(prediction, label, num_classes=3, ignore_index=255, cut=cut) for cut in (True, False))
    assert torch.equal(one, other)


def test_far_off_ignore_values_and_many_classes_do_not_wrap_around() -> None:
    label = blobs(2, (40, 40), 3)
    moved = torch.where(label == 255, -100_000, label)
    prediction = torch.roll(label.clamp(max=2), 2, 0)
    few = boundary_counts(prediction, label, num_classes=3, ignore_index=255)
    assert torch.equal(few, boundary_counts(prediction, moved, num_classes=3, ignore_index=-100_000))
    many = boundary_counts(prediction + 297, torch.where(label == 255, -1, label + 297), num_classes=300, ignore_index=-1)
    assert torch.equal(many[:, 297:], few)


def test_small_images_are_boundary_throughout() -> None:
    assert is_boundary(torch.zeros(2, 9, dtype=torch.long), 1).all()
    assert is_boundary(torch.zeros(3, 3, dtype=torch.long), 1).sum() == 8


def test_the_score_adds_up_over_the_split_and_averages_labelled_classes() -> None:
    counts = np.array([[[1, 2, 0], [2, 4, 5]], [[3, 0, 0], [8, 0, 0]]])
    assert boundary_iou(counts, np.array([True, True, False])).tolist()[:2] == [4 / 10, 2 / 4]
    matrices = np.array([[[6, 2, 1], [1, 5, 4], [0, 0, 0]]] * 2)
    quality: Any = score(matrices, class_names="abc", split="val", boundary=counts)
    assert quality.boundary_iou == pytest.approx((0.4 + 0.5) / 2)
    assert quality.boundary_iou_per_class == [0.4, 0.5, None]
    assert quality.boundary_iou_uncut is None
    both: Any = score(matrices, class_names="abc", split="val", boundary=counts, boundary_uncut=counts // 2)
    # shared 0 + 1 and 1 + 0, in all 1 + 4 and 2 + 0
    assert both.boundary_iou_uncut == pytest.approx((1 / 5 + 1 / 2) / 2)
