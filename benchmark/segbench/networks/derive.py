"""Models made of other networks: from trained ones, from fresh ones, or the architecture that a checkpoint is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from segbench.errors import PluginError
from segbench.networks.foreign import seeded
from segbench.networks.network import Network, build_network, deploy, input_channels
from segbench.plugin.chosen import Chosen
from segbench.plugin.input_sizes import trial_size
from segbench.plugin.options import Options
from segbench.plugin.specs import Derivation, ModelSpec, Task, resolve

_EXAMPLE_SIDE = 32


def derive_model(derivation: Derivation, bases: Sequence[Network], task: Task, options: Options) -> nn.Module:
    """The model derived from these networks, which may be changed by it."""
    with seeded(None, f"'{derivation.kind}'"):
        model = resolve(derivation.make)(_base_modules(derivation, bases), _example_inputs(bases, task), task, options)
    return _require_module(model, derivation)


def untrained_model(derivation: Derivation, parts: Sequence[Chosen[ModelSpec]], task: Task, options: Options) -> nn.Module:
    """The model derived from fresh networks."""
    return derive_model(derivation, untrained_bases(parts, task), task, options)


def rebuild_network(chosen: Chosen[ModelSpec], task: Task, state: Mapping[str, Tensor], *, seed: int) -> Network:
    """The derived network whose state a checkpoint holds, without that state's values."""
    derivation = chosen.spec.derives
    assert derivation is not None
    with seeded(seed, f"'{derivation.kind}'"):
        bases = untrained_bases(chosen.parts, task)
        model = _require_module(resolve(derivation.rebuild)(_base_modules(derivation, bases), state, task, chosen.options), derivation)
    return Network(model, chosen.spec, task.num_classes, channels=input_channels(chosen.spec, task))


def untrained_bases(parts: Sequence[Chosen[ModelSpec]], task: Task) -> list[Network]:
    """Fresh networks of the parts, from the caller's random state."""
    seed = int(torch.randint(2**31, ()))
    return [build_network(part.spec, task, part.options, seed=seed + index) for index, part in enumerate(parts)]


def _base_modules(derivation: Derivation, bases: Sequence[Network]) -> list[nn.Module]:
    return [base.model.eval() if derivation.like_base else deploy(base) for base in bases]


def _example_inputs(bases: Sequence[Network], task: Task) -> tuple[Tensor, ...]:
    spec = bases[0].spec
    size = trial_size(spec, (_EXAMPLE_SIDE, _EXAMPLE_SIDE))
    return tuple(torch.zeros(1, task.inputs[name], *size) for name in spec.inputs)


def _require_module(model: object, derivation: Derivation) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise PluginError(f"'{derivation.kind}' gave {type(model).__name__} instead of a torch.nn.Module")
    return model
