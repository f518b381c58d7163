"""The events of a run's journal put together: what its latest command has done so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from segbench.cli.watching.state import CellState, EpochPoint

_STATUS = ("ok", "failed", "skipped", "interrupted")


@dataclass
class CommandState:
    """One command at work on a run; curves live on from earlier ones, as training does."""

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


def next_event(session: CommandState, event: Mapping[str, Any]) -> None:
    """Take one event into account; one that lacks what it should have is passed over."""
    kind, at, cell = event.get("event"), number(event.get("t")), event.get("cell")
    if at is not None:
        session.last = at
    if kind == "start":
        _start(session, event, at)
    elif kind == "plan" and isinstance(event.get("cells"), list):
        found = [one for one in event["cells"] if isinstance(one, dict) and isinstance(one.get("id"), str)]
        session.cells = {one["id"]: CellState(one["id"], str(one.get("model", ""))) for one in found}
    elif kind == "end":
        session.end, session.current, session.measuring = str(event.get("state", "finished")), None, None
        if event.get("message"):
            session.notes.append(str(event["message"]))
    elif kind == "note" and event.get("message"):
        session.notes.append(str(event["message"]))
    elif kind == "race":
        session.measuring, session.current = _race(event), None
    elif isinstance(cell, str) and cell in session.cells:
        _cell_event(session, str(kind), cell, event, at)


def number(value: Any) -> float | None:
    """A finite number, or None."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None


def _start(session: CommandState, event: Mapping[str, Any], at: float | None) -> None:
    machine = event.get("machine")
    session.started, session.machine = at, machine if isinstance(machine, str) else None
    session.end = session.current = session.stage = session.measuring = None
    session.cells, session.began, session.latest, session.notes = {}, {}, {}, []


def _cell_event(session: CommandState, kind: str, cell: str, event: Mapping[str, Any], at: float | None) -> None:
    before = session.cells[cell]
    if kind == "cell":
        session.current, session.stage, session.measuring = cell, None, None
        session.cells[cell] = replace(before, status="running")
        if at is not None:
            session.began[cell] = at
    elif kind == "kept":
        status = event.get("status")
        session.cells[cell] = replace(before, status=status if status in _STATUS else "pending", kept=True)
    elif kind == "stage" and cell == session.current:
        session.stage = str(event.get("stage"))
    elif kind == "epoch":
        _epoch(session, cell, event)
    elif kind == "cell_end":
        _cell_end(session, cell, event, at)


def _epoch(session: CommandState, cell: str, event: Mapping[str, Any]) -> None:
    epoch = number(event.get("epoch"))
    if epoch is None:
        return
    curve = session.curves.setdefault(cell, {})
    for later in [known for known in curve if known >= epoch]:  # trained again from here, or from the start
        del curve[later]
    curve[int(epoch)] = EpochPoint(int(epoch), number(event.get("train_loss")), number(event.get("val_miou")))
    session.latest[cell] = dict(event)


def _cell_end(session: CommandState, cell: str, event: Mapping[str, Any], at: float | None) -> None:
    status, began, error = event.get("status"), session.began.get(cell), event.get("error")
    epochs = number(event.get("epochs_run"))
    session.cells[cell] = replace(
        session.cells[cell],
        status=status if status in _STATUS else "failed" if error else "ok",
        miou=number(event.get("miou")),
        training_score=number(event.get("training_score")),
        epochs=None if epochs is None else int(epochs),
        seconds=max(0.0, at - began) if at is not None and began is not None else None,
        error=None if error is None else str(error),
    )
    if error is not None and status != "skipped":
        session.notes.append(f"{cell}: {error}")
    if session.current == cell:
        session.current = session.stage = None


def _race(event: Mapping[str, Any]) -> str | None:
    state, cell = event.get("state"), event.get("cell")
    if state == "end":
        return None
    if state == "latency":
        start = f", start {event['start']} of {event['starts']}" if event.get("start") and event.get("starts") else ""
        return f"latency race at batch {event.get('batch_size')}: {event.get('contenders')} models{start}"
    if state == "memory":
        return f"memory of {cell}"
    if state == "modules":
        return f"where the cost of {cell} sits"
    return "measuring the deployed models"
