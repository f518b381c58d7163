from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from segbench.errors import PluginError
from segbench.networks.losses import AppliedLoss, build_loss, valid_pixels
from segbench.plugin.specs import LossBatch, LossSpec, Progress

PROGRESS = Progress(0, 1, 0, 1)


def batch(mask: Tensor) -> LossBatch:
    return LossBatch((torch.zeros(1, 3, *mask.shape[-2:]),), mask)


def applied(function: Callable[..., Any], takes: Any = "logits", **aux: float) -> AppliedLoss:
    return AppliedLoss(LossSpec(name="given", summary="-", build="-", takes=takes), function, aux_weights=aux)


def ce(logits: Tensor, mask: Tensor) -> Tensor:
    return functional.cross_entropy(logits, mask, ignore_index=255)


def test_each_head_is_resized_to_the_mask_and_weighted() -> None:
    mask = torch.randint(0, 3, (2, 8, 8))
    outputs = {"logits": torch.randn(2, 3, 4, 4), "aux": torch.randn(2, 3, 2, 2), "other": torch.randn(2, 5, 8, 8)}
    value = applied(ce, aux=0.4, absent=1.0)(outputs, batch(mask), PROGRESS)
    main, aux = (ce(functional.interpolate(outputs[k], size=(8, 8), mode="bilinear"), mask) for k in ("logits", "aux"))
    torch.testing.assert_close(value.total, main + 0.4 * aux)
    assert set(value.parts) == {"logits", "aux"}
    torch.testing.assert_close(value.parts["aux"], 0.4 * aux)


def test_losses_are_computed_in_float32_inside_and_outside_of_autocast() -> None:
    seen = []

    def look(logits: Tensor, mask: Tensor) -> Tensor:
        seen.append((logits.dtype, torch.mm(logits[0, 0], logits[0, 0]).dtype))
        return logits.mean()

    mask = torch.zeros(1, 4, 4, dtype=torch.int64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        applied(look)({"logits": torch.randn(1, 2, 4, 4).bfloat16()}, batch(mask), PROGRESS)
    assert seen == [(torch.float32, torch.float32)]


def test_a_loss_of_a_batch_gets_all_outputs_inputs_extras_and_progress() -> None:
    def own(outputs: Any, given: LossBatch, progress: Progress) -> dict[str, Tensor]:
        assert {name: value.shape[-2:] for name, value in outputs.items()} == {"logits": (4, 4), "aux": (4, 4)}
        assert progress.share == 0.25
        return {"a": outputs["logits"].mean(), "b": given.extras["weight"].sum()}

    given = LossBatch((torch.zeros(1, 3, 4, 4),), torch.zeros(1, 4, 4, dtype=torch.int64), {"weight": torch.ones(3)})
    value = applied(own, "batch")({"logits": torch.ones(1, 2, 2, 2), "aux": torch.ones(1, 2, 1, 1)}, given, Progress(1, 4, 5, 20))
    assert float(value.total) == 4
    assert {name: float(part) for name, part in value.parts.items()} == {"a": 1, "b": 3}


@pytest.mark.parametrize("wrong", [1.0, torch.ones(2), {"a": torch.ones(1, 1)}, {}, None])
def test_anything_but_scalars_is_the_plugins_fault(wrong: Any) -> None:
    with pytest.raises(PluginError, match="loss 'given' returned"):
        applied(lambda *_: wrong, "batch")({"logits": torch.zeros(1, 2, 2, 2)}, batch(torch.zeros(1, 2, 2).long()), PROGRESS)


def test_building_a_loss_leaves_the_random_state_alone_and_gathers_its_parameters(lab: Any) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    loss = build_loss(lab.catalog.loss("tracked"), lab.tiny.task(), aux_weights={}, seed=0, device=torch.device("cpu"))
    assert torch.equal(torch.rand(1), expected)
    assert [float(p.detach()) for p in loss.parameters()] == [1.0]
    plain = build_loss(lab.catalog.loss("mean-ce"), lab.tiny.task(), aux_weights={}, seed=0, device=torch.device("cpu"))
    assert plain.parameters() == []


def test_valid_pixels_are_counted_with_any_ignore_index() -> None:
    assert valid_pixels(torch.tensor([[-1, 0], [1, -1]]), -1) == 2
