"""Frozen parts of a network: their parameters are not trained, and their modules stay in eval mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from segbench.errors import ConfigError, did_you_mean
from segbench.measure.params import OTHER, part_of


def freeze(model: nn.Module, names: Sequence[str], *, parts: Mapping[str, tuple[str, ...]]) -> list[nn.Module]:
    """Freeze what ``names`` name: parts of the model (``encoder``), or modules and parameters by their dotted names (``encoder.0``).

    Returns the frozen modules, which :func:`hold_in_eval` keeps as they are: BatchNorm with its running statistics, no dropout.
    Raises :class:`ConfigError` for a name of which the model has no parameter, and where nothing is left to train.
    """
    parameters = dict(model.named_parameters())
    for name in names:
        if not any(_covered(parameter, [name], parts) for parameter in parameters):
            raise ConfigError(f"train.freeze: the model has no part or module '{name}' with parameters.{_choices(name, model, parts)}")
    for parameter_name, parameter in parameters.items():
        if _covered(parameter_name, names, parts):
            parameter.requires_grad_(False)
    if names and not any(parameter.requires_grad for parameter in parameters.values()):
        raise ConfigError(f"train.freeze = {', '.join(names)} leaves no parameter of the model to train. Freeze fewer parts.")
    return [module for name, module in model.named_modules() if name and _covered(name, names, parts)]


def _choices(name: str, model: nn.Module, parts: Mapping[str, tuple[str, ...]]) -> str:
    near = did_you_mean(name, [*parts, *(module for module, _ in model.named_modules() if module)])
    return f"{near} It has: {', '.join(dict.fromkeys([*parts, *(child for child, _ in model.named_children())]))}."


def hold_in_eval(modules: Sequence[nn.Module]) -> None:
    """Put modules back into eval mode, after ``train()`` was called on the network; other modules inside them are left alone."""
    for module in modules:
        module.training = False


def _covered(dotted: str, names: Sequence[str], parts: Mapping[str, tuple[str, ...]]) -> bool:
    modules = {name: (name,) for name in names if name not in parts}
    return part_of(dotted, parts) in names or part_of(dotted, modules) != OTHER
