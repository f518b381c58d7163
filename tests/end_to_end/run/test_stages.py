from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from segbench.config.run_config import load_config
from segbench.execution.cells.stages import StagePlan, carried_over, plan_stages
from segbench.execution.plan.cell import Cell
from segbench.execution.plan.plan import make_plan
from segbench.plugin.registry import Catalog
from segbench.results.records import CellResult, Deployment, ErrorInfo, Quality, Status, Training

ALL = ("profile", "train", "evaluate")


@pytest.fixture
def cell_of(mishaps: Catalog) -> Any:
    def made(*sets: str, loss: str = "ce") -> Cell:
        flags = {"models": "dot", "losses": loss, "dataset": "dots", "recipes": "tiny"}
        (cell,) = make_plan(load_config(sets=sets, flags=flags), mishaps).cells
        return cell

    return made


def _row(cell: Cell, directory: Path, *, status: Status = "ok", error: ErrorInfo | None = None, without: Sequence[str] = ()) -> CellResult:
    """A row as it stands on disk after ``cell`` has run."""
    fields: dict[str, Any] = {
        "params": 3,
        "input_shape": [[1, 3, 16, 16]],
        "training": Training(epochs_run=1),
        "quality": Quality(split="test", miou=0.5),
        "deployments": [Deployment(backend="eager", raced="then")],
    }
    if "checkpoint" not in without:
        file = directory / "checkpoints" / cell.id / "best.pt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    fields = {key: value for key, value in fields.items() if key not in without}
    return cell.blank("cpu").model_copy(
        update={**fields, "ingredients": dict(cell.ingredients), "status": status, "error": error, "overhead_seconds": 1.0}
    )


def test_a_new_cell_runs_everything(cell_of: Any, tmp_path: Path) -> None:
    assert plan_stages(cell_of(), None, tmp_path) == StagePlan(ALL)


def test_a_finished_cell_runs_nothing(cell_of: Any, tmp_path: Path) -> None:
    assert plan_stages(cell_of(), _row(cell_of(), tmp_path), tmp_path).stages == ()


@pytest.mark.parametrize(
    ("setting", "stages", "reason"),
    [
        ("train.lr=0.2", ALL, "re-run: train.lr 0.01 -> 0.2"),
        ("eval.resize=warp", ("evaluate",), "re-evaluated: eval.resize keep-aspect -> warp"),
        ("measure.rounds=3", ("profile",), ""),
        ("train.workers=1", (), ""),
    ],
)
def test_only_the_changed_stage_runs_again_and_says_why(cell_of: Any, tmp_path: Path, setting: str, stages: Any, reason: str) -> None:
    todo = plan_stages(cell_of(setting), _row(cell_of(), tmp_path), tmp_path)
    assert (todo.stages, todo.reason) == (stages, reason)
    assert todo.restart == ("train" in stages)


def test_many_changes_are_not_all_told(cell_of: Any, tmp_path: Path) -> None:
    changed = cell_of(
        "train.lr=0.2", "train.epochs=2", "train.clip=2", "train.accumulate=2", "train.weight_decay=0.2", "train.schedule=poly"
    )
    assert plan_stages(changed, _row(cell_of(), tmp_path), tmp_path).reason.endswith(" and 2 more")


def test_an_interrupted_cell_continues_where_it_was(cell_of: Any, tmp_path: Path) -> None:
    cell = cell_of()
    half = _row(cell, tmp_path, status="pending", without=("quality",))
    assert plan_stages(cell, half, tmp_path) == StagePlan(("evaluate",), "continued")
    early = _row(cell, tmp_path, status="pending", without=("quality", "training"))
    assert plan_stages(cell, early, tmp_path) == StagePlan(("train", "evaluate"), "continued")


@pytest.mark.parametrize(
    ("stage", "without", "stages"),
    [
        ("train", ("training", "quality"), ("train", "evaluate")),
        ("evaluate", ("quality",), ("evaluate",)),
        ("profile", ("params", "input_shape", "training", "quality"), ALL),
        ("run", ("training", "quality"), ("train", "evaluate")),
    ],
)
def test_a_failed_cell_is_tried_again_from_the_stage_that_failed(
    cell_of: Any, tmp_path: Path, stage: str, without: tuple[str, ...], stages: tuple[str, ...]
) -> None:
    error = ErrorInfo(stage=stage, kind="crash", message="")
    todo = plan_stages(cell_of(), _row(cell_of(), tmp_path, status="failed", error=error, without=without), tmp_path)
    assert todo.stages == stages
    assert todo.reason == "continued"
    assert not todo.restart, "its last checkpoint is good"


def test_a_lost_checkpoint_is_trained_again(cell_of: Any, tmp_path: Path) -> None:
    todo = plan_stages(cell_of(), _row(cell_of(), tmp_path, without=("checkpoint",)), tmp_path)
    assert todo == StagePlan(("train", "evaluate"), "re-run: its checkpoint is gone")


def test_what_is_not_run_again_is_carried_over(cell_of: Any, tmp_path: Path) -> None:
    old, new = _row(cell_of(), tmp_path), cell_of("eval.resize=warp")
    row = carried_over(new, old, plan_stages(new, old, tmp_path), new.blank("cpu"))
    assert (row.params, row.training, row.quality) == (3, old.training, None)
    assert row.deployments == old.deployments
    assert row.fingerprints == new.fingerprints
    slower = cell_of("measure.rounds=3")
    row = carried_over(slower, old, plan_stages(slower, old, tmp_path), slower.blank("cpu"))
    assert (row.params, row.quality, row.deployments) == (None, old.quality, [])
    kept = carried_over(cell_of(), old, plan_stages(cell_of(), old, tmp_path), cell_of().blank("cpu"))
    assert kept == old.model_copy(update={"ingredients": {}})
