"""Run the conformance checks on something from the catalog, without pytest (``segbench check NAME``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segbench.plugin.chosen import Chosen
from segbench.plugin.specs import AugmentationSpec, BackendSpec, DatasetSpec, LossSpec, MetricSpec, ModelSpec
from segbench.testing.check import Check, CheckResult, run_all
from segbench.testing.plugins import augmentations, backends, datasets, losses, metrics, models
from segbench.testing.plugins.augmentations import AugmentationSubject
from segbench.testing.plugins.datasets import DatasetSubject
from segbench.testing.plugins.losses import LossSubject
from segbench.testing.plugins.metrics import MetricSubject
from segbench.testing.plugins.model_subject import ModelSubject
from segbench.util.image_size import Size

_CHECKS: dict[str, tuple[Check[Any], ...]] = {
    "models": models.CHECKS,
    "losses": losses.CHECKS,
    "datasets": datasets.CHECKS,
    "backends": backends.CHECKS,
    "metrics": metrics.CHECKS,
    "augmentations": augmentations.CHECKS,
}


def checks_for(kind: str) -> list[Check[Any]]:
    """The checks of a kind, in the order in which they run; none for kinds that are plain data (recipes, claims).

    >>> [check.name for check in checks_for("backends")]
    ['spec_is_sound', 'logits_are_those_of_the_network', 'another_size_gives_no_other_logits', 'network_is_left_alone']
    """
    return list(_CHECKS.get(kind, ()))


def run_checks(chosen: Chosen[Any], *, root: Path | None = None, thorough: bool = False, size: Size | None = None) -> list[CheckResult]:
    """Check a chosen model, loss, dataset, backend, metric or augmentation with its options.

    ``root`` is the folder of a dataset that is not embedded. ``thorough`` tries every combination of class and channel
    counts on a model, and looks at every sample of a dataset. ``size`` (height, width) is the only one at which a model is tried.
    """
    spec, options = chosen.spec, chosen.options
    if isinstance(spec, ModelSpec):
        return run_all(models.CHECKS, ModelSubject(spec, options, thorough=thorough, tried=size))
    if isinstance(spec, LossSpec):
        return run_all(losses.CHECKS, LossSubject(spec, options))
    if isinstance(spec, DatasetSpec):
        return run_all(datasets.CHECKS, DatasetSubject(spec, options, root=root, most=None if thorough else 500))
    if isinstance(spec, BackendSpec):
        return run_all(backends.CHECKS, backends.BackendSubject(spec, options))
    if isinstance(spec, MetricSpec):
        return run_all(metrics.CHECKS, MetricSubject(spec))
    if isinstance(spec, AugmentationSpec):
        return run_all(augmentations.CHECKS, AugmentationSubject(chosen))
    return []
