"""Specs that are put together from others: a model made of trained ones, a loss around another.

What is put together looks like any other spec, so that everything that takes one takes these, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from segbench.errors import ConfigError
from segbench.plugin.options import Options
from segbench.plugin.specs import Derivation, LossSpec, ModelSpec, Normalisation, Ref, Task, resolve
from segbench.util.sequences import counted

if TYPE_CHECKING:
    from torch import nn

    from segbench.plugin.chosen import Chosen


def part_names(chosen: Chosen[ModelSpec]) -> tuple[str, ...]:
    """The names in a derived model's option ``of``."""
    names = chosen.options.values().get("of") or ()
    return tuple(str(name) for name in names) if isinstance(names, tuple) else (str(names),)


def derived_model(chosen: Chosen[ModelSpec], parts: Sequence[Chosen[ModelSpec]]) -> Chosen[ModelSpec]:
    """The derived model with its parts. Raises :class:`ConfigError` where these cannot be combined."""
    derivation = chosen.spec.derives
    assert derivation is not None
    name = chosen.spec.name
    if len(parts) < derivation.least or (derivation.like_base and len(parts) > 1):
        wanted = "one model" if derivation.like_base else f"at least {counted(derivation.least, 'model')}"
        example = "deeplab-original" if derivation.like_base else "(deeplab-original,deeplab-optimized)"
        raise ConfigError(f"'{name}' is made of {wanted}: write {name}[of={example}].")
    first = parts[0].spec
    if derivation.like_base and first.given is not None:
        raise ConfigError(f"{chosen}: {parts[0]} comes with weights of its own and is no PyTorch network that '{name}' could change.")
    for part in parts[1:]:
        if part.spec.inputs != first.inputs:
            raise ConfigError(
                f"{chosen}: {parts[0]} takes the inputs {', '.join(first.inputs)}, {part} takes {', '.join(part.spec.inputs)}. "
                f"Choose models with the same inputs for one {name}."
            )
    base = (
        first
        if derivation.like_base
        else replace(chosen.spec, inputs=first.inputs, parts=_member_prefixes(parts), head=_member_heads(parts))
    )
    spec = replace(
        base,
        name=name,
        summary=chosen.spec.summary,
        options=chosen.spec.options,
        source=chosen.spec.source,
        derives=derivation,
        channels={key: allowed for key in first.inputs if (allowed := _common_channels(key, parts)) is not None},
        build=_Untrained(derivation, tuple(parts)),
        normalise=_OfBase(first.normalise, parts[0].options) if first.normalise else None,
        check=_CheckAll(chosen.spec.check, tuple(parts)),
    )
    return replace(chosen, spec=spec, parts=tuple(parts))


def wrapping_loss(chosen: Chosen[LossSpec], inner: Chosen[LossSpec]) -> Chosen[LossSpec]:
    """The wrapping loss with its inner loss: it has the inner one's ``prepare``, and accepts the tasks that both accept."""
    spec = replace(chosen.spec, prepare=inner.spec.prepare, check=_CheckAll(chosen.spec.check, (inner,)))
    return replace(chosen, spec=spec, parts=(inner,))


@dataclass(frozen=True)
class _Untrained:
    """``build`` of a derived model: the same architecture with fresh weights, where only the shape of the network matters."""

    derivation: Derivation
    parts: tuple[Chosen[ModelSpec], ...]

    def __call__(self, task: Task, options: Options) -> nn.Module:
        # by its name, as any spec's build, so that specs import nothing heavy: the one deliberate import string that points
        # to a higher layer (tests/end_to_end/test_import_circles.py holds that it stays the only one)
        network: nn.Module = resolve("segbench.networks.derive:untrained_model")(self.derivation, self.parts, task, options)
        return network


@dataclass(frozen=True)
class _OfBase:
    """A reference of a base's, called with that base's options."""

    ref: Ref
    options: Options

    def __call__(self, task: Task, options: Options) -> dict[str, Normalisation] | None:
        normalisation: dict[str, Normalisation] | None = resolve(self.ref)(task, self.options)
        return normalisation


@dataclass(frozen=True)
class _CheckAll:
    """``check`` of the whole and of each part."""

    own: Ref | None
    parts: tuple[Chosen[Any], ...]

    def __call__(self, task: Task, options: Options) -> list[str]:
        problems = list(resolve(self.own)(task, options) or ()) if self.own else []
        for part in self.parts:
            if part.spec.check:
                problems += [f"{part}: {problem}" for problem in resolve(part.spec.check)(task, part.options) or ()]
        return problems


def _member_prefixes(parts: Sequence[Chosen[ModelSpec]]) -> dict[str, tuple[str, ...]]:
    """Parameters per member; a derived model that is no pruned one keeps its bases in order under ``members``."""
    return {f"{index + 1}: {part}": (f"members.{index}.",) for index, part in enumerate(parts)}


def _member_heads(parts: Sequence[Chosen[ModelSpec]]) -> tuple[str, ...]:
    """Prefixes of the parameters that depend on the class count, of all members; members are deployed networks."""
    return tuple(f"members.{index}.network.model.{prefix}" for index, part in enumerate(parts) for prefix in part.spec.head)


def _common_channels(name: str, parts: Sequence[Chosen[ModelSpec]]) -> tuple[int, ...] | None:
    channels = [set(part.spec.channels[name]) for part in parts if part.spec.channels.get(name)]
    return tuple(sorted(set.intersection(*channels))) if channels else None
