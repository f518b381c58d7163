"""What of a run may be published: records that readers need, and no folder of the author's machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segbench.claims.judging import judge
from segbench.comparisons.images import Shelf
from segbench.planning.plan import Plan
from segbench.public_text import without_folders
from segbench.registry import Catalog
from segbench.results import Environment, RunResult, Verdict


def public(result: RunResult) -> RunResult:
    """The run with every absolute path cut down to its last part, and without what only resuming needs."""
    document = result.model_dump(mode="json")
    for cell in document["cells"]:
        cell["ingredients"] = {}
    return RunResult.model_validate(_without_folders(document))


def config_record(plan: Plan, device: str) -> dict[str, Any]:
    """The configuration as it stands in ``run.json``: what was run, not where the author keeps things."""
    config = plan.config.model_dump(mode="json", exclude={"out"})
    for key in ("path", "cache_dir"):
        config.get("overrides", {}).get("data", {}).pop(key, None)
    return {**config, "dataset": str(plan.dataset), "device": device}


def task_record(plan: Plan) -> dict[str, Any]:
    """What reports and claims need to know of the task."""
    task = plan.task
    return {
        "dataset": str(plan.dataset),
        "summary": plan.dataset.spec.summary,
        "num_classes": task.num_classes,
        "class_names": list(task.class_names),
        "inputs": dict(task.inputs),
        "ignore_index": task.ignore_index,
        "palette": [list(colour) for colour in task.palette],
        "headline": task.headline,
        "splits": list(plan.dataset.spec.split_names(plan.dataset.options)),
    }


def machine_record(environment: Environment, device: str) -> dict[str, str]:
    """What speed depends on: figures from machines that differ in this are not comparable."""
    named = {
        "device": device,
        "cpu": environment.cpu,
        "gpu": ", ".join(environment.gpu),
        "torch": environment.packages.get("torch"),
    }
    return {key: value for key, value in named.items() if value}


def judge_claims(result: RunResult, catalog: Catalog, directory: Path | None = None) -> list[Verdict]:
    """Hold the catalog's published claims against a run; in ``directory`` lie the matrices that tell how sure its scores are."""
    defaults = {spec.name: spec.options().values() for spec, _ in catalog.specs("models")}
    matrices = Shelf(directory).images if directory else lambda cell: None
    return judge(catalog.claims(), result, default_options=defaults, matrices=matrices)


def _without_folders(value: Any) -> Any:
    if isinstance(value, str):
        return without_folders(value)
    if isinstance(value, Mapping):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], (int, float)):
        return value  # samples: nothing to look at in thousands of numbers
    return [_without_folders(item) for item in value] if isinstance(value, list) else value


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """``torch 2.14.1 -> 2.15.0`` for each thing in which two machines differ."""
    return [f"{key} {old.get(key, '-')} -> {new.get(key, '-')}" for key in {**old, **new} if old.get(key) != new.get(key)]


__all__ = ["config_record", "differences", "judge_claims", "machine_record", "public", "task_record"]
