"""A cell as a JSON job: all that a worker process, here or elsewhere, needs to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from segbench.config.settings import Settings
from segbench.execution.plan.cell import Cell


def cell_job(
    cell: Cell,
    *,
    root: Path | None,
    digest: str,
    settings: Settings,
    device: str,
    directory: Path,
    stages: Sequence[str],
    checkpoint: Path | None = None,
) -> dict[str, Any]:
    """The job of one cell; ``root`` is the data folder, ``directory`` the run's, ``checkpoint`` weights from elsewhere."""
    return {
        "cell": cell.id,
        "model": str(cell.model.choice),
        "model_options": cell.model.options.values(),
        "model_parts": cell.model.parts_record() or None,
        "sources": {role: [str(path) for path in cell.origin.paths(role, directory)] for role in ("part", "teacher")},
        "loss": str(cell.loss.choice),
        "dataset": str(cell.dataset.choice),
        "root": str(root) if root else None,
        "digest": digest,
        "settings": settings.model_dump(),
        "seed": cell.seed,
        "device": device,
        "directory": str(directory),
        "stages": list(stages),
        "normalisation": {name: asdict(norm) for name, norm in cell.inputs.normalisation.items()},
        "checkpoint": str(checkpoint) if checkpoint else None,
        "identity": {"cell": cell.id, "train": cell.fingerprints["train"]},
    }
