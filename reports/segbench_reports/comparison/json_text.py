"""A comparison of two runs as JSON, for programs: the fields of ``RunComparison``, schema version 1."""

from __future__ import annotations

from segbench import ReportTarget, RunComparison


def render(comparison: RunComparison, target: ReportTarget) -> str:
    """The whole comparison."""
    return comparison.model_dump_json(indent=1) + "\n"
