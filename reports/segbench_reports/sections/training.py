"""The section on training: epochs, time and memory per cell, and the diagnosis of each."""

from __future__ import annotations

from segbench import CellResult, RunResult, Training
from segbench_reports.text import numbers
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import Align, bullets, grid
from segbench_reports.view.cells import cell_name, finite
from segbench_reports.view.main_table import Table

_HEADERS = ["cell", "epochs", "best epoch", "training", "validation", "img/s", "peak memory<br>MB", "precision", "device"]


def training(result: RunResult, table: Table) -> str:
    """A table of epochs, time and memory per cell, then the diagnosis of each with its remedy."""
    trained = [(markdown(cell_name(cell, table.axes)), cell.training) for cell in result.cells if cell.training]
    if not trained:
        return ""
    diagnoses = bullets(line for cell in result.cells for line in _diagnosis(cell, table))
    return f"{_table(trained)}\n\n{diagnoses}".rstrip()


def _table(trained: list[tuple[str, Training]]) -> str:
    rows = [[name, *_row(entry)] for name, entry in trained]
    columns = [i for i in range(len(_HEADERS)) if any(row[i] != numbers.NOT_MEASURED for row in rows)]
    align: list[Align] = ["left" if i in (0, 7, 8) else "right" for i in columns]
    return grid([_HEADERS[i] for i in columns], [[row[i] for i in columns] for row in rows], align)


def _row(entry: Training) -> list[str]:
    return [
        str(entry.epochs_run),
        numbers.NOT_MEASURED if entry.best_epoch is None else str(entry.best_epoch),
        _duration(entry.seconds),
        _duration(entry.validation_seconds),
        _number(entry.images_per_second),
        _number(entry.peak_memory_mb),
        markdown(entry.precision or numbers.NOT_MEASURED),
        markdown(entry.device or numbers.NOT_MEASURED),
    ]


def _number(value: float | None) -> str:
    return numbers.NOT_MEASURED if value is None else numbers.significant(value)


def _duration(seconds: float | None) -> str:
    return numbers.NOT_MEASURED if seconds is None or finite(seconds) is None else numbers.duration(seconds)


def _diagnosis(cell: CellResult, table: Table) -> list[str]:
    entry = cell.training
    if entry is None:
        return []
    name = markdown(cell_name(cell, table.axes))
    lines = [_finding(name, one.kind, one.message, one.remedy, one.source) for one in entry.diagnosis]
    lines += [f"**{name}**: {markdown(text)}" for text in [*([f"stopped: {entry.stopped}"] if entry.stopped else []), *entry.notes]]
    if entry.nondeterministic:
        lines.append(f"**{name}**: could not be made deterministic: {markdown(', '.join(entry.nondeterministic))}")
    return lines


def _finding(name: str, kind: str, message: str, remedy: str, source: str) -> str:
    text = f"**{name}** – {markdown(kind)}: {markdown(numbers.sentence(message))}"
    if remedy:
        text += f" *What helps:* {markdown(numbers.sentence(remedy))}"
    return f"{text} <sub>({markdown(source)})</sub>" if source else text
