"""The CSV report: raw numbers in the units of ``run.json``, the same header for every run.

One row per cell (``row`` is "cell"), with the figures of its first form, eager where it has one. After it one for each further deployed
form (``row`` is "form"), with that form's own file, drift, score, latency and memory, and without what belongs to the cell alone:
training, seeds, comparisons, ablation. Last one for each reading of each tested claim (``row`` is "claim", ``id`` the cells that it was
tested on), with its own verdict and the claim's one over all readings. Columns are named as the keys of ``run.json``, with their record in
front; new ones come last.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from segbench import (
    METRICS,
    CellResult,
    Deployment,
    JudgedClaim,
    ReportTarget,
    RunResult,
    Verdict,
    averaged_classes,
    batch_timing,
    claims_tested,
    only_class_of,
    row_words,
    single_timing,
)
from segbench_reports.text import numbers
from segbench_reports.text.escape import spreadsheet
from segbench_reports.view.ablation import measured_ablations
from segbench_reports.view.cells import deployment
from segbench_reports.view.comparisons import quality_comparisons

_CELL = "id kind model short_name loss dataset recipe seed status params params_trained size_mb macs flops fvcore_flops"
_ERROR = "stage kind message"
_QUALITY = """
    split images miou training_score selected_on miou_micro miou_imagewise miou_frequency_weighted pixel_accuracy mean_accuracy
    headline_class headline_iou miou_ci95_low miou_ci95_high miou_worst_decile boundary_iou ece
"""
_TRAINING = """
    epochs_run best_epoch best_score select_on seconds train_images_per_second peak_memory_mb device precision batch_size accumulate
    stopped protocol_changed
"""
_DEPLOYMENT = "backend precision"
_LATENCY = "device threads input_size first_ms latency_ms p90_ms p99_ms mean_ms ci95_low_ms ci95_high_ms"
_THROUGHPUT = "batch_size throughput"
_MEMORY = "weights inference_memory_mb activation_peak training_memory_mb"
_FORM = "version deployed_file_mb export_seconds fixed_size raced error"
_DRIFT = "images max_abs mean_abs reference_std label_agreement"
"""The columns of each record in the order that files have had from the first: metrics by their names, all else by its key in the record."""

_SEEDS = "n mean deviation low high"
_COMPARISON = "baseline value low high verdict scope n"
_ABLATION = "step change verdict miou_change miou_low miou_high"
_CLAIM = "name claimed measured low high reading verdict read_as"
_OWN = [
    *(f"seeds_miou_{key}" for key in _SEEDS.split()),
    *(f"miou_difference_{key}" for key in _COMPARISON.split()),
    *(f"ablation_{key}" for key in _ABLATION.split()),
]


def render(result: RunResult, target: ReportTarget) -> str:
    """Comma-separated rows; empty where nothing was measured. Names that a spreadsheet would run get an apostrophe in front."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    steps = _ablation_steps(result)
    writer.writerow(_row(CellResult(id="", model=""), None, {}))  # the columns' names alone
    for cell in result.cells:
        first = deployment(cell)
        writer.writerow(map(_field, _row(cell, first, _uncertainty(result, cell) | steps.get(cell.id, {})).values()))
        for form in cell.deployments:
            if form is not first:
                writer.writerow(map(_field, _row(_bare(cell, form), form, {}, kind="form").values()))
    for claim in claims_tested(result):
        writer.writerows(map(_field, _claim_row(claim, row).values()) for row in claim.rows)
    return stream.getvalue()


def _row(cell: CellResult, form: Deployment | None, own: Mapping[str, Any], *, kind: str = "cell") -> dict[str, Any]:
    """The columns in order, the same in every row; metrics that others brought come last. ``own`` is what belongs to the cell alone."""
    columns = {
        **_values(cell, _CELL),
        "settings": json.dumps(cell.settings, sort_keys=True, default=str) if cell.settings else None,
        **_values(cell.error, _ERROR, "error"),
        **_values(cell.quality, _QUALITY, "quality"),
        **_values(cell.training, _TRAINING, "training"),
        **_values(form, _DEPLOYMENT, "deployment"),
        **_values(single_timing(form), _LATENCY, "latency"),
        **_values(batch_timing(form), _THROUGHPUT, "throughput"),
        **_values(form.memory_mb if form else None, _MEMORY, "memory_mb"),
        **dict.fromkeys(_OWN),
        **own,
        "row": kind,
        **_values(form, _FORM, "deployment"),
        **_values(form.drift if form else None, _DRIFT, "drift"),
        **dict.fromkeys(f"claim_{key}" for key in _CLAIM.split()),
        **_classes(cell),
    }
    speed = METRICS["train_images_per_second"]
    shown = speed.value(cell)
    return columns | {
        speed.csv_column: shown.value if shown else None,  # earlier versions stored another figure under its key
        **{
            metric.csv_column: reading.value if (reading := metric.value(cell)) else None
            for metric in METRICS.values()
            if metric.record and metric.csv_column not in columns
        },
    }


def _classes(cell: CellResult) -> dict[str, Any]:
    """How many classes the row's means are over, of how many, which have no label pixels, and the only class that is predicted."""
    classes = averaged_classes(cell.quality)
    return {
        "quality_classes_averaged": len(classes.names) if classes else None,
        "quality_classes": classes.total if classes else None,
        "quality_classes_without_pixels": ", ".join(classes.absent) if classes and classes.absent else None,
        "quality_only_class": only_class_of(cell),
    }


def _claim_row(claim: JudgedClaim, row: Verdict) -> dict[str, Any]:
    values = (claim.name, row.claimed, row.measured_value, row.low, row.high, row_words(row), claim.words, row.read_as)
    columns = {f"claim_{key}": value for key, value in zip(_CLAIM.split(), values, strict=True)}
    cell = CellResult(id=" ".join(row.cells), model=row.subject or "")
    return _row(cell, None, {}, kind="claim") | {"kind": None, "status": None} | columns


def _bare(cell: CellResult, form: Deployment) -> CellResult:
    """The cell as one of its further forms: what it is called and costs, with this form's score."""
    return cell.model_copy(update={"quality": form.quality, "training": None, "error": None, "deployments": [form]})


def _uncertainty(result: RunResult, cell: CellResult) -> dict[str, Any]:
    """mIoU over the seeds of the cell's model, and its model against the run's first."""
    seeds = next((s for s in result.seeds if s.quantity == "miou" and cell.id in s.cells), None)
    against_first = (c for c in quality_comparisons(result, headline=True) if c.quantity == "miou" and c.axis == "model")
    compared = (c for c in against_first if cell.id in c.subject_cells)
    difference = _values(next(compared, None), _COMPARISON, "miou_difference")
    if difference["miou_difference_low"] is None:
        difference["miou_difference_value"] = None  # no figure where the data cannot tell
    return {**_values(seeds, _SEEDS, "seeds_miou"), **difference}


def _ablation_steps(result: RunResult) -> dict[str, dict[str, Any]]:
    """By cell: which step of an ablation it ends, and what that step was found to do."""
    values_by_cell: dict[str, dict[str, Any]] = {}
    for walk in measured_ablations(result):
        values_by_cell |= {cell.id: {"ablation_step": 0} for cell in walk.start}
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
            values_by_cell |= {cell.id: {f"ablation_{key}": value for key, value in values.items()} for cell in step.after}
    return values_by_cell


def _values(record: BaseModel | None, columns: str, prefix: str = "") -> dict[str, Any]:
    values: Mapping[str, Any] = {} if record is None else dict(record)
    for name, unit in (("ci95", "_ms"), ("miou_ci95", "")):
        interval = values.get(f"{name}{unit}") or (None, None)
        values = {**values, f"{name}_low{unit}": interval[0], f"{name}_high{unit}": interval[1]}
    keys = [_key(name, prefix or "cell") for name in columns.split()]
    return {f"{prefix}_{key}" if prefix else key: values.get(key) for key in keys}


def _key(name: str, record: str) -> str:
    """The key in a record of a metric, or of what is no metric there."""
    metric = METRICS.get(name)
    return metric.key if metric is not None and metric.record == record else name


def _field(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, tuple):
        return numbers.size(value)
    return spreadsheet(str(value))
