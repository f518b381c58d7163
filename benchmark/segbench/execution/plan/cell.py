"""A cell: one model to be trained, scored and measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from segbench.config.run_config import SettingValues
from segbench.config.settings import Settings
from segbench.data.folds import fold_note
from segbench.data.selection import scored_split
from segbench.execution.plan.sources import Sources
from segbench.plugin.choice import format_value, slug
from segbench.plugin.chosen import Chosen
from segbench.plugin.inputs import InputPlan
from segbench.plugin.specs import BackendSpec, DatasetSpec, LossSpec, ModelSpec, Task
from segbench.results.deployments import EAGER
from segbench.results.readings import quick_try
from segbench.results.records import AS_GIVEN, CellResult
from segbench.util.folds import parse_fold
from segbench.util.image_size import Size, parse_growing_size, parse_size
from segbench.util.plain_data import Plain

Ingredients: TypeAlias = Mapping[str, Plain]
"""Ingredients of a fingerprint: names, options, code, settings and digests, as JSON holds them."""

USED_AS_GIVEN = ("epochs", "split", "select_on", "image_size", "init_from")
"""Settings of ``[train]`` that mean something where nothing is trained: scores depend on them, or the weights come from there."""


@dataclass(frozen=True)
class StartingWeights:
    """A file of weights that a model starts from, or is taken with; ``text`` is what the user wrote. It may be ``partial``."""

    text: str
    file: Path
    partial: bool = False


@dataclass(frozen=True)
class Cell:
    """One model to be trained, scored and measured."""

    id: str
    model: Chosen[ModelSpec]
    loss: Chosen[LossSpec]
    dataset: Chosen[DatasetSpec]
    recipe: str
    settings: Settings
    variation: SettingValues
    seed: int
    inputs: InputPlan
    task: Task
    model_task: Task
    fingerprints: Mapping[str, str]
    ingredients: Mapping[str, Ingredients]
    """By stage: what its fingerprint is made of."""
    origin: Sources = field(default_factory=Sources)
    weights: StartingWeights | None = None
    backends: tuple[Chosen[BackendSpec], ...] = ()
    extras: tuple[Chosen[Any], ...] = ()
    """A plugin's augmentation, and plugins' metrics."""
    deploy_fingerprints: Mapping[str, str] = field(default_factory=dict)
    """By backend, so that another one more runs alone."""

    def describe(self) -> dict[str, Any]:
        """The cell as plain data, for observers and progress displays."""
        return {
            "id": self.id,
            "model": self.model.short_name,
            "loss": AS_GIVEN if self.as_given else str(self.loss),
            "dataset": str(self.dataset),
            "recipe": self.recipe,
            "settings": dict(self.variation),
            "seed": self.seed,
            "kind": self.origin.kind,
        }

    def resolved(self, device: str) -> dict[str, Any]:
        """Every setting and option as it holds for this cell."""
        settings = self.settings.model_dump(exclude={"model", "data", "execute"})
        if self.as_given:
            settings["train"] = {key: settings["train"][key] for key in USED_AS_GIVEN}
        return {
            "model_options": self.model.options.values(),
            **({} if self.as_given else {"loss_options": self.loss.options.values()}),
            "dataset_options": self.dataset.options.values(),
            **settings,
            "normalisation": {name: dataclasses.asdict(norm) for name, norm in self.inputs.normalisation.items()},
            "devices": self.settings.execute.devices,
            "device": device,
        }

    def blank(self, device: str) -> CellResult:
        """The cell's row before anything has run."""
        return CellResult(
            id=self.id,
            kind=self.origin.kind,
            needs=list(self.origin.needs),
            model=str(self.model),
            short_name=self.model.choice.label or None,
            loss=None if self.as_given else str(self.loss),
            dataset=str(self.dataset),
            recipe=self.recipe,
            settings=dict(self.variation),
            resolved=self.resolved(device),
            fold=self.settings.data.fold,
            limit=self.settings.data.limit,
            seed=self.seed,
            fingerprints=dict(self.fingerprints),
            early_fusion=self.inputs.early_fusion,
            notes=[
                *self._data_notes(),
                *self.origin.notes,
                *(f"the model does not take the input '{name}'" for name in self.inputs.unused(self.task)),
            ],
            params_per_part={},
        )

    def _data_notes(self) -> list[str]:
        """Which part of the dataset the cell is trained and scored on, where that is not all of it."""
        data = self.settings.data
        limited = [quick_try(data.limit)] if data.limit else []
        return [*limited, *([fold_note(self.dataset, parse_fold(data.fold))] if data.fold else [])]

    @property
    def as_given(self) -> bool:
        """True where nothing is trained."""
        return self.settings.train.as_given

    @property
    def measured_size(self) -> Size:
        """Height and width at which costs are measured: measure.input_size, else the evaluation's, else the last training size."""
        return measured_size(self.settings)

    @property
    def scored_split(self) -> str:
        """The split that quality is computed on."""
        return scored_split(self.dataset, self.settings)


def refused_form(model: Chosen[ModelSpec], backend: Chosen[BackendSpec]) -> str:
    """The reason why a model is not deployed through a backend, whatever that can do; empty where it may be tried.

    What runs outside of PyTorch is an exported form already: no other form of it can be made, and a cast would change nothing.
    """
    if model.spec.counts is None or str(backend) == EAGER:
        return ""
    return f"{model.spec.name} runs as it is, which '{EAGER}' stands for: no other form is made of it"


def cell_id(model: Chosen[Any], loss: Chosen[Any] | str, recipe: str, variation: SettingValues, seed: int) -> str:
    """A readable file name that does not depend on which other cells the run has."""
    varied = [f"{key}={format_value(value)}" for key, value in variation.items()]
    return slug("--".join([*(slug(part) for part in (model.short_name, str(loss), recipe, *varied)), f"s{seed}"]), limit=150)


def measured_size(settings: Settings) -> Size:
    """Height and width at which costs are measured."""
    chosen = settings.measure.input_size or settings.eval.image_size
    return parse_size(chosen) if chosen is not None else parse_growing_size(settings.train.image_size)[-1][1]
