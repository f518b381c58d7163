"""A static site over several runs: index, leaderboards and badges; each run's own report lies below it."""

from __future__ import annotations

from collections.abc import Mapping

from segbench import ReportTarget, RunResult


def build(runs: Mapping[str, RunResult], target: ReportTarget) -> None:
    """Write the pages over ``runs``, by their folders below ``target.directory / "runs"``; ``target.home`` is the site's address."""
    from segbench_reports.site.pages import write_pages

    write_pages(runs, target)
