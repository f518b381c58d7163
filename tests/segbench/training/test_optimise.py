from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from segbench.data.batches import TrainBatch
from segbench.plugin.specs import Progress
from segbench.training.fit import optimise
from segbench.training.meter import Meter
from segbench.training.session import Session, open_session
from segbench.util.distributed import ProcessRank


def batches(lab: Any, counts: list[int]) -> list[TrainBatch]:
    """Consecutive samples, with very uneven numbers of ignored pixels."""
    samples = lab.tiny.Samples(sum(counts))
    made, start = [], 0
    for count in counts:
        chosen = [samples[i] for i in range(start, start + count)]
        masks = torch.stack([s.mask for s in chosen])
        if start:
            masks[:, 3:] = 255
        made.append(TrainBatch((torch.stack([s.inputs["image"] for s in chosen]).double() / 255,), masks))
        start += count
    return made


def gradients(lab: Any, group: list[TrainBatch], monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Tensor], Meter]:
    session: Session = open_session(lab.job(model="two-heads", train={"clip": None}), ProcessRank(0, 1, "cpu"))
    session.network.double()
    seen: dict[str, Tensor] = {}

    def keep() -> None:
        seen.update({name: p.grad.clone() for name, p in session.network.named_parameters() if p.grad is not None})

    monkeypatch.setattr(session.optimizer, "step", keep)
    meter = Meter(session.process, 3, 255, 1, 1, "off")
    norm = optimise(session, group, Progress(0, 1, 0, 1), meter)
    meter.step(norm, 0.1)
    return seen, meter


def test_accumulated_batches_give_the_gradient_of_one_large_batch(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = batches(lab, [4, 3, 1])
    whole = TrainBatch((torch.cat([p.inputs[0] for p in parts]),), torch.cat([p.mask for p in parts]))
    apart, meter_apart = gradients(lab, parts, monkeypatch)
    together, meter_together = gradients(lab, [whole], monkeypatch)
    assert apart.keys() == together.keys()
    assert "model.side.weight" in apart
    for name in apart:
        # losses are computed in float32, whose rounding is all that may differ
        torch.testing.assert_close(apart[name], together[name], rtol=1e-5, atol=1e-8)
    assert meter_apart.mean_loss == pytest.approx(meter_together.mean_loss, rel=1e-6)
    assert meter_apart.mean_norm == pytest.approx(meter_together.mean_norm, rel=1e-6)


def test_plain_averaging_of_batches_would_be_noticed(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = batches(lab, [4, 4])
    apart, _ = gradients(lab, parts, monkeypatch)
    alone = [gradients(lab, [part], monkeypatch)[0] for part in parts]
    averaged = (alone[0]["model.head.bias"] + alone[1]["model.head.bias"]) / 2
    assert not torch.allclose(apart["model.head.bias"], averaged, rtol=1e-2)
    valid = [int((part.mask != 255).sum()) for part in parts]
    weighted = (alone[0]["model.head.bias"] * valid[0] + alone[1]["model.head.bias"] * valid[1]) / sum(valid)
    torch.testing.assert_close(apart["model.head.bias"], weighted, rtol=1e-5, atol=1e-8)


def test_a_batch_without_a_valid_pixel_moves_nothing(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (part,) = batches(lab, [2])
    part.mask.fill_(255)
    seen, meter = gradients(lab, [part], monkeypatch)
    assert all(float(gradient.abs().max()) == 0 for gradient in seen.values())
    assert meter.mean_loss is None
