"""The CSV report: one row per cell, raw numbers in the units of ``run.json``, the same header for every run."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from segbench import CellResult, ReportTarget, RunResult
from segbench_reports import wording
from segbench_reports.ablation_steps import walks
from segbench_reports.cells import deployment, single_latency, throughput
from segbench_reports.compared import of_quality
from segbench_reports.escape import spreadsheet

_CELL = """
    id kind model loss dataset recipe seed status params params_trained size_mb macs flops fvcore_flops
"""
_ERROR = "stage kind message"
_QUALITY = """
    split images miou training_score selected_on miou_micro miou_imagewise miou_frequency_weighted pixel_accuracy mean_accuracy
    headline_class headline_iou miou_ci95_low miou_ci95_high miou_worst_decile boundary_iou ece
"""
_TRAINING = """
    epochs_run best_epoch best_score select_on seconds images_per_second peak_memory_mb device precision batch_size accumulate
    stopped protocol_changed
"""
_DEPLOYMENT = "backend precision"
_LATENCY = "device threads input_size first_ms p50_ms p90_ms p99_ms mean_ms ci95_low_ms ci95_high_ms"
_THROUGHPUT = "batch_size images_per_second"
_MEMORY = "weights inference_peak activation_peak training_peak"

_SEEDS = "n mean deviation low high"
_COMPARISON = "baseline value low high verdict scope n"
_ABLATION: dict[str, Any] = {f"ablation_{key}": None for key in ("step", "change", "verdict", "miou_change", "miou_low", "miou_high")}


def render(result: RunResult, target: ReportTarget) -> str:
    """Comma-separated rows; empty where nothing was measured. Names that a spreadsheet would run get an apostrophe in front."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    steps = _ablation_steps(result)
    rows = [_row(cell) | _uncertainty(result, cell) | _ABLATION | steps.get(cell.id, {}) for cell in result.cells]
    empty = CellResult(id="", model="")
    writer.writerow(_row(empty) | _uncertainty(result, empty) | _ABLATION)  # the keys alone
    for row in rows:
        writer.writerow(map(_field, row.values()))
    return stream.getvalue()


def _row(cell: CellResult) -> dict[str, Any]:
    """The columns in order; every key is there for every cell."""
    deployed = deployment(cell)
    return {
        **_values(cell, _CELL),
        "settings": json.dumps(cell.settings, sort_keys=True, default=str) if cell.settings else None,
        **_values(cell.error, _ERROR, "error"),
        **_values(cell.quality, _QUALITY, "quality"),
        **_values(cell.training, _TRAINING, "training"),
        **_values(deployed, _DEPLOYMENT, "deployment"),
        **_values(single_latency(cell), _LATENCY, "latency"),
        **_values(throughput(cell), _THROUGHPUT, "throughput"),
        **_values(deployed.memory_mb if deployed else None, _MEMORY, "memory_mb"),
    }


def _uncertainty(result: RunResult, cell: CellResult) -> dict[str, Any]:
    """mIoU over the seeds of the cell's model, and its model against the run's first."""
    seeds = next((s for s in result.seeds if s.quantity == "miou" and cell.id in s.cells), None)
    compared = (c for c in of_quality(result, headline=True) if c.quantity == "miou" and cell.id in c.subject_cells)
    return {**_values(seeds, _SEEDS, "seeds_miou"), **_values(next(compared, None), _COMPARISON, "miou_difference")}


def _ablation_steps(result: RunResult) -> dict[str, dict[str, Any]]:
    """By cell: which step of an ablation it ends, and what that step was found to do."""
    found: dict[str, dict[str, Any]] = {}
    for walk in walks(result):
        found |= {cell.id: {"ablation_step": 0} for cell in walk.start}
        for step in walk.steps:
            miou = step.miou
            values = {
                "step": step.number,
                "change": f"{step.change.option}={step.change.after}",
                "verdict": step.outcome[0],
                "miou_change": miou and miou.value,
                "miou_low": miou and miou.low,
                "miou_high": miou and miou.high,
            }
            found |= {cell.id: {f"ablation_{key}": value for key, value in values.items()} for cell in step.after}
    return found


def _values(record: BaseModel | None, keys: str, prefix: str = "") -> dict[str, Any]:
    values: Mapping[str, Any] = {} if record is None else dict(record)
    for name, unit in (("ci95", "_ms"), ("miou_ci95", "")):
        interval = values.get(f"{name}{unit}") or (None, None)
        values = {**values, f"{name}_low{unit}": interval[0], f"{name}_high{unit}": interval[1]}
    return {f"{prefix}_{key}" if prefix else key: values.get(key) for key in keys.split()}


def _field(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, tuple):
        return wording.size(value)
    return spreadsheet(str(value))
