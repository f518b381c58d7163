"""Calls of some modules of a network, captured in one forward pass, so that they can be made again by themselves."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from segbench.errors import SegbenchError
from segbench.util.sequences import first_line


@dataclass(frozen=True)
class ModuleCall:
    """A module with the arguments of one of its calls."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def __call__(self) -> object:
        return self.module(*self.args, **self.kwargs)


def named_modules(model: nn.Module, names: str) -> dict[str, nn.Module]:
    """The modules of these dotted names or classes (``A+B``: of both), without those inside another of them.

    Raises :class:`SegbenchError` where the model lacks one of the names.

    >>> list(named_modules(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1)), "Conv2d"))
    ['0', '2']
    """
    wanted = names.split("+")
    found = {name: module for name, module in model.named_modules() if name and (name in wanted or type(module).__name__ in wanted)}
    present = {*found, *(type(module).__name__ for module in found.values())}
    missing = [name for name in wanted if name not in present]
    if missing:
        raise SegbenchError(f"the network has no module {', '.join(missing)}")
    return {name: module for name, module in found.items() if not any(name.startswith(f"{outer}.") for outer in found)}


def captured_calls(network: nn.Module, modules: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> list[ModuleCall]:
    """Every call of the modules in one pass of ``network`` over ``inputs`` (tensors (N, C, H, W)), with copies of its arguments.

    Raises :class:`SegbenchError` where a module is not called, or has arguments that cannot be copied.
    """
    calls: list[ModuleCall] = []

    def capturing(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            try:
                calls.append(ModuleCall(module, *copy.deepcopy((args, kwargs))))
            except Exception as error:  # a model may pass anything, and its copying may raise anything
                raise SegbenchError(f"the arguments of {name} cannot be copied: {first_line(error)}") from error

        return hook

    handles = [module.register_forward_pre_hook(capturing(name), with_kwargs=True) for name, module in modules.items()]
    try:
        network(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    idle = [name for name, module in modules.items() if all(call.module is not module for call in calls)]
    if idle:
        raise SegbenchError(f"a forward pass does not call {', '.join(idle)}")
    return calls
