from __future__ import annotations

import math

import pytest
import torch

from segbench.networks.losses import LossValue
from segbench.training.failures import NonFiniteLossError
from segbench.training.meter import Meter
from segbench.util.distributed import ProcessRank


def meter(every: int = 1, classes: int = 3) -> Meter:
    return Meter(ProcessRank(0, 1, "cpu"), classes, 255, epoch=4, every=every, precision="off")


def feed(target: Meter, losses: list[tuple[float, int]], norm: float = 1.0) -> None:
    logits, mask = torch.zeros(1, 3, 2, 2), torch.zeros(1, 8, 8, dtype=torch.int64)
    for loss, pixels in losses:
        target.add(LossValue(torch.tensor(loss)), logits, mask, pixels=torch.tensor(pixels))
    target.step(torch.tensor(norm), lr=0.1)


@pytest.mark.parametrize("every", [1, 2, 100])
def test_the_loss_is_the_mean_over_all_pixels_whenever_it_is_read(every: int) -> None:
    target = meter(every)
    feed(target, [(1.0, 10), (4.0, 30)], norm=2.0)
    feed(target, [(8.0, 60)], norm=4.0)
    target.read()
    assert target.mean_loss == pytest.approx((10 + 120 + 480) / 100)
    assert target.mean_norm == 3.0
    assert target.images == 3


@pytest.mark.parametrize("every", [1, 2, 100])
def test_the_first_broken_step_is_named_whenever_it_is_read(every: int) -> None:
    target = meter(every)
    with pytest.raises(NonFiniteLossError) as caught:  # noqa: PT012
        for loss in (1.0, 2.0, math.inf, math.nan):
            feed(target, [(loss, 5)])
        target.read()
    assert (caught.value.epoch, caught.value.step, caught.value.value) == (4, 3, math.inf)


def test_norms_of_steps_that_a_scaler_skipped_do_not_count() -> None:
    target = meter()
    feed(target, [(1.0, 5)], norm=math.inf)
    feed(target, [(1.0, 5)], norm=3.0)
    assert target.mean_norm == 3.0


def test_parts_are_means_too() -> None:
    target = meter()
    for scale, pixels in ((1.0, 1), (2.0, 3)):
        value = LossValue(torch.tensor(3 * scale), {"a": torch.tensor(scale), "b": torch.tensor(2 * scale)})
        target.add(value, torch.zeros(1, 3, 2, 2), torch.zeros(1, 8, 8).long(), pixels=torch.tensor(pixels))
        target.step(torch.tensor(1.0), lr=0.1)
    assert target.mean_parts == pytest.approx({"a": 7 / 4, "b": 14 / 4})


def test_training_miou_compares_every_kept_label_with_the_nearest_prediction() -> None:
    target = meter()
    mask = torch.zeros(1, 32, 32, dtype=torch.int64)
    mask[:, :, 16:] = 1
    mask[:, 0] = 255  # ignored
    logits = torch.zeros(1, 3, 8, 8)
    logits[:, 0, :, :4] = 1.0
    logits[:, 1, :, 4:] = 1.0
    target.add(LossValue(torch.tensor(1.0)), logits, mask, pixels=torch.tensor(1))
    assert target.miou() == 1.0
    for _ in range(3):
        target.add(LossValue(torch.tensor(1.0)), torch.randn(1, 3, 8, 8), mask, pixels=torch.tensor(1))
    assert target.miou() == 1.0, "three of four batches are not looked at"
    logits[:, 2, :, 6:] = 2.0  # half of class 1 is taken for class 2
    target.add(LossValue(torch.tensor(1.0)), logits, mask, pixels=torch.tensor(1))
    # class 0: 6 + 6 of 12; class 1: 6 + 3 of 12, nothing else predicted as it; class 2 has no labels
    assert target.miou() == pytest.approx((1.0 + 9 / 12) / 2)


def test_nothing_seen_is_nothing_measured() -> None:
    target = meter()
    assert (target.mean_loss, target.mean_parts, target.mean_norm, target.miou()) == (None, {}, None, None)
