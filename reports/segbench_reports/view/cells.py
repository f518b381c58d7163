"""Readers of one cell: its name among the others, its deployment, latency and throughput."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence

from segbench import AS_GIVEN, CellResult, Latency, RunResult, batch_timing, shown_deployment, single_timing
from segbench_reports.text import numbers

AXES = ("model", "loss", "recipe", "settings", "seed")
"""Attributes in which cells may differ, in the order of the table's first columns."""

EAGER = "eager"
"""The backend that every other one is compared with."""


def axis_text(cell: CellResult, axis: str) -> str:
    """A cell's value on one axis as plain text, empty where it has none."""
    if axis == "settings":
        return ", ".join(f"{key.removeprefix('train.')}={numbers.setting(value)}" for key, value in cell.settings.items())
    if axis == "loss" and cell.is_as_given:
        return AS_GIVEN
    value = getattr(cell, axis)
    return "" if value is None else str(value)


def varying_axes(cells: Iterable[CellResult]) -> tuple[str, ...]:
    """The axes on which cells differ, and always the model."""
    cells = list(cells)
    return tuple(axis for axis in AXES if axis == "model" or len({axis_text(cell, axis) for cell in cells}) > 1)


def variant(cell: CellResult, axes: Sequence[str]) -> str:
    """The axes other than the model as text: loss, recipe, settings, seed."""
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
    """A key that is equal for cells that differ in their seed only."""
    return json.dumps([cell.model, cell.loss, cell.dataset, cell.recipe, cell.settings], sort_keys=True, default=str)


deployment = shown_deployment


def single_latency(cell: CellResult) -> Latency | None:
    """Latency at batch 1."""
    return single_timing(deployment(cell))


def throughput(cell: CellResult) -> Latency | None:
    """The timing at the largest batch above 1."""
    return batch_timing(deployment(cell))


def finite(value: float | None) -> float | None:
    """``value``, or None where it is no finite number."""
    return value if value is not None and math.isfinite(value) else None


def dataset_name(result: RunResult) -> str:
    """The dataset of the run as the user named it, empty where there was none."""
    names = {cell.dataset for cell in result.cells if cell.dataset}
    return ", ".join(sorted(names)) or (result.config.dataset or "")


def scored_splits(result: RunResult) -> list[str]:
    """Splits on which cells were scored."""
    return list(dict.fromkeys(cell.quality.split for cell in result.cells if cell.quality))


def unfinished(result: RunResult) -> list[CellResult]:
    """Cells that neither finished nor failed."""
    return [cell for cell in result.cells if cell.status in ("pending", "interrupted")]
