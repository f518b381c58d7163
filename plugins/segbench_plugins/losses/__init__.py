"""Catalogue of the built-in losses.

All of them leave ignored pixels out entirely (whatever the logits there hold), compute in float32 or better, and return zero
with a zero gradient for a batch without a valid pixel.
"""

from __future__ import annotations

from collections.abc import Iterable

from segbench import LossFormula, LossSpec, Options, WeightRule, hookimpl, option

_RULES = "auto, inverse or effective: computed from the training split (docs/training.md)"


class CrossEntropyOptions(Options):
    """``ce``."""

    weights: tuple[float, ...] | WeightRule | None = option(None, minimum=0, help=f"one weight per class, none, or {_RULES}")
    label_smoothing: float = option(0.0, minimum=0, maximum=1, help="share of the target spread evenly over all classes")


class FocalOptions(Options):
    """``focal``."""

    alpha: float | tuple[float, ...] | WeightRule = option(0.25, minimum=0, help=f"one factor, one per class, or {_RULES}")
    gamma: float = option(2.0, minimum=0, help="how strongly well classified pixels are played down; 0 gives alpha * cross-entropy")


class DiceOptions(Options):
    """``dice``."""

    smooth: float = option(1.0, minimum=0, help="pixels added to both sides of the fraction")


class CombinedOptions(FocalOptions):
    """``combined``."""

    dice_weight: float = option(1.0, minimum=0, help="factor of the Dice part")


class ScheduleOptions(Options):
    """``schedule``."""

    first: str = option("ce", help="a loss of this page, with its options: 'focal[gamma=1]'")
    then: str = option("dice", help="the loss that follows")
    at: float = option(0.2, minimum=0, maximum=1, help="share of training after which the second takes over")


class BceDiceOptions(Options):
    """``bce-dice``."""

    pos_weight: float | WeightRule = option(5.0, minimum=0, help=f"factor of foreground pixels in the cross-entropy, or {_RULES}")


@hookimpl
def segbench_losses() -> Iterable[LossSpec]:
    """The six built-in losses."""
    return [
        LossSpec(
            name="ce",
            summary="cross-entropy, averaged over valid pixels",
            build="segbench_plugins.losses.cross_entropy:build",
            options=CrossEntropyOptions,
            check="segbench_plugins.losses.checks:check_cross_entropy",
            class_weights="segbench_plugins.losses.class_weights:of_cross_entropy",
            formula=LossFormula(
                function="segbench_plugins.losses.reference:cross_entropy", choices=("ce[weights=(0.5,2,1,0,4)]", "ce[label_smoothing=0.1]")
            ),
        ),
        LossSpec(
            name="focal",
            summary="cross-entropy that plays well classified pixels down",
            build="segbench_plugins.losses.focal:build",
            options=FocalOptions,
            check="segbench_plugins.losses.checks:check_focal",
            class_weights="segbench_plugins.losses.class_weights:of_focal",
            formula=LossFormula(
                function="segbench_plugins.losses.reference:focal",
                choices=("focal[gamma=0]", "focal[alpha=(1,0.5,2,0,4),gamma=1]"),
                worked="segbench_plugins.losses.focal:worked_figures",
            ),
            source="Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, equation 5",
        ),
        LossSpec(
            name="dice",
            summary="1 - soft Dice, mean over the classes present",
            build="segbench_plugins.losses.dice:build",
            options=DiceOptions,
            formula=LossFormula(function="segbench_plugins.losses.reference:dice", choices=("dice[smooth=0]",)),
            source="Milletari et al., V-Net, 3DV 2016, section 3",
        ),
        LossSpec(
            name="combined",
            summary="focal plus Dice",
            build="segbench_plugins.losses.combined:build",
            options=CombinedOptions,
            check="segbench_plugins.losses.checks:check_focal",
            class_weights="segbench_plugins.losses.class_weights:of_focal",
            formula=LossFormula(function="segbench_plugins.losses.reference:combined", choices=("combined[dice_weight=0.5,gamma=1]",)),
        ),
        LossSpec(
            name="schedule",
            summary="one loss, then another: cross-entropy before Dice",
            build="segbench_plugins.losses.schedule:build",
            options=ScheduleOptions,
            takes="batch",
            check="segbench_plugins.losses.inner:check_schedule",
            class_weights="segbench_plugins.losses.schedule_weights:of_schedule",
            formula=LossFormula(function="segbench_plugins.losses.reference:schedule", choices=("schedule[at=0.9]",)),
        ),
        LossSpec(
            name="bce-dice",
            summary="two classes: weighted binary cross-entropy plus Dice of the foreground, image by image",
            build="segbench_plugins.losses.bce_dice:build",
            options=BceDiceOptions,
            check="segbench_plugins.losses.checks:check_two_classes",
            class_weights="segbench_plugins.losses.class_weights:of_bce_dice",
            formula=LossFormula(function="segbench_plugins.losses.reference:bce_dice", choices=("bce-dice[pos_weight=1]",), num_classes=2),
        ),
    ]
