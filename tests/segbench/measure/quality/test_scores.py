"""Every convention against a plain-Python formula and against torchmetrics."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor
from torchmetrics.functional import classification as reference

from segbench.measure.quality.confusion import confusion_matrices
from segbench.measure.quality.scores import score

NAMES = ("a", "b", "c", "d")
Matrices = npt.NDArray[np.int64]
matrices_of_four_classes = hnp.arrays(np.int64, st.tuples(st.integers(1, 5), st.just(4), st.just(4)), elements=st.integers(0, 6))


def _iou(matrix: list[list[int]], c: int) -> float | None:
    label = sum(matrix[c])
    predicted = sum(row[c] for row in matrix)
    return matrix[c][c] / (label + predicted - matrix[c][c]) if label else None


def _mean(values: list[float | None]) -> float | None:
    there = [v for v in values if v is not None]
    return math.fsum(there) / len(there) if there else None


def _close(ours: float | None, theirs: float | None) -> bool:
    return ours is theirs is None or (ours is not None and theirs is not None and math.isclose(ours, theirs, abs_tol=1e-12))


@settings(deadline=None)
@given(matrices_of_four_classes)
def test_means_follow_their_definitions(matrices: Matrices) -> None:
    quality = score(matrices, class_names=NAMES, split="test", headline="b")
    total = matrices.sum(axis=0).tolist()
    pixels, hits = sum(map(sum, total)), sum(total[c][c] for c in range(4))
    ious = [_iou(total, c) for c in range(4)]
    per_image = [_mean([_iou(image, c) for c in range(4)]) for image in matrices.tolist()]
    recalls = [total[c][c] / sum(total[c]) if sum(total[c]) else None for c in range(4)]
    weighted = sum((iou or 0.0) * sum(total[c]) for c, iou in enumerate(ious))
    assert _close(quality.miou, _mean(ious))
    assert _close(quality.headline_iou, ious[1])
    assert _close(quality.miou_imagewise, _mean(per_image))
    assert _close(quality.miou_micro, hits / (2 * pixels - hits) if pixels else None)
    assert _close(quality.pixel_accuracy, hits / pixels if pixels else None)
    assert _close(quality.mean_accuracy, _mean(recalls))
    assert _close(quality.miou_frequency_weighted, weighted / pixels if pixels else None)
    assert quality.label_pixels_per_class == [sum(row) for row in total]
    assert quality.images == len(matrices)


@settings(deadline=None)
@given(matrices_of_four_classes)
def test_per_class_scores_follow_their_definitions(matrices: Matrices) -> None:
    quality = score(matrices, class_names=NAMES, split="test")
    total = matrices.sum(axis=0).tolist()
    for c in range(4):
        label, predicted, hit = sum(total[c]), sum(row[c] for row in total), total[c][c]
        if not label:
            per_class = (quality.iou_per_class, quality.f1_per_class, quality.precision_per_class, quality.recall_per_class)
            assert [values[c] for values in per_class] == [None] * 4
            continue
        assert _close(quality.iou_per_class[c], _iou(total, c))
        assert _close(quality.f1_per_class[c], 2 * hit / (label + predicted))
        assert _close(quality.precision_per_class[c], hit / predicted if predicted else 0.0)
        assert _close(quality.recall_per_class[c], hit / label)


@settings(deadline=None)
@given(matrices_of_four_classes, st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_matter(matrices: Matrices, rng: random.Random) -> None:
    shuffled = list(matrices)
    rng.shuffle(shuffled)
    one, other = (score(m, class_names=NAMES, split="val") for m in (matrices, np.stack(shuffled)))
    assert one.model_dump(exclude={"miou_imagewise"}) == other.model_dump(exclude={"miou_imagewise"})
    assert _close(one.miou_imagewise, other.miou_imagewise)


def _batch(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.randint(0, 6, (5, 40, 30), generator=generator)
    prediction = torch.where(torch.rand(mask.shape, generator=generator) < 0.4, torch.randint(0, 6, mask.shape, generator=generator), mask)
    mask[torch.rand(mask.shape, generator=generator) < 0.1] = 255
    return prediction, mask


@pytest.mark.parametrize("seed", [0, 1])
def test_agrees_with_torchmetrics(seed: int) -> None:
    prediction, mask = _batch(seed)
    quality = score(confusion_matrices(prediction, mask, num_classes=6, ignore_index=255), class_names="abcdef", split="val")
    common: dict[str, Any] = {"num_classes": 6, "ignore_index": 255}
    macro = float(reference.multiclass_jaccard_index(prediction, mask, average="macro", **common))
    micro = float(reference.multiclass_jaccard_index(prediction, mask, average="micro", **common))
    assert quality.miou == pytest.approx(macro, abs=1e-6)
    assert quality.miou_micro == pytest.approx(micro, abs=1e-6)
    assert quality.pixel_accuracy == pytest.approx(
        float(reference.multiclass_accuracy(prediction, mask, average="micro", **common)), abs=1e-6
    )
    for ours, theirs in (
        (quality.iou_per_class, reference.multiclass_jaccard_index(prediction, mask, average="none", **common)),
        (quality.f1_per_class, reference.multiclass_f1_score(prediction, mask, average="none", **common)),
        (quality.precision_per_class, reference.multiclass_precision(prediction, mask, average="none", **common)),
        (quality.recall_per_class, reference.multiclass_recall(prediction, mask, average="none", **common)),
    ):
        assert ours == pytest.approx(theirs.tolist(), abs=1e-6)


def test_a_class_without_labels_is_left_out_of_the_mean_but_its_predictions_are_errors() -> None:
    # class b has no label pixel; two pixels of a are taken for it
    quality = score(np.array([[[6, 2, 0], [0, 0, 0], [0, 0, 4]]]), class_names="abc", split="val")
    assert quality.iou_per_class == [0.75, None, 1.0]
    assert quality.miou == 0.875
    assert quality.miou_micro == 10 / 14


def test_a_mean_over_images_is_another_number_than_that_of_the_whole_split() -> None:
    big, small = [[90, 10], [0, 0]], [[0, 2], [0, 8]]
    quality = score(np.array([big, small]), class_names="ab", split="val")
    assert quality.miou == pytest.approx((90 / 102 + 8 / 20) / 2)
    assert quality.miou_imagewise == pytest.approx((0.9 + (0 / 2 + 8 / 10) / 2) / 2)


def test_a_split_that_was_trained_on_has_no_score_that_could_be_ranked() -> None:
    matrices = np.array([[[3, 1], [0, 4]]])
    honest = score(matrices, class_names="ab", split="val")
    biased = score(matrices, class_names="ab", split="val", headline="b", trained_on=True)
    assert biased.training_score == honest.miou
    ranked = (biased.miou, biased.miou_micro, biased.miou_imagewise, biased.miou_frequency_weighted, biased.pixel_accuracy)
    assert ranked == (None,) * 5
    assert (biased.mean_accuracy, biased.headline_iou) == (None, None)
    assert honest.training_score is None


def test_a_split_without_a_valid_pixel_scores_nothing() -> None:
    quality = score(torch.zeros(2, 2, 2, dtype=torch.int64), class_names="ab", split="val")
    assert (quality.miou, quality.miou_micro, quality.miou_imagewise, quality.pixel_accuracy) == (None,) * 4


def test_counts_beyond_32_bits_are_exact() -> None:
    many = 2**40
    quality = score(np.array([[[many, 1], [0, many]]]), class_names="ab", split="val")
    assert quality.iou_per_class == [many / (many + 1), many / (many + 1)]


@pytest.mark.parametrize("bad", [np.zeros((2, 2), np.int64), np.zeros((1, 3, 3), np.int64), np.zeros((1, 2, 2))])
def test_anything_but_whole_matrices_of_the_classes_is_refused(bad: npt.NDArray[np.generic]) -> None:
    with pytest.raises(ValueError, match="expected"):
        score(bad, class_names="ab", split="val")


def test_the_interval_has_its_method_or_the_reason_why_there_is_none() -> None:
    random = np.random.default_rng(0)
    right = random.integers(20, 60, 40)
    matrices = np.array([[[each, 100 - each], [0, 100]] for each in right])
    known: Any = score(matrices, class_names="ab", split="val", interval=True)
    assert known.miou_ci95 is not None
    assert (known.miou_ci95_method, known.miou_ci95_reason) == ("bootstrap over 40 images", None)
    few: Any = score(matrices[:5], class_names="ab", split="val", interval=True)
    assert (few.miou_ci95, few.miou_ci95_method) == (None, None)
    assert few.miou_ci95_reason == "5 images are too few for an interval: at least 20"
    slow: Any = score(matrices[np.argsort(right)], class_names="ab", split="val", interval=True, ids=[f"{n}" for n in range(40)])
    assert slow.miou_ci95 is None
    assert slow.miou_ci95_reason.startswith("40 images: neighbours are alike up to a lag of ")
    mixed: Any = score(matrices[np.argsort(right)], class_names="ab", split="val", interval=True, ids=[f"{n}" for n in np.argsort(right)])
    assert mixed.miou_ci95_method == "bootstrap over 40 images"
    unasked: Any = score(matrices, class_names="ab", split="val")
    assert (unasked.miou_ci95, unasked.miou_ci95_method, unasked.miou_ci95_reason) == (None, None, None)
