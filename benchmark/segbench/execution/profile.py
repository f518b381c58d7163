"""profile_models(): params, macs, latency and memory of models, without training."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from segbench.config.run_config import EMBEDDED_RECIPE, load_config
from segbench.data.selection import declared_task
from segbench.execution.events import Listener
from segbench.execution.records import judge_claims
from segbench.execution.runner import run_stages
from segbench.plugin.registry import Catalog
from segbench.results.records import CellResult, RunResult


def profile_models(
    models: str,
    *,
    catalog: Catalog,
    listener: Listener,
    dataset: str | None = None,
    inputs: str | None = None,
    num_classes: int | None = None,
    settings: Sequence[str] = (),
    device: str = "auto",
    backends: str | None = None,
) -> RunResult:
    """Measure models in their deployed forms. The task is a dataset's, or declared by ``inputs`` ("image=3") and ``num_classes``.

    ``backends`` names further forms beside eager PyTorch.
    """
    task = dataset or declared_task(models, catalog, inputs, num_classes)
    config = load_config(
        sets=settings,
        flags={"models": models, "losses": "ce", "recipes": EMBEDDED_RECIPE, "dataset": task, "device": device, "backends": backends},
    )
    with tempfile.TemporaryDirectory(prefix="segbench-profile-") as folder:
        result = run_stages(config, ("profile",), catalog=catalog, listener=listener, directory=Path(folder), by_model=True)
    result = result.model_copy(update={"cells": [_untrained(cell) for cell in result.cells]})
    if dataset is None:
        nameless = {"task": result.task.without("dataset"), "config": result.config.without("dataset")}
        result = result.model_copy(update=nameless)
    return result.model_copy(update={"claims": judge_claims(result, catalog)})


def _untrained(cell: CellResult) -> CellResult:
    """The row without what only a training would have."""
    resolved = {key: value for key, value in cell.resolved.items() if key in ("model_options", "measure", "device")}
    return cell.model_copy(update={"loss": None, "recipe": None, "dataset": None, "seed": None, "resolved": resolved})
