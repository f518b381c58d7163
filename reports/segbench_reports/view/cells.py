"""Reading one cell: its name among the others, and where its figures stand."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence

from segbench import CellResult, Deployment, Latency, RunResult
from segbench_reports.text import numbers as wording

AXES = ("model", "loss", "recipe", "settings", "seed")
"""What can tell two cells apart, in the order of the table's first columns."""

EAGER = "eager"
"""The form that every other one is compared with."""


def axis_text(cell: CellResult, axis: str) -> str:
    """One coordinate of a cell as plain text, empty where it has none."""
    if axis == "settings":
        return ", ".join(f"{key.removeprefix('train.')}={wording.setting(value)}" for key, value in cell.settings.items())
    value = getattr(cell, axis)
    return "" if value is None else str(value)


def varying_axes(cells: Iterable[CellResult]) -> tuple[str, ...]:
    """The axes on which cells differ; the model always counts."""
    cells = list(cells)
    return tuple(axis for axis in AXES if axis == "model" or len({axis_text(cell, axis) for cell in cells}) > 1)


def variant(cell: CellResult, axes: Sequence[str]) -> str:
    """What tells a cell from others of its model: loss, settings, seed."""
    texts = []
    for axis in axes:
        text = axis_text(cell, axis)
        if axis != "model" and text:
            texts.append(f"seed {text}" if axis == "seed" else text)
    return ", ".join(texts)


def cell_name(cell: CellResult, axes: Sequence[str]) -> str:
    """Model and variant in one line of plain text."""
    extra = variant(cell, axes)
    return f"{cell.model} ({extra})" if extra else cell.model


def group_key(cell: CellResult) -> str:
    """Equal for cells that differ in their seed only."""
    return json.dumps([cell.model, cell.loss, cell.dataset, cell.recipe, cell.settings], sort_keys=True, default=str)


def deployment(cell: CellResult) -> Deployment | None:
    """The form in which a cell is compared: eager, else its first."""
    eager = (found for found in cell.deployments if found.backend == EAGER)
    return next(eager, cell.deployments[0] if cell.deployments else None)


def single_latency(cell: CellResult) -> Latency | None:
    """Latency at batch 1."""
    found = deployment(cell)
    return next((entry for entry in found.latency if entry.batch_size == 1), None) if found else None


def throughput(cell: CellResult) -> Latency | None:
    """The timing at the largest batch above 1."""
    found = deployment(cell)
    entries = [entry for entry in found.latency if entry.batch_size > 1] if found else []
    return max(entries, key=lambda entry: entry.batch_size, default=None)


def finite(value: float | None) -> float | None:
    """``value``, or None where it is no finite number."""
    return value if value is not None and math.isfinite(value) else None


def dataset_name(result: RunResult) -> str:
    """The dataset of the run as the user named it, empty where there was none."""
    named = {cell.dataset for cell in result.cells if cell.dataset}
    return ", ".join(sorted(named)) or (result.config.dataset or "")


def scored_splits(result: RunResult) -> list[str]:
    """Splits on which cells were scored."""
    return list(dict.fromkeys(cell.quality.split for cell in result.cells if cell.quality))


def unfinished(result: RunResult) -> list[CellResult]:
    """Cells that neither finished nor failed."""
    return [cell for cell in result.cells if cell.status in ("pending", "interrupted")]
