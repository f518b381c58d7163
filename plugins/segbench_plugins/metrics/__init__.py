"""Catalogue of the built-in metrics: scores that a run computes where ``eval.metrics`` names them."""

from __future__ import annotations

from collections.abc import Iterable

from segbench import MetricSpec, hookimpl


@hookimpl
def segbench_metrics() -> Iterable[MetricSpec]:
    """The built-in metrics."""
    return [
        MetricSpec(
            name="mean_dice",
            summary="Dice coefficient (F1 score), mean over the classes that have labels",
            from_confusions="segbench_plugins.metrics.dice:mean_dice",
            title="Dice",
            unit="%",
            better="higher",
            meaning=(
                "twice the overlap over the sum of both areas, averaged over the classes that have labels in the scored split; from one "
                "confusion matrix over the whole split."
            ),
            column=True,
            source="Dice, Measures of the Amount of Ecologic Association Between Species, Ecology 26 (3), 1945",
        ),
    ]
