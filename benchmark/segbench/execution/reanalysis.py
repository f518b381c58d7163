"""Intervals, comparisons, diagnoses and claims worked out anew from what a run keeps, by the estimators of this version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from segbench import __version__
from segbench.analysis.comparisons import with_comparisons
from segbench.analysis.comparisons.confusions import ConfusionFiles
from segbench.analysis.statistics import timing
from segbench.analysis.statistics.bootstrap import miou_interval
from segbench.analysis.statistics.scores import interval_fields
from segbench.config.settings import TrainSettings
from segbench.execution.records import judge_claims
from segbench.plugin.registry import Catalog
from segbench.results.records import CellResult, Deployment, Latency, Quality, RunResult, Training
from segbench.results.training_epochs import speed_notes
from segbench.training.diagnosis import diagnose


def is_outdated(result: RunResult) -> bool:
    """True where a verdict was drawn by an earlier version, without correction for multiple comparisons."""
    return any(comparison.low is not None and comparison.family is None for comparison in result.comparisons)


def up_to_date(result: RunResult, directory: Path, catalog: Catalog) -> RunResult:
    """The run as it is, or, where its verdicts are of an earlier version, worked out anew with a warning that says so."""
    if not is_outdated(result):
        return result
    made_by = f"segbench {result.environment.segbench}" if result.environment.segbench else "an earlier version"
    note = (
        f"Intervals, verdicts and diagnoses were worked out anew by segbench {__version__} from the raw data that the run keeps; its "
        f"run.json holds those of {made_by} (segbench report RUN --reanalyse writes the new ones)."
    )
    fresh = reanalysed(result, directory, catalog)
    return fresh.model_copy(update={"warnings": [*fresh.warnings, note]})


def reanalysed(result: RunResult, directory: Path, catalog: Catalog) -> RunResult:
    """The run with the intervals of its times and scores, its diagnoses, comparisons and claims drawn from raw data alone.

    ``directory`` is the run's. Where the raw data are not there, the interval is null and the comparison says what is missing.
    """
    files = ConfusionFiles(directory)
    result = result.model_copy(update={"cells": [_cell(cell, files) for cell in result.cells]})
    result = with_comparisons(result, directory)
    return result.model_copy(update={"claims": judge_claims(result, catalog, directory)})


def _cell(cell: CellResult, files: ConfusionFiles) -> CellResult:
    deployments = [_deployment(deployment) for deployment in cell.deployments]
    fields = {"deployments": deployments, "quality": _quality(cell, files), "training": _training(cell)}
    return cell.model_copy(update=fields)


def _training(cell: CellResult) -> Training | None:
    """The training with the diagnosis of its history, and the remarks on its speed that it lacks.

    A loss that was not finite is null in ``run.json``, as one that was not taken is: then the diagnosis of the training itself stands.
    """
    training = cell.training
    if training is None or not training.history:
        return training
    notes = [*training.notes, *(note for note in speed_notes(training) if note not in training.notes)]
    fields: dict[str, Any] = {"notes": notes}
    if all(row.train_loss is not None for row in training.history):
        fields["diagnosis"] = diagnose(training.history, _train_settings(cell.resolved.get("train")))
    return training.model_copy(update=fields)


def _train_settings(resolved: Mapping[str, Any] | None) -> TrainSettings | None:
    """The settings that it was trained under, without those of other versions; None where one of them cannot be read."""
    try:
        return TrainSettings.model_validate({key: value for key, value in (resolved or {}).items() if key in TrainSettings.model_fields})
    except ValidationError:
        return None


def _quality(cell: CellResult, files: ConfusionFiles) -> Quality | None:
    quality, images = cell.quality, files.images(cell)
    if quality is None or quality.miou_ci95 is None:
        return quality
    if images is None:
        why = "the confusion matrices of its images were not kept"
        return quality.model_copy(update={"miou_ci95": None, "miou_ci95_method": None, "miou_ci95_reason": why})
    return quality.model_copy(update=interval_fields(miou_interval(images.matrices, groups=images.groups, ids=images.ids)))


def _deployment(deployment: Deployment) -> Deployment:
    return deployment.model_copy(update={"latency": [_latency(entry) for entry in deployment.latency]})


def _latency(entry: Latency) -> Latency:
    if not entry.rounds_ms:
        why = "its rounds were not kept"
        missing = {"p50": why, "p90": why, "p99": why}
        return entry.model_copy(update={"ci95_ms": None, "p90_ci95_ms": None, "p99_ci95_ms": None, "no_interval": missing})
    return entry.model_copy(update=timing.interval_fields(entry.rounds_ms, starts=entry.start_rounds))
