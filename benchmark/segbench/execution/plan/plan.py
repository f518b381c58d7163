"""A run's plan: its cells in order, checked for all that they need."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segbench.config.run_config import DATA_RECIPE, EMBEDDED_RECIPE, RunConfig, SettingValues
from segbench.config.settings import Settings
from segbench.data.selection import choose_dataset, data_root, default_split, scored_split
from segbench.errors import ConfigError, SegbenchError, did_you_mean
from segbench.execution.plan.cell import Cell, StartingWeights, cell_id
from segbench.execution.plan.fingerprints import (
    content_of,
    deploy_ingredients,
    eval_ingredients,
    fingerprint,
    measure_ingredients,
    train_ingredients,
)
from segbench.execution.plan.sources import (
    Key,
    Source,
    SourceRequest,
    Sources,
    choose_model,
    find_network,
    find_source,
    given_weights,
    kind_of,
    notes_of,
    refuse_other_task,
    requested_sources,
)
from segbench.execution.plan.training import refuse_training
from segbench.execution.plan.weights import check_weights, files_by_model, history, inputs_as_trained, meta_of, starting_weights
from segbench.networks.checkpoint_meta import read_meta, require_weights
from segbench.plugin.choice import Choice, parse_choice, slug
from segbench.plugin.chosen import Chosen
from segbench.plugin.class_map import ClassMap, format_class_map, match_classes, parse_class_map
from segbench.plugin.input_sizes import largest_image, network_size
from segbench.plugin.inputs import plan_inputs, with_classes
from segbench.plugin.options import describe
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import (
    AugmentationSpec,
    BackendSpec,
    DatasetSpec,
    LossSpec,
    MetricSpec,
    ModelSpec,
    Normalisation,
    Recipe,
    Task,
    resolve,
)
from segbench.results.plugin_metrics import refuse_own_metric
from segbench.results.records import AS_GIVEN
from segbench.util.image_size import format_size, parse_growing_size, parse_size
from segbench.util.packages import installed_version
from segbench.util.sequences import counted

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
    by_model: bool = False
    recipe_chosen: bool = False
    """whether the recipe is the dataset's, as the user named none"""

    @property
    def recipe_note(self) -> str:
        """Which recipe was taken for a user's own data, and how to take another; empty where the user named it."""
        if not self.recipe_chosen or self.dataset.spec.embedded:
            return ""
        recipe, train = self.config.recipes[0], self.cells[0].settings.train
        epochs = f"{counted(train.epochs, 'epoch')} at {train.image_size}, batch {train.batch_size}"
        return f"No recipe was named: '{recipe}' was taken ({epochs}). --recipe NAME takes another (segbench list recipes)."


def default_recipe(dataset: DatasetSpec) -> str:
    """The recipe of a run that names none."""
    return dataset.recipe or (EMBEDDED_RECIPE if dataset.embedded else DATA_RECIPE)


def make_plan(
    config: RunConfig,
    catalog: Catalog,
    *,
    digest_of: Callable[[Path], str] = lambda root: "",
    complete: bool = False,
    by_model: bool = False,
) -> Plan:
    """Lay out models x losses x recipes x varied settings x seeds; raises a :class:`SegbenchError` for what cannot work.

    ``digest_of`` gives the digest of a data folder (names, sizes and times). What cells are made from (a teacher, an ensemble's members)
    comes before them; a ``complete`` plan has all of it, any other is for cells that are trained already or never. ``by_model``: cells are
    named by their models alone, as loss, recipe and seed mean nothing where they were not trained by them.
    """
    recipes = [catalog.recipe(name) for name in config.recipes or (EMBEDDED_RECIPE,)]
    base = config.settings(recipes[0])
    models = [choose_model(catalog, text, base.model) for text in config.models]
    dataset = choose_dataset(config, catalog, recipes, models)
    if not config.recipes:
        chosen_recipe = config.model_copy(update={"recipes": (default_recipe(dataset.spec),)})
        return replace(make_plan(chosen_recipe, catalog, digest_of=digest_of, complete=complete, by_model=by_model), recipe_chosen=True)
    root = data_root(config, dataset)
    task = dataset.spec.make_task(dataset.options, root)
    _check(dataset, task)
    digest = digest_of(root) if root is not None else ""
    split = default_split(dataset, root) if base.eval.split is None else None
    backends = _backends(config, catalog, task)
    files = files_by_model(config)
    entries = [
        _Entry(*_with_split(axes, split), variation=variation, seed=seed, by_model=by_model)
        for recipe in recipes
        for variation in _variations(config)
        for axes in _axes(config, catalog, recipe, _with_start(config.settings(recipe, variation), complete=complete), files)
        for seed in config.seeds
    ]
    entries = _with_class_maps(_without_repeats(entries), task)
    # models outermost, so that a model's cells stand together
    order = {str(chosen): i for i, chosen in enumerate(models)}
    entries.sort(key=lambda entry: order[str(entry.model)])
    weights = {model: starting_weights(file, partial=config.partial_weights, complete=complete) for model, file in files.items()}
    directory = output_directory(config, dataset)
    layout = _Layout(dataset, task, digest, backends, entries, directory, catalog, weights, complete=complete)
    cells = layout.cells()
    if complete:
        _check_class_maps(cells, dataset)
        check_weights(cells)
    for cell in cells:
        _refuse_larger_than_fixed(cell)
    for chosen in _distinct([c.model for c in cells]) + _distinct([c.loss for c in cells]):
        cell = next(c for c in cells if c.model is chosen or c.loss is chosen)
        _check(chosen, cell.model_task if isinstance(chosen.spec, ModelSpec) else task)
    return Plan(config, tuple(cells), dataset, task, root, digest, by_model=by_model)


def _check_class_maps(cells: Sequence[Cell], dataset: Chosen[DatasetSpec]) -> None:
    """Raise :class:`ConfigError` for classes that are not the dataset's and that no ``eval.class_map`` explains."""
    for cell in cells:
        _class_map_of(cell.model, cell.model_task, cell.task, cell.settings, dataset)


def _class_map_of(model: Chosen[ModelSpec], model_task: Task, task: Task, settings: Settings, dataset: Chosen[DatasetSpec]) -> ClassMap:
    source = f"'{model}'" if model.spec.given is not None else "the network"
    return match_classes(model_task.class_names, task.class_names, settings.eval.class_map, source=source, target=f"dataset '{dataset}'")


def _without_repeats(entries: Sequence[_Entry]) -> list[_Entry]:
    """One entry for a model that comes with its weights under each setting: neither losses nor seeds change anything about it."""
    kept: dict[object, _Entry] = {}
    for entry in entries:
        given = entry.model.spec.given is not None
        kept.setdefault((str(entry.model), *entry.rest[:2]) if given else entry.key, entry)
    return list(kept.values())


def _with_class_maps(entries: Sequence[_Entry], task: Task) -> list[_Entry]:
    """Entries whose class map holds only what concerns their own network, in a run of networks with different classes.

    A class that no network has stays in all of the maps, so that it is refused with the names that it may be.
    """
    own = [set(plan_inputs(entry.model.spec, task, entry.model.options)[1].class_names) for entry in entries]
    known = set().union(*own)
    if all(names == known for names in own):
        return list(entries)
    changed = []
    for entry, names in zip(entries, own, strict=True):
        text = entry.settings.eval.class_map
        pairs = [pair for pair in parse_class_map(text) if pair[0] is None or pair[0] in names or pair[0] not in known] if text else []
        settings = entry.settings.eval.model_copy(update={"class_map": format_class_map(pairs) or None})
        changed.append(replace(entry, settings=entry.settings.model_copy(update={"eval": settings})))
    return changed


def _refuse_larger_than_fixed(cell: Cell) -> None:
    """Raise :class:`ConfigError` where a network of one size is to be measured at a larger one."""
    fixed, size = given_weights(cell.model, cell.model_task), cell.measured_size
    if fixed is None or fixed.fixed_size is None or all(a <= b for a, b in zip(size, fixed.fixed_size, strict=True)):
        return
    own = format_size(fixed.fixed_size)
    raise ConfigError(
        f"{cell.model} takes images of {own} and none larger, and its costs would be measured at {format_size(size)}. "
        f"Give --set eval.image_size={own}; for large images in tiles, --set eval.tile={own} and --set measure.input_size={own}."
    )


_Axes = tuple[Chosen[ModelSpec], Chosen[LossSpec], Recipe, Settings]


@dataclass(frozen=True)
class _Entry:
    """An entry of the run's matrix, of which a cell is made."""

    model: Chosen[ModelSpec]
    loss: Chosen[LossSpec]
    recipe: Recipe
    settings: Settings
    variation: SettingValues
    seed: int
    by_model: bool = False

    @property
    def rest(self) -> tuple[str, str, int]:
        return self.recipe.name, str(dict(self.variation)), self.seed

    @property
    def key(self) -> Key:
        return (str(self.model), str(self.loss), *self.rest)

    @property
    def id(self) -> str:
        if self.by_model:
            return slug(self.model.short_name, limit=150)
        loss = AS_GIVEN.replace(" ", "-") if self.settings.train.as_given else self.loss
        return cell_id(self.model, loss, self.recipe.name, self.variation, self.seed)


class _Layout:
    """Makes cells of entries, each after those that it is made from."""

    def __init__(
        self,
        dataset: Chosen[DatasetSpec],
        task: Task,
        digest: str,
        backends: tuple[Chosen[BackendSpec], ...],
        entries: Sequence[_Entry],
        directory: Path,
        catalog: Catalog,
        weights: Mapping[str, StartingWeights],
        *,
        complete: bool,
    ) -> None:
        self.dataset, self.task, self.digest, self.backends = dataset, task, digest, backends
        self.entries = {entry.key: entry for entry in entries}
        self.ids = {entry.id: entry.key for entry in entries}
        self.directory, self.catalog, self.complete = directory, catalog, complete
        self.weights = weights
        self.cells_by_key: dict[Key, Cell] = {}
        self.under_way: set[Key] = set()

    def cells(self) -> list[Cell]:
        for key in self.entries:
            self._make(key)
        return list(self.cells_by_key.values())

    def _make(self, key: Key) -> Cell:
        if key not in self.cells_by_key:
            entry = self.entries[key]
            self.under_way.add(key)
            cell = _cell(
                self.dataset,
                self.task,
                self.digest,
                entry,
                backends=self.backends,
                origin=self._origin(entry),
                catalog=self.catalog,
                weights=self.weights.get(entry.model.choice.labelled_text),
                complete=self.complete,
            )
            self.cells_by_key[key] = cell
            self.under_way.remove(key)
        return self.cells_by_key[key]

    def _origin(self, entry: _Entry) -> Sources:
        sources, chained = [], {}
        as_given = entry.settings.train.as_given
        for request in requested_sources(entry.model, entry.loss, entry.rest, self.catalog.names("models"), as_given=as_given):
            source, link = self._source(request, entry)
            if source is not None:
                sources.append(source)
                chained[f"{request.role} {len(sources)}"] = link
        kind = kind_of(entry.model, entry.loss, as_given=as_given)
        notes = notes_of(entry.model, entry.loss, as_given=as_given)
        _, model_task = plan_inputs(entry.model.spec, self.task, entry.model.options)
        if given := given_weights(entry.model, model_task):
            chained["weights"] = given.digest
            mapped = _class_map_of(entry.model, model_task, self.task, entry.settings, self.dataset).notes() if self.complete else ()
            notes = (*notes, *given.notes, *mapped)
        return Sources(kind, tuple(sources), notes, chained)

    def _source(self, request: SourceRequest, entry: _Entry) -> tuple[Source | None, Any]:
        try:
            source = find_source(request, keys=self.entries, ids=self.ids, directory=self.directory)
            if isinstance(source, Path):
                meta = read_meta(source)
                refuse_other_task(request.what, request.name, self.task, meta.task)
                _refuse_other_inputs(request, entry, self.task, meta.plan.groups)
                return Source(request.name, request.role, file=source), content_of(str(source))
        except SegbenchError:
            if self.complete:
                raise
            return None, None
        if source in self.under_way:
            raise ConfigError(f"{request.what} '{request.name}' is the cell {entry.id} itself, or made from it.")
        needed = self._make(source)
        refuse_other_task(request.what, request.name, self.task, with_classes(self.task, needed.model_task.class_names))
        _refuse_other_inputs(request, entry, self.task, needed.inputs.groups)
        return Source(request.name, request.role, cell=needed.id), needed.fingerprints["train"]


def _refuse_other_inputs(request: SourceRequest, entry: _Entry, task: Task, groups: Sequence[Sequence[str]]) -> None:
    own, _ = plan_inputs(entry.model.spec, task, entry.model.options)
    theirs = [list(group) for group in groups]
    if theirs != [list(group) for group in own.groups]:
        raise ConfigError(
            f"{request.what} '{request.name}' takes the inputs {theirs}, {entry.model} takes {[list(g) for g in own.groups]}."
        )


def output_directory(config: RunConfig, dataset: Chosen[DatasetSpec]) -> Path:
    """``--out``, else ``runs/<dataset>-<recipe>``; a dataset whose options give it a name goes by that."""
    name = slug(str(getattr(dataset.options, "name", "") or dataset.choice.name))
    return Path(config.out or f"runs/{name}-{'-'.join(config.recipes or (default_recipe(dataset.spec),))}").expanduser().absolute()


def _with_start(settings: Settings, *, complete: bool) -> Settings:
    """The settings with the file of the trained network that ``train.init_from`` names, in a relative path where it is named by one."""
    text = settings.train.init_from
    if not text or text == REQUIRED:
        return settings
    if Path(text).is_file():
        if complete:
            require_weights(Path(text), "train.init_from")
        return settings
    try:
        file = find_network(text, "train.init_from").file
    except SegbenchError:
        if complete:
            raise
        return settings
    path = str(file) if Path(text).expanduser().is_absolute() else os.path.relpath(file)
    return settings.model_copy(update={"train": settings.train.model_copy(update={"init_from": path})})


def _with_split(axes: _Axes, split: str | None) -> _Axes:
    model, loss, recipe, settings = axes
    if settings.eval.split is not None or split is None:
        return axes
    return model, loss, recipe, settings.model_copy(update={"eval": settings.eval.model_copy(update={"split": split})})


def _cell(
    dataset: Chosen[DatasetSpec],
    task: Task,
    digest: str,
    entry: _Entry,
    *,
    backends: tuple[Chosen[BackendSpec], ...],
    origin: Sources,
    catalog: Catalog,
    weights: StartingWeights | None,
    complete: bool,
) -> Cell:
    model, loss, settings, seed = entry.model, entry.loss, entry.settings, entry.seed
    _refuse_scales_of_fixed_forms(settings, backends)
    _refuse_sizes(model.spec, settings)
    if model.spec.derives is None or model.spec.derives.trains:
        refuse_training(model.spec, settings.train)
    inputs, model_task = plan_inputs(model.spec, task, model.options)
    normalisation = {name: Normalisation(norm.mean, norm.std, norm.scale) for name, norm in settings.data.normalisation.items()}
    if complete and settings.train.as_given and weights is None:
        _refuse_random_classes(model, task)
    if weights is not None and settings.train.as_given and (meta := meta_of(weights, complete=complete)) is not None:
        inputs = inputs_as_trained(inputs, meta)
        settings = settings.model_copy(update={"train": settings.train.model_copy(update=history(meta, dataset))})
    inputs = inputs.with_normalisation(normalisation)
    augmentation = None if settings.train.as_given else _augmentation(settings, catalog, task)
    metrics = _metrics(settings, catalog)
    train = train_ingredients(
        model, loss, dataset, settings, seed, digest, made_from=origin.chained, weights=weights, augmentation=augmentation
    )
    evaluate = {**train, "eval": eval_ingredients(settings, metrics) | {"split": scored_split(dataset, settings)}}
    measure = measure_ingredients(model, model_task, settings)
    evaluated = fingerprint(evaluate)
    return Cell(
        id=entry.id,
        model=model,
        loss=loss,
        dataset=dataset,
        recipe=entry.recipe.name,
        settings=settings,
        variation=entry.variation,
        seed=seed,
        inputs=inputs,
        task=task,
        model_task=model_task,
        fingerprints={"train": fingerprint(train), "evaluate": evaluated, "measure": fingerprint(measure)},
        ingredients={"train": train, "evaluate": evaluate, "measure": measure},
        origin=origin,
        extras=(*([augmentation] if augmentation else []), *metrics),
        weights=weights,
        backends=backends,
        deploy_fingerprints={
            str(chosen): fingerprint(deploy_ingredients(chosen, evaluated, settings, _versions(chosen.spec))) for chosen in backends
        },
    )


def _augmentation(settings: Settings, catalog: Catalog, task: Task) -> Chosen[AugmentationSpec] | None:
    """The plugin's augmentation of a cell, with what it lacks as a :class:`ConfigError`."""
    augmentation = catalog.augmentation(settings.train.augmentation)
    if augmentation is not None:
        _check(augmentation, task)
    return augmentation


def _metrics(settings: Settings, catalog: Catalog) -> list[Chosen[MetricSpec]]:
    """The plugins' metrics of a cell; a name that segbench has itself is refused."""
    for name in settings.eval.metrics:
        refuse_own_metric(name)
    return [catalog.metric(name) for name in settings.eval.metrics]


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


def _refuse_sizes(spec: ModelSpec, settings: Settings) -> None:
    """Refuse sizes of training and scoring that a model cannot take (:class:`ConfigError`)."""
    sizes = [size for _, size in parse_growing_size(settings.train.image_size)]
    sizes += [parse_size(size) for size in (settings.eval.image_size, settings.eval.tile) if size is not None]
    for size in sizes:
        network_size(spec, size)
    largest = largest_image(spec)
    if largest and settings.eval.tile is None and max(settings.eval.scales) > 1:
        raise ConfigError(
            f"eval.scales enlarges images, and model '{spec.name}' takes none above {largest[0]}x{largest[1]}: score in tiles "
            f"(eval.tile={largest[0]}x{largest[1]}), or leave eval.scales out."
        )


def _refuse_random_classes(model: Chosen[ModelSpec], task: Task) -> None:
    """Refuse to score as given a model whose weights are of other classes: its class layer would be random (:class:`ConfigError`)."""
    names = resolve(model.spec.class_names)(model.options) if model.spec.class_names else None
    if names is None or tuple(names) == task.class_names:
        return
    raise ConfigError(
        f"{model}: its weights are of {counted(len(names), 'class', 'classes')} ({', '.join(names[:3])}, ..), the dataset has "
        f"{len(task.class_names)} ({', '.join(task.class_names[:3])}, ..): as given its class layer would be random. "
        "Train it (--epochs N), or export the network with its own classes and score the file: 'file[path=..]' with --class-map."
    )


def _versions(spec: BackendSpec) -> dict[str, str | None]:
    return {"torch": installed_version("torch"), **({spec.package: spec.installed_version()} if spec.package else {})}


def _variations(config: RunConfig) -> list[SettingValues]:
    keys = list(config.vary)
    return [dict(zip(keys, values, strict=True)) for values in itertools.product(*config.vary.values())]


def _axes(config: RunConfig, catalog: Catalog, recipe: Recipe, settings: Settings, files: Collection[str]) -> list[_Axes]:
    losses = config.losses or (recipe.loss or "ce",)
    _check_model_settings(config, settings, catalog)
    axes = []
    for text in config.models:
        model, own = choose_model(catalog, text, settings.model), _with_weights(text, settings, files)
        _refuse_required(recipe, own)
        if text in files and model.spec.derives is not None:
            raise ConfigError(f"--weights {text}=..: it is made of trained networks. Give the weights to the model that it is made of.")
        if own.train.as_given:  # no loss takes part: one cell for all of them
            axes.append((model, catalog.loss(losses[0]), recipe, own))
        else:
            axes += [(model, catalog.loss(_taught(config, catalog, str(model), loss)), recipe, own) for loss in losses]
    return axes


def _with_weights(model: str, settings: Settings, files: Collection[str]) -> Settings:
    """The settings of a model: one with a file of its own needs no other to start from. Raises where it has two."""
    if model not in files or settings.train.init_from is None:
        return settings
    if settings.train.init_from != REQUIRED:
        raise ConfigError(f"{model} is to start from two files: leave out --weights {model}=.. or train.init_from.")
    return settings.model_copy(update={"train": settings.train.model_copy(update={"init_from": None})})


def _taught(config: RunConfig, catalog: Catalog, model: str, loss: str) -> str:
    """The loss wrapped by distillation from the run's teacher; the teacher, and losses that distil from another, stay as they are."""
    if config.teacher is None or config.teacher == model:
        return loss
    specs = {spec.name: spec for spec, _ in catalog.specs("losses")}
    softness = {"temperature": config.teacher_temperature, "weight": config.teacher_weight}
    options = {key: value for key, value in softness.items() if value is not None}
    choice = parse_choice(loss)
    if (spec := specs.get(choice.name)) is not None and spec.distils:
        own = dict(choice.options)
        return loss if "teacher" in own else str(choice.with_options(**{"teacher": config.teacher, **options, **own}))
    names = [name for name, spec in specs.items() if spec.distils]
    if not names:
        raise ConfigError("--teacher needs a loss that distils, and no plugin gives one: see 'segbench list losses'.")
    return str(Choice(names[0]).with_options(loss=loss, teacher=config.teacher, **options))


def _refuse_required(recipe: Recipe, settings: Settings) -> None:
    if settings.train.init_from == REQUIRED:
        raise ConfigError(f"recipe '{recipe.name}' starts from a checkpoint: give it with --set train.init_from=RUN/CELL")


def _check_model_settings(config: RunConfig, settings: Settings, catalog: Catalog) -> None:
    known = {key for text in config.models for key in describe(catalog.spec("models", parse_choice(text, labels=True).name)[0].options)}
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
