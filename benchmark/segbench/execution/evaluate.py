"""Score trained cells again: on another split, at another size, or on another copy of the data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segbench.config.run_config import load_config
from segbench.errors import CheckpointError, StoreError
from segbench.execution.events import Listener
from segbench.execution.plan.plan import make_plan
from segbench.execution.runner import run_stages
from segbench.plugin.choice import slug
from segbench.plugin.registry import Catalog
from segbench.results.records import CellResult, RunResult
from segbench.util.image_size import format_size


def evaluate_run(
    run: Path, *, catalog: Catalog, listener: Listener, sets: Sequence[str] = (), flags: dict[str, Any] | None = None
) -> tuple[RunResult, Path]:
    """Score every trained cell of a run's directory; results go to ``evaluations/<settings>/`` below it."""
    file = run / "config.toml"
    if not file.exists():
        raise StoreError(f"'{run}' holds no run: there is no config.toml. Give the directory that 'segbench run --out' wrote.")
    config = load_config(file, sets=sets, flags=flags)
    trained = {path.parent.name: path for path in (run / "checkpoints").glob("*/best.pt")}
    known = {cell.id for cell in make_plan(config, catalog).cells}
    if not known & set(trained):
        raise StoreError(f"'{run}' has no trained cells yet (no checkpoints/<cell>/best.pt).")
    digest = hashlib.sha256(json.dumps([list(sets), flags], default=str, sort_keys=True).encode()).hexdigest()[:8]
    name = slug("-".join([*(text.removeprefix("eval.") for text in sets), *([digest] if flags else [])])) or "again"
    directory = (run / "evaluations" / name).absolute()
    checkpoints = {cell: trained[cell].absolute() for cell in sorted(known & set(trained))}
    result = run_stages(config, ("evaluate",), catalog=catalog, listener=listener, directory=directory, checkpoints=checkpoints)
    return result, directory


def evaluate_checkpoint(
    file: Path, *, catalog: Catalog, listener: Listener, out: Path, sets: Sequence[str] = (), flags: dict[str, Any] | None = None
) -> RunResult:
    """Score one checkpoint on a dataset whose classes and inputs fit it."""
    from segbench.networks.checkpoints import read_checkpoint
    from segbench.networks.load import task_from_dict

    meta = read_checkpoint(file).meta
    if "model" not in meta:
        raise CheckpointError(f"'{file}' does not say which model it is of: it was not written by segbench.")
    size = format_size((int(meta["image_size"][0]), int(meta["image_size"][1])))
    given = {"models": [str(meta["model"])], "losses": ["ce"], "train.image_size": size, **(flags or {})}
    config = load_config(sets=[*_history(meta), *sets], flags=given)
    plan = make_plan(config, catalog)
    own = task_from_dict(meta["task"])
    if plan.task.num_classes != own.num_classes or dict(plan.task.inputs) != dict(own.inputs):
        raise CheckpointError(
            f"'{file}' was trained for {own.num_classes} classes on {dict(own.inputs)}; "
            f"dataset '{plan.dataset}' has {plan.task.num_classes} on {dict(plan.task.inputs)}. Give the dataset that it was trained for."
        )
    checkpoints = {cell.id: file.absolute() for cell in plan.cells}
    result = run_stages(config, ("evaluate",), catalog=catalog, listener=listener, directory=out.absolute(), checkpoints=checkpoints)
    return result.model_copy(update={"cells": [_as_trained(cell, meta) for cell in result.cells]})


def _history(meta: Mapping[str, Any]) -> list[str]:
    """What the checkpoint was trained and chosen on, without which a score on its own training images would pass as a real one."""
    if "train_split" not in meta:  # written before this was kept
        return []
    return [f"train.split={meta['train_split']}", f"train.select_on={meta['select_on'] or 'none'}"]


def _as_trained(cell: CellResult, meta: Mapping[str, Any]) -> CellResult:
    """The row with what the checkpoint says of its training in place of settings that it was not trained with."""
    elsewhere = [f"trained on {meta['dataset']}"] if meta.get("dataset") not in (None, cell.dataset) else []
    resolved = {key: value for key, value in cell.resolved.items() if key in ("model_options", "dataset_options", "eval", "device")}
    own = {"loss": meta.get("loss"), "recipe": None, "seed": meta.get("seed"), "resolved": resolved, "notes": [*cell.notes, *elsewhere]}
    return cell.model_copy(update=own)
