"""The state of a run's latest command, folded from the lines of its event log."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from segbench.cli.watching.state import CellState, EpochPoint
from segbench.execution.events import Fields, failure_sentence, race_event

_STATUS = ("ok", "failed", "skipped", "interrupted")


@dataclass
class CommandState:
    """The state of one command that works on a run; learning curves continue those of earlier commands, as training does."""

    started: float | None = None
    last: float | None = None
    machine: str | None = None
    end: str | None = None
    cells: dict[str, CellState] = field(default_factory=dict)
    current: str | None = None
    stage: str | None = None
    measuring: str | None = None
    began: dict[str, float] = field(default_factory=dict)
    latest: dict[str, dict[str, Any]] = field(default_factory=dict)
    curves: dict[str, dict[int, EpochPoint]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def next_event(command: CommandState, line: Fields) -> None:
    """Take one line of the log into account; one that lacks what it should have is passed over."""
    kind, at, cell = line.get("event"), number(line.get("t")), line.get("cell")
    if at is not None:
        command.last = at
    if kind == "start":
        _start(command, line, at)
    elif kind == "plan" and isinstance(line.get("cells"), list):
        records = [each for each in line["cells"] if isinstance(each, dict) and isinstance(each.get("id"), str)]
        command.cells = {each["id"]: CellState(each["id"], str(each.get("model", ""))) for each in records}
    elif kind == "end":
        command.end, command.current, command.measuring = str(line.get("state", "finished")), None, None
        if line.get("message"):
            command.notes.append(str(line["message"]))
    elif kind == "note" and line.get("message"):
        command.notes.append(str(line["message"]))
    elif kind == "race":
        command.measuring, command.current = _race(command, line), None
    elif isinstance(cell, str) and cell in command.cells:
        _cell_event(command, str(kind), cell, line, at)


def number(value: Any) -> float | None:
    """A finite number, or None."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None


def _start(command: CommandState, line: Fields, at: float | None) -> None:
    machine = line.get("machine")
    command.started, command.machine = at, machine if isinstance(machine, str) else None
    command.end = command.current = command.stage = command.measuring = None
    command.cells, command.began, command.latest, command.notes = {}, {}, {}, []


def _cell_event(command: CommandState, kind: str, cell: str, line: Fields, at: float | None) -> None:
    before = command.cells[cell]
    if kind == "cell":
        command.current, command.stage, command.measuring = cell, None, None
        command.cells[cell] = replace(before, status="running")
        if at is not None:
            command.began[cell] = at
    elif kind == "kept":
        status = line.get("status")
        command.cells[cell] = replace(before, status=status if status in _STATUS else "pending", kept=True)
    elif kind == "stage" and cell == command.current:
        command.stage = str(line.get("stage"))
    elif kind == "epoch":
        _epoch(command, cell, line)
    elif kind == "cell_end":
        _cell_end(command, cell, line, at)


def _epoch(command: CommandState, cell: str, line: Fields) -> None:
    epoch = number(line.get("epoch"))
    if epoch is None:
        return
    curve = command.curves.setdefault(cell, {})
    for later in [known for known in curve if known >= epoch]:  # trained again from here, or from the start
        del curve[later]
    curve[int(epoch)] = EpochPoint(
        int(epoch), number(line.get("train_loss")), number(line.get("val_miou")), *_classes(line, "val_classes_averaged", "val_classes")
    )
    command.latest[cell] = dict(line)


def _classes(line: Fields, averaged: str, total: str) -> tuple[int | None, int | None]:
    """The number of classes that a score is averaged over, and of all classes."""
    values = number(line.get(averaged)), number(line.get(total))
    return None if values[0] is None else int(values[0]), None if values[1] is None else int(values[1])


def _cell_end(command: CommandState, cell: str, line: Fields, at: float | None) -> None:
    status, began, error = line.get("status"), command.began.get(cell), line.get("error")
    epochs = number(line.get("epochs_run"))
    averaged, total = _classes(line, "classes_averaged", "classes")
    command.cells[cell] = replace(
        command.cells[cell],
        status=status if status in _STATUS else "failed" if error else "ok",
        miou=number(line.get("miou")),
        training_score=number(line.get("training_score")),
        epochs=None if epochs is None else int(epochs),
        seconds=max(0.0, at - began) if at is not None and began is not None else None,
        error=None if error is None else str(error),
        classes_averaged=averaged,
        classes=total,
    )
    if error is not None and status != "skipped":
        command.notes.append(f"{cell}: {failure_sentence(str(error))}")
    if command.current == cell:
        command.current = command.stage = None


def _race(command: CommandState, line: Fields) -> str | None:
    """The sentence of a line about the race; None at its end."""
    name = str(line.get("cell"))
    state = command.cells.get(name)
    event = race_event(line, {"id": name, "model": state.model if state is not None else name})
    return (event.sentence or None) if event is not None else "measuring the deployed models"
