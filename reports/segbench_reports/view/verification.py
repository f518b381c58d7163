"""The stamp of ``segbench verify`` in words: the check of the instruments against known quantities on the run's machine."""

from __future__ import annotations

from segbench import RunResult
from segbench_reports.text import numbers

UNVERIFIED = "not verified on this machine: run 'segbench verify'"


def instruments(result: RunResult) -> str:
    """The verification of the instruments as a phrase that follows the word "instruments"."""
    stamp = result.instruments
    if not stamp:
        return UNVERIFIED
    when = str(stamp.get("time", "")).replace("T", " ").removesuffix("+00:00")
    checks = _count(stamp.get("checks"))
    failed = _count(stamp.get("failed"))
    if failed:
        names = ", ".join(map(str, stamp.get("failed_checks") or []))
        return f"FAILED {failed} of {numbers.counted(checks, 'check')} on this machine at {when} UTC: {names}"
    undecided = _count(stamp.get("cannot_tell"))
    but = f", {undecided} of which could not tell" if undecided else ""
    return f"verified on this machine at {when} UTC ({numbers.counted(checks, 'check')}{but})"


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
