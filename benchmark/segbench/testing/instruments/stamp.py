"""The record of a whole verification: ``instruments`` in ``run.json``, and in the user's cache folder."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence

from segbench.measure.environment import describe_environment
from segbench.measure.verification import instrument_identity, write_stamp
from segbench.results.publishing import machine_record
from segbench.results.records import VerificationRecord
from segbench.testing.check import CheckResult


def this_machine() -> dict[str, str]:
    """The machine, versions and code for which a stamp made here is valid."""
    environment = describe_environment()
    return instrument_identity(machine_record(environment, ""), environment.segbench)


def summarise(results: Sequence[CheckResult], *, seconds: float) -> VerificationRecord:
    """Time, number of results by verdict, and which checks failed; a skipped one was no check."""
    counts = Counter(result.verdict for result in results)
    return VerificationRecord(
        time=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        checks=len(results) - counts["skipped"],
        ok=counts["ok"],
        failed=counts["FAILED"],
        cannot_tell=counts["cannot tell"],
        skipped=counts["skipped"],
        failed_checks=list(dict.fromkeys(result.name for result in results if result.verdict == "FAILED")),
        seconds=round(seconds, 1),
    )


def save_stamp(outcome: VerificationRecord) -> VerificationRecord:
    """Write the stamp of a whole verification and return it. Raises :class:`OSError` where the cache folder cannot be written."""
    return write_stamp(this_machine(), outcome)
