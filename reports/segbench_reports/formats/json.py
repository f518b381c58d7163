"""The JSON report: the run's result itself, with the keys of ``run.json``."""

from __future__ import annotations

from segbench import ReportTarget, RunResult, with_claim_verdicts


def render(result: RunResult, target: ReportTarget) -> str:
    """``result`` as indented JSON; what was not measured is null. Claims judged by an earlier version get their one verdict, too."""
    return result.model_copy(update={"claims": with_claim_verdicts(result.claims)}).model_dump_json(indent=2) + "\n"
