"""The section that defines each column of the main table in a sentence."""

from __future__ import annotations

from segbench_reports.text.markdown import bullets
from segbench_reports.view.main_table import Table


def meaning(table: Table) -> str:
    """Definitions of the columns that the table has."""
    lines = [column.metric.meaning for column in table.columns if column.metric.meaning]
    return bullets([*lines, "**–**: not measured."]) if lines else ""
