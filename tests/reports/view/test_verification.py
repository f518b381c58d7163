"""The verification of the instruments in reports."""

from __future__ import annotations

from typing import Any

import pytest

from segbench import RunResult
from segbench_reports.view.verification import instruments

STAMP = {"time": "2026-01-02T03:04:05+00:00", "checks": 60, "ok": 60, "failed": 0, "cannot_tell": 0, "failed_checks": []}


@pytest.mark.parametrize(
    ("stamp", "said"),
    [
        (None, "not verified on this machine: run 'segbench verify'"),
        ({}, "not verified on this machine: run 'segbench verify'"),
        (STAMP, "verified on this machine at 2026-01-02 03:04:05 UTC (60 checks)"),
        (
            {**STAMP, "ok": 59, "cannot_tell": 1},
            "verified on this machine at 2026-01-02 03:04:05 UTC (60 checks, 1 of which could not tell)",
        ),
        (
            {**STAMP, "ok": 57, "failed": 3, "failed_checks": ["memory", "losses"]},
            "FAILED 3 of 60 checks on this machine at 2026-01-02 03:04:05 UTC: memory, losses",
        ),
    ],
)
def test_the_stamp_is_told_in_words(stamp: dict[str, Any] | None, said: str) -> None:
    assert instruments(RunResult(instruments=stamp)) == said
