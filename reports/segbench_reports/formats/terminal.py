"""The terminal report: table, summary, failures and judged claims, at the width of the screen."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from segbench import ReportTarget, RunResult
from segbench_reports.sections.ablation import plain_rows
from segbench_reports.sections.deployment import SHORT, row_texts
from segbench_reports.text import numbers
from segbench_reports.text.escape import plain
from segbench_reports.view.ablation import measured_ablations
from segbench_reports.view.cells import dataset_name, scored_splits, variant
from segbench_reports.view.claims import claim_notes, claim_rows, untested_claims
from segbench_reports.view.deployment_sentences import sentences
from segbench_reports.view.deployments import deployment_rows
from segbench_reports.view.failures import failures
from segbench_reports.view.main_table import MARKS_MEANING, Column, Row, Table, main_table
from segbench_reports.view.notes import protocol_line, table_notes
from segbench_reports.view.summary import summary, unfinished_note
from segbench_reports.view.verification import instruments

_GAP = 3
_SHORTEST_NAME = 18


def render(result: RunResult, target: ReportTarget) -> str:
    """The report as text of at most ``target.width`` columns, with escape codes only where ``target.color``."""
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=target.width,
        force_terminal=target.color,
        color_system="standard" if target.color else None,
        no_color=not target.color,
        highlight=False,
        emoji=False,
        markup=False,
        legacy_windows=False,
        _environ={},
    )
    for block in _blocks(result, target):
        console.print(block)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _blocks(result: RunResult, target: ReportTarget) -> Iterable[RenderableType]:
    table = main_table(result)
    yield _title(result)
    unfinished = unfinished_note(result)
    if unfinished:
        yield Text(unfinished, style="bold yellow")
    if table.rows:
        columns = _fitting(table, target.width)
        hidden = [column.title for column in table.columns if column not in columns]
        yield _grid(table, columns, target)
        yield _paragraphs(_notes(result, table, hidden, color=target.color), style="dim")
        yield Text()
    yield _paragraphs(map(plain, summary(result, table)))
    yield from _deployed(result)
    yield from _ablation(result)
    yield from _failures(result)
    yield from _claims(result)


def _title(result: RunResult) -> Text:
    splits = numbers.listed(scored_splits(result))
    name = plain(dataset_name(result) or _untrained_title(result)) + (f", scored on {splits}" if splits else "")
    title = Text(name, style="bold")
    protocol = plain(protocol_line(result))
    return title.append(f"\n{protocol}", style="not bold dim") if protocol else title


def _untrained_title(result: RunResult) -> str:
    classes = result.task.num_classes
    inputs = ", ".join(f"{name} of {numbers.counted(channels, 'channel')}" for name, channels in result.task.inputs.items())
    return "Profile of deployed models" + (f": {inputs}, {classes} classes" if classes and inputs else "")


def _paragraphs(lines: Iterable[str], style: str = "") -> RenderableType:
    return Group(*(Text(line, style=style) for line in lines))


def _notes(result: RunResult, table: Table, hidden: Sequence[str], *, color: bool) -> list[str]:
    notes = [f"{'Bold' if color else '*'}: best of its column; {MARKS_MEANING}."] if table.has_mark("best") else []
    notes += [plain(note) for note in table_notes(result, table)]
    notes.append(plain(f"Instruments {instruments(result)}."))
    if table.single_seeds:
        notes.append("Each seed by itself is in the Markdown and CSV reports.")
    if hidden:
        notes.append(f"Not shown at this width: {numbers.listed(hidden)}.")
    return notes


def _fitting(table: Table, width: int) -> list[Column]:
    """Columns that fit beside the names: the least important go first, numbers are never broken."""
    columns = list(table.columns)
    while len(columns) > 1 and _name_width(table, width) + sum(_width(column, table) + _GAP for column in columns) > width:
        columns.remove(max(columns, key=lambda column: column.layout.priority))
    return columns


def _name_width(table: Table, width: int) -> int:
    longest = max(cell_len(line) for row in table.main for line in _label(row, table).plain.splitlines())
    return min(max(longest, len("model")), max(_SHORTEST_NAME, width // 4))


def _width(column: Column, table: Table) -> int:
    texts = [_figure(row, column, table, color=False).plain for row in table.main]
    return max(cell_len(line) for text in [_heading(column), *texts] for line in text.splitlines())


def _heading(column: Column) -> str:
    batch = column.unit.rpartition(" ")[2]
    unit = column.layout.narrow_unit.format(batch=batch) or column.unit.removesuffix(" classes")
    return f"{plain(column.layout.narrow_title or column.title)}\n{unit}"


def _grid(table: Table, columns: Sequence[Column], target: ReportTarget) -> Grid:
    grid = Grid(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), header_style="bold")
    grid.add_column("model", overflow="fold", min_width=_name_width(table, target.width))
    for column in columns:
        grid.add_column(Text(_heading(column), justify="right"), justify="right", no_wrap=True)
    for row in table.main:
        grid.add_row(_label(row, table), *(_figure(row, column, table, color=target.color) for column in columns))
    return grid


def _label(row: Row, table: Table) -> Text:
    """The model, and below it what tells this row from others of the model."""
    label = Text(plain(row.cell.model), style="bold" if row.kind == "mean" else "")
    extra = variant(row.cell, [axis for axis in table.axes if axis != "seed"])
    seed = row.labels.get("seed", "")
    parts = [extra, (seed if row.kind == "mean" else f"seed {seed}") if seed else ""]
    if row.cell.status != "ok":
        parts.append(row.cell.status)
    second = plain(", ".join(part for part in parts if part))
    return label.append(f"\n{second}", style="not bold dim") if second else label


def _figure(row: Row, column: Column, table: Table, *, color: bool) -> Text:
    """The figure, starred where best and colours cannot say it; its interval and the ratio below."""
    figure, best = row.figures.get(column.key), table.mark(row, column) == "best"
    text = Text(column.text(figure), style="bold green" if best else "")
    starred = not color and any(table.mark(other, column) == "best" for other in table.main)
    if starred:
        text.append("*" if best else " ")
    for below in (column.interval_text(figure), table.relative_text(row, column)):
        text.append(f"\n{below}{' ' if starred else ''}" if below else "", style="not bold dim")
    return text


def _failures(result: RunResult) -> Iterable[RenderableType]:
    failed = failures(result)
    if not failed:
        return
    yield Text("\nCells without a result", style="bold")
    for failure in failed:
        line = Text(plain(failure.name)).append(f"  {plain(failure.what)}", style="bold red")
        yield line
        yield Padding(Text(" ".join(part for part in (plain(failure.message), plain(failure.advice)) if part)), (0, 0, 0, 2))


def _ablation(result: RunResult) -> Iterable[RenderableType]:
    for walk in measured_ablations(result):
        under = f" ({walk.name})" if walk.name else ""
        yield Text(f"\n{plain(f'From {walk.ablation.start} to {walk.ablation.end}{under}, one option at a time')}", style="bold")
        grid = Grid(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), header_style="bold")
        for heading in ("change", "params", "MACs", "latency", "mIoU, points", "verdict"):
            grid.add_column(heading, overflow="fold")
        for row in plain_rows(walk):
            grid.add_row(*(Text(plain(text)) for text in row))
        yield grid


def _deployed(result: RunResult) -> Iterable[RenderableType]:
    """Every form of every model, the reason below where there is none."""
    forms = deployment_rows(result)
    if not forms:
        return
    yield Text("\nAs they are deployed", style="bold")
    grid = Grid(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), header_style="bold")
    grid.add_column("model", overflow="fold")
    folded = ("form", "±", "× eager")
    for title, _ in SHORT:
        grid.add_column(title, justify="left" if title == "form" else "right", no_wrap=title not in folded, overflow="fold")
    previous = ""
    for row in row_texts(forms):
        grid.add_row(Text(plain(row[0] if row[0] != previous else "")), *(Text(plain(row[i] or numbers.NOT_MEASURED)) for _, i in SHORT))
        previous = row[0]
    yield grid
    yield _paragraphs(plain(text) for text in sentences(forms))
    for form in forms:
        for error in form.errors:
            yield Text(plain(f"{form.name} as {form.backend}")).append(f"  {plain(error)}", style="red")


def _claims(result: RunResult) -> Iterable[RenderableType]:
    rows = list(claim_rows(result))
    if not rows:
        return
    yield Text("\nPublished claims", style="bold")
    grid = Grid(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), header_style="bold")
    grid.add_column("claim", ratio=1, overflow="fold")
    for heading in ("claimed", "measured", "verdict"):
        grid.add_column(heading, overflow="fold")
    for row in rows:
        style = {"broken": "red", "depends": "yellow", "cannot tell": "yellow", "not tested here": "dim"}.get(row.outcome, "green")
        grid.add_row(*(Text(plain(text)) for text in (row.name, row.claimed, row.measured)), Text(plain(row.words), style=style))
    yield grid
    yield _paragraphs((plain(text) for text in claim_notes(result)), style="dim")
    untested = len(untested_claims(result))
    if untested:
        yield Text(f"{numbers.counted(untested, 'claim')} not tested here: the conditions differ.", style="dim")
