from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from segbench.errors import DataError
from segbench.measure.quality.confusion import _count_on_device, confusion_matrices, confusion_matrix

Labels = npt.NDArray[np.int64]


def _pair(num_classes: int, ignore_index: int, seed: int = 0, shape: tuple[int, ...] = (3, 37, 41)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.randint(0, num_classes, shape, generator=generator)
    prediction = torch.where(torch.rand(shape, generator=generator) < 0.3, torch.randint(0, num_classes, shape, generator=generator), mask)
    mask[torch.rand(shape, generator=generator) < 0.2] = ignore_index
    return prediction, mask


def test_rows_are_labels_and_columns_predictions() -> None:
    matrix = confusion_matrix(torch.tensor([[2, 2], [2, 0]]), torch.tensor([[1, 1], [0, 0]]), num_classes=3, ignore_index=255)
    assert matrix.tolist() == [[1, 0, 1], [0, 0, 2], [0, 0, 0]]
    assert matrix.dtype == torch.int64


@pytest.mark.parametrize("ignore_index", [255, -1, 21, 65_535, -100_000])
@pytest.mark.parametrize("num_classes", [2, 21])
def test_agrees_with_torchmetrics_image_by_image(num_classes: int, ignore_index: int) -> None:
    prediction, mask = _pair(num_classes, ignore_index)
    ours = confusion_matrices(prediction, mask, num_classes=num_classes, ignore_index=ignore_index)
    for image in range(len(mask)):
        theirs = multiclass_confusion_matrix(prediction[image], mask[image], num_classes, ignore_index=ignore_index)
        assert torch.equal(ours[image], theirs)


@pytest.mark.parametrize("ignore_index", [255, -1, -100_000])
def test_the_gpu_path_counts_the_same(ignore_index: int) -> None:
    prediction, mask = _pair(5, ignore_index)
    on_device = _count_on_device(prediction, mask, num_classes=5, ignore_index=ignore_index)
    assert torch.equal(on_device, confusion_matrices(prediction, mask, num_classes=5, ignore_index=ignore_index))


@pytest.mark.gpu
def test_a_gpu_gives_the_same_matrices() -> None:
    prediction, mask = _pair(21, 255)
    on_gpu = confusion_matrices(prediction.cuda(), mask.cuda(), num_classes=21, ignore_index=255)
    assert torch.equal(on_gpu, confusion_matrices(prediction, mask, num_classes=21, ignore_index=255))


@settings(deadline=None)
@given(
    hnp.arrays(np.int64, (2, 4, 5), elements=st.integers(0, 2)),
    hnp.arrays(np.int64, (2, 4, 5), elements=st.sampled_from([0, 1, 2, -1])),
)
def test_every_valid_pixel_is_counted_once(prediction: Labels, mask: Labels) -> None:
    matrices = confusion_matrices(torch.from_numpy(prediction), torch.from_numpy(mask), num_classes=3, ignore_index=-1)
    for image in range(2):
        pixels = zip(mask[image].ravel().tolist(), prediction[image].ravel().tolist(), strict=True)
        by_hand = Counter((label, predicted) for label, predicted in pixels if label != -1)
        assert {(i, j): int(matrices[image, i, j]) for i in range(3) for j in range(3) if matrices[image, i, j]} == dict(by_hand)


def test_does_not_depend_on_how_images_are_batched() -> None:
    prediction, mask = _pair(7, 255, shape=(6, 16, 16))
    whole = confusion_matrices(prediction, mask, num_classes=7, ignore_index=255)
    parts = ((prediction[:4], mask[:4]), (prediction[4:], mask[4:]))
    halves = [confusion_matrices(p, m, num_classes=7, ignore_index=255) for p, m in parts]
    assert torch.equal(whole, torch.cat(halves))


@pytest.mark.parametrize(("dtype", "ignore_index"), [(torch.uint8, 255), (torch.int16, -1), (torch.int32, -1)])
def test_small_integer_types_do_not_overflow(dtype: torch.dtype, ignore_index: int) -> None:
    prediction, mask = _pair(100, ignore_index)
    small = confusion_matrices(prediction.to(dtype), mask.to(dtype), num_classes=100, ignore_index=ignore_index)
    assert torch.equal(small, confusion_matrices(prediction, mask, num_classes=100, ignore_index=ignore_index))


def test_inputs_are_left_alone_and_need_not_be_contiguous() -> None:
    prediction, mask = _pair(4, -1)
    before = mask.clone()
    turned = confusion_matrices(prediction.transpose(1, 2), mask.transpose(1, 2), num_classes=4, ignore_index=-1)
    assert torch.equal(turned, confusion_matrices(prediction, mask, num_classes=4, ignore_index=-1))
    assert torch.equal(mask, before)


@pytest.mark.parametrize("counted", [confusion_matrices, _count_on_device])
@pytest.mark.parametrize(
    ("label", "ignore_index"), [(37, 255), (21, 255), (-1, 255), (255, -1), (2**40, 255), (-(2**40), 255), (254, 65_535), (-2, -100_000)]
)
def test_a_label_that_is_no_class_is_named(counted: Callable[..., Tensor], label: int, ignore_index: int) -> None:
    prediction, mask = _pair(21, ignore_index)
    mask[1, 5, 5] = label
    with pytest.raises(
        DataError, match=rf"^label {label} among 21 classes \(0 \.\. 20; ignored: {ignore_index}\)\. Set the dataset's ignore"
    ):
        counted(prediction, mask, num_classes=21, ignore_index=ignore_index)


def test_an_image_without_a_valid_pixel_has_an_empty_matrix() -> None:
    mask = torch.full((1, 8, 8), 255)
    assert confusion_matrices(torch.zeros_like(mask), mask, num_classes=2, ignore_index=255).sum() == 0
    assert confusion_matrices(torch.zeros(0, 8, 8).long(), torch.zeros(0, 8, 8).long(), num_classes=2, ignore_index=255).shape == (0, 2, 2)


def test_prediction_and_mask_must_agree_in_shape() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        confusion_matrices(torch.zeros(1, 4, 4).long(), torch.zeros(1, 4, 5).long(), num_classes=2, ignore_index=255)
