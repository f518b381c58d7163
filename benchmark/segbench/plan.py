"""A run's plan: which cells, in which order, and whether everything is there to run them."""

from __future__ import annotations

import importlib.metadata
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.cells import Cell, cell_id
from segbench.config import RunConfig
from segbench.dataset_choice import choose_dataset, data_root, default_split, scored_split
from segbench.errors import ConfigError, did_you_mean
from segbench.fingerprints import deploy_ingredients, eval_ingredients, fingerprint, measure_ingredients, train_ingredients
from segbench.inputs import plan_inputs
from segbench.options import describe
from segbench.registry import Catalog, Chosen
from segbench.settings import Settings
from segbench.specs import BackendSpec, DatasetSpec, LossSpec, ModelSpec, Normalisation, Recipe, Task, resolve

REQUIRED = "required"
"""Value of a recipe's setting that the user must give."""


@dataclass(frozen=True)
class Plan:
    """All cells of a run, in order, and what they share."""

    config: RunConfig
    cells: tuple[Cell, ...]
    dataset: Chosen[DatasetSpec]
    task: Task
    root: Path | None
    digest: str = ""


def make_plan(config: RunConfig, catalog: Catalog, *, digest_of: Callable[[Path], str] = lambda root: "") -> Plan:
    """Lay out models x losses x recipes x varied settings x seeds; raises :class:`SegbenchError` kin for whatever cannot work.

    ``digest_of`` gives the digest of a data folder (names, sizes and times).
    """
    recipes = [catalog.recipe(name) for name in config.recipes]
    base = config.settings(recipes[0])
    models = [catalog.model(text, _model_options(text, base, catalog)) for text in config.models]
    dataset = choose_dataset(config, catalog, recipes, models)
    task: Task = resolve(dataset.spec.task)(dataset.options)
    root = data_root(config, dataset)
    _check(dataset, task)
    digest = digest_of(root) if root is not None else ""
    split = default_split(dataset, root) if base.eval.split is None else None
    backends = _backends(config, catalog, task)
    cells = [
        _cell(dataset, task, digest, *_with_split(axes, split), variation=variation, seed=seed, backends=backends)
        for recipe in recipes
        for variation in _variations(config)
        for axes in _axes(config, catalog, recipe, config.settings(recipe, variation))
        for seed in config.seeds
    ]
    # models outermost, so that a model's cells stand together
    order = {text: i for i, text in enumerate(config.models)}
    cells.sort(key=lambda cell: order[str(cell.model)])
    for chosen in _distinct([c.model for c in cells]) + _distinct([c.loss for c in cells]):
        like = next(c for c in cells if c.model is chosen or c.loss is chosen)
        _check(chosen, like.model_task if isinstance(chosen.spec, ModelSpec) else task)
    return Plan(config, tuple(cells), dataset, task, root, digest)


_Axes = tuple[Chosen[ModelSpec], Chosen[LossSpec], Recipe, Settings]


def _with_split(axes: _Axes, split: str | None) -> _Axes:
    model, loss, recipe, settings = axes
    if settings.eval.split is not None or split is None:
        return axes
    return model, loss, recipe, settings.model_copy(update={"eval": settings.eval.model_copy(update={"split": split})})


def _cell(
    dataset: Chosen[DatasetSpec],
    task: Task,
    digest: str,
    model: Chosen[ModelSpec],
    loss: Chosen[LossSpec],
    recipe: Recipe,
    settings: Settings,
    *,
    variation: Mapping[str, Any],
    seed: int,
    backends: tuple[Chosen[BackendSpec], ...],
) -> Cell:
    _refuse_scales_of_fixed_forms(settings, backends)
    inputs, model_task = plan_inputs(model.spec, task, model.options)
    given = {name: Normalisation(norm.mean, norm.std, norm.scale) for name, norm in settings.data.normalisation.items()}
    inputs = inputs.with_normalisation(given)
    train = train_ingredients(model, loss, dataset, settings, seed, digest)
    evaluate = {**train, "eval": eval_ingredients(settings) | {"split": scored_split(dataset, settings)}}
    measure = measure_ingredients(model, model_task, settings)
    evaluated = fingerprint(evaluate)
    return Cell(
        id=cell_id(model, loss, recipe.name, variation, seed),
        model=model,
        loss=loss,
        dataset=dataset,
        recipe=recipe.name,
        settings=settings,
        variation=variation,
        seed=seed,
        inputs=inputs,
        task=task,
        model_task=model_task,
        fingerprints={"train": fingerprint(train), "evaluate": evaluated, "measure": fingerprint(measure)},
        ingredients={"train": train, "evaluate": evaluate, "measure": measure},
        backends=backends,
        deploy_fingerprints={
            str(chosen): fingerprint(deploy_ingredients(chosen, evaluated, settings, _versions(chosen.spec))) for chosen in backends
        },
    )


def _backends(config: RunConfig, catalog: Catalog, task: Task) -> tuple[Chosen[BackendSpec], ...]:
    """The forms in which every model is deployed; each must be installed."""
    backends = tuple(catalog.backend(text) for text in config.backends)
    for chosen in backends:
        _check(chosen, task)
    return backends


def _refuse_scales_of_fixed_forms(settings: Settings, backends: Sequence[Chosen[BackendSpec]]) -> None:
    fixed = [str(chosen) for chosen in backends if not chosen.spec.takes_any_size(chosen.options)]
    if settings.eval.scales != (1.0,) and fixed and settings.deploy.quality:
        raise ConfigError(
            f"eval.scales needs a network that takes any size, and {fixed[0]} is made for one. "
            "Leave eval.scales out, score the deployed forms in a run without it, or set deploy.quality=false."
        )


def _versions(spec: BackendSpec) -> dict[str, str | None]:
    return {"torch": importlib.metadata.version("torch"), **({spec.package: spec.installed_version()} if spec.package else {})}


def _variations(config: RunConfig) -> list[dict[str, Any]]:
    keys = list(config.vary)
    return [dict(zip(keys, values, strict=True)) for values in itertools.product(*config.vary.values())]


def _axes(config: RunConfig, catalog: Catalog, recipe: Recipe, settings: Settings) -> list[_Axes]:
    _refuse_required(recipe, settings)
    losses = config.losses or (recipe.loss or "ce",)
    _check_model_settings(config, settings, catalog)
    return [
        (catalog.model(model, _model_options(model, settings, catalog)), catalog.loss(loss), recipe, settings)
        for model in config.models
        for loss in losses
    ]


def _refuse_required(recipe: Recipe, settings: Settings) -> None:
    if settings.train.init_from == REQUIRED:
        raise ConfigError(
            f"recipe '{recipe.name}' starts from a checkpoint: give it with --set train.init_from=RUN/checkpoints/CELL/best.pt"
        )


def _model_options(text: str, settings: Settings, catalog: Catalog) -> dict[str, Any]:
    """The settings of ``[model]`` that this model has as options."""
    spec, _ = catalog.spec("models", text.partition("[")[0])
    return {key: value for key, value in settings.model.items() if key in describe(spec.options)}


def _check_model_settings(config: RunConfig, settings: Settings, catalog: Catalog) -> None:
    known = {key for text in config.models for key in describe(catalog.spec("models", text.partition("[")[0])[0].options)}
    for key in settings.model:
        if key not in known:
            raise ConfigError(f"[model] {key}: none of the models has this option.{did_you_mean(key, known)}")


def _check(chosen: Chosen[Any], task: Task) -> None:
    """Ask a spec's own check what is missing."""
    if not getattr(chosen.spec, "check", None):
        return
    missing = list(resolve(chosen.spec.check)(task, chosen.options) or ())
    if missing:
        raise ConfigError(f"{chosen}: " + " ".join(missing))


def _distinct(chosen: Sequence[Chosen[Any]]) -> list[Chosen[Any]]:
    return list({(str(c), str(c.options)): c for c in chosen}.values())
