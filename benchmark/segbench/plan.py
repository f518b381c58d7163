"""A run's plan: which cells, in which order, made of what, and the fingerprints that decide what is run again."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.config import RunConfig
from segbench.errors import ConfigError, DataError, did_you_mean
from segbench.inputs import InputPlan, plan_inputs
from segbench.names import Choice, format_value, parse_choice, slug
from segbench.options import Options, describe, option
from segbench.registry import Catalog, Chosen, Plugin
from segbench.results import CellResult
from segbench.settings import Settings
from segbench.sizes import Size, parse_growing_size, parse_size
from segbench.specs import DatasetSpec, LossSpec, ModelSpec, Normalisation, Recipe, Task, resolve

REQUIRED = "required"
"""Value of a recipe's setting that the user must give."""


@dataclass(frozen=True)
class Cell:
    """One model to be trained, scored and measured."""

    id: str
    model: Chosen[ModelSpec]
    loss: Chosen[LossSpec]
    dataset: Chosen[DatasetSpec]
    recipe: str
    settings: Settings
    variation: Mapping[str, Any]
    seed: int
    inputs: InputPlan
    task: Task
    model_task: Task
    fingerprints: Mapping[str, str]
    ingredients: Mapping[str, Any]

    def describe(self) -> dict[str, Any]:
        """What observers and progress displays get."""
        return {
            "id": self.id,
            "model": str(self.model),
            "loss": str(self.loss),
            "dataset": str(self.dataset),
            "recipe": self.recipe,
            "settings": dict(self.variation),
            "seed": self.seed,
        }

    def resolved(self, device: str) -> dict[str, Any]:
        """Every setting and option as it holds for this cell."""
        settings = self.settings.model_dump(exclude={"model", "data", "execute"})
        return {
            "model_options": self.model.options.values(),
            "loss_options": self.loss.options.values(),
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
            model=str(self.model),
            loss=str(self.loss),
            dataset=str(self.dataset),
            recipe=self.recipe,
            settings=dict(self.variation),
            resolved=self.resolved(device),
            seed=self.seed,
            fingerprints=dict(self.fingerprints),
            early_fusion=self.inputs.early_fusion,
            notes=[f"the model does not take the input '{name}'" for name in self.inputs.unused(self.task)],
            params_per_part={},
        )

    @property
    def measured_size(self) -> Size:
        """Height and width at which costs are measured: measure.input_size, else the evaluation's, else the last training size."""
        return measured_size(self.settings)

    @property
    def scored_split(self) -> str:
        """The split that quality is computed on."""
        return scored_split(self.dataset, self.settings)


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
    dataset = _choose_dataset(config, catalog, recipes, models)
    task: Task = resolve(dataset.spec.task)(dataset.options)
    root = data_root(config, dataset)
    _check(dataset, task)
    digest = digest_of(root) if root is not None else ""
    split = _default_split(dataset, root) if base.eval.split is None else None
    cells = [
        _cell(dataset, task, digest, *_with_split(axes, split), variation=variation, seed=seed)
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


def measured_size(settings: Settings) -> Size:
    """Height and width at which costs are measured."""
    chosen = settings.measure.input_size or settings.eval.image_size
    return parse_size(chosen) if chosen is not None else parse_growing_size(settings.train.image_size)[-1][1]


def scored_split(dataset: Chosen[DatasetSpec], settings: Settings) -> str:
    """``eval.split``, else test where the dataset has one, else val."""
    if settings.eval.split is not None:
        return settings.eval.split
    names = dataset.spec.split_names(dataset.options)
    return "test" if "test" in names else "val"


def overlapping(dataset: Chosen[DatasetSpec], first: str, second: str) -> bool:
    """Whether two splits share samples by declaration."""
    unions = dataset.spec.unions

    def members(split: str) -> set[str]:
        return {split, *itertools.chain.from_iterable(members(part) for part in unions.get(split, ()))}

    return bool(members(first) & members(second))


def find_dataset(catalog: Catalog, choice: Choice | str) -> Chosen[DatasetSpec]:
    """A dataset by name; ``synthetic[inputs=("image=3"),num_classes=21]`` stands for none: a task without samples, for profiling."""
    parsed = parse_choice(choice) if isinstance(choice, str) else choice
    if parsed.name != SYNTHETIC:
        return catalog.dataset(parsed)
    options = SyntheticOptions.resolve(dict(parsed.options), owner=SYNTHETIC)
    spec = DatasetSpec(
        name=SYNTHETIC, summary="no samples", task=_synthetic_task, splits=(), load=_no_samples, options=SyntheticOptions, embedded=True
    )
    return Chosen(parsed, spec, options, Plugin(name="segbench"))


SYNTHETIC = "synthetic"


class SyntheticOptions(Options):
    """Inputs as ``name=channels`` texts, and the number of classes."""

    inputs: tuple[str, ...] = option(("image=3",), help="inputs as name=channels")
    num_classes: int = option(21, minimum=2)


def _synthetic_task(options: SyntheticOptions) -> Task:
    pairs = [text.partition("=") for text in options.inputs]
    for text, (name, _, channels) in zip(options.inputs, pairs, strict=True):
        if not name or not channels.isdigit() or int(channels) < 1:
            raise ConfigError(f"input '{text}' is not of the form name=channels, such as image=3 or sar=2,optical=13")
    return Task(
        class_names=tuple(f"class {i}" for i in range(options.num_classes)),
        inputs={name: int(channels) for name, _, channels in pairs},
    )


def _no_samples(root: Path | None, split: str, options: Options) -> list[Any]:
    raise DataError("a synthetic task has no samples: give --dataset")


def data_root(config: RunConfig, dataset: Chosen[DatasetSpec]) -> Path | None:
    """The dataset's folder, checked to be there; None for embedded datasets."""
    if dataset.spec.embedded:
        return None
    if config.data_path is None:
        fetch = f", or download it: segbench data fetch {dataset.choice.name}" if dataset.spec.fetch else ""
        raise DataError(f"dataset '{dataset}' needs its folder: give --data DIR{fetch}")
    root = Path(config.data_path).expanduser()
    if not root.is_dir():
        kind = "is not a folder" if root.exists() else "does not exist"
        raise DataError(f"--data '{root}' {kind}. Give the folder that holds the dataset '{dataset.choice.name}'.")
    return root.resolve()


def fingerprint(ingredients: Mapping[str, Any]) -> str:
    """A short hash of everything that changes a result."""
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True, default=str).encode()).hexdigest()[:16]


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two sets of ingredients, in words: ``loss.gamma 2 -> 3``."""
    flat_old, flat_new = _flat(old), _flat(new)
    keys = [*flat_new, *(k for k in flat_old if k not in flat_new)]
    return [
        f"{key} {format_value(flat_old.get(key))} -> {format_value(flat_new.get(key))}"
        for key in keys
        if flat_old.get(key) != flat_new.get(key)
    ]


def _default_split(dataset: Chosen[DatasetSpec], root: Path | None) -> str | None:
    """The split to score where the user names none: test where the dataset has one and its data are there, else val."""
    names = dataset.spec.split_names(dataset.options)
    if "test" in names:
        try:
            if len(resolve(dataset.spec.load)(root, "test", dataset.options)):
                return "test"
        except DataError:
            pass
    return "val" if "val" in names else None


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
) -> Cell:
    inputs, model_task = plan_inputs(model.spec, task, model.options)
    given = {name: Normalisation(norm.mean, norm.std, norm.scale) for name, norm in settings.data.normalisation.items()}
    inputs = inputs.with_normalisation(given)
    train = _train_ingredients(model, loss, dataset, settings, seed, digest)
    evaluate = {**train, "eval": settings.eval.model_dump(exclude={"batch_size", "every"}) | {"split": scored_split(dataset, settings)}}
    measure = _measure_ingredients(model, model_task, settings)
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
        fingerprints={"train": fingerprint(train), "evaluate": fingerprint(evaluate), "measure": fingerprint(measure)},
        ingredients={"train": train, "evaluate": evaluate, "measure": measure},
    )


def cell_id(model: Chosen[Any], loss: Chosen[Any], recipe: str, variation: Mapping[str, Any], seed: int) -> str:
    """A readable file name that does not depend on which other cells the run has."""
    varied = [f"{key}={format_value(value)}" for key, value in variation.items()]
    return slug("--".join([*(slug(part) for part in (str(model), str(loss), recipe, *varied)), f"s{seed}"]), limit=150)


def _train_ingredients(
    model: Chosen[ModelSpec], loss: Chosen[LossSpec], dataset: Chosen[DatasetSpec], settings: Settings, seed: int, digest: str
) -> dict[str, Any]:
    # workers, cache and validation batch size change no result; the validation's sizes are recorded with the training instead, so
    # that another evaluation size does not cost a night of training
    return {
        "model": _ingredients(model),
        "loss": _ingredients(loss),
        "dataset": {**_ingredients(dataset), "digest": digest},
        "normalisation": settings.data.model_dump()["normalisation"],
        "train": {**settings.train.model_dump(exclude={"workers", "oom"}), "init_from": _content(settings.train.init_from)},
        "eval.every": settings.eval.every,
        "devices": settings.execute.devices,
        "seed": seed,
    }


def _measure_ingredients(model: Chosen[ModelSpec], model_task: Task, settings: Settings) -> dict[str, Any]:
    # costs do not depend on what the weights are, only on the network's shape: cells of one model share one measurement
    return {
        "model": _ingredients(model),
        "num_classes": model_task.num_classes,
        "inputs": dict(model_task.inputs),
        "backend": "eager",
        "input_size": list(measured_size(settings)),
        "measure": settings.measure.model_dump(exclude={"input_size"}),
        "train_batch": settings.train.batch_size,
    }


def _ingredients(chosen: Chosen[Any]) -> dict[str, Any]:
    options = {key: _content(value) if key == "weights" else value for key, value in chosen.options.values().items()}
    return {"name": chosen.choice.name, **options, "plugin": chosen.plugin.identity()}


def _content(path: Any) -> Any:
    """What a file holds instead of where it lies: a moved file changes no result, another one under the same name does."""
    try:
        status = Path(str(path)).expanduser().stat() if isinstance(path, str) else None
    except (OSError, ValueError):
        return path
    if status is None or not Path(str(path)).expanduser().is_file():
        return path
    return _file_digest(str(Path(str(path)).expanduser()), status.st_size, status.st_mtime_ns)


@functools.cache
def _file_digest(path: str, size: int, modified: int) -> str:
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return f"sha256:{digest.hexdigest()[:16]}"


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


def _choose_dataset(
    config: RunConfig, catalog: Catalog, recipes: Sequence[Recipe], models: Sequence[Chosen[ModelSpec]]
) -> Chosen[DatasetSpec]:
    if config.dataset is not None:
        return find_dataset(catalog, config.dataset)
    if config.data_path is not None:
        raise ConfigError("--data needs --dataset NAME: which dataset lies there? (segbench list datasets)")
    wanted = list(dict.fromkeys(r.dataset for r in recipes if r.dataset))
    embedded = [spec.name for spec, _ in catalog.specs("datasets") if spec.embedded]
    for name in [*wanted, *embedded]:
        dataset = catalog.dataset(name)
        task = resolve(dataset.spec.task)(dataset.options)
        if all(input_name in task.inputs for model in models for input_name in model.spec.inputs):
            return dataset
    takes = "; ".join(f"{m}: {', '.join(m.spec.inputs)}" for m in models)
    raise ConfigError(f"No embedded dataset has the inputs that all these models take ({takes}). Give --dataset, or run them apart.")


def _check(chosen: Chosen[Any], task: Task) -> None:
    """Ask a spec's own check what is missing."""
    if not getattr(chosen.spec, "check", None):
        return
    missing = list(resolve(chosen.spec.check)(task, chosen.options) or ())
    if missing:
        raise ConfigError(f"{chosen}: " + " ".join(missing))


def _distinct(chosen: Sequence[Chosen[Any]]) -> list[Chosen[Any]]:
    return list({(str(c), str(c.options)): c for c in chosen}.values())


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return flat
