from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, PolynomialLR

from segbench.config.settings import TrainSettings
from segbench.training.optimizers import build_optimizer
from segbench.training.schedules import Plateau, Rate, Schedule, rate_at, set_rate


@pytest.mark.parametrize("steps", [4, 5, 10, 137])
def test_onecycle_equals_torchs(steps: int) -> None:
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=0.1)
    reference = OneCycleLR(optimizer, max_lr=0.3, total_steps=steps)
    for step in range(steps):
        rate = rate_at("onecycle", lr=0.3, step=step, steps=steps)
        assert rate.lr == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9, abs=1e-12)
        assert rate.beta == pytest.approx(optimizer.param_groups[0]["betas"][0], rel=1e-9)
        optimizer.step()
        if step + 1 < steps:
            reference.step()


@pytest.mark.parametrize(("schedule", "torchs"), [("poly", PolynomialLR), ("cosine", CosineAnnealingLR)])
def test_poly_and_cosine_equal_torchs(schedule: Schedule, torchs: type[PolynomialLR] | type[CosineAnnealingLR]) -> None:
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=0.3)
    reference = PolynomialLR(optimizer, 20, power=0.9) if torchs is PolynomialLR else CosineAnnealingLR(optimizer, 20)
    for step in range(20):
        assert rate_at(schedule, lr=0.3, step=step, steps=20).lr == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6)
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reference.step()


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_cycle_of_three_steps_or_fewer_falls_from_its_maximum(steps: int) -> None:
    rates = [rate_at("onecycle", lr=0.1, step=step, steps=steps).lr for step in range(steps)]
    assert rates[0] == 0.1
    assert rates == sorted(set(rates), reverse=True)
    assert steps == 1 or rates[-1] < 1e-6


@pytest.mark.parametrize("schedule", ["plateau", "constant"])
def test_constant_rates(schedule: Schedule) -> None:
    assert {rate_at(schedule, lr=0.1, step=s, steps=9) for s in range(9)} == {Rate(0.1)}


def test_plateau_halves_after_three_validations_without_a_better_score_and_starts_to_count_anew() -> None:
    state, factors = Plateau(), []
    for score in (0.1, 0.2, 0.2, 0.1, 0.2, 0.2, 0.2, 0.2, 0.3, 0.2):
        state = state.seen(score)
        factors.append(state.factor)
    assert factors == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_plateau_ignores_missing_scores_and_has_a_floor() -> None:
    state = Plateau().seen(None).seen(math.nan)
    assert state == Plateau()
    for _ in range(100):
        state = state.seen(0.5)
    assert state.factor == 2.0**-10
    assert Plateau(**state.to_dict()) == state


def test_the_optimiser_is_adamw_over_what_is_trained_with_the_given_decay() -> None:
    frozen = nn.Parameter(torch.ones(1), requires_grad=False)
    weight = nn.Parameter(torch.ones(1))
    optimizer = build_optimizer([weight, frozen], TrainSettings(lr=0.1, weight_decay=0.5), device=torch.device("cpu"))
    assert optimizer.param_groups[0]["params"] == [weight]
    assert set_rate(optimizer, Rate(0.2, 0.7), factor=0.5) == 0.1
    assert optimizer.param_groups[0]["betas"] == (0.7, 0.999)
    weight.grad = torch.zeros(1)
    optimizer.step()
    # decoupled: without any gradient the weight shrinks by lr * decay
    assert float(weight.detach()) == pytest.approx(1 - 0.1 * 0.5)
