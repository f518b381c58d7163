"""Whole reports, as a reader sees them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from segbench import ReportTarget, RunResult, with_claim_verdicts
from segbench_reports.formats import csv as csv_rows
from segbench_reports.formats import json as json_text
from segbench_reports.formats import markdown, terminal

Golden = Callable[[str, str], None]


def test_terminal_report(comparison: RunResult, target: ReportTarget, golden: Golden) -> None:
    golden("terminal.txt", terminal.render(comparison, target))


def test_markdown_report(comparison: RunResult, target: ReportTarget, golden: Golden) -> None:
    pytest.importorskip("altair")
    golden("report.md", markdown.render(comparison, target))


def test_csv_report(comparison: RunResult, target: ReportTarget, golden: Golden) -> None:
    golden("report.csv", csv_rows.render(comparison, target))


def test_json_report_is_the_result_itself(comparison: RunResult, target: ReportTarget) -> None:
    with_verdicts = comparison.model_copy(update={"claims": with_claim_verdicts(comparison.claims)})
    assert RunResult.model_validate_json(json_text.render(comparison, target)) == with_verdicts
