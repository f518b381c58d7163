"""Each backend here breaks one rule, and the check of that rule must name it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segbench import BackendSpec, NoOptions, Options, option
from segbench.testing import BackendSubject, checks_for
from segbench.testing.check import run_all

Inputs = tuple[Tensor, ...]


def spec(build: Callable[..., Any], **fields: Any) -> BackendSpec:
    return BackendSpec(name="backend", summary="", build=build, **fields)


def failures(given: BackendSpec, **fields: Any) -> dict[str, str]:
    """Message of each failed check by name."""
    subject = BackendSubject(given, given.options.resolve(), **fields)
    return {r.name: r.message for r in run_all(checks_for("backends"), subject) if not r.passed}


def eager(network: nn.Module, inputs: Inputs, options: Options) -> Callable[..., Tensor]:
    return network


def remembers(network: nn.Module, inputs: Inputs, options: Options) -> Callable[..., Tensor]:
    first = network(*inputs)
    return lambda image: first


def half(network: nn.Module, inputs: Inputs, options: Options) -> Callable[..., Tensor]:
    return lambda image: network(image) * 1.02


def classes_only(network: nn.Module, inputs: Inputs, options: Options) -> Callable[..., Tensor]:
    return lambda image: network(image).argmax(1)


def casts_in_place(network: nn.Module, inputs: Inputs, options: Options) -> Callable[..., Tensor]:
    same = network.float().eval()
    weight = next(same.parameters()).detach().clone()
    for parameter in network.parameters():
        parameter.zero_()

    def run(image: Tensor) -> Tensor:
        next(network.parameters()).copy_(weight)
        return network(image)  # type: ignore[no-any-return]

    return run


def writes_image(network: nn.Module, inputs: Inputs, options: Options) -> Callable[..., Tensor]:
    def run(image: Tensor) -> Tensor:
        logits: Tensor = network(image)
        image.zero_()
        return logits

    return run


class OutOfRange(Options):
    opset: int = option(0, minimum=1)


def test_a_backend_that_keeps_the_rules_passes() -> None:
    assert failures(spec(eager)) == {}


def test_the_tolerance_decides_what_counts_as_equal() -> None:
    assert set(failures(spec(half))) == {"logits_are_those_of_the_network"}
    assert failures(spec(half), tolerance=0.1) == {}


@pytest.mark.parametrize(
    ("given", "rule", "message"),
    [
        (spec(eager, precisions=()), "spec_is_sound", "must be a tuple of at least one"),
        (spec(eager, precisions="fp32"), "spec_is_sound", "must be a tuple of at least one"),
        (spec(eager, options=OutOfRange), "spec_is_sound", "opset = 0 does not fit"),
        (spec(half), "logits_are_those_of_the_network", "logits differ from the network's by up to"),
        (spec(remembers), "logits_are_those_of_the_network", "logits differ from the network's by up to"),
        (spec(classes_only), "logits_are_those_of_the_network", "a call gave torch.Size([1, 32, 48]) instead of a tensor (1, 5, 32, 48)"),
        (spec(lambda network, inputs, options: 3), "logits_are_those_of_the_network", "build returned int, which cannot be called"),
        (spec(eager, check=lambda task, options: ["pip install it"]), "logits_are_those_of_the_network", "spec.check: pip install it"),
        (spec(casts_in_place), "network_is_left_alone", "the backend changes the network that it is given"),
        (spec(writes_image), "network_is_left_alone", "the backend writes into the image"),
    ],
)
def test_a_broken_rule_is_named(given: BackendSpec, rule: str, message: str) -> None:
    assert message in failures(given)[rule]


def test_the_network_under_test_is_the_same_each_time() -> None:
    subject = BackendSubject(spec(eager), NoOptions())
    first, again = subject.network(), subject.network()
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
