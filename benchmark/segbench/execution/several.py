"""Several runs of one command: one for each dataset and each fold, in a directory of its own below that of the command.

A dataset's models are compared among themselves in its own run, so that no table can rank a model trained on one dataset among those of
another. The overview over all runs is rendered by reporters (``Reporter.overview``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.config.run_config import RunConfig, config_to_toml
from segbench.errors import ConfigError, SegbenchError
from segbench.execution.plan.plan import Plan, make_plan, output_directory
from segbench.execution.plan.weights import absolute_files
from segbench.execution.reports import write_overview
from segbench.plugin.choice import parse_choice, slug
from segbench.plugin.registry import Catalog
from segbench.results.records import RunResult
from segbench.results.store import RunStore, load_run
from segbench.util.folds import Fold, folds_of

_COSTS_OF_LATER_FOLDS = {"latency": False, "memory": False}
"""Costs depend on a network's shape alone: all folds of a dataset have the first one's."""


@dataclass(frozen=True)
class PartRun:
    """One run of several: ``name`` is its folder below the command's directory."""

    name: str
    config: RunConfig


def part_runs(config: RunConfig, catalog: Catalog) -> tuple[Path, list[PartRun]]:
    """The directory of a command with several datasets or folds, and its runs in order.

    Raises :class:`ConfigError` where two would lie in one folder, or where the directory is that of a single run.
    """
    names = list(config.datasets) or [""]
    folds = folds_of(config.folds) if config.folds is not None else (None,)
    directory = _directory(config, catalog)
    parts = [_part(config, directory, name, fold) for name in names for fold in folds]
    if len({part.name for part in parts}) < len(parts):
        raise ConfigError("Two of these datasets would have one folder. Name them apart.")
    if (directory / "run.json").exists():
        raise ConfigError(f"'{directory}' holds a single run; several need a directory of their own. Choose another --out DIR.")
    return directory, parts


def plan_all(parts: Sequence[PartRun], catalog: Catalog) -> dict[str, Plan]:
    """The plan of each run by its folder: what cannot be planned is an error before anything runs."""
    plans = {}
    for part in parts:
        try:
            plans[part.name] = make_plan(part.config, catalog)
        except SegbenchError as error:
            raise type(error)(f"{part.name}: {error}") from error
    return plans


def finished_runs(directory: Path, parts: Sequence[PartRun]) -> dict[str, tuple[RunResult, Path]]:
    """The results that lie there, with their directories, by their folder."""
    places = ((part.name, directory / part.name) for part in parts)
    return {name: (load_run(place), place) for name, place in places if (place / "run.json").is_file()}


def runs_below(directory: Path) -> dict[str, Path]:
    """The directories of runs that a command with several datasets or folds made below ``directory``, by their folder."""
    found = sorted((path.parent for depth in ("*", "*/*") for path in directory.glob(f"{depth}/run.json")), key=_in_order)
    return {path.relative_to(directory).as_posix(): path for path in found if not (path.parent / "run.json").is_file()}


def write_summary(directory: Path, config: RunConfig, runs: Mapping[str, tuple[RunResult, Path]], catalog: Catalog) -> Path | None:
    """Write the overview over all runs and the configuration that repeats them; None where no run has a result."""
    RunStore(directory).write_text("config.toml", config_to_toml(_anywhere(config)))
    return write_overview(runs, "markdown", catalog, directory=directory) if runs else None


def _directory(config: RunConfig, catalog: Catalog) -> Path:
    if config.out:
        return Path(config.out).expanduser().absolute()
    folds = f"-{config.folds}-folds" if config.folds is not None else ""
    if not config.datasets:
        return Path(f"{output_directory(config, make_plan(config, catalog).dataset)}{folds}")
    names = "-".join(dict.fromkeys(parse_choice(name).name for name in config.datasets))
    recipes = "".join(f"-{recipe}" for recipe in config.recipes)
    return Path(f"runs/{names}{recipes}{folds}").absolute()


def _part(config: RunConfig, directory: Path, dataset: str, fold: Fold | None) -> PartRun:
    data: dict[str, Any] = dict(config.overrides.get("data", {}))
    overrides = dict(config.overrides)
    update: dict[str, Any] = {"datasets": {}, "folds": None}
    folders = []
    if dataset:
        update["dataset"] = dataset
        folders.append(_folder_of(dataset))
        if config.datasets[dataset] is not None:
            data["path"] = config.datasets[dataset]
    if fold is not None:
        if data.get("fold") not in (None, str(fold)):
            raise ConfigError("Both --folds and data.fold were given: --folds runs all of them, data.fold=2/5 one. Leave one out.")
        folders.append(fold.scored)
        data["fold"] = str(fold)
        if fold.part > 1:
            overrides["measure"] = {**overrides.get("measure", {}), **_COSTS_OF_LATER_FOLDS}
    overrides |= {"data": data} if data else {}
    name = "/".join(folders)
    return PartRun(name, config.model_copy(update={**update, "out": str(directory / name), "overrides": overrides}))


def _folder_of(dataset: str) -> str:
    """The folder of a dataset's runs: by the option ``name`` where it has one, as every converted folder does."""
    return slug(str(dict(parse_choice(dataset).options).get("name") or dataset))


def _anywhere(config: RunConfig) -> RunConfig:
    """The configuration as it can be run from another folder."""
    datasets = {name: None if path is None else str(Path(path).expanduser().absolute()) for name, path in config.datasets.items()}
    overrides = dict(config.overrides)
    if config.data_path is not None:
        overrides["data"] = {**overrides["data"], "path": str(Path(config.data_path).expanduser().absolute())}
    return config.model_copy(update={"datasets": datasets, "overrides": overrides, "weights": absolute_files(config.weights)})


def _in_order(path: Path) -> tuple[str, int, str]:
    """Fold 10 after fold 2."""
    words = path.name.split("-")
    return (str(path.parent), int(words[1]) if words[0] == "fold" and len(words) > 1 and words[1].isdigit() else 0, path.name)
