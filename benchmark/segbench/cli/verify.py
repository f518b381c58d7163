"""``segbench verify``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from segbench.results.records import VerificationRecord
    from segbench.testing.instruments.checks import Check
    from segbench.testing.instruments.findings import Finding
    from segbench.testing.instruments.runner import Report

_STYLES = {"ok": "green", "FAILED": "bold red", "cannot tell": "yellow", "skipped": "dim"}


@click.command(name="verify", short_help="Hold the instruments against known quantities on this machine.")
@click.option("--only", metavar="NAME,..", help="Only these checks; the stamp in reports needs all of them.")
@click.option("--list", "list_only", is_flag=True, help="List the checks and run none.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else on stdout.")
def command(only: str | None, list_only: bool, as_json: bool) -> int:
    """Calibrate this machine's instruments: counts, IoU, timers and memory meter against known quantities. Needs no network.

    Exit 0 where nothing failed, 1 where something did. `cannot tell` is a machine too busy to say. Reports carry the result.
    """
    from segbench.testing.instruments.checks import choose

    checks = choose([name.strip() for name in only.split(",") if name.strip()] if only else [])
    if list_only:
        _list_checks(checks, as_json=as_json)
        return 0
    from segbench.util.compat import require_torch

    require_torch()
    from segbench.testing.instruments.runner import run_checks

    report = run_checks(checks, before=lambda check: click.echo(f"{check.name}: {check.summary} ..", err=True))
    stamp = _keep_stamp(report, complete=not only)
    if as_json:
        findings = [dataclasses.asdict(finding) for finding in report.findings]
        click.echo(json.dumps({**stamp.model_dump(mode="json"), "findings": findings}, indent=1))
    else:
        _print_report(report)
    return 1 if report.failed else 0


def _list_checks(checks: Sequence[Check], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([{"name": check.name, "summary": check.summary} for check in checks], indent=1))
        return
    width = max(len(check.name) for check in checks)
    for check in checks:
        click.echo(f"{check.name:<{width}}  {check.summary}")


def _keep_stamp(report: Report, *, complete: bool) -> VerificationRecord:
    """The summary of a report, stored for later reports of runs where all checks were run."""
    from segbench.testing.instruments.stamp import keep, summarise

    if not complete:
        return summarise(report)
    try:
        return keep(report)
    except OSError as error:
        click.echo(f"Warning: reports will not show this: the cache folder cannot be written ({error.strerror}).", err=True)
        return summarise(report)


def _print_report(report: Report) -> None:
    from segbench.cli.output import terminal

    console = terminal()
    console.print(_table(report.findings))
    for finding in report.findings:
        if finding.reason and finding.verdict != "skipped":
            console.print(
                f"{finding.check}, {finding.subject}: {finding.reason}.", markup=False, highlight=False, style=_STYLES[finding.verdict]
            )
    console.print(_source_lines(report.findings), markup=False, highlight=False, style="dim")
    console.print(_count_sentence(report), markup=False, highlight=False)


def _table(findings: Sequence[Finding]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    for heading in ("check", "of", "expected", "measured"):
        table.add_column(heading, overflow="fold")
    table.add_column("verdict", no_wrap=True)
    before = ""
    for finding in findings:
        name, before = finding.check if finding.check != before else "", finding.check
        measured = f"{finding.reason}" if finding.verdict == "skipped" else finding.measured
        cells = [name, finding.subject, finding.expected, measured]
        table.add_row(*map(Text, cells), Text(finding.verdict, style=_STYLES[finding.verdict]))
    return table


def _source_lines(findings: Sequence[Finding]) -> str:
    """The sources of the expected figures, a line per check."""
    sources_by_check: dict[str, dict[str, None]] = {}
    for finding in findings:
        if finding.source:
            sources_by_check.setdefault(finding.check, {})[finding.source] = None
    return "\n".join(["Expected figures:", *(f"  {check}: {'; '.join(sources)}" for check, sources in sources_by_check.items())])


def _count_sentence(report: Report) -> str:
    """The number of checks by verdict, as a sentence.

    >>> from segbench.testing.instruments.runner import Report
    >>> _count_sentence(Report((), 2.0))
    '0 ok, 0 failed, 0 cannot tell, 0 skipped, in 2 s.'
    """
    counts = [
        f"{report.count('ok')} ok",
        f"{report.count('FAILED')} failed",
        f"{report.count('cannot tell')} cannot tell",
        f"{report.count('skipped')} skipped",
    ]
    return f"{', '.join(counts)}, in {report.seconds:.0f} s."
