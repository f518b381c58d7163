"""Run a network for its shapes only: a copy on the ``meta`` device has no weights and computes nothing."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def meta_twin(network: nn.Module) -> nn.Module:
    """A copy of ``network`` in eval mode whose parameters and buffers are on ``meta``; no weight is copied.

    Raises any error that :func:`copy.deepcopy` raises on a module that cannot be copied.
    """
    # deepcopy asks its memo first: with every tensor already "copied" there, only the modules around them are.
    memo: dict[int, object] = {}
    for parameter in network.parameters():
        memo[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=parameter.requires_grad)
    for buffer in network.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    twin = copy.deepcopy(network, memo)
    twin.eval()  # whose result may be anything
    return twin


def meta_inputs(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The shapes and dtypes of ``inputs``, without their values."""
    return tuple(torch.empty_like(tensor, device="meta") for tensor in inputs)


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """``network`` in eval mode without gradients, and with attention in steps that a counter sees; all is put back afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    fastpath = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one fused op for a whole transformer layer, which no counter knows
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fastpath)
        for module, training in modes:
            module.training = training


def tensors_of(output: Any) -> Iterator[Tensor]:
    """The tensors of a network's output: a tensor, or a mapping, sequence or object of them."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from tensors_of(value)
    elif isinstance(output, (list, tuple)):
        for value in output:
            yield from tensors_of(value)
    elif hasattr(output, "__dict__"):
        yield from tensors_of(vars(output))
