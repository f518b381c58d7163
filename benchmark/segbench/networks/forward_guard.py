"""ForwardGuard: calls of a plugin's network that leave the caller's inputs, random numbers and process as they were.

A network's first two calls in each mode at each input size get copies of the inputs, which are compared with them afterwards; settings of
the process are compared, too (:mod:`segbench.networks.foreign`). Later calls get the inputs themselves; their version counters are read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling

from segbench.errors import PluginError
from segbench.networks.foreign import GeneratorStates, remark, unchanged_process

_LOOKED_AT = 2
"""Calls in each mode at each size that are looked at: a generator that each call seeds shows in the second."""

Inputs = tuple[Tensor, ...]


class ForwardGuard:
    """Calls one network, by ``guard(model, inputs)``. ``copies``: it works on its inputs in place, and gets copies of them.

    Raises :class:`PluginError` where a call changes its inputs though the first ones at that size did not: they are lost then.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.copies = False
        self.seeds = False
        self._lent: tuple[torch.Size, bool] | None = None
        self._calls: dict[tuple[Any, ...], int] = {}
        self._after: GeneratorStates | None = None

    def __call__(self, model: nn.Module, inputs: Inputs) -> Any:
        if is_compiling():  # the graph holds the copies; nothing can be compared
            return model(*_copies(inputs)) if self.copies else model(*inputs)
        first = inputs[0]
        if self._lent == (first.shape, model.training) and len(inputs) == 1 and not first.is_inference():
            version = first._version  # the short way of a call in a race, which costs about a microsecond
            output = model(first)
            if first._version != version:
                self._refuse()
            return output
        return self._slowly(model, inputs)

    def _slowly(self, model: nn.Module, inputs: Inputs) -> Any:
        key = (model.training, *[x.shape for x in inputs])
        if self._calls.get(key, 0) < _LOOKED_AT and torch._C._get_tracing_state() is None:
            return self._looked_at(key, model, inputs)
        if self.seeds and model.training:
            return _own_generators(lambda: self._later(model, inputs))
        return self._later(model, inputs)

    def _later(self, model: nn.Module, inputs: Inputs) -> Any:
        if self.copies or any(x.is_inference() for x in inputs):  # tensors of inference mode have no version counter
            return model(*_copies(inputs))
        before = [x._version for x in inputs]
        output = model(*inputs)
        if [x._version for x in inputs] != before:
            self._refuse()
        self._lent = None if self.seeds else (inputs[0].shape, model.training)
        return output

    def _refuse(self) -> None:
        raise PluginError(
            f"model '{self.name}' changed its input in place, which its first calls at this size had left alone: what comes after "
            "would be computed from other images. Work on a copy in forward (x = x.clone())."
        )

    def _looked_at(self, key: tuple[Any, ...], model: nn.Module, inputs: Inputs) -> Any:
        self._calls[key] = self._calls.get(key, 0) + 1
        lent = _copies(inputs)
        versions = [None if x.is_inference() else x._version for x in lent]
        with unchanged_process(f"forward of model '{self.name}'"):
            output = self._with_generators(lambda: model(*lent))
        if [None if x.is_inference() else x._version for x in lent] != versions or not all(map(_same, inputs, lent)):
            self.copies, self._lent = True, None
            remark(f"forward of model '{self.name}' works on its input in place: it is given copies")
        return output

    def _with_generators(self, call: Callable[[], Any]) -> Any:
        """Make a call. What it draws stays drawn (dropout in eval mode must show); generators that it seeds are put back."""
        before = GeneratorStates.now()
        output = call()
        after = GeneratorStates.now()
        if after.seed != before.seed or after.repeats(self._after, before):
            self.seeds, self._lent = True, None
            remark(f"forward of model '{self.name}' seeds random numbers: they are put back, so that nothing else repeats")
            before.go_on()
        self._after = after
        return output


def _copies(inputs: Inputs) -> Inputs:
    return tuple(x.clone() for x in inputs)


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether a copy still is what it was made of; values are compared where there are any."""
    if one.shape != other.shape or one.dtype != other.dtype or one.requires_grad != other.requires_grad:
        return False
    if type(one) is not Tensor or one.device.type == "meta":
        return True
    return torch.equal(one, other) or bool(torch.isclose(one, other, rtol=0, atol=0, equal_nan=True).all())


def _own_generators(call: Callable[[], Any]) -> Any:
    """Make a call that seeds; all generators go on afterwards as if it had drawn one number of its own."""
    before = GeneratorStates.now()
    output = call()
    before.go_on()
    return output
