"""Score trained cells again: on another split, at another size, or on another copy of the data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from segbench.config.run_config import EMBEDDED_RECIPE, SettingValues, load_config
from segbench.errors import ConfigError, StoreError
from segbench.execution.events import Listener
from segbench.execution.plan.plan import Plan, make_plan
from segbench.execution.plan.sources import Trained
from segbench.execution.runner import run_stages
from segbench.networks.checkpoint_meta import CheckpointMeta, read_meta
from segbench.plugin.choice import slug
from segbench.plugin.class_map import match_classes
from segbench.plugin.registry import Catalog
from segbench.results.records import CellResult, RunResult
from segbench.results.store import no_run
from segbench.util.image_size import format_size


def evaluate_run(
    trained: Trained, *, catalog: Catalog, listener: Listener, sets: Sequence[str] = (), flags: SettingValues | None = None
) -> tuple[RunResult, Path]:
    """Score a run's trained cells, all or one of them; results go to ``evaluations/<settings>/`` below its directory."""
    run = trained.networks[0].run
    if run is None or not (run / "config.toml").exists():
        raise no_run(run or trained.text, "there is no config.toml")
    config = load_config(run / "config.toml", sets=sets, flags=flags)
    plan = make_plan(config, catalog)
    known = {cell.id for cell in plan.cells}
    checkpoints = {network.cell: network.file for network in trained.networks if network.cell in known}
    if not checkpoints:
        raise StoreError(
            f"'{run / 'config.toml'}' plans none of the trained cells that '{trained.text}' names. "
            "Score one by its weights: segbench evaluate --checkpoint RUN/CELL --dataset NAME."
        )
    notes = {cell: notes_on_classes(read_meta(file), plan, source=f"'{cell}'") for cell, file in checkpoints.items() if cell}
    digest = hashlib.sha256(json.dumps([list(sets), flags], default=str, sort_keys=True).encode()).hexdigest()[:8]
    alone = [str(network.cell) for network in trained.networks] if _names_one(trained, run) else []
    name = slug("-".join([*(text.removeprefix("eval.") for text in sets), *([digest] if flags else []), *alone])) or "again"
    directory = (run / "evaluations" / name).absolute()
    result = run_stages(
        config, ("evaluate",), catalog=catalog, listener=listener, directory=directory, checkpoints=checkpoints, notes=notes
    )
    return result, directory


def _names_one(trained: Trained, run: Path) -> bool:
    """True where one cell was named, and not the whole run."""
    return len(trained.networks) == 1 and Path(trained.text).expanduser().resolve() != run.resolve()


def evaluate_checkpoint(
    file: Path, *, catalog: Catalog, listener: Listener, out: Path, sets: Sequence[str] = (), flags: SettingValues | None = None
) -> RunResult:
    """Score one checkpoint on a dataset whose inputs fit it and whose classes have its names, or those that ``eval.class_map`` says."""
    from segbench.networks.checkpoints import read_own_checkpoint

    _, meta = read_own_checkpoint(file)
    own_flags = {"models": [meta.model], "losses": ["ce"], "recipes": EMBEDDED_RECIPE, "train.image_size": format_size(meta.image_size)}
    config = load_config(sets=[*_history(meta), *sets], flags={**own_flags, **(flags or {})})
    plan = make_plan(config, catalog, by_model=True)
    notes = notes_on_classes(meta, plan, source=f"'{file}'")
    result = run_stages(
        config,
        ("evaluate",),
        catalog=catalog,
        listener=listener,
        directory=out.absolute(),
        checkpoints={cell.id: file.absolute() for cell in plan.cells},
        by_model=True,
        notes={cell.id: notes for cell in plan.cells},
    )
    return result.model_copy(update={"cells": [_as_trained(cell, meta) for cell in result.cells]})


def notes_on_classes(meta: CheckpointMeta, plan: Plan, *, source: str) -> tuple[str, ...]:
    """How the network's classes were matched to the dataset's, in sentences; empty where they are the same.

    Raises :class:`ConfigError` for other inputs than the network takes, and for names that do not match and that no class map explains.
    """
    own, inputs = meta.task, dict(plan.task.inputs)
    if inputs != dict(own.inputs):
        raise ConfigError(
            f"{source} was trained on the inputs {dict(own.inputs)}; dataset '{plan.dataset}' has {inputs}. Give a dataset with its inputs."
        )
    text = plan.cells[0].settings.eval.class_map
    return match_classes(own.class_names, plan.task.class_names, text, source=source, target=f"dataset '{plan.dataset}'").notes()


def _history(meta: CheckpointMeta) -> list[str]:
    """Settings that name the splits on which the checkpoint was trained and selected, so that a score on them is recognised as such."""
    given = ["train.epochs=0"] if meta.as_given else []
    if meta.train_split is None:  # of weights from elsewhere, or written before this was kept
        return given
    return [*given, f"train.split={meta.train_split}", f"train.select_on={meta.select_on or 'none'}"]


def _as_trained(cell: CellResult, meta: CheckpointMeta) -> CellResult:
    """The row with what the checkpoint says of its training in place of settings that it was not trained with."""
    elsewhere = [f"trained on {meta.dataset}"] if meta.dataset not in (None, cell.dataset) else []
    resolved = {key: value for key, value in cell.resolved.items() if key in ("model_options", "dataset_options", "eval", "device")}
    own = {"loss": meta.loss, "recipe": None, "seed": meta.seed, "resolved": resolved, "notes": [*cell.notes, *elsewhere]}
    return cell.model_copy(update=own)
