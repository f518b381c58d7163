"""What each number means, in a sentence."""

from __future__ import annotations

from segbench_reports.text.markdown import bullets
from segbench_reports.view.main_table import Table


def meaning(table: Table) -> str:
    """A list for the columns that are shown."""
    lines = [column.metric.meaning for column in table.columns if column.metric.meaning]
    return bullets([*lines, "**–**: not measured."]) if lines else ""
