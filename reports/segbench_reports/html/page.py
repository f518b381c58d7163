"""The page of one run: collects its contents from the result and renders the template."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench import ReportTarget, RunResult, SegbenchError
from segbench_reports.html import check, confusion, detail_charts, main_table, pareto
from segbench_reports.html.chart import Drawing, theme
from segbench_reports.html.class_table import ClassTable, class_table
from segbench_reports.html.embed import chart_library, printable, script_hash, script_json
from segbench_reports.html.gallery import Gallery, gallery
from segbench_reports.html.sections import section_html
from segbench_reports.html.templating import STATIC, TEMPLATES, code, style, templates
from segbench_reports.sections import (
    ablation,
    claims,
    comparisons,
    conventions,
    costs,
    deployment,
    environment,
    meaning,
    protocol,
    speed,
    training,
)
from segbench_reports.text import numbers
from segbench_reports.text.latex import SIGNS
from segbench_reports.view.cells import dataset_name
from segbench_reports.view.failures import Failure, failures
from segbench_reports.view.main_table import MARKS_MEANING, Table
from segbench_reports.view.main_table import main_table as make_table
from segbench_reports.view.notes import protocol_line, table_notes
from segbench_reports.view.summary import summary, unfinished_note
from segbench_reports.view.verification import instruments

_SCRIPTS = ("core.js", "table.js", "heat.js", "charts.js", "gallery.js", "start.js")

_SHORT = {
    "comparisons": "Verdicts",
    "deployment": "Deployment",
    "conventions": "Scores",
    "claims": "Claims",
    "costs": "Counts",
    "meaning": "Meaning",
}
"""Short titles of sections for the navigation bar."""


@dataclass(frozen=True)
class Section:
    """A section of text: ``html`` is escaped already, ``drawings`` stand above it."""

    key: str
    title: str
    html: str
    drawings: Sequence[Drawing] = ()
    short: str = ""


def render(result: RunResult, target: ReportTarget) -> str:
    """The whole report in one file; pictures of the run's directory become part of it."""
    missing = check()
    if missing:
        raise SegbenchError(missing[0])
    script = code(*(STATIC / name for name in _SCRIPTS))
    library = chart_library()
    table = make_table(result)
    view = _view(result, table, target.run_directory)
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'; "
        f"script-src {script_hash(library)} {script_hash(script)} 'unsafe-eval'"
    )
    page = templates(TEMPLATES).get_template("page.html.j2")
    return page.render(**view, policy=policy, scripts=(library, script), style=style(STATIC / "style.css"), home=target.home)


def _view(result: RunResult, table: Table, run_directory: Path | None) -> dict[str, Any]:
    pictures = gallery(result, run_directory)
    charts = _charts(result, table, run_directory)
    classes = class_table(result, table)
    drawings = [drawing for group in charts.values() for drawing in group]
    repeat_words, command = environment.repetition(result)
    return {
        "title": _title(result),
        "line": printable(protocol_line(result)),
        "unfinished": unfinished_note(result),
        "answer": [printable(sentence) for sentence in summary(result, table)],
        "winners": main_table.winners(table),
        "marks_meaning": MARKS_MEANING,
        "facts": _facts(result),
        "axes": table.axes,
        "headings": main_table.headings(table),
        "lines": main_table.lines(table),
        "reference": None if table.reference is None else next(i for i, row in enumerate(table.rows) if row is table.reference),
        "notes": [printable(note) for note in table_notes(result, table)],
        "failures": _failures(result),
        "charts": charts,
        "classes": classes,
        "gallery": pictures,
        "pictures_promised": any(cell.artifacts.predictions for cell in result.cells),
        "sections": [section for section in _sections(result, table, charts) if section.html or section.drawings],
        "repeat_words": repeat_words,
        "command": command,
        "warnings": [printable(warning) for warning in result.warnings],
        "versions": _versions(result),
        "data": _data(result, table, classes, drawings),
    }


def _charts(result: RunResult, table: Table, run_directory: Path | None) -> dict[str, list[Drawing]]:
    from altair.utils.schemapi import debug_mode

    with debug_mode(False):  # definitions are ours and tested: checking each part against the schema took half of the time
        return _charts_by_section(result, table, run_directory)


def _charts_by_section(result: RunResult, table: Table, run_directory: Path | None) -> dict[str, list[Drawing]]:
    return {
        "front": _as_list(pareto.front(result, table)),
        "curves": detail_charts.learning_curves(result),
        "confusion": _as_list(confusion.confusion(result, run_directory)),
        "reliability": detail_charts.reliability(result),
        "latency": _as_list(detail_charts.latency_distributions(result)),
        "parts": detail_charts.cost_by_part(result),
        "sizes": detail_charts.cost_by_size(result),
        "ablation": detail_charts.ablation_steps(result),
    }


def _as_list(drawing: Drawing | None) -> list[Drawing]:
    return [drawing] if drawing else []


def _sections(result: RunResult, table: Table, charts: Mapping[str, Sequence[Drawing]]) -> Iterable[Section]:
    """The sections that the page shares with the Markdown report."""
    texts = {
        "comparisons": ("Is the difference in quality shown?", comparisons.comparisons(result)),
        "ablation": ("Ablation", ablation.ablation(result, None)),
        "deployment": ("As they are deployed", deployment.deployment(result)),
        "speed": ("Speed", speed.speed(result, None)),
        "conventions": ("The same predictions, scored otherwise", conventions.conventions(result, table)),
        "claims": ("Published claims", claims.claims(result)),
        "training": ("Training", training.training(result, table)),
        "costs": ("Cost in detail", costs.costs(result)),
        "protocol": ("Protocol", protocol.protocol(result)),
        "meaning": ("What the numbers mean", meaning.meaning(table)),
        "environment": ("Environment", environment.environment(result)),
    }
    for key, (title, text) in texts.items():
        yield Section(key, title, section_html(text, title) if text else "", charts.get(key, ()), _SHORT.get(key, ""))


def _title(result: RunResult) -> str:
    models = [printable(name, 60) for name in dict.fromkeys(cell.model for cell in result.cells)]
    subject = " against ".join(models) if 0 < len(models) < 3 else numbers.counted(len(models), "model")
    dataset = dataset_name(result)
    return f"{subject} on {printable(dataset, 60)}" if dataset else subject


def _facts(result: RunResult) -> list[tuple[str, str]]:
    """Number of cells, machine, date and verification of the instruments."""
    finished = sum(cell.status == "ok" for cell in result.cells)
    env = result.environment
    cells = f"{finished} of {len(result.cells)} done" if finished < len(result.cells) else str(finished)
    machine = ", ".join(env.gpu) or env.cpu or ""
    facts = {"cells": cells, "machine": machine, "measured": (env.started or "")[:16].replace("T", " "), "instruments": instruments(result)}
    return [(key, printable(value, 80)) for key, value in facts.items() if value]


def _failures(result: RunResult) -> list[Failure]:
    return [Failure(printable(f.name, 80), printable(f.what), printable(f.message), printable(f.advice)) for f in failures(result)]


def _versions(result: RunResult) -> str:
    env = result.environment
    torch = env.packages.get("torch")
    parts = [
        f"segbench {env.segbench}" if env.segbench else "",
        f"torch {torch}" if torch else "",
        f"Python {env.python}" if env.python else "",
    ]
    return printable(", ".join(part for part in parts if part))


def _data(result: RunResult, table: Table, classes: ClassTable | None, drawings: Sequence[Drawing]) -> str:
    return script_json(
        {
            "table": main_table.table_data(result, table),
            "classes": None if classes is None else classes.numbers,
            "theme": theme(),
            "latex": SIGNS,
            "charts": {d.key: {"spec": d.spec, "data": d.data, "extra": d.extra} for d in drawings},
        }
    )


__all__ = ["Gallery", "Section", "render"]
