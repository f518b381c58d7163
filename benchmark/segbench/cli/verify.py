"""``segbench verify``."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from segbench.results.records import VerificationRecord
    from segbench.testing.check import Check, CheckResult

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
    from segbench.testing.check import run_all

    start = time.perf_counter()
    results = run_all(checks, before=lambda check: click.echo(f"{check.name}: {check.summary} ..", err=True))
    outcome = _stored_outcome(results, seconds=time.perf_counter() - start, complete=not only)
    if as_json:
        findings = [_finding(result) for result in results]
        click.echo(json.dumps({**outcome.model_dump(mode="json"), "findings": findings}, indent=1))
    else:
        _print_results(results, outcome)
    return 1 if outcome.failed else 0


def _list_checks(checks: Sequence[Check[None]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([{"name": check.name, "summary": check.summary} for check in checks], indent=1))
        return
    width = max(len(check.name) for check in checks)
    for check in checks:
        click.echo(f"{check.name:<{width}}  {check.summary}")


def _stored_outcome(results: Sequence[CheckResult], *, seconds: float, complete: bool) -> VerificationRecord:
    """The summary; kept for reports where all checks were run."""
    from segbench.testing.instruments.stamp import save_stamp, summarise

    outcome = summarise(results, seconds=seconds)
    if not complete:
        return outcome
    try:
        return save_stamp(outcome)
    except OSError as error:
        click.echo(f"Warning: reports will not show this: the cache folder cannot be written ({error.strerror}).", err=True)
        return outcome


def _finding(result: CheckResult) -> dict[str, str]:
    """A result as it is printed as JSON."""
    return {
        "subject": result.subject,
        "expected": result.expected,
        "measured": result.measured,
        "verdict": result.verdict,
        "reason": result.message,
        "source": result.source,
        "check": result.name,
    }


def _print_results(results: Sequence[CheckResult], outcome: VerificationRecord) -> None:
    from segbench.cli.output import terminal

    console = terminal()
    console.print(_table(results))
    for result in results:
        if result.message and result.verdict != "skipped":
            text = f"{result.name}, {result.subject}: {result.message}."
            console.print(text, markup=False, highlight=False, style=_STYLES[result.verdict])
    console.print(_source_lines(results), markup=False, highlight=False, style="dim")
    console.print(_count_sentence(outcome), markup=False, highlight=False)


def _table(results: Sequence[CheckResult]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    for heading in ("check", "of", "expected", "measured"):
        table.add_column(heading, overflow="fold")
    table.add_column("verdict", no_wrap=True)
    before = ""
    for result in results:
        name, before = result.name if result.name != before else "", result.name
        measured = result.message if result.verdict == "skipped" else result.measured
        cells = [name, result.subject, result.expected, measured]
        table.add_row(*map(Text, cells), Text(result.verdict, style=_STYLES[result.verdict]))
    return table


def _source_lines(results: Sequence[CheckResult]) -> str:
    """Origin of the expected figures, a line per check."""
    sources: dict[str, dict[str, None]] = {}
    for result in results:
        if result.source:
            sources.setdefault(result.name, {})[result.source] = None
    return "\n".join(["Expected figures:", *(f"  {check}: {'; '.join(named)}" for check, named in sources.items())])


def _count_sentence(outcome: VerificationRecord) -> str:
    """Number of results by verdict.

    >>> from segbench.testing.instruments.stamp import summarise
    >>> _count_sentence(summarise([], seconds=2.0))
    '0 ok, 0 failed, 0 cannot tell, 0 skipped, in 2 s.'
    """
    counts = f"{outcome.ok} ok, {outcome.failed} failed, {outcome.cannot_tell} cannot tell, {outcome.skipped} skipped"
    return f"{counts}, in {outcome.seconds or 0.0:.0f} s."
