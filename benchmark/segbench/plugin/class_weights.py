"""Weights of classes for a loss, by a rule, from how many pixels each class has in the training split."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from segbench.errors import DataError
from segbench.plugin.chosen import Chosen
from segbench.plugin.options import Options
from segbench.plugin.specs import LossSpec, resolve

if TYPE_CHECKING:
    from segbench.results.records import ClassWeights  # it takes as long to load as all specs

WeightRule = Literal["auto", "inverse", "effective"]
"""How a loss weighs classes: ``inverse`` frequency, or the ``effective`` number of pixels; ``auto`` is ``effective``."""

WeightsOf = Callable[[WeightRule], tuple[float, ...]]


def class_weights(rule: WeightRule, pixels: Sequence[int]) -> ClassWeights:
    """One weight per class from its ``pixels``, such that the mean weight of a training pixel is 1; 0 for a class without any.

    inverse     proportional to 1 / n
    effective   proportional to 1 / E with the effective number ``E = (1 - beta ** n) / (1 - beta)`` of Cui et al., Class-Balanced Loss
                Based on Effective Number of Samples, CVPR 2019, equation 2. Their ``beta = (N - 1) / N`` takes N as the mean number of
                pixels of the classes that occur: frequent classes are all weighted by about N, rare ones by their own number. (The
                betas of the paper are for thousands of images; with millions of pixels they would give every class the same weight.)

    The mean over pixels, not over classes, is 1, so that a loss averaged over pixels keeps its size and the learning rate its meaning.
    Raises :class:`DataError` where no pixel is labelled.

    >>> class_weights("inverse", [8, 2, 0]).weights
    [0.625, 2.5, 0.0]
    >>> made = class_weights("auto", [8, 2, 0])
    >>> made.rule, made.beta, [round(weight, 4) for weight in made.weights]
    ('effective', 0.8, [0.7922, 1.8313, 0.0])
    """
    total = sum(pixels)
    if not total:
        raise DataError(f"class weights '{rule}' cannot be computed: no pixel of the training split is labelled. Give numbers instead.")
    mean = total / sum(count > 0 for count in pixels)
    by_frequency = rule == "inverse"
    raw = [0.0 if not count else 1 / (count if by_frequency else _effective(count, mean)) for count in pixels]
    scale = total / sum(count * weight for count, weight in zip(pixels, raw, strict=True))
    from segbench.results.records import ClassWeights

    return ClassWeights(
        rule="inverse" if by_frequency else "effective",
        beta=None if by_frequency else (mean - 1) / mean,
        pixels=list(pixels),
        weights=[scale * weight for weight in raw],
    )


def _effective(count: int, mean: float) -> float:
    """``(1 - beta ** count) / (1 - beta)`` for ``beta = 1 - 1 / mean``, without the loss of digits of a beta near 1."""
    return 1.0 if mean <= 1 else -mean * math.expm1(count * math.log1p(-1 / mean))


def with_class_weights(chosen: Chosen[LossSpec], pixels: Sequence[int]) -> tuple[Chosen[LossSpec], list[ClassWeights]]:
    """The loss with numbers in place of its rules, those of inner losses too, and what the numbers are; none where it has no rule."""
    used: dict[str, ClassWeights] = {}

    def weights_of(rule: WeightRule) -> tuple[float, ...]:
        made = class_weights(rule, pixels)
        used[made.rule] = made
        return tuple(made.weights)

    return _numeric(chosen, weights_of), list(used.values())


def numeric_options(spec: LossSpec, options: Options, weights_of: WeightsOf) -> Any:
    """The options of a loss with the numbers of ``weights_of`` in place of rules."""
    return resolve(spec.class_weights)(options, weights_of) if spec.class_weights else options


def has_rules(chosen: Chosen[LossSpec], num_classes: int) -> bool:
    """Whether the loss, or one inside it, has a rule in place of numbers."""
    return bool(with_class_weights(chosen, [1] * num_classes)[1])


def _numeric(chosen: Chosen[LossSpec], weights_of: WeightsOf) -> Chosen[LossSpec]:
    parts = tuple(_numeric(part, weights_of) for part in chosen.parts)
    return replace(chosen, options=numeric_options(chosen.spec, chosen.options, weights_of), parts=parts)
