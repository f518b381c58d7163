"""The Markdown report, as GitHub renders it: from the answer to the evidence."""

from __future__ import annotations

from segbench import ReportTarget, RunResult
from segbench_reports.sections import (
    ablation,
    claims,
    classes,
    comparisons,
    conventions,
    costs,
    deployment,
    environment,
    meaning,
    pictures,
    protocol,
    results,
    speed,
    training,
)
from segbench_reports.text import numbers
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import bullets
from segbench_reports.view.cells import dataset_name
from segbench_reports.view.failures import failures
from segbench_reports.view.main_table import main_table
from segbench_reports.view.notes import protocol_line
from segbench_reports.view.summary import summary, unfinished_note


def render(result: RunResult, target: ReportTarget) -> str:
    """The whole report; charts are written as SVG below ``target.directory``."""
    table = main_table(result)
    sections = {
        "Results": results.main(result, table),
        "Is the difference in quality shown?": comparisons.comparisons(result),
        "Ablation": ablation.ablation(result, target),
        "As they are deployed": deployment.deployment(result),
        "Speed": speed.speed(result, target),
        "Cells without a result": _failures(result),
        "Charts": pictures.drawings(result, target),
        "IoU per class": _with_unit(classes.per_class(result, table)),
        "The same predictions, scored otherwise": conventions.conventions(result, table, target),
        "Predictions": pictures.predictions(result, target, table),
        "Published claims": claims.claims(result),
        "Training": training.training(result, table),
        "Cost in detail": costs.costs(result),
        "Protocol": protocol.protocol(result),
        "What the numbers mean": meaning.meaning(table),
        "Environment": environment.environment(result),
        "Warnings": bullets(map(markdown, result.warnings)),
        "Repeat it": environment.reproduce(result),
    }
    parts = [*_opening(result, [markdown(sentence) for sentence in summary(result, table)])]
    parts += [f"## {heading}\n\n{text}" for heading, text in sections.items() if text]
    return "\n\n".join(parts) + "\n"


def _opening(result: RunResult, sentences: list[str]) -> list[str]:
    parts = [f"# {title(result)}"]
    line = protocol_line(result)
    if line:
        parts.append(f"<sub>{markdown(line)}</sub>")
    unfinished = unfinished_note(result)
    if unfinished:
        parts.append(f"> [!WARNING]\n> {markdown(unfinished)}")
    if sentences:
        parts.append(" ".join(sentences[:1]) if len(sentences) == 1 else bullets(sentences))
    return parts


def title(result: RunResult) -> str:
    """The models that were compared, and their dataset."""
    models = [markdown(name) for name in dict.fromkeys(cell.model for cell in result.cells)]
    subject = " against ".join(models) if 0 < len(models) < 3 else numbers.counted(len(models), "model")
    dataset = dataset_name(result)
    return f"{subject} on {markdown(dataset)}" if dataset else subject


def _with_unit(text: str) -> str:
    return f"In per cent, on the scored split; differences per class have no verdict.\n\n{text}" if text else ""


def _failures(result: RunResult) -> str:
    lines = []
    for failure in failures(result):
        advice = f" *What to do:* {markdown(failure.advice)}" if failure.advice else ""
        lines.append(f"**{markdown(failure.name)}** – {markdown(failure.what)}: {markdown(failure.message)}{advice}")
    return bullets(lines)
