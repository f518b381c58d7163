from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def untrained(mishaps: Any) -> Callable[..., Path]:
    """Writes a run's cell with random weights: ``untrained(directory, model, dataset)``."""
    return functools.partial(_write_cell, mishaps)


def _write_cell(catalog: Any, directory: Path, model: str, dataset: str, seed: int = 1) -> Path:
    """A run's cell with random weights: as good as trained ones here, and there at once."""
    from segbench.networks.checkpoint_meta import CheckpointMeta
    from segbench.networks.checkpoints import Checkpoint, write_checkpoint
    from segbench.networks.network import build_network
    from segbench.plugin.inputs import plan_inputs
    from segbench.plugin.specs import resolve

    chosen = catalog.model(model)
    data = catalog.dataset(dataset)
    task = resolve(data.spec.task)(data.options)
    plan, model_task = plan_inputs(chosen.spec, task, chosen.options)
    network = build_network(chosen.spec, model_task, chosen.options, seed=seed)
    meta = CheckpointMeta(
        model=str(chosen),
        model_name=chosen.spec.name,
        model_options=chosen.options.values(),
        task=task,
        model_task=model_task,
        plan=plan,
        image_size=(16, 16),
        seed=seed,
        dataset=dataset,
    )
    write_checkpoint(directory / "checkpoints" / model / "best.pt", Checkpoint(network.model.state_dict(), meta))
    return directory / model
