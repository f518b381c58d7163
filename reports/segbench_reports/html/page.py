"""The page: everything that it shows is gathered here, then put into the templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench import ReportTarget, RunResult, SegbenchError
from segbench_reports.html import check, main_table
from segbench_reports.html import confusion as matrices
from segbench_reports.html import detail_charts as details
from segbench_reports.html import pareto as front
from segbench_reports.html.chart import Drawing, theme
from segbench_reports.html.class_table import ClassTable, class_table
from segbench_reports.html.embed import chart_library, script_hash, script_json, shown
from segbench_reports.html.gallery import Gallery, gallery
from segbench_reports.html.sections import prose
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
from segbench_reports.view.main_table import Table
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
"""What a section is called where there is little room."""


@dataclass(frozen=True)
class Section:
    """A part of the page that is text: ``html`` is safe, ``drawings`` stand above it."""

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
    drawn = [drawing for group in charts.values() for drawing in group]
    return {
        "title": _title(result),
        "line": shown(protocol_line(result)),
        "unfinished": unfinished_note(result),
        "answer": [shown(sentence) for sentence in summary(result, table)],
        "winners": main_table.winners(table),
        "facts": _facts(result),
        "axes": table.axes,
        "headings": main_table.headings(table),
        "lines": main_table.lines(table),
        "reference": None if table.reference is None else next(i for i, row in enumerate(table.rows) if row is table.reference),
        "notes": [shown(note) for note in table_notes(result, table)],
        "failures": _failures(result),
        "charts": charts,
        "classes": classes,
        "gallery": pictures,
        "pictures_promised": any(cell.artifacts.predictions for cell in result.cells),
        "sections": [section for section in _sections(result, table, charts) if section.html or section.drawings],
        "command": result.command or "segbench run --config config.toml",
        "warnings": [shown(warning) for warning in result.warnings],
        "versions": _versions(result),
        "data": _data(result, table, classes, drawn),
    }


def _charts(result: RunResult, table: Table, run_directory: Path | None) -> dict[str, list[Drawing]]:
    from altair.utils.schemapi import debug_mode

    with debug_mode(False):  # definitions are ours and tested: checking each part against the schema took half of the time
        return _drawn(result, table, run_directory)


def _drawn(result: RunResult, table: Table, run_directory: Path | None) -> dict[str, list[Drawing]]:
    return {
        "front": _some(front.front(result, table)),
        "curves": details.learning_curves(result),
        "confusion": _some(matrices.confusion(result, run_directory)),
        "reliability": details.reliability(result),
        "latency": _some(details.latency_distributions(result)),
        "parts": details.cost_by_part(result),
        "sizes": details.cost_by_size(result),
        "ablation": details.ablation_steps(result),
    }


def _some(drawing: Drawing | None) -> list[Drawing]:
    return [drawing] if drawing else []


def _sections(result: RunResult, table: Table, charts: Mapping[str, Sequence[Drawing]]) -> Iterable[Section]:
    """What the Markdown report says as well, in its words."""
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
        yield Section(key, title, prose(text, title) if text else "", charts.get(key, ()), _SHORT.get(key, ""))


def _title(result: RunResult) -> str:
    models = [shown(name, 60) for name in dict.fromkeys(cell.model for cell in result.cells)]
    subject = " against ".join(models) if 0 < len(models) < 3 else numbers.counted(len(models), "model")
    dataset = dataset_name(result)
    return f"{subject} on {shown(dataset, 60)}" if dataset else subject


def _facts(result: RunResult) -> list[tuple[str, str]]:
    """The run in a few words."""
    done = sum(cell.status == "ok" for cell in result.cells)
    env = result.environment
    cells = f"{done} of {len(result.cells)} done" if done < len(result.cells) else str(done)
    machine = ", ".join(env.gpu) or env.cpu or ""
    facts = {"cells": cells, "machine": machine, "measured": (env.started or "")[:16].replace("T", " "), "instruments": instruments(result)}
    return [(key, shown(value, 80)) for key, value in facts.items() if value]


def _failures(result: RunResult) -> list[Failure]:
    return [Failure(shown(f.name, 80), shown(f.what), shown(f.message), shown(f.advice)) for f in failures(result)]


def _versions(result: RunResult) -> str:
    env = result.environment
    torch = env.packages.get("torch")
    parts = [
        f"segbench {env.segbench}" if env.segbench else "",
        f"torch {torch}" if torch else "",
        f"Python {env.python}" if env.python else "",
    ]
    return shown(", ".join(part for part in parts if part))


def _data(result: RunResult, table: Table, classes: ClassTable | None, drawn: Sequence[Drawing]) -> str:
    return script_json(
        {
            "table": main_table.table_data(result, table),
            "classes": None if classes is None else classes.numbers,
            "theme": theme(),
            "latex": SIGNS,
            "charts": {d.key: {"spec": d.spec, "data": d.data, "extra": d.extra} for d in drawn},
        }
    )


__all__ = ["Gallery", "Section", "render"]
