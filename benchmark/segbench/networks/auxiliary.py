"""Removal of auxiliary heads: of the modules that run for auxiliary outputs only, where the logits stay bit-identical without them.

Which modules those are is read off the gradients of a small trial: their parameters reach an auxiliary output and not the logits. The
logits must not change in a bit where these modules give NaN or large numbers instead (gradients do not see what is detached). Each is then
set to None, as networks do that can be built without it, or else gives zeros; the logits are compared again at two sizes and batches.
Where they differ, where a removed module is still called or where anything fails, the network is left as it is.
"""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segbench.util.image_size import Size

Inputs = tuple[Tensor, ...]
Read = Callable[[nn.Module, Inputs], Mapping[str, Tensor]]
"""All outputs of a model on inputs: ``logits`` and auxiliary ones."""

_PROBES = (float("nan"), 1e4, -1e4)


@dataclass(frozen=True)
class Removal:
    """A model without auxiliary heads, or why it has them still; ``outputs`` are the names of its auxiliary outputs."""

    model: nn.Module
    outputs: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    reason: str = ""


class Zeros(nn.Module):
    """In the place of a removed module: zeros (N, C, 1, ..) instead of its output (N, C, ..), which no logit depends on."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.shape = (*output.shape[1:2], *(1 for _ in output.shape[2:]))

    def forward(self, *inputs: Any, **_: Any) -> Tensor:
        first = next(value for value in inputs if isinstance(value, Tensor))
        return first.new_zeros((first.shape[0], *self.shape))


def without_auxiliary_heads(model: nn.Module, read: Read, *, channels: Sequence[int], sizes: Sequence[Size]) -> Removal:
    """The model without the modules that its logits do not need. It shares all weights and buffers with ``model``, which is left whole.

    ``channels`` are those of each input, ``sizes`` (height, width) those that it is tried at. A model that cannot be tried (it fails on
    small images, or cannot be copied) is returned as it is.
    """
    with _quiet(model):
        try:
            trials = [_images(model, channels, (batch, *size)) for batch, size in enumerate(sizes, 1)]
            outputs = _auxiliary(_run(model.eval(), read, trials[0]))
        except Exception:  # a plugin's network may raise anything on images that it was not made for: nothing is known then
            return Removal(model)
        try:
            return _removal(model, read, trials, outputs)
        except Exception as error:
            reason = f"it could not be tried without them ({type(error).__name__}: {error})"
            return Removal(model, outputs, reason=reason.splitlines()[0]) if outputs else Removal(model)


def _removal(model: nn.Module, read: Read, trials: Sequence[Inputs], outputs: tuple[str, ...]) -> Removal:
    tried = copy.deepcopy(model)
    if not outputs and not _auxiliary(_run(tried.train(), read, trials[-1])):
        return Removal(model)
    outputs, names = _only_for_auxiliary(tried, read, trials[-1])
    if not names:
        return Removal(model, outputs, reason="no module serves them alone")
    if not _ignores(model, read, trials[0], (), 0.0):
        return Removal(model, outputs, reason="two passes over one image differ, so that no removal could be checked")
    if not all(_ignores(model, read, trials[0], names, value) for value in _PROBES):
        return Removal(model, outputs, reason=f"the logits depend on {', '.join(names)}")
    given = _outputs_of(model, read, trials[0], names)
    zeros = {name: Zeros(given[name]) if name in given else None for name in names}
    for substitutes in (dict.fromkeys(names), zeros):
        lean = _without(model, substitutes)
        if _same_logits(model, lean, read, trials, names):
            return Removal(lean, outputs, tuple(names))
    return Removal(model, outputs, reason=f"the network does not run without {', '.join(names)}")


def _run(model: nn.Module, read: Read, inputs: Inputs) -> Mapping[str, Tensor]:
    with torch.no_grad():
        return read(model, _copies(inputs))


def _copies(inputs: Inputs) -> Inputs:
    return tuple(image.clone() for image in inputs)  # some networks work on their input in place


def _only_for_auxiliary(model: nn.Module, read: Read, inputs: Inputs) -> tuple[tuple[str, ...], list[str]]:
    """Names of the auxiliary outputs, and of the largest modules whose parameters reach one of them and never the logits.

    Tried in both modes: many networks give auxiliary outputs only while training. ``model`` is changed.
    """
    model.requires_grad_(True)
    parameters = dict(model.named_parameters())
    for_logits: set[str] = set()
    for_auxiliary: set[str] = set()
    names: dict[str, None] = {}
    for training in (False, True):
        outputs = read(model.train(training), _copies(inputs))
        for_logits |= _reached(outputs["logits"], parameters)
        for name in _auxiliary(outputs):
            names[name] = None
            for_auxiliary |= _reached(outputs[name], parameters)
    return tuple(names), list(_largest(model, "", for_auxiliary - for_logits))


def _reached(output: Tensor, parameters: Mapping[str, Tensor]) -> set[str]:
    if not output.requires_grad:
        return set()
    gradients = torch.autograd.grad(output.float().sum(), list(parameters.values()), allow_unused=True, retain_graph=True)
    return {name for name, gradient in zip(parameters, gradients, strict=True) if gradient is not None}


def _largest(module: nn.Module, path: str, alone: set[str]) -> Iterator[str]:
    """Paths of the modules all of whose parameters are among ``alone``, none of them inside another."""
    for name, child in module.named_children():
        below = [f"{path}{name}.{parameter}" for parameter, _ in child.named_parameters()]
        if below and alone.issuperset(below) and not isinstance(child, (nn.ModuleList, nn.ModuleDict)):  # which are never called themselves
            yield path + name
        elif not alone.isdisjoint(below):
            yield from _largest(child, f"{path}{name}.", alone)


@contextmanager
def _hooked(model: nn.Module, names: Sequence[str], hook: Callable[[str, Any], Any]) -> Iterator[None]:
    """``hook(name, output)`` is called after each of these modules; what it returns, unless None, takes the output's place."""
    handles = [model.get_submodule(name).register_forward_hook(lambda _m, _i, output, name=name: hook(name, output)) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _ignores(model: nn.Module, read: Read, inputs: Inputs, names: Sequence[str], value: float) -> bool:
    """Whether the logits stay bit-identical where these modules give nothing but ``value``."""
    expected = _run(model.eval(), read, inputs)["logits"]
    with _hooked(model, names, lambda _, output: _filled(output, value)):
        return torch.equal(_run(model, read, inputs)["logits"], expected)


def _filled(output: Any, value: float) -> Any:
    if isinstance(output, Tensor):
        return torch.full_like(output, value)
    if isinstance(output, Mapping):
        return type(output)({key: _filled(item, value) for key, item in output.items()})  # type: ignore[call-arg]
    return type(output)(_filled(item, value) for item in output) if isinstance(output, (tuple, list)) else output


def _outputs_of(model: nn.Module, read: Read, inputs: Inputs, names: Sequence[str]) -> dict[str, Tensor]:
    """What each of these modules gives in eval mode, of those that are called and give one tensor."""
    given: dict[str, Any] = {}
    with _hooked(model, names, lambda name, output: given.update({name: output})):
        _run(model.eval(), read, inputs)
    return {name: output for name, output in given.items() if isinstance(output, Tensor)}


def _without(model: nn.Module, substitutes: Mapping[str, nn.Module | None]) -> nn.Module:
    """A copy that shares all tensors with ``model``, with some modules replaced wherever they occur."""
    lean = copy.deepcopy(model, {id(tensor): tensor for tensor in itertools.chain(model.parameters(), model.buffers())})
    replaced = {id(lean.get_submodule(name)): substitute for name, substitute in substitutes.items()}
    for module in list(lean.modules()):
        for name, child in list(module._modules.items()):
            if id(child) in replaced:
                setattr(module, name, replaced[id(child)])
    return lean


def _same_logits(model: nn.Module, lean: nn.Module, read: Read, trials: Sequence[Inputs], names: Sequence[str]) -> bool:
    """Whether the logits are bit-identical, and none of the removed modules of ``model`` is still called by ``lean``."""
    expected = [_run(model.eval(), read, inputs)["logits"] for inputs in trials]
    called: list[str] = []
    removed = [f"{name}.{below}".rstrip(".") for name in names for below, _ in model.get_submodule(name).named_modules()]
    with _hooked(model, removed, lambda name, _: called.append(name)):
        try:
            found = [_run(lean.eval(), read, inputs)["logits"] for inputs in trials]
        except Exception:  # the network cannot do without the module in this way
            return False
    return not called and all(map(torch.equal, found, expected))


def _auxiliary(outputs: Mapping[str, Tensor]) -> tuple[str, ...]:
    return tuple(name for name in outputs if name != "logits")


def _images(model: nn.Module, channels: Sequence[int], size: tuple[int, int, int]) -> Inputs:
    like = next(model.parameters(), torch.zeros(()))
    generator = torch.Generator().manual_seed(0)
    batch, height, width = size
    return tuple(torch.randn(batch, count, height, width, generator=generator).to(like.device) for count in channels)


@contextmanager
def _quiet(model: nn.Module) -> Iterator[None]:
    """Without warnings of the network's own; its modes and the caller's random state are as before afterwards."""
    modes = {module: module.training for module in model.modules()}
    devices = sorted({parameter.device.index for parameter in model.parameters() if parameter.device.type == "cuda"})
    with warnings.catch_warnings(), torch.random.fork_rng(devices=devices):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for module, training in modes.items():
                module.training = training
