"""The catalogue of report formats, each of which renders a run's result as text."""

from __future__ import annotations

from collections.abc import Iterable

from segbench import Reporter, hookimpl


@hookimpl
def segbench_reporters() -> Iterable[Reporter]:
    """The formats that come with segbench."""
    return [
        Reporter(
            name="terminal",
            summary="the comparison as a table on the screen",
            render="segbench_reports.formats.terminal:render",
            comparison="segbench_reports.comparison.terminal:render",
        ),
        Reporter(
            name="markdown",
            summary="the whole report as GitHub renders it, with charts beside it",
            render="segbench_reports.formats.markdown:render",
            comparison="segbench_reports.comparison.markdown:render",
            overview="segbench_reports.formats.overview:render",
            suffix="md",
        ),
        Reporter(
            name="html",
            summary="the whole report as one file that opens offline, with charts, pictures and a table that sorts",
            render="segbench_reports.html.page:render",
            suffix="html",
            site="segbench_reports.site:build",
            check="segbench_reports.html:check",
        ),
        Reporter(
            name="latex",
            summary="the tables that a paper takes, to be \\input: booktabs, best in bold, intervals, conventions",
            render="segbench_reports.formats.latex:render",
            suffix="tex",
        ),
        Reporter(
            name="csv",
            summary="one row per cell and deployed form, raw numbers, for spreadsheets and scripts",
            render="segbench_reports.formats.csv:render",
            suffix="csv",
            whole_names=True,
        ),
        Reporter(
            name="json",
            summary="everything that was measured, as in run.json",
            render="segbench_reports.formats.json:render",
            comparison="segbench_reports.comparison.json_text:render",
            suffix="json",
            whole_names=True,
        ),
    ]
