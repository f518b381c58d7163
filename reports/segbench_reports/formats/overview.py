"""Several runs in one Markdown document: of each the answer and its tables, and a link to its whole report."""

from __future__ import annotations

import re
from collections.abc import Mapping

from segbench import ReportTarget, RunResult
from segbench_reports.formats.markdown import title
from segbench_reports.sections import ablation, claims, deployment, environment, results, several_runs
from segbench_reports.text import numbers
from segbench_reports.text.escape import link_target, markdown
from segbench_reports.text.markdown import bullets
from segbench_reports.view.main_table import main_table
from segbench_reports.view.notes import protocol_line
from segbench_reports.view.summary import summary, unfinished_note


def render(runs: Mapping[str, RunResult], target: ReportTarget) -> str:
    """``runs`` by the name of the folder below ``target.directory`` that each one's own report stands in."""
    models = numbers.counted(len({cell.model for run in runs.values() for cell in run.cells}), "model")
    parts = [f"# {models} in {numbers.counted(len(runs), 'run')}", bullets(_entry(name, run) for name, run in runs.items())]
    together = {
        "Across datasets": several_runs.datasets(runs.values()),
        "Over folds": several_runs.folds(runs.values()),
        "Nothing learned": several_runs.collapsed(runs),
        "Not compared": several_runs.quick_tries(runs.values()),
    }
    parts += [f"## {heading}\n\n{text}" for heading, text in together.items() if text]
    parts += [_run(name, run, target) for name, run in several_runs.by_folder(runs)]
    return "\n\n".join(parts) + "\n"


def _entry(name: str, run: RunResult) -> str:
    return f"{_title(run)}: [whole report]({link_target(f'{name}/report.md')})"


def _title(run: RunResult) -> str:
    fold = next((cell.fold for cell in run.cells if cell.fold), None)
    return f"{title(run)}{f', fold {fold}'.replace('/', ' of ') if fold else ''}"


def _run(name: str, run: RunResult, target: ReportTarget) -> str:
    table = main_table(run)
    line, unfinished = protocol_line(run), unfinished_note(run)
    beside = ReportTarget(target.directory / name, None, target.width, target.color)
    sections = {
        "Results": results.main(run, table),
        "Ablation": _below(name, ablation.ablation(run, beside)),
        "As they are deployed": deployment.deployment(run),
        "Published claims": claims.claims(run),
        "Environment": environment.environment(run),
        "Repeat it": environment.reproduce(run),
    }
    parts = [f"## {_title(run)}", f"<sub>{markdown(line)}</sub>" if line else ""]
    parts += [f"> [!WARNING]\n> {markdown(unfinished)}" if unfinished else "", bullets(map(markdown, summary(run, table)))]
    parts += [f"### {heading}\n\n{text}" for heading, text in sections.items() if text]
    return "\n\n".join(part for part in parts if part)


def _below(folder: str, text: str) -> str:
    """A section's text with the pictures that it links to looked for in a folder."""
    return re.sub(r"(!\[[^\]]*\]\()", lambda match: f"{match[1]}{link_target(folder)}/", text)
