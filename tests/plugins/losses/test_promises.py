"""Rules that every loss keeps, whatever its formula: ignored pixels, empty batches, extreme values, gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]
MakeLoss = Callable[..., Loss]

ALL = [
    "ce",
    "ce[weights=(1,2),label_smoothing=0.1]",
    "focal",
    "focal[alpha=(1,2),gamma=0.5]",
    "dice",
    "dice[smooth=0]",
    "combined",
    "schedule",
    "bce-dice",
]
every_loss = pytest.mark.parametrize("text", ALL)


@every_loss
def test_it_is_a_finite_scalar_with_a_gradient(text: str, two_class_scene: Any, make_loss: MakeLoss) -> None:
    logits = two_class_scene.logits.requires_grad_()
    value = make_loss(text, 2)(logits, two_class_scene.mask)
    torch.autograd.backward(value)
    assert value.shape == ()
    assert value.isfinite()
    assert logits.grad.isfinite().all()
    assert logits.grad.abs().sum() > 0


@every_loss
def test_its_gradient_is_the_slope(text: str, make_scene: Any, make_loss: MakeLoss) -> None:
    scene = make_scene(2, images=2, size=(3, 2))
    loss = make_loss(text, 2)
    assert torch.autograd.gradcheck(lambda x: loss(x, scene.mask), scene.logits.double().requires_grad_())


@every_loss
@pytest.mark.parametrize("poison", [0.0, 1e30, float("nan"), float("inf"), float("-inf")])
def test_ignored_pixels_have_no_influence_at_all(text: str, poison: float, two_class_scene: Any, make_loss: MakeLoss) -> None:
    loss = make_loss(text, 2)
    mask, ignored = two_class_scene.mask, (two_class_scene.mask == 255).unsqueeze(1)
    clean, poisoned = (two_class_scene.logits.clone().requires_grad_() for _ in range(2))
    with torch.no_grad():
        poisoned.masked_fill_(ignored, poison)
    values = [loss(logits, mask) for logits in (clean, poisoned)]
    for value in values:
        torch.autograd.backward(value)
    assert torch.equal(values[0], values[1])
    assert torch.equal(clean.grad, poisoned.grad)
    assert not clean.grad.masked_select(ignored).any()


@every_loss
@pytest.mark.parametrize("fill", [0.0, float("nan"), float("inf")])
def test_a_batch_without_valid_pixels_costs_nothing_and_stays_in_the_graph(text: str, fill: float, make_loss: MakeLoss) -> None:
    logits = torch.full((2, 2, 4, 4), fill, requires_grad=True)
    value = make_loss(text, 2)(logits, torch.full((2, 4, 4), 255))
    torch.autograd.backward(value)
    assert value.item() == 0
    assert torch.equal(logits.grad if logits.grad is not None else torch.ones(1), torch.zeros_like(logits))


@every_loss
def test_perfect_beats_shuffled(text: str, two_class_scene: Any, make_loss: MakeLoss) -> None:
    loss = make_loss(text, 2)
    mask = two_class_scene.mask
    perfect = 8.0 * torch.nn.functional.one_hot(mask.clamp(max=1), 2).permute(0, 3, 1, 2).float()
    shuffled = perfect.flatten(2)[:, :, torch.randperm(mask[0].numel(), generator=torch.Generator().manual_seed(1))].view_as(perfect)
    assert loss(perfect, mask) < 0.5 * loss(shuffled, mask)


@every_loss
def test_certainty_gives_finite_values_and_gradients(text: str, two_class_scene: Any, make_loss: MakeLoss) -> None:
    mask = two_class_scene.mask
    right = torch.nn.functional.one_hot(mask.clamp(max=1), 2).permute(0, 3, 1, 2).float()
    for logits in (1e4 * right, -1e4 * right):
        logits.requires_grad_()
        value = make_loss(text, 2)(logits, mask)
        torch.autograd.backward(value)
        assert value.isfinite()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_scored_in_float32(text: str, dtype: torch.dtype, two_class_scene: Any, make_loss: MakeLoss) -> None:
    loss = make_loss(text, 2)
    logits = two_class_scene.logits.to(dtype)
    value = loss(logits, two_class_scene.mask)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(logits.float(), two_class_scene.mask))


@every_loss
def test_another_ignore_index_is_honoured(text: str, two_class_scene: Any, make_loss: MakeLoss) -> None:
    mask = two_class_scene.mask
    negative = mask.masked_fill(mask == 255, -1)
    value = make_loss(text, 2, ignore_index=-1)(two_class_scene.logits, negative)
    assert torch.equal(value, make_loss(text, 2)(two_class_scene.logits, mask))


@every_loss
def test_the_order_of_images_and_pixels_does_not_matter(text: str, two_class_scene: Any, make_loss: MakeLoss) -> None:
    loss = make_loss(text, 2)
    turned = loss(two_class_scene.logits.flip(0).transpose(2, 3), two_class_scene.mask.flip(0).transpose(1, 2))
    torch.testing.assert_close(turned, loss(two_class_scene.logits, two_class_scene.mask))


@every_loss
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_it_is_never_negative_nor_infinite(text: str, make_loss: MakeLoss, data: st.DataObject) -> None:
    pixels = data.draw(st.integers(1, 6))
    values = st.floats(-60, 60, width=32)
    logits = torch.tensor(data.draw(st.lists(values, min_size=2 * pixels, max_size=2 * pixels))).reshape(1, 2, 1, pixels)
    mask = torch.tensor(data.draw(st.lists(st.sampled_from([0, 1, 255]), min_size=pixels, max_size=pixels))).reshape(1, 1, pixels)
    value = make_loss(text, 2)(logits, mask)
    # float32 leaves a Dice of certain pixels within a rounding of 1
    assert value.isfinite()
    assert value >= -1e-6


def test_many_pixels_lose_no_accuracy(make_scene: Any, make_loss: MakeLoss) -> None:
    scene = make_scene(3, images=2, size=(640, 640))
    for text in ("ce", "focal", "dice"):
        loss = make_loss(text, 3)
        assert loss(scene.logits, scene.mask).item() == pytest.approx(loss(scene.logits.double(), scene.mask).item(), rel=2e-6)
