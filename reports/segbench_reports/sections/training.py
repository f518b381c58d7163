"""The section on training: epochs, time and memory per cell, and the diagnosis of each."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence

from segbench import CellResult, Comparison, RunResult, Training, metric
from segbench_reports.text import numbers
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import Align, bullets, grid
from segbench_reports.view.cells import cell_name, finite
from segbench_reports.view.main_table import Table

_HEADERS = ["cell", "epochs", "best epoch", "training", "validation", "img/s", "peak memory<br>MB", "precision", "device"]


def training(result: RunResult, table: Table) -> str:
    """A table of epochs, time and memory per cell, how speeds compare, then the diagnosis of each cell with its remedy."""
    trained = [(cell, cell.training) for cell in result.cells if cell.training and not cell.is_as_given]
    if not any(cell.training for cell in result.cells):
        return ""
    diagnoses = bullets(line for cell in result.cells for line in _diagnosis(cell, table))
    speeds = " ".join(markdown(text) for text in speed_sentences(result))
    return "\n\n".join(part for part in (_table(trained, table) if trained else "", speeds, diagnoses) if part)


def speed_sentences(result: RunResult) -> list[str]:
    """How the models' training speeds compare, by the run's verdicts; one sentence for each reason why nothing can be said."""
    compared = [one for one in result.comparisons if one.quantity == metric("train_images_per_second").name]
    cells = {cell.id for cell in result.cells}
    untold: dict[str, list[str]] = {}
    for one in compared:
        if one.verdict == "cannot tell":
            untold.setdefault(_without_cells(one.reason, cells), []).append(f"{one.subject} against {one.baseline}")
    told = [_speed(one) for one in compared if one.verdict != "cannot tell"]
    alone = len(untold) == 1 and not told
    return [*told, *(_not_compared([] if alone else pairs, why) for why, pairs in untold.items())]


_MOST_PAIRS = 4


def _not_compared(pairs: Sequence[str], why: str) -> str:
    """Why speeds are not compared, of these pairs or, without any, of all."""
    named = f"of {numbers.counted(len(pairs), 'pair')}" if len(pairs) > _MOST_PAIRS else f"({', '.join(pairs)})"
    return f"Training speeds {f'{named} ' if pairs else ''}are not compared: {why}."


def _without_cells(reason: str, cells: Container[str]) -> str:
    """A reason without the cells that showed it: those have remarks of their own."""
    cell, mark, why = reason.partition(": ")
    if mark and cell in cells:
        return why.replace(" while it trained", "")
    pair = re.fullmatch(r"(\S+) and (\S+) (were trained .+)", reason)
    return f"they {pair[3]}" if pair and pair[1] in cells and pair[2] in cells else reason


def _speed(one: Comparison) -> str:
    assert one.value is not None
    assert one.low is not None
    assert one.high is not None
    bounds = f"{100 * one.confidence:.3g} % interval {numbers.factor(one.low)} to {numbers.factor(one.high)}, {one.scope}"
    under = f" ({one.context['loss']})" if one.context.get("loss") else ""
    if one.verdict == "no difference shown":
        return f"{one.subject} and {one.baseline}{under} show no difference in training speed ({bounds})."
    return f"{one.subject}{under} trains {numbers.factor(one.value)}x as fast as {one.baseline} ({bounds})."


def _table(trained: list[tuple[CellResult, Training]], table: Table) -> str:
    rows = [[markdown(cell_name(cell, table.axes)), *_row(cell, entry)] for cell, entry in trained]
    columns = [i for i in range(len(_HEADERS)) if any(row[i] != numbers.NOT_MEASURED for row in rows)]
    align: list[Align] = ["left" if i in (0, 7, 8) else "right" for i in columns]
    return grid([_HEADERS[i] for i in columns], [[row[i] for i in columns] for row in rows], align)


def _row(cell: CellResult, entry: Training) -> list[str]:
    speed = metric("train_images_per_second").value(cell)
    return [
        str(entry.epochs_run),
        _best_epoch(entry),
        _duration(entry.seconds),
        _duration(entry.validation_seconds),
        _number(speed.value if speed else None),
        _number(entry.peak_memory_mb),
        markdown(entry.precision or numbers.NOT_MEASURED),
        markdown(entry.device or numbers.NOT_MEASURED),
    ]


def _best_epoch(entry: Training) -> str:
    """The epoch with the best score on the split that chose; without such a split the last one was kept."""
    if entry.best_epoch is None:
        return numbers.NOT_MEASURED
    return str(entry.best_epoch) if entry.select_on is not None else f"not chosen; kept the last, {entry.best_epoch}"


def _number(value: float | None) -> str:
    return numbers.NOT_MEASURED if value is None else numbers.significant(value)


def _duration(seconds: float | None) -> str:
    return numbers.NOT_MEASURED if seconds is None or finite(seconds) is None else numbers.duration(seconds)


def _diagnosis(cell: CellResult, table: Table) -> list[str]:
    entry = cell.training
    if entry is None:
        return []
    name = markdown(cell_name(cell, table.axes))
    lines = [f"**{name}**: {markdown(entry.start_words)}"] if entry.start_words else []
    lines += [_finding(name, one.kind, one.message, one.remedy, one.source) for one in entry.diagnosis]
    lines += [f"**{name}**: {markdown(text)}" for text in [*([f"stopped: {entry.stopped}"] if entry.stopped else []), *entry.notes]]
    if entry.nondeterministic:
        lines.append(f"**{name}**: could not be made deterministic: {markdown(', '.join(entry.nondeterministic))}")
    return lines


def _finding(name: str, kind: str, message: str, remedy: str, source: str) -> str:
    text = f"**{name}** – {markdown(kind)}: {markdown(numbers.sentence(message))}"
    if remedy:
        text += f" *What helps:* {markdown(numbers.sentence(remedy))}"
    return f"{text} <sub>({markdown(source)})</sub>" if source else text
