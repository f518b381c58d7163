"""Run checks one after the other, and keep their findings whatever happens in one of them."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from segbench.plugin.specs import resolve
from segbench.testing.instruments.checks import Check
from segbench.testing.instruments.findings import Finding, Verdict


@dataclass(frozen=True)
class Report:
    """Findings in the order of the checks, and how long it all took."""

    findings: tuple[Finding, ...]
    seconds: float

    def count(self, verdict: Verdict) -> int:
        """How many findings have this verdict."""
        return sum(finding.verdict == verdict for finding in self.findings)

    @property
    def failed(self) -> list[str]:
        """Which checks have a finding that failed, each once."""
        return list(dict.fromkeys(finding.check for finding in self.findings if finding.verdict == "FAILED"))


def run_checks(checks: Iterable[Check], *, before: Callable[[Check], None] = lambda check: None) -> Report:
    """Run ``checks``; ``before`` is told of each. A check that raises has failed: an instrument that crashes measures nothing."""
    start = time.perf_counter()
    findings: list[Finding] = []
    for check in checks:
        before(check)
        findings += _run(check)
    return Report(tuple(findings), time.perf_counter() - start)


def _run(check: Check) -> list[Finding]:
    found: list[Finding] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries that are measured against; what matters is a finding
            found += resolve(check.run)()
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": ")
        found.append(Finding(subject=check.summary, expected="a figure", measured="an error", verdict="FAILED", reason=reason))
    return [dataclasses.replace(finding, check=check.name) for finding in found]
