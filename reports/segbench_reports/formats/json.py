"""The JSON report: the run's result itself, with the keys of ``run.json``."""

from __future__ import annotations

from segbench import ReportTarget, RunResult


def render(result: RunResult, target: ReportTarget) -> str:
    """``result`` as indented JSON; what was not measured is null."""
    return result.model_dump_json(indent=2) + "\n"
