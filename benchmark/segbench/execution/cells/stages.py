"""The stages of a cell that must run again, because they changed since its row was written, with the reason in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.execution.plan.cell import Cell
from segbench.execution.plan.fingerprints import changes
from segbench.results.deployments import DEPLOYED, EAGER, RACED, is_empty, without
from segbench.results.records import CellResult, Deployment


@dataclass(frozen=True)
class StagePlan:
    """Stages to run, in order, and why where something had been run before."""

    stages: tuple[str, ...]
    reason: str = ""
    restart: bool = False


def plan_stages(cell: Cell, old: CellResult | None, directory: Path) -> StagePlan:
    """Compare a cell with its row on disk. ``restart``: what was trained belongs to other settings and cannot be continued."""
    if old is None:
        return StagePlan(("profile", "train", "evaluate"))
    changed = {name: old.fingerprints.get(name) != value for name, value in cell.fingerprints.items()}
    trained = old.training is not None and (directory / "checkpoints" / cell.id / "best.pt").exists()
    if changed["train"]:
        return StagePlan(("profile", "train", "evaluate"), f"re-run: {_why(cell, old, 'train')}", restart=True)
    stages = []
    reasons = []
    if changed["measure"] or old.input_shape is None:
        stages.append("profile")
    if not trained or _failed(old, "train"):
        stages += ["train", "evaluate"]
        reasons.append("continued" if old.status in ("failed", "interrupted", "pending", "skipped") else "re-run: its checkpoint is gone")
    elif changed["evaluate"] or old.quality is None:
        stages.append("evaluate")
        reasons.append(f"re-evaluated: {_why(cell, old, 'evaluate')}" if changed["evaluate"] else "continued")
    if not stages and old.status != "ok":
        # its process fell after the last stage: what that stage gave is done again rather than trusted
        return StagePlan(("evaluate",), "continued")
    return StagePlan(tuple(stages), "; ".join(reasons))


def carried_over(cell: Cell, old: CellResult | None, todo: StagePlan, blank: CellResult) -> CellResult:
    """The row to start from: what the old one has of the stages that are not run again."""
    if old is None:
        return blank
    fields: dict[str, Any] = {}
    if "profile" not in todo.stages:
        fields.update({name: getattr(old, name) for name in PROFILE_FIELDS})
    if "train" not in todo.stages:
        fields |= {"training": old.training, "machine": old.machine}
    if "evaluate" not in todo.stages:
        fields["quality"] = old.quality
        fields["artifacts"] = old.artifacts
        fields["overhead_seconds"] = old.overhead_seconds
    fields["code_notes"] = {name: notes for name, notes in old.code_notes.items() if name not in todo.stages}
    fields["deployments"] = _deployments(cell, old, todo)
    if old.fingerprints.get("measure") == cell.fingerprints["measure"]:
        fields |= {"modules": old.modules, "training_cost": old.training_cost, "cost_notes": old.cost_notes}
    if not todo.stages:
        fields |= {
            "status": old.status,
            "error": old.error,
            "notes": old.notes,
            "resolved": {**blank.resolved, "device": old.resolved.get("device")},
        }
    return blank.model_copy(update=fields)


def _deployments(cell: Cell, old: CellResult, todo: StagePlan) -> list[Deployment]:
    """The old row's deployments, each with the measurements that still hold, also those of backends that this run does not have."""
    measured = old.fingerprints.get("measure") == cell.fingerprints["measure"]
    scored = not {"train", "evaluate"} & set(todo.stages)
    valid = []
    for deployment in old.deployments:
        fingerprint = cell.deploy_fingerprints.get(deployment.backend, deployment.fingerprint)
        deployed = scored and (deployment.backend == EAGER or fingerprint == deployment.fingerprint)
        left = deployment if measured else without(deployment, RACED)
        left = left if deployed else without(left, DEPLOYED)
        if not is_empty(left):
            valid.append(left)
    return valid


PROFILE_FIELDS = (
    "params",
    "params_trained",
    "params_trainable",
    "params_per_part",
    "params_in_buffers",
    "size_mb",
    "buffers_mb",
    "macs",
    "macs_at_least",
    "macs_not_counted",
    "macs_at_sizes",
    "flops",
    "fvcore_flops",
    "fvcore_error",
    "uncounted_ops",
    "input_shape",
    "counts_missing",
)


def _failed(old: CellResult, stage: str) -> bool:
    return old.status in ("failed", "interrupted", "pending") and old.error is not None and old.error.stage in (stage, "run", "plan")


def _why(cell: Cell, old: CellResult, stage: str) -> str:
    then: Mapping[str, Any] = old.ingredients.get(stage, {})
    changed = changes(then, cell.ingredients[stage]) if then else []
    if not changed:
        return "its settings changed"
    return ", ".join(changed[:4]) + (f" and {len(changed) - 4} more" if len(changed) > 4 else "")
