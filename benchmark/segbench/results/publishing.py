"""The public form of a run: records that readers need, without folders of the author's machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segbench.results.records import Environment, RunResult
from segbench.util.redact import without_folders


def public(result: RunResult) -> RunResult:
    """The run with every absolute path cut down to its last part, and without what only resuming needs."""
    document = result.model_dump(mode="json")
    for cell in document["cells"]:
        cell["ingredients"] = {}
    return RunResult.model_validate(_without_folders(document))


def machine_record(environment: Environment, device: str) -> dict[str, str]:
    """The properties of a machine that its speed depends on: figures from machines that differ in them are not comparable."""
    named = {
        "device": device,
        "cpu": environment.cpu,
        "gpu": ", ".join(environment.gpu),
        "torch": environment.packages.get("torch"),
    }
    return {key: value for key, value in named.items() if value}


def _without_folders(value: Any) -> Any:
    if isinstance(value, str):
        return without_folders(value)
    if isinstance(value, Mapping):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], (int, float)):
        return value  # samples: numbers hold no folders, and there are thousands
    return [_without_folders(item) for item in value] if isinstance(value, list) else value


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """``torch 2.14.1 -> 2.15.0`` for each thing in which two machines differ."""
    return [f"{key} {old.get(key, '-')} -> {new.get(key, '-')}" for key in {**old, **new} if old.get(key) != new.get(key)]
