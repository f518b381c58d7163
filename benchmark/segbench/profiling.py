"""profile_models(): params, macs, latency and memory of models, without training."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from segbench.config import load_config
from segbench.events import Listener
from segbench.harness import run_stages
from segbench.names import format_value, parse_choices
from segbench.planning.dataset_choice import SYNTHETIC
from segbench.registry import Catalog
from segbench.results import CellResult, RunResult
from segbench.run.publishing import judge_claims


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
    config = load_config(sets=settings, flags={"models": models, "losses": "ce", "dataset": task, "device": device, "backends": backends})
    with tempfile.TemporaryDirectory(prefix="segbench-profile-") as folder:
        result = run_stages(config, ("profile",), catalog=catalog, listener=listener, directory=Path(folder))
    result = result.model_copy(update={"cells": [_untrained(cell) for cell in result.cells]})
    if dataset is None:
        result.task.pop("dataset")
        result.config.pop("dataset")
    return result.model_copy(update={"claims": judge_claims(result, catalog)})


def _untrained(cell: CellResult) -> CellResult:
    """The row without what only a training would have."""
    resolved = {key: value for key, value in cell.resolved.items() if key in ("model_options", "measure", "device")}
    return cell.model_copy(update={"loss": None, "recipe": None, "dataset": None, "seed": None, "resolved": resolved})


def declared_task(models: str, catalog: Catalog, inputs: str | None, num_classes: int | None) -> str:
    """A declared task; by default the inputs of the embedded dataset that fits the first model, else three-channel images."""
    spec = catalog.model(parse_choices(models)[0]).spec
    texts = [part.strip() for part in inputs.split(",")] if inputs else _default_inputs(spec.inputs, spec.channels)
    classes = num_classes or (21 if spec.inputs == ("image",) else 2)
    return f"{SYNTHETIC}[inputs={format_value(tuple(texts))},num_classes={classes}]"


_USUAL_CHANNELS = {"sar": 2, "optical": 13}


def _default_inputs(names: Sequence[str], channels: Mapping[str, tuple[int, ...]]) -> list[str]:
    return [f"{name}={(channels.get(name) or (_USUAL_CHANNELS.get(name, 3),))[0]}" for name in names]
