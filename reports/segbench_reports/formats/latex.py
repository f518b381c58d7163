"""The LaTeX report: the tables that a paper takes, with the conventions of their numbers; a fragment to be ``\\input``."""

from __future__ import annotations

from collections.abc import Iterator

from segbench import ReportTarget, RunResult, metric, only_masks, slug
from segbench_reports.formats.latex_table import Head, tables
from segbench_reports.sections import deployment
from segbench_reports.text import numbers
from segbench_reports.text.escape import plain
from segbench_reports.text.latex import breakable, latex
from segbench_reports.view.cells import dataset_name, scored_splits
from segbench_reports.view.claims import claim_notes, claim_rows, claims_sentence
from segbench_reports.view.deployments import deployment_rows
from segbench_reports.view.main_table import MARKS_MEANING, Column, Row, Table, main_table
from segbench_reports.view.notes import protocol_line, table_notes
from segbench_reports.view.summary import conditions, unfinished_note

_NAME = 64
_CAPTION = 300
_REMARK = 600
_MOST_REMARKS = 8


def _head(name: str) -> Head:
    entry = metric(name)
    return Head(entry.change_title, entry.column_unit)


_FORMS = {
    0: Head("model", name=True),
    1: Head("form", name=True),
    2: Head("precision", name=True),
    3: _head("deployed_file_mb"),
    5: Head("drift", "largest"),
    6: Head("drift, mean", "% of deviation"),
    7: Head("labels agree", "%"),
    8: _head("miou"),
    9: Head("against eager", "points"),
    10: Head("within", "1 point"),
    11: _head("latency_ms"),
    12: Head("time against", "eager"),
    14: _head("inference_memory_mb"),
}
"""Columns of the table of deployed forms, by their place in :func:`segbench_reports.sections.deployment.row_texts`."""


def render(result: RunResult, target: ReportTarget) -> str:
    """The main table and, where there are any, the deployed forms and the tested claims."""
    table = main_table(result)
    parts = [_opening(result), *_main(result, table), *_forms(result), *_claims(result)]
    if len(parts) == 1:
        parts.append("% Nothing has been measured yet.")
    return "\n\n".join(parts) + "\n"


def _opening(result: RunResult) -> str:
    title = numbers.elided(_title(result), _CAPTION)
    lines = [
        f"{plain(title)}, measured by segbench {plain(result.environment.segbench or '')}".rstrip(),
        r"Put \usepackage{booktabs,graphicx} into the preamble and \input this file, or copy a table.",
    ]
    unfinished = unfinished_note(result)
    return "\n".join(f"% {line}" for line in [*lines, *([unfinished] if unfinished else [])])


def _title(result: RunResult) -> str:
    models = [numbers.elided(name, _NAME) for name in dict.fromkeys(cell.model for cell in result.cells)]
    subject = " against ".join(models) if 0 < len(models) < 3 else numbers.counted(len(models), "model")
    return f"{subject} on {numbers.elided(dataset_name(result), _NAME)}" if dataset_name(result) else subject


def _main(result: RunResult, table: Table) -> Iterator[str]:
    if not table.rows:
        return iter(())
    heads = [*(Head(axis, name=True) for axis in table.axes), *(Head(column.title, column.unit) for column in table.columns)]
    rows = [[*_labels(row, table), *(_figure(row, column, table) for column in table.columns)] for row in table.main]
    caption = f"{latex(_title(result))}{_scored(result)}."
    return tables(heads, rows, caption=caption, label=f"tab:{slug(_title(result), limit=40)}", notes=_notes(result, table))


def _labels(row: Row, table: Table) -> list[str]:
    texts = [breakable(latex(numbers.elided(row.labels[axis], _NAME) or numbers.NOT_MEASURED)) for axis in table.axes]
    return [texts[0] + (f" ({latex(row.cell.status)})" if row.cell.status != "ok" else ""), *texts[1:]]


def _figure(row: Row, column: Column, table: Table) -> str:
    text = latex(column.text(row.figures.get(column.key)))
    mark = table.mark(row, column)
    marked = rf"\textbf{{{text}}}" if mark == "best" else rf"\underline{{{text}}}" if mark == "second" else text
    interval = _interval(row, column)
    return rf"{marked} {{\tiny {latex(interval)}}}" if interval else marked


def _interval(row: Row, column: Column) -> str:
    """The 95 % interval where ± does not say it; of a score over seeds where the run has it, else over images."""
    figure, quality = row.figures.get(column.key), row.cell.quality
    if not column.is_share:
        bounds = column.interval_text(figure)
        return f"[{bounds.replace(' to ', ', ')}]" if bounds else ""
    if figure and figure.interval:
        interval = figure.interval
    elif column.key == "miou" and row.kind == "cell" and quality and quality.miou_ci95:
        interval = quality.miou_ci95
    else:
        return ""
    return f"[{numbers.percent(interval[0])}, {numbers.percent(interval[1])}]"


def _scored(result: RunResult) -> str:
    images = {cell.quality.images for cell in result.cells if cell.quality and cell.quality.images}
    splits = numbers.listed(scored_splits(result))
    counted = f", {numbers.counted(images.pop(), 'image')}" if len(images) == 1 else ""
    return f" ({latex(splits + counted)})" if splits else ""


def _notes(result: RunResult, table: Table) -> list[str]:
    """Conditions under which the numbers of the main table hold."""
    lines = [f"Bold: best of its column; {MARKS_MEANING}." if table.has_mark("best") else ""]
    lines.append("Underlined: second best, by the same rule." if table.has_mark("second") else "")
    lines += _bounds(table)
    lines += [column.metric.meaning for column in table.columns]
    remarks = table_notes(result, table, ratios=False)
    left = len(remarks) - _MOST_REMARKS
    more = f"{left} more remarks stand in the other reports" if left > 0 else ""
    lines += [*_counted_at(result), _protocol(result), *remarks[:_MOST_REMARKS], more, unfinished_note(result)]
    return [_remark(numbers.sentence(text)) for text in lines if text]


def _remark(text: str) -> str:
    """One remark; what it is about (bold in Markdown) is emphasised."""
    parts = numbers.elided(plain(text), _REMARK).split("**")
    return "".join(rf"\emph{{{latex(part)}}}" if place % 2 else _with_outer_blanks(part) for place, part in enumerate(parts))


def _with_outer_blanks(text: str) -> str:
    """Escaped text with the blanks at its ends."""
    return f"{' ' * text.startswith(' ')}{latex(text)}{' ' * (len(text) > 1 and text.endswith(' '))}"


def _bounds(table: Table) -> list[str]:
    miou = next((column for column in table.columns if column.key == "miou"), None)
    rows = [row for row in table.main if miou and _interval(row, miou)]
    lines = []
    if any(row.kind == "cell" for row in rows):
        whose = "these masks'" if only_masks(row.cell for row in rows) else "this checkpoint's"
        lines.append(f"In brackets: 95 % interval of {whose} mIoU over images like these, not over trainings.")
    if any(row.kind == "mean" for row in table.main):
        lines.append("± behind a score: standard deviation over seeds.")
    if any(row.kind == "mean" for row in rows):
        lines.append("In brackets behind a mean: 95 % interval of the mean over seeds (Student's t).")
    return lines


def _counted_at(result: RunResult) -> list[str]:
    shapes = {" and ".join("x".join(map(str, shape)) for shape in cell.input_shape) for cell in result.cells if cell.input_shape}
    return [f"Params and MACs were counted at {numbers.listed(sorted(shapes))} (batch, channels, height, width)."] if shapes else []


def _protocol(result: RunResult) -> str:
    line = protocol_line(result)
    return f"Protocol: {line.replace(' · ', ', ')}" if line else ""


def _forms(result: RunResult) -> Iterator[str]:
    forms = deployment_rows(result)
    if not forms:
        return iter(())
    rows = deployment.row_texts(forms)
    places = [place for place in _FORMS if any(row[place] for row in rows)]
    body = [[_cell(row[place], name=_FORMS[place].name) for place in places] for row in rows]
    under = numbers.listed(list(dict.fromkeys(conditions(form.latency) for form in forms if form.latency)))
    interval = " with its 95 % interval" if all(form.latency.ci95_ms for form in forms if form.latency) else ""
    timed = [f"**latency**: median of single calls{interval}, at {under}."] if under else []
    texts = [*deployment.condition_notes(forms), *timed, *(f"{cell_and_form}: {why}." for cell_and_form, why in _failed(rows))]
    notes = [_remark(text) for text in texts]
    label = f"tab:{slug(_title(result), limit=40)}-forms"
    return tables([_FORMS[place] for place in places], body, caption=latex(f"{_title(result)}, as deployed."), label=label, notes=notes)


def _claims(result: RunResult) -> Iterator[str]:
    rows = list(claim_rows(result))
    if not rows:
        return iter(())
    heads = [Head("claim", name=True), Head("claimed", name=True), Head("measured", name=True), Head("verdict", name=True)]
    body = [[latex(numbers.elided(text, _REMARK)) for text in (row.name, row.claimed, row.measured, row.words)] for row in rows]
    texts = [claims_sentence(result), *claim_notes(result)]
    label = f"tab:{slug(_title(result), limit=40)}-claims"
    return tables(heads, body, caption=latex(f"{_title(result)}: published claims."), label=label, notes=[_remark(text) for text in texts])


def _cell(text: str, *, name: bool) -> str:
    escaped = latex(numbers.elided(text, _NAME) or numbers.NOT_MEASURED)
    return breakable(escaped) if name else escaped


def _failed(rows: list[list[str]]) -> list[tuple[str, str]]:
    return [(f"{row[0]} as {row[1]}", row[-1]) for row in rows if row[-1]]
