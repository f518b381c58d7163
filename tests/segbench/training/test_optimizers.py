from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from segbench.config.settings import TrainSettings
from segbench.errors import ConfigError
from segbench.training.optimizers import build_optimizer, check_optimizer, describe_optimizer, parameter_groups, rate_notes
from segbench.training.schedules import Rate, set_rate

PARTS = {"encoder": ("body",), "head": ("body.last", "head")}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential()
        self.body.add_module("first", nn.Conv2d(3, 4, 3))
        self.body.add_module("norm", nn.BatchNorm2d(4))
        self.body.add_module("last", nn.Conv2d(4, 4, 1, bias=False))
        self.head = nn.Conv2d(4, 2, 1)
        self.place = nn.Parameter(torch.zeros(1, 4, 1, 1))

    def no_weight_decay(self) -> set[str]:
        return {"place"}


def groups(**settings: Any) -> list[tuple[float, float, list[str]]]:
    """Learning rate, weight decay and parameter names of each group."""
    net, own = Net(), nn.Parameter(torch.ones(()))
    names = {id(parameter): name for name, parameter in net.named_parameters()} | {id(own): "loss"}
    made = parameter_groups(net, [own], TrainSettings(lr=0.1, weight_decay=0.5, **settings), parts=PARTS)
    return [(group["lr"], group["weight_decay"], [names[id(one)] for one in group["params"]]) for group in made]


def test_by_default_all_is_one_group() -> None:
    ((rate, decay, names),) = groups()
    assert (rate, decay, len(names)) == (0.1, 0.5, 9)


def test_the_encoder_has_its_own_rate_and_norms_and_biases_no_decay() -> None:
    assert groups(encoder_lr=0.1, decay_norms=False) == [
        (0.1, 0.0, ["place", "head.bias", "loss"]),
        (pytest.approx(0.01), 0.5, ["body.first.weight"]),
        (pytest.approx(0.01), 0.0, ["body.first.bias", "body.norm.weight", "body.norm.bias"]),
        (0.1, 0.5, ["body.last.weight", "head.weight"]),
    ], "body.last belongs to the head, as the longest prefix decides"


def test_a_declared_encoder_without_parameters_is_refused() -> None:
    with pytest.raises(ConfigError, match="no parameter below backbone, its declared encoder"):
        parameter_groups(Net(), [], TrainSettings(encoder_lr=0.1), parts={"encoder": ("backbone",)})


def stepped(name: str, **settings: Any) -> tuple[float, str]:
    """A weight of 1 after one step along a gradient of 2 at rate 0.1, and the optimiser in words."""
    weight = nn.Parameter(torch.ones(1))
    chosen = TrainSettings(optimizer=name, lr=0.1, **{"weight_decay": 0.0, "schedule": "constant", **settings})
    optimizer = build_optimizer(
        [{"params": [weight], "lr_factor": 0.5, "weight_decay": chosen.weight_decay}], chosen, device=torch.device("cpu")
    )
    assert set_rate(optimizer, Rate(0.1)) == 0.1
    weight.grad = torch.full((1,), 2.0)
    optimizer.step()
    return float(weight.detach()), describe_optimizer(optimizer, chosen)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"name": "sgd"}, (1 - 0.05 * 2, "SGD, momentum 0.9")),
        ({"name": "SGD", "weight_decay": 0.5}, (1 - 0.05 * (2 + 0.5), "SGD, momentum 0.9")),
        ({"name": "nesterov", "momentum": 0.5}, (1 - 0.05 * (2 + 0.5 * 2), "SGD, Nesterov momentum 0.5")),
        ({"name": "lion", "weight_decay": 0.5}, (1 * (1 - 0.05 * 0.5) - 0.05, "Lion")),
        ({"name": "adamw", "weight_decay": 0.5}, (1 * (1 - 0.05 * 0.5) - 0.05, "AdamW")),
        ({"name": "sgd", "schedule": "onecycle"}, (1 - 0.05 * 2, "SGD, momentum 0.85 to 0.95")),
    ],
)
def test_one_step_by_hand(settings: dict[str, Any], expected: tuple[float, str]) -> None:
    weight, name = stepped(**settings)
    assert weight == pytest.approx(expected[0], abs=1e-6)
    assert name == expected[1]


def test_onecycle_moves_momentum_unless_it_is_fixed() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0, momentum=0.9)
    set_rate(optimizer, Rate(0.1, 0.7), momentum=0.9)
    assert optimizer.param_groups[0]["momentum"] == 0.9
    set_rate(optimizer, Rate(0.1, 0.7))
    assert optimizer.param_groups[0]["momentum"] == 0.7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "adamv"}, "no such optimizer. Did you mean 'adam"),
        ({"optimizer": "momentum"}, "no such optimizer"),
        ({"optimizer": "adahessian"}, "needs second derivatives"),
        ({"momentum": 0.5}, "'adamw' takes no momentum"),
        ({"optimizer": "lion", "momentum": 0.5}, "'lion' takes no momentum"),
    ],
)
def test_what_cannot_be_had_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_optimizer(TrainSettings.model_validate(settings))


def test_a_rate_of_adams_size_for_sgd_is_remarked_on() -> None:
    assert rate_notes(TrainSettings(optimizer="sgd", lr=1e-4)) == [
        "train.lr 0.0001 is small for sgd, which is mostly given 0.01 for segmentation (docs/training.md)"
    ]
    assert not rate_notes(TrainSettings(optimizer="sgd", lr=0.01)) + rate_notes(TrainSettings())
