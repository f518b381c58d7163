"""The stamp of ``segbench verify`` in words: the check of the instruments against known quantities on the run's machine."""

from __future__ import annotations

from segbench import RunResult
from segbench_reports.text import numbers

UNVERIFIED = "not verified on this machine: run 'segbench verify'"


def instruments(result: RunResult) -> str:
    """The verification of the instruments as a phrase that follows the word "instruments"."""
    verification = result.instruments
    if verification is None or not verification.keys():
        return UNVERIFIED
    time = (verification.time or "").replace("T", " ").removesuffix("+00:00")
    checks = numbers.counted(verification.checks or 0, "check")
    if verification.failed:
        return f"FAILED {verification.failed} of {checks} on this machine at {time} UTC: {', '.join(verification.failed_checks)}"
    undecided = f", {verification.cannot_tell} of which could not tell" if verification.cannot_tell else ""
    return f"verified on this machine at {time} UTC ({checks}{undecided})"
