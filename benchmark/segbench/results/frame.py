"""A run's cells as rows of plain values: for pandas, for notebooks, for one line of text."""

from __future__ import annotations

import html
from typing import Any

from segbench.errors import ConfigError
from segbench.results.metrics import METRICS, Metric
from segbench.results.records import VIEWS, CellResult, RunResult
from segbench.util.sequences import counted

_FIRST = ("id", "model", "loss", "dataset", "recipe", "seed", "status")


def rows_of(result: RunResult) -> list[dict[str, Any]]:
    """One mapping for each cell: what it is, then each metric of the main table in its shown unit; None where it was not measured."""
    return [_row(cell) for cell in result.cells]


def frame_of(result: RunResult) -> Any:
    """The rows as a pandas data frame. Raises :class:`ConfigError` where pandas is not installed."""
    try:
        import pandas  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise ConfigError("to_frame needs pandas: pip install pandas. segbench's own table: [cell for cell in result.cells].") from None
    return pandas.DataFrame(rows_of(result))


def html_of(result: RunResult) -> str:
    """The rows as an HTML table, metrics that no cell has left out."""
    rows = rows_of(result)
    keys = [key for key in dict.fromkeys(key for row in rows for key in row) if key not in ("id", "recipe")]
    keys = [key for key in keys if any(row.get(key) is not None for row in rows)]
    titles = {metric.column_key: _heading(metric, result.task.headline or "") for metric in METRICS.columns}
    head = "".join(f"<th>{html.escape(titles.get(key, key))}</th>" for key in keys)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(_text(row.get(key)))}</td>" for key in keys) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def summary_of(result: RunResult) -> str:
    """The run in one line."""
    done = [cell for cell in result.cells if cell.status == "ok"]
    scored = [cell for cell in done if cell.quality is not None and cell.quality.miou is not None]
    scores = ", ".join(f"{cell.label} {100 * (cell.quality.miou or 0):.1f} % mIoU" for cell in scored[:3] if cell.quality)
    more = f" and {len(scored) - 3} more" if len(scored) > 3 else ""
    return f"<RunResult of {counted(len(result.cells), 'cell')}, {len(done)} ok{': ' if scores else ''}{scores}{more}>"


def _row(cell: CellResult) -> dict[str, Any]:
    row: dict[str, Any] = {key: getattr(cell, key) for key in _FIRST}
    row |= {f"setting {key}": value for key, value in cell.settings.items()}
    for metric in METRICS.columns:
        shown = metric.value(cell)
        row[metric.column_key] = None if shown is None else shown.value * metric.scale
    return row


def _heading(metric: Metric, headline: str) -> str:
    return f"{metric.heading(headline)} ({metric.unit})" if metric.unit else metric.heading(headline)


def _text(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


VIEWS.update(frame=frame_of, html=html_of, line=summary_of)
