"""Models made of other networks: from trained ones, from fresh ones, or the architecture that a checkpoint is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from segbench.errors import PluginError
from segbench.networks.network import Network, build_network, deploy
from segbench.plugin.chosen import Chosen
from segbench.plugin.options import Options
from segbench.plugin.specs import Derivation, ModelSpec, Task, resolve

_EXAMPLE_SIDE = 32


def make_of(how: Derivation, bases: Sequence[Network], task: Task, options: Options) -> nn.Module:
    """The model that comes of these networks, which may be changed by it."""
    return _module(resolve(how.make)(_as_given(how, bases), _examples(bases, task), task, options), how)


def untrained_model(how: Derivation, parts: Sequence[Chosen[ModelSpec]], task: Task, options: Options) -> nn.Module:
    """The model that comes of fresh networks."""
    return make_of(how, untrained_bases(parts, task), task, options)


def rebuild_network(chosen: Chosen[ModelSpec], task: Task, state: Mapping[str, Tensor], *, seed: int) -> Network:
    """The network that a checkpoint's state is of, still untrained."""
    how = chosen.spec.derives
    assert how is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        bases = untrained_bases(chosen.parts, task)
        model = _module(resolve(how.rebuild)(_as_given(how, bases), state, task, chosen.options), how)
    return Network(model, chosen.spec, task.num_classes)


def untrained_bases(parts: Sequence[Chosen[ModelSpec]], task: Task) -> list[Network]:
    """Fresh networks of the parts, from the caller's random state."""
    seed = int(torch.randint(2**31, ()))
    return [build_network(part.spec, task, part.options, seed=seed + index) for index, part in enumerate(parts)]


def _as_given(how: Derivation, bases: Sequence[Network]) -> list[nn.Module]:
    return [base.model.eval() if how.like_base else deploy(base) for base in bases]


def _examples(bases: Sequence[Network], task: Task) -> tuple[Tensor, ...]:
    spec = bases[0].spec
    multiple = max(spec.size_multiple, 1)
    side = -(-max(spec.min_size, _EXAMPLE_SIDE) // multiple) * multiple
    return tuple(torch.zeros(1, task.inputs[name], side, side) for name in spec.inputs)


def _module(made: object, how: Derivation) -> nn.Module:
    if not isinstance(made, nn.Module):
        raise PluginError(f"'{how.kind}' gave {type(made).__name__} instead of a torch.nn.Module")
    return made
