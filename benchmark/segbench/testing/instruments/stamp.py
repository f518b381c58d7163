"""The record of a whole verification: ``instruments`` in ``run.json``, and in the user's cache folder."""

from __future__ import annotations

import datetime

from segbench.measure.environment import describe_environment
from segbench.measure.verification import instrument_identity, write_stamp
from segbench.results.publishing import machine_record
from segbench.results.records import VerificationRecord
from segbench.testing.instruments.runner import Report


def this_machine() -> dict[str, str]:
    """The machine, versions and code that a stamp made here vouches for."""
    environment = describe_environment()
    return instrument_identity(machine_record(environment, ""), environment.segbench)


def summarise(report: Report) -> VerificationRecord:
    """Time, number of checks by verdict, and which failed; a skipped one was no check."""
    return VerificationRecord(
        time=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        checks=len(report.findings) - report.count("skipped"),
        ok=report.count("ok"),
        failed=report.count("FAILED"),
        cannot_tell=report.count("cannot tell"),
        skipped=report.count("skipped"),
        failed_checks=report.failed,
        seconds=round(report.seconds, 1),
    )


def keep(report: Report) -> VerificationRecord:
    """Write the stamp of a whole verification and return it. Raises :class:`OSError` where the cache folder cannot be written."""
    return write_stamp(this_machine(), summarise(report))
