"""A whole verification in a few words, as it stands in ``run.json`` under ``instruments`` and in the user's cache folder."""

from __future__ import annotations

import datetime
from typing import Any

from segbench.measure.environment import describe_environment
from segbench.measure.verification import instrument_identity, write_stamp
from segbench.results.publishing import machine_record
from segbench.testing.instruments.runner import Report


def this_machine() -> dict[str, str]:
    """What a stamp made here vouches for."""
    environment = describe_environment()
    return instrument_identity(machine_record(environment, ""), environment.segbench)


def summarise(report: Report) -> dict[str, Any]:
    """When, how many checks came out how, and which failed; a skipped one was no check."""
    return {
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "checks": len(report.findings) - report.count("skipped"),
        "ok": report.count("ok"),
        "failed": report.count("FAILED"),
        "cannot_tell": report.count("cannot tell"),
        "skipped": report.count("skipped"),
        "failed_checks": report.failed,
        "seconds": round(report.seconds, 1),
    }


def keep(report: Report) -> dict[str, Any]:
    """Write the stamp of a whole verification and return it. Raises :class:`OSError` where the cache folder cannot be written."""
    about, stamp = this_machine(), summarise(report)
    write_stamp(about, stamp)
    return {**stamp, **about}
