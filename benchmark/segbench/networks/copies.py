"""Copies of a network: whether a deep copy is a network of its own, and computes the same.

A network may hold on to its own modules where copying does not see them: in a closure, a hook or a plain function. Its copy then computes
with the original's weights, or with features that the original left behind.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from segbench.networks.network import Network
from segbench.util.sequences import first_line

_ADVICE = "Keep modules and features in attributes of the network, and call them through self (no closures or hooks over another network)"


def copy_fault(network: nn.Module, inputs: tuple[Tensor, ...]) -> str:
    """Why a deep copy of ``network`` (in eval mode) is not the same network by itself, in a sentence; empty where it is.

    ``inputs`` (N, C, H, W) are run through both. A network whose two passes differ is not compared with its copy.
    """
    first, again = _logits(network, inputs), _logits(network, inputs)
    _logits(network, tuple(x.flip(-1) for x in inputs))  # features of another image are left behind, where any are
    try:
        twin = copy.deepcopy(network).eval()
        with _ReadsOf(network) as reads:
            copied = _logits(twin, inputs)
    except Exception as error:  # a plugin's network may raise anything
        return f"a copy of the network does not run ({type(error).__name__}: {first_line(error)}). {_ADVICE}."
    if reads.names:
        return f"a copy of the network still computes with the original's weights ({', '.join(list(reads.names)[:3])}). {_ADVICE}."
    tolerance = 1e-3 * float(first.std(correction=0))
    if _apart(first, again) <= tolerance < _apart(first, copied):
        return f"a copy of the network computes something else: logits off by up to {_apart(first, copied):.3g}. {_ADVICE}."
    return ""


def was_copied(network: nn.Module) -> bool:
    """Whether a deep copy of the network has been made since it was built."""
    return any(isinstance(module, Network) and module.copied for module in network.modules())


def _logits(network: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    with torch.no_grad():
        logits: Tensor = network(*(x.clone() for x in inputs))
    return logits.float()


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max()) if one.shape == other.shape else float("inf")


class _ReadsOf(TorchDispatchMode):  # type: ignore[no-untyped-call, unused-ignore]
    """Collects the names of a network's weights that any operation reads."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        tensors = itertools.chain(network.named_parameters(), network.named_buffers())
        self._storages = {tensor.untyped_storage().data_ptr(): name for name, tensor in tensors if tensor.numel()}
        self.names: dict[str, None] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        for value in tree_leaves((args, kwargs)):
            name = self._storages.get(value.untyped_storage().data_ptr()) if isinstance(value, Tensor) and value.numel() else None
            if name is not None:
                self.names[name] = None
        return func(*args, **(kwargs or {}))
