"""Modules are found by name or class, and called again with what they got in one forward pass."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segbench.errors import SegbenchError
from segbench.measure.module_calls import captured_calls, named_modules


class Block(nn.Module):
    """Keeps what it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ReLU()
        self.seen: list[tuple[Any, ...]] = []

    def forward(self, features: Tensor, *rest: Any, scale: float = 1.0) -> Tensor:
        self.seen.append((features, rest, scale))
        return self.inner(scale * features)  # type: ignore[no-any-return]


class Parts(nn.Module):
    """Calls ``first`` twice, writes into its input, and never calls ``idle``."""

    def __init__(self, extra: Any = None) -> None:
        super().__init__()
        self.first, self.second, self.idle = Block(), Block(), nn.Tanh()
        self.extra, self.passes = extra, 0

    def forward(self, image: Tensor) -> Tensor:
        self.passes += 1
        features = self.first(image, {"mask": [image]}, scale=2.0)
        features = self.first(features)
        image.zero_()
        return self.second(features, self.extra)  # type: ignore[no-any-return]


def test_names_are_dotted_or_classes() -> None:
    network = Parts()
    assert list(named_modules(network, "second.inner")) == ["second.inner"]
    assert list(named_modules(network, "Block")) == ["first", "second"]
    assert list(named_modules(network, "ReLU")) == ["first.inner", "second.inner"]
    assert list(named_modules(network, "second+idle")) == ["second", "idle"]
    assert list(named_modules(network, "Block+ReLU")) == ["first", "second"], "what lies inside another one counts once"


def test_a_name_that_is_not_there_is_named() -> None:
    with pytest.raises(SegbenchError, match=re.escape("the network has no module Attention, third")):
        named_modules(Parts(), "first+Attention+third")
    with pytest.raises(SegbenchError, match=re.escape("no module Parts")):
        named_modules(Parts(), "Parts")


def test_each_call_is_made_again_with_copies_of_its_arguments() -> None:
    network = Parts()
    calls = captured_calls(network, named_modules(network, "first"), (torch.ones(1, 1, 2, 2),))
    network.first.seen.clear()
    for _ in range(2):
        for call in calls:
            call()
    assert network.passes == 1, "the pass that captures is the only one"
    (features, (masks,), scale), (again, rest, plain), *repeated = network.first.seen
    assert torch.equal(features, torch.ones(1, 1, 2, 2)), "the network wrote zeros into its own"
    assert torch.equal(masks["mask"][0], features)
    assert (scale, plain, rest) == (2.0, 1.0, ())
    assert torch.equal(again, torch.full((1, 1, 2, 2), 2.0))
    assert len(repeated) == 2
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_in_inference_mode_arguments_are_copied_too() -> None:
    network = Parts()
    with torch.inference_mode():
        (call,) = captured_calls(network, named_modules(network, "second"), (torch.ones(1, 1, 2, 2),))
        call()
    assert torch.equal(network.second.seen[-1][0], torch.full((1, 1, 2, 2), 2.0))


def test_a_module_that_is_not_called_and_arguments_that_cannot_be_copied_are_named() -> None:
    image = (torch.ones(1, 1, 2, 2),)
    network = Parts()
    with pytest.raises(SegbenchError, match=re.escape("a forward pass does not call idle")):
        captured_calls(network, named_modules(network, "first+idle"), image)

    def numbers() -> Iterator[int]:
        yield 1

    network = Parts(extra=numbers())
    with pytest.raises(SegbenchError, match=re.escape("the arguments of second cannot be copied: cannot pickle 'generator' object")):
        captured_calls(network, named_modules(network, "second"), image)
    assert not any(module._forward_pre_hooks for module in network.modules())
