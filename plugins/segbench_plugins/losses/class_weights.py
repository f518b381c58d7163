"""Numbers in place of the rules ``auto``, ``inverse`` and ``effective`` in the options of losses. No torch is imported here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from segbench import Options, WeightRule, parse_choice
from segbench_plugins.losses import BceDiceOptions, CrossEntropyOptions, FocalOptions, ScheduleOptions
from segbench_plugins.losses.inner import inner_loss

WeightsOf = Callable[[WeightRule], tuple[float, ...]]


def of_cross_entropy(options: CrossEntropyOptions, weights_of: WeightsOf) -> CrossEntropyOptions:
    """One weight per class."""
    return options.model_copy(update={"weights": weights_of(options.weights)}) if isinstance(options.weights, str) else options


def of_focal(options: FocalOptions, weights_of: WeightsOf) -> FocalOptions:
    """One alpha per class."""
    return options.model_copy(update={"alpha": weights_of(options.alpha)}) if isinstance(options.alpha, str) else options


def of_bce_dice(options: BceDiceOptions, weights_of: WeightsOf) -> BceDiceOptions:
    """The foreground's weight in units of the background's; 1 where one of them has no pixel."""
    if not isinstance(options.pos_weight, str):
        return options
    background, foreground = weights_of(options.pos_weight)
    return options.model_copy(update={"pos_weight": foreground / background if background and foreground else 1.0})


def of_schedule(options: ScheduleOptions, weights_of: WeightsOf) -> ScheduleOptions:
    """The two losses with their own numbers."""
    return options.model_copy(update={name: _inner(getattr(options, name), weights_of) for name in ("first", "then")})


def _inner(text: str, weights_of: WeightsOf) -> str:
    spec, options = inner_loss(text)
    if not spec.class_weights:
        return text
    module, _, function = str(spec.class_weights).partition(":")
    numeric: Options = getattr(importlib.import_module(module), function)(options, weights_of)
    before = options.values()
    changed: dict[str, Any] = {name: value for name, value in numeric.values().items() if value != before[name]}
    return str(parse_choice(text).with_options(**changed)) if changed else text
