"""Verdicts of earlier versions, drawn anew from what a run keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segbench.analysis.comparisons import with_comparisons
from segbench.execution.reanalysis import is_outdated, reanalysed, up_to_date
from segbench.plugin.registry import Catalog, load_catalog
from segbench.results.records import Comparison, RunResult


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def _cell(model: str, milliseconds: float) -> dict[str, Any]:
    rounds = [[milliseconds * (1 + (7 * n + call) % 5 / 100) for call in range(9)] for n in range(12)]
    latency = {"batch_size": 1, "input_size": [8, 8], "device": "cpu", "p50_ms": milliseconds, "rounds_ms": rounds, "start_rounds": [3] * 4}
    return {
        "id": model, "model": model, "loss": "ce", "recipe": "r", "seed": 0, "status": "ok", "fingerprints": {"measure": model},
        "quality": {"split": "val", "images": 12, "miou": 0.5, "miou_ci95": [0.1, 0.9], "class_names": ["a", "b"]},
        "deployments": [{"backend": "eager", "raced": "noon", "latency": [latency | {"ci95_ms": [1.0, 2.0]}]}],
    }  # fmt: skip


@pytest.fixture
def old() -> RunResult:
    """A run of a version that judged each pair by itself; its matrices are not there."""
    verdict = {"quantity": "latency_ms", "subject": "b", "baseline": "a", "value": 0.7, "low": 0.6, "high": 0.8, "verdict": "faster"}
    run = {"cells": [_cell("a", 10.0), _cell("b", 10.0)], "comparisons": [verdict], "environment": {"segbench": "0.0.9"}}
    return RunResult.model_validate(run)


def test_verdicts_of_an_earlier_version_are_drawn_anew_and_the_report_says_so(old: RunResult, catalog: Catalog, tmp_path: Path) -> None:
    fresh = up_to_date(old, tmp_path, catalog)
    speed = [c for c in fresh.comparisons if c.quantity == "latency_ms"]
    assert [(c.verdict, c.family is not None) for c in speed] == [("no difference shown", True)]
    assert "its run.json holds those of segbench 0.0.9" in fresh.warnings[-1]
    assert up_to_date(fresh, tmp_path, catalog) is fresh


def test_what_the_raw_data_do_not_allow_is_null_with_its_reason(old: RunResult, catalog: Catalog, tmp_path: Path) -> None:
    fresh = reanalysed(old, tmp_path, catalog)
    (miou,) = [c for c in fresh.comparisons if c.quantity == "miou"]
    assert miou.verdict == "cannot tell"
    assert miou.reason == "the images' confusion matrices were not kept: evaluate the cells again"
    assert all(cell.quality is not None and cell.quality.miou_ci95 is None for cell in fresh.cells)
    (latency,) = fresh.cells[0].deployments[0].latency
    assert latency.ci95_ms is not None
    assert latency.ci95_ms[0] > 9


def test_matrices_that_are_there_give_the_intervals(old: RunResult, catalog: Catalog, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    (tmp_path / "confusions").mkdir()
    for cell in old.cells:
        hits = random.integers(60, 90, (40, 2))
        matrices = np.array([[[a, 100 - a], [100 - b, b]] for a, b in hits])
        np.savez(tmp_path / "confusions" / f"{cell.id}.npz", ids=np.arange(40).astype(str), matrices=matrices)
    fresh = reanalysed(old, tmp_path, catalog)
    assert all(cell.quality is not None and cell.quality.miou_ci95 not in (None, (0.1, 0.9)) for cell in fresh.cells)
    assert fresh.comparisons == with_comparisons(fresh, tmp_path).comparisons


def _trained(old: RunResult, history: list[dict[str, Any]], **train: Any) -> RunResult:
    stale = {"kind": "healthy", "message": "as an earlier version put it"}
    training = {"history": history, "diagnosis": [stale], "notes": ["resumed"]}
    first = old.cells[0].model_dump() | {"training": training, "resolved": {"train": train}}
    return RunResult.model_validate(old.model_dump() | {"cells": [first, *[cell.model_dump() for cell in old.cells[1:]]]})


def _stuck(epochs: int = 12) -> list[dict[str, Any]]:
    """A loss that falls, a score that leaps only once, and an epoch that took ten times as long."""
    scores = [0.1, 0.2, 0.3, *[0.4] * (epochs - 3)]
    rows = [{"epoch": e, "train_loss": 2 / e, "val_miou": score, "images_per_second": 20.0} for e, score in enumerate(scores, 1)]
    return [row | {"images_per_second": 2.0} if row["epoch"] == 5 else row for row in rows]


def test_diagnosis_and_remarks_on_epochs_are_drawn_anew(old: RunResult, catalog: Catalog, tmp_path: Path) -> None:
    run = _trained(old, [{**row, "val_miou": 0.2} for row in _stuck()], schedule="onecycle", a_setting_of_another_version=1)
    fresh = reanalysed(run, tmp_path, catalog)
    training = fresh.cells[0].training
    assert training is not None
    assert [(d.kind, d.message) for d in training.diagnosis] == [
        ("no gain", "validation mIoU never moved from its first value, 0.200 (epoch 1), in epochs 2 to 12.")
    ]
    assert training.notes == ["resumed", "1 epoch was more than 25 % off the median of 20 images/s: epoch 5 (2 images/s)"]
    assert reanalysed(fresh, tmp_path, catalog).cells[0].training == training


@pytest.mark.parametrize(("clip", "advised"), [(1.0, False), (None, True)])
def test_a_diagnosis_that_is_drawn_anew_knows_the_settings(
    old: RunResult, catalog: Catalog, tmp_path: Path, clip: float | None, *, advised: bool
) -> None:
    history = [{**row, "train_loss": 9.0 if row["epoch"] == 8 else row["train_loss"], "val_miou": None} for row in _stuck()]
    training = reanalysed(_trained(old, history, clip=clip), tmp_path, catalog).cells[0].training
    assert training is not None
    assert training.diagnosis[0].kind == "unstable"
    assert ("train.clip" in training.diagnosis[0].remedy) == advised


def test_a_loss_that_the_file_does_not_hold_leaves_the_diagnosis_as_it_was(old: RunResult, catalog: Catalog, tmp_path: Path) -> None:
    """What was not finite is null in run.json."""
    history = [{**row, "train_loss": None if row["epoch"] == 8 else row["train_loss"]} for row in _stuck()]
    training = reanalysed(_trained(old, history), tmp_path, catalog).cells[0].training
    assert training is not None
    assert [d.message for d in training.diagnosis] == ["as an earlier version put it"]


def test_a_run_of_today_is_left_as_it_is(old: RunResult, catalog: Catalog, tmp_path: Path) -> None:
    bare = old.model_copy(update={"comparisons": [Comparison(quantity="miou", subject="b", baseline="a", reason="not scored: b")]})
    assert not is_outdated(bare)
    assert up_to_date(bare, tmp_path, catalog) is bare
