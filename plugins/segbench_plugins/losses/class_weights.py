"""Numbers in place of the rules ``auto``, ``inverse`` and ``effective`` in the options of losses. No torch is imported here."""

from __future__ import annotations

from collections.abc import Callable

from segbench import WeightRule
from segbench_plugins.losses import BceDiceOptions, CrossEntropyOptions, FocalOptions

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
