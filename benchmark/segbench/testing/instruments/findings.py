"""What a check says: something known beside what the instrument made of it, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "FAILED", "cannot tell", "skipped"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One row of the table. ``source`` says where the expected figure comes from, ``reason`` why a row is not simply ok."""

    subject: str
    expected: str
    measured: str
    verdict: Verdict
    reason: str = ""
    source: str = ""
    check: str = ""


def judged(passed: bool, *, subject: str, expected: str, measured: str, reason: str = "", source: str = "") -> Finding:
    """``ok`` or ``FAILED``; ``reason`` is kept where it failed.

    >>> judged(True, subject="2 + 2", expected="4", measured="4", reason="arithmetic broke").verdict
    'ok'
    """
    verdict: Verdict = "ok" if passed else "FAILED"
    reason = "" if passed else reason
    return Finding(subject=subject, expected=expected, measured=measured, verdict=verdict, reason=reason, source=source)


def skipped(subject: str, reason: str) -> Finding:
    """Nothing was measured, and why."""
    return Finding(subject=subject, expected="-", measured="-", verdict="skipped", reason=reason)
