"""The sections with charts and predictions: files beside the report, and links to them."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from segbench import CellResult, ReportTarget, RunResult
from segbench_reports.charts import charts
from segbench_reports.text.escape import link_target, markdown
from segbench_reports.view.cells import cell_name
from segbench_reports.view.main_table import Table

_MOST_SAMPLES = 4
_DRAWINGS = {
    "miou-against-cost": ("Score against cost", charts.cost_caption, charts.miou_against_cost),
    "learning-curves": ("Learning curves", charts.curves_caption, charts.learning_curves),
}


def drawings(result: RunResult, target: ReportTarget) -> str:
    """Write the charts as SVG below ``target.directory`` and show them; without the extra ``report`` say which command installs it."""
    if not any(cell.quality or (cell.training and cell.training.history) for cell in result.cells):
        return ""
    if not charts.available():
        return f"Charts are drawn where Altair is installed: `{charts.INSTALL}`, then `segbench report RUN_DIR --format markdown`."
    parts = []
    target.directory.mkdir(parents=True, exist_ok=True)
    for name, (title, describe, draw) in _DRAWINGS.items():
        chart = draw(result)
        if chart is not None:
            caption = describe(result)
            chart.save(str(target.directory / f"{name}.svg"))
            parts.append(f"### {title}\n\n![{caption}]({name}.svg)\n\n<sub>{caption}.</sub>")
    return "\n\n".join(parts)


def predictions(result: RunResult, target: ReportTarget, table: Table) -> str:
    """Pictures of the first few samples, each as all cells segment it."""
    by_sample: dict[str, list[tuple[CellResult, str]]] = {}
    for cell in result.cells:
        for path in cell.artifacts.predictions:
            link = _link(path, target)
            if link:
                by_sample.setdefault(PurePosixPath(path).stem, []).append((cell, link))
    return "\n\n".join(_sample(name, pictures, table) for name, pictures in list(by_sample.items())[:_MOST_SAMPLES])


def _sample(name: str, pictures: list[tuple[CellResult, str]], table: Table) -> str:
    lines = [f"**Sample {markdown(name)}**"]
    for cell, link in pictures:
        label = markdown(cell_name(cell, table.axes))
        lines.append(f"{label}\n\n![{label} on {markdown(name)}]({link})")
    return "\n\n".join(lines)


def _link(path: str, target: ReportTarget) -> str | None:
    """A link from the report to a file of the run; None where the file is missing or outside the run."""
    parts = PurePosixPath(path.replace("\\", "/"))
    if target.run_directory is None or parts.is_absolute() or ".." in parts.parts:
        return None
    file = target.run_directory / Path(*parts.parts)
    try:
        if not file.is_file():
            return None
    except (OSError, ValueError):  # no system would take such a name
        return None
    return link_target(Path(os.path.relpath(file, target.directory)).as_posix())
