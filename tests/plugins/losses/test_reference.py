"""Every loss against its formula, written again in numpy and float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segbench_plugins.losses.focal import modulate

Loss = Callable[[Tensor, Tensor], Tensor]
MakeLoss = Callable[..., Loss]


def test_cross_entropy_is_the_mean_over_valid_pixels(scene: Any, make_loss: MakeLoss) -> None:
    value = make_loss("ce")(scene.logits, scene.mask)
    assert value.item() == pytest.approx(scene.cross_entropies.mean(), rel=1e-6)
    assert value.item() == pytest.approx(F.cross_entropy(scene.logits, scene.mask, ignore_index=255).item(), rel=1e-6)


def test_label_smoothing_is_torchs(scene: Any, make_loss: MakeLoss) -> None:
    ours = make_loss("ce[label_smoothing=0.2]")(scene.logits, scene.mask).item()
    smoothed = 0.8 * scene.cross_entropies - 0.2 * np.log(scene.probabilities).mean(1)
    assert ours == pytest.approx(smoothed.mean(), rel=1e-6)
    assert ours == pytest.approx(F.cross_entropy(scene.logits, scene.mask, ignore_index=255, label_smoothing=0.2).item(), rel=1e-6)


def test_class_weights_multiply_and_the_pixel_count_divides(scene: Any, make_loss: MakeLoss) -> None:
    weights = np.array([0.5, 2.0, 1.0, 0.0, 4.0])
    value = make_loss("ce[weights=(0.5,2,1,0,4)]")(scene.logits, scene.mask).item()
    assert value == pytest.approx((weights[scene.labels] * scene.cross_entropies).mean(), rel=1e-6)
    torch_sum = F.cross_entropy(scene.logits, scene.mask, torch.tensor(weights).float(), ignore_index=255, reduction="sum").item()
    assert value == pytest.approx(torch_sum / len(scene.labels), rel=1e-6)


@pytest.mark.parametrize(
    "text", ["ce", "ce[weights=(0.5,2,1,0,4)]", "ce[label_smoothing=0.1]", "focal", "focal[alpha=(1,2,3,4,5),gamma=1]"]
)
def test_parts_of_a_batch_weighted_by_their_valid_pixels_add_up_to_the_batch(text: str, scene: Any, make_loss: MakeLoss) -> None:
    loss = make_loss(text)
    counts = [(m != 255).sum().item() for m in scene.mask]
    parts = [loss(scene.logits[i : i + 1], scene.mask[i : i + 1]).item() * n for i, n in enumerate(counts)]
    assert sum(parts) / sum(counts) == pytest.approx(loss(scene.logits, scene.mask).item(), rel=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_with_one_alpha(gamma: float, scene: Any, make_loss: MakeLoss) -> None:
    ce = scene.cross_entropies
    expected = (0.25 * (1 - np.exp(-ce)) ** gamma * ce).mean()
    assert make_loss(f"focal[gamma={gamma}]")(scene.logits, scene.mask).item() == pytest.approx(expected, rel=1e-5)


def test_focal_with_an_alpha_per_class(scene: Any, make_loss: MakeLoss) -> None:
    ce = scene.cross_entropies
    alpha = np.array([0.25, 0.5, 1.0, 2.0, 4.0])[scene.labels]
    value = make_loss("focal[alpha=(0.25,0.5,1,2,4)]")(scene.logits, scene.mask).item()
    assert value == pytest.approx((alpha * (1 - np.exp(-ce)) ** 2 * ce).mean(), rel=1e-5)


def test_focal_without_focus_is_cross_entropy(scene: Any, make_loss: MakeLoss) -> None:
    focal = make_loss("focal[alpha=1,gamma=0]")(scene.logits, scene.mask)
    torch.testing.assert_close(focal, make_loss("ce")(scene.logits, scene.mask))


@pytest.mark.parametrize(("p_t", "cross_entropy", "weighed"), [(0.9, 0.1, 0.001), (0.3, 2.5, 1.225)])
def test_worked_figures_of_the_focal_weight(p_t: float, cross_entropy: float, weighed: float) -> None:
    value = modulate(torch.tensor(cross_entropy), torch.tensor(1 - p_t), gamma=2)
    assert value.item() == pytest.approx(weighed, rel=1e-6)


def test_focal_of_one_pixel_by_hand(make_loss: MakeLoss) -> None:
    # softmax(ln 9, 0) = (0.9, 0.1)
    logits = torch.tensor([np.log(9.0), 0.0]).float().reshape(1, 2, 1, 1)
    value = make_loss("focal", 2)(logits, torch.zeros(1, 1, 1, dtype=torch.int64))
    assert value.item() == pytest.approx(0.25 * 0.1**2 * -np.log(0.9), rel=1e-5)


def dice_loss(probabilities: Any, labels: Any, smooth: float) -> float:
    losses = []
    for c in np.unique(labels):
        overlap = probabilities[labels == c, c].sum()
        losses.append(1 - (2 * overlap + smooth) / (probabilities[:, c].sum() + (labels == c).sum() + smooth))
    return float(np.mean(losses))


@pytest.mark.parametrize("smooth", [0.0, 1.0, 10.0])
def test_dice_is_averaged_over_the_classes_present(smooth: float, scene: Any, make_loss: MakeLoss) -> None:
    assert 4 not in scene.labels
    value = make_loss(f"dice[smooth={smooth}]")(scene.logits, scene.mask).item()
    assert value == pytest.approx(dice_loss(scene.probabilities, scene.labels, smooth), rel=1e-5)


def test_dice_by_hand(make_loss: MakeLoss) -> None:
    # two pixels of class 0, one predicted with 0.75 and one with 0.25: 1 - (2 * 1 + 1) / (1 + 2 + 1) = 0.25
    logits = torch.tensor([[np.log(3.0), 0.0], [0.0, np.log(3.0)]]).float().reshape(1, 2, 1, 2)
    value = make_loss("dice", 2)(logits, torch.zeros(1, 1, 2, dtype=torch.int64))
    assert value.item() == pytest.approx(0.25, rel=1e-6)


def test_dice_without_smoothing_bears_a_class_that_is_neither_there_nor_predicted(make_loss: MakeLoss) -> None:
    logits = torch.tensor([3.0, 1.0, -1e4]).reshape(1, 3, 1, 1).requires_grad_()
    value = make_loss("dice[smooth=0]", 3)(logits, torch.zeros(1, 1, 1, dtype=torch.int64))
    (gradient,) = torch.autograd.grad(value, logits)
    p = 1 / (1 + np.exp(-2.0))
    assert value.item() == pytest.approx(1 - 2 * p / (p + 1), rel=1e-5)
    assert gradient.isfinite().all()


def test_combined_is_focal_plus_weighted_dice(scene: Any, make_loss: MakeLoss) -> None:
    ce = scene.cross_entropies
    focal = (0.5 * (1 - np.exp(-ce)) ** 3 * ce).mean()
    value = make_loss("combined[alpha=0.5,gamma=3,dice_weight=0.7]")(scene.logits, scene.mask).item()
    assert value == pytest.approx(focal + 0.7 * dice_loss(scene.probabilities, scene.labels, 1.0), rel=1e-5)


def bce_dice_loss(logits: Any, mask: Any, pos_weight: float) -> float:
    probabilities = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    valid = mask != 255
    bce = np.where(mask == 1, -pos_weight * np.log(probabilities), -np.log(1 - probabilities))[valid].mean()
    dice = []
    for p, m in zip(probabilities, mask, strict=True):
        if (m == 1).any():
            dice.append(1 - (2 * p[m == 1].sum() + 1) / (p[m != 255].sum() + (m == 1).sum() + 1))
    return float(bce + (np.mean(dice) if dice else 0.0))


@pytest.mark.parametrize("pos_weight", [1.0, 5.0])
def test_bce_dice_scores_each_image_and_skips_empty_ones(pos_weight: float, two_class_scene: Any, make_loss: MakeLoss) -> None:
    logits, mask = two_class_scene.logits, two_class_scene.mask.clone()
    mask[1][mask[1] == 1] = 0
    value = make_loss(f"bce-dice[pos_weight={pos_weight}]", 2)(logits, mask).item()
    assert value == pytest.approx(bce_dice_loss(logits.double().numpy(), mask.numpy(), pos_weight), rel=1e-5)


def test_bce_without_positive_weight_is_the_two_class_cross_entropy(two_class_scene: Any, make_loss: MakeLoss) -> None:
    # no foreground: Dice is skipped, and what is left is the cross-entropy of a softmax over two classes
    mask = two_class_scene.mask.masked_fill(two_class_scene.mask == 1, 0)
    value = make_loss("bce-dice[pos_weight=1]", 2)(two_class_scene.logits, mask)
    torch.testing.assert_close(value, make_loss("ce", 2)(two_class_scene.logits, mask))
