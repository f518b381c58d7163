"""Claims in a report: verdict, interval, and the reason where a claim is not judged."""

from __future__ import annotations

import pytest

from segbench import ReportTarget, RunResult, Verdict
from segbench_reports.formats import markdown
from segbench_reports.sections.claims import claims as claims_section
from segbench_reports.view.main_table import main_table
from segbench_reports.view.summary import summary


def test_claims_that_the_measurement_cannot_decide_are_counted_and_explained(comparison: RunResult, target: ReportTarget) -> None:
    open_claim = {
        "claim": "d", "summary": "Twice as fast", "claimed": "at least 2x", "measured": "2.00x [1.90, 2.10]", "measured_value": 2.0,
        "low": 1.9, "high": 2.1, "verdict": "cannot tell", "source": "p. 4",
    }  # fmt: skip
    bare = {**open_claim, "claim": "e", "low": None, "high": None, "measured": "2.00x", "missing": "too few rounds"}
    claims = [*comparison.claims, *(Verdict.model_validate(c) for c in (open_claim, bare))]
    run = comparison.model_copy(update={"claims": claims})
    said = "4 of 5 published claims about these models could be tested here: 1 kept, 1 broken and 2 that the measurement cannot decide."
    assert said in summary(run, main_table(run))
    pytest.importorskip("altair")
    text = markdown.render(run, target)
    assert "| Twice as fast | at least 2x | 2.00x \\[1.90, 2.10\\] | cannot tell | p. 4 |" in text
    assert "| cannot tell: too few rounds | p. 4 |" in text
    assert "95 % interval of what was measured" in text
    assert text.index("Three times as fast") < text.index("Twice as fast") < text.index("Quarter of the parameters")


def test_claims_about_models_that_are_not_in_the_run_are_passed_over(comparison: RunResult, target: ReportTarget) -> None:
    foreign = {"claim": "f", "summary": "Absent is small", "claimed": "1 M", "verdict": "not tested here", "subject": "absent[a=1]|ce"}
    own = {**foreign, "claim": "g", "summary": "Small is small", "subject": "small[a=1]|ce", "missing": "needs it in the run"}
    claims = [*comparison.claims, *(Verdict.model_validate(c) for c in (foreign, own))]
    run = comparison.model_copy(update={"claims": claims})
    assert "2 of 4 published claims about these models could be tested here" in " ".join(summary(run, main_table(run)))
    text = claims_section(run)
    assert "Absent is small" not in text
    assert "Small is small" in text
    assert "further" not in text
