"""A run's dataset: its folder, its splits, and the task without samples that profiling uses."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segbench.config.run_config import RunConfig
from segbench.config.settings import Settings
from segbench.errors import ConfigError, DataError
from segbench.plugin.choice import Choice, format_value, parse_choice, parse_choices
from segbench.plugin.chosen import Chosen, Plugin
from segbench.plugin.options import Options, option
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import IGNORE_INDEX, DatasetSpec, ModelSpec, Recipe, Task, resolve
from segbench.util.folds import is_fold, share_samples

SYNTHETIC = "synthetic"


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


class SyntheticOptions(Options):
    """Inputs as ``name=channels`` texts, and the number of classes."""

    inputs: tuple[str, ...] = option(("image=3",), help="inputs as name=channels")
    num_classes: int = option(21, minimum=2)


def data_root(config: RunConfig, dataset: Chosen[DatasetSpec]) -> Path | None:
    """The dataset's folder, which must exist; None for embedded datasets."""
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


def default_split(dataset: Chosen[DatasetSpec], root: Path | None) -> str | None:
    """The split to score where the user names none: test where the dataset has one and its data are there, else val."""
    names = dataset.spec.split_names(dataset.options)
    if "test" in names:
        try:
            if len(resolve(dataset.spec.load)(root, "test", dataset.options)):
                return "test"
        except DataError:
            pass
    return "val" if "val" in names else None


def overlapping(dataset: Chosen[DatasetSpec], first: str, second: str) -> bool:
    """True where two splits share samples by declaration, or may do so as parts of folds."""
    if is_fold(first) or is_fold(second):
        return share_samples(first, second)
    unions = dataset.spec.unions

    def members(split: str) -> set[str]:
        return {split, *itertools.chain.from_iterable(members(part) for part in unions.get(split, ()))}

    return bool(members(first) & members(second))


def same_dataset(trained_on: str | None, dataset: Chosen[DatasetSpec]) -> bool:
    """False where a checkpoint says that it was trained on a dataset of another name, so that it cannot have seen this one's images.

    A folder of the user's has its name in the option ``name``, where both have one. Other options are not compared: other classes are
    painted on the same images.
    """
    if trained_on is None:
        return True
    trained = parse_choice(trained_on)
    names = {dict(choice.options).get("name") for choice in (trained, dataset.choice)} - {None, ""}
    return trained.name == dataset.choice.name and len(names) < 2


def scored_split(dataset: Chosen[DatasetSpec], settings: Settings) -> str:
    """``eval.split``, else test where the dataset has one, else val."""
    if settings.eval.split is not None:
        return settings.eval.split
    names = dataset.spec.split_names(dataset.options)
    return "test" if "test" in names else "val"


def choose_dataset(
    config: RunConfig, catalog: Catalog, recipes: Sequence[Recipe], models: Sequence[Chosen[ModelSpec]]
) -> Chosen[DatasetSpec]:
    """The dataset that the user named, else the recipe's or the first embedded one with the inputs that all models take."""
    if config.dataset is not None:
        return find_dataset(catalog, config.dataset)
    if config.data_path is not None:
        raise ConfigError("--data needs --dataset NAME: which dataset lies there? (segbench list datasets)")
    named = list(dict.fromkeys(r.dataset for r in recipes if r.dataset))
    embedded = [spec.name for spec, _ in catalog.specs("datasets") if spec.embedded]
    for name in [*named, *embedded]:
        dataset = catalog.dataset(name)
        task = dataset.spec.make_task(dataset.options, None)
        if all(input_name in task.inputs for model in models for input_name in model.spec.inputs):
            return dataset
    takes = "; ".join(f"{m}: {', '.join(m.spec.inputs)}" for m in models)
    raise ConfigError(f"No embedded dataset has the inputs that all these models take ({takes}). Give --dataset, or run them apart.")


def _synthetic_task(options: SyntheticOptions) -> Task:
    pairs = [text.partition("=") for text in options.inputs]
    for text, (name, _, channels) in zip(options.inputs, pairs, strict=True):
        if not name or not channels.isdigit() or int(channels) < 1:
            raise ConfigError(f"input '{text}' is not of the form name=channels, such as image=3 or sar=2,optical=13")
    return Task(
        class_names=tuple(f"class {i}" for i in range(options.num_classes)),
        ignore_index=IGNORE_INDEX if options.num_classes <= IGNORE_INDEX else -1,  # no label is read, and 255 may be a class
        inputs={name: int(channels) for name, _, channels in pairs},
    )


def _no_samples(root: Path | None, split: str, options: Options) -> list[Any]:
    raise DataError("a synthetic task has no samples: give --dataset")


def declared_task(models: str, catalog: Catalog, inputs: str | None, num_classes: int | None) -> str:
    """A declared task; by default the inputs of the embedded dataset that fits the first model, else three-channel images."""
    spec = catalog.model(parse_choices(models)[0]).spec
    texts = [part.strip() for part in inputs.split(",")] if inputs else _default_inputs(spec.inputs, spec.channels)
    classes = num_classes or (21 if spec.inputs == ("image",) else 2)
    return f"{SYNTHETIC}[inputs={format_value(tuple(texts))},num_classes={classes}]"


_USUAL_CHANNELS = {"sar": 2, "optical": 13}


def _default_inputs(names: Sequence[str], channels: Mapping[str, tuple[int, ...]]) -> list[str]:
    return [f"{name}={(channels.get(name) or (_USUAL_CHANNELS.get(name, 3),))[0]}" for name in names]
