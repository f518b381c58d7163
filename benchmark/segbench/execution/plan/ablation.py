"""Walk from one model to another one option at a time: which of the changes pays, and which costs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from segbench.errors import ConfigError, did_you_mean
from segbench.plugin.choice import format_value, parse_choice
from segbench.plugin.chosen import Chosen
from segbench.plugin.options import OptionValue, describe
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import ModelSpec
from segbench.results.records import Ablation, AblationStep
from segbench.util.sequences import listed


def walk(
    start: str, end: str, catalog: Catalog, *, order: Sequence[str] | None = None, model_settings: Mapping[str, Any] | None = None
) -> Ablation:
    """The steps from ``start`` to ``end``: each sets one more option to what ``end`` has, the last one is ``end`` itself.

    Options are taken in the order in which the model declares them, or in ``order`` (all of those that differ). ``model_settings`` are
    the options of ``[model]``, which hold for every model that has them. Raises :class:`SegbenchError` kin where the two are not one
    network under different options, where nothing differs, and where ``order`` is not an order of what differs.
    """
    first, last = (_choose(text, catalog, model_settings or {}) for text in (start, end))
    _refuse_other_network(first, last)
    before, after = first.options.values(), last.options.values()
    differing = [name for name in before if before[name] != after[name]]
    if not differing:
        raise ConfigError(f"There is nothing to walk: {first} and {last} are the same network with the same options.")
    options = _ordered(differing, order)
    models = [str(first), *_between(first, options, after), str(last)]
    steps = [
        AblationStep(option=name, before=format_value(before[name]), after=format_value(after[name]), baseline=one, subject=other)
        for name, (one, other) in zip(options, itertools.pairwise(models), strict=True)
    ]
    return Ablation(start=models[0], end=models[-1], steps=steps)


def models_of(ablation: Ablation) -> tuple[str, ...]:
    """The models of a walk in its order, from start to end."""
    return (ablation.start, *(step.subject for step in ablation.steps))


def _choose(text: str, catalog: Catalog, settings: Mapping[str, Any]) -> Chosen[ModelSpec]:
    choice = parse_choice(text)
    spec, _ = catalog.spec("models", choice.name)
    declared = describe(spec.options)
    return catalog.model(choice, {key: value for key, value in settings.items() if key in declared})


def _between(first: Chosen[ModelSpec], options: Sequence[str], after: Mapping[str, OptionValue]) -> list[str]:
    """``first`` with the first option changed, with the first two changed, .. up to all but one."""
    changed = [{name: after[name] for name in options[:count]} for count in range(1, len(options))]
    return [str(first.choice.with_options(**values)) for values in changed]


def _refuse_other_network(first: Chosen[ModelSpec], last: Chosen[ModelSpec]) -> None:
    """Raise where two models differ in more than their options: only options can be changed one at a time."""
    one, other = first.spec, last.spec
    before, after = first.options.values(), last.options.values()
    unshared = sorted(set(before) ^ set(after))
    if unshared:
        raise ConfigError(
            f"There is no walk from {first} to {last}: they are different networks. No step can change {listed(unshared)}, "
            f"which only one of them has as {'an option' if len(unshared) == 1 else 'options'}. "
            f"Name two settings of one model, such as {one.name} and '{one.name}[..]'."
        )
    if (one.build, one.inputs, one.read_output) != (other.build, other.inputs, other.read_output):
        nearest = first.choice.with_options(**{name: value for name, value in after.items() if value != before[name]})
        within = f"What differs in their options can be walked within one: segbench ablate '{first}' '{nearest}'."
        raise ConfigError(
            f"There is no walk from {first} to {last}: they are built by different code, so that no option leads from one to the other."
            + (f" {within}" if str(nearest) != str(first) else "")
        )


def _ordered(differing: Sequence[str], order: Sequence[str] | None) -> Sequence[str]:
    if order is None:
        return differing
    for name in order:
        if name not in differing:
            near = did_you_mean(name, differing)
            raise ConfigError(f"--order: '{name}' is not among the options that differ.{near} They are: {', '.join(differing)}.")
    missing = [name for name in differing if name not in order]
    if missing or len(set(order)) != len(order):
        what = f"lacks {listed(missing)}" if missing else "names an option twice"
        raise ConfigError(f"--order {what}: it takes each option that differs once, such as {','.join(reversed(differing))}.")
    return order
