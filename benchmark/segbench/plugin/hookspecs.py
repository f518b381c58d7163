"""The hooks of segbench: implement any of them in a module and name it under the entry-point group ``segbench``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from segbench.plugin.specs import (
        AugmentationSpec,
        BackendSpec,
        Claim,
        ConverterSpec,
        DatasetSpec,
        LossSpec,
        MetricSpec,
        ModelSpec,
        Recipe,
        Reporter,
    )

hookspec = pluggy.HookspecMarker("segbench")
hookimpl = pluggy.HookimplMarker("segbench")


@hookspec
def segbench_models() -> Iterable[ModelSpec]:
    """Architectures."""
    raise NotImplementedError


@hookspec
def segbench_losses() -> Iterable[LossSpec]:
    """Training losses."""
    raise NotImplementedError


@hookspec
def segbench_datasets() -> Iterable[DatasetSpec]:
    """Datasets."""
    raise NotImplementedError


@hookspec
def segbench_backends() -> Iterable[BackendSpec]:
    """Ways to deploy a trained network."""
    raise NotImplementedError


@hookspec
def segbench_recipes() -> Iterable[Recipe]:
    """Named settings."""
    raise NotImplementedError


@hookspec
def segbench_claims() -> Iterable[Claim]:
    """Published figures to hold against measurement."""
    raise NotImplementedError


@hookspec
def segbench_reporters() -> Iterable[Reporter]:
    """Report formats."""
    raise NotImplementedError


@hookspec
def segbench_converters() -> Iterable[ConverterSpec]:
    """Readers of annotation tools' files (``segbench data convert``)."""
    raise NotImplementedError


@hookspec
def segbench_metrics() -> Iterable[MetricSpec]:
    """Scores of predictions (``eval.metrics``)."""
    raise NotImplementedError


@hookspec
def segbench_augmentations() -> Iterable[AugmentationSpec]:
    """Random changes of training samples (``train.augmentation``)."""
    raise NotImplementedError


@hookspec
def segbench_before_cell(cell: Mapping[str, Any]) -> None:
    """Observer, in the parent process: a cell starts. ``cell`` has id, model, loss, dataset, recipe, seed, settings."""


@hookspec
def segbench_after_epoch(cell: Mapping[str, Any], epoch: Mapping[str, Any]) -> None:
    """Observer, in the parent process: an epoch ended. ``epoch`` is its row of ``training.history``."""


@hookspec
def segbench_after_cell(cell: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """Observer, in the parent process: a cell ended, well or not. ``result`` is its entry in ``run.json``."""
