"""Read a run's directory as RunState: small files only, again only where they changed, and without half-written ones."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from segbench.cli.watching.events import CommandState, next_event, number
from segbench.cli.watching.state import CellState, EpochPoint, Running, RunState, State
from segbench.errors import StoreError
from segbench.execution.journal import EVENTS, NOW, this_machine

FRESH_SECONDS = 120.0
"""Age of the last sign of a run on another machine from which on it counts as gone."""
_WARNINGS = 4
_HEAD = 1 << 16
_MOST_BYTES = 1 << 28


@dataclass
class RunFiles:
    """Reads the state of one run again and again. Raises :class:`StoreError` where there is no run."""

    directory: Path
    _offset: int = 0
    _command: CommandState = field(default_factory=CommandState)
    _rows: dict[str, tuple[tuple[int, int], dict[str, Any]]] = field(default_factory=dict)

    def read(self, now: float | None = None) -> RunState:
        """The state at this moment."""
        now = time.time() if now is None else now
        _require_run(self.directory)
        for event in self._new_events():
            next_event(self._command, event)
        command, pid = self._command, writer_of(self.directory)
        state = self._state(now, pid)
        batch = self._batch() if state == "running" else {}
        cells = self._cells(state)
        running = _running(command, batch, now) if state == "running" else None
        over = state in ("finished", "interrupted", "stopped")
        until = command.last if over else now
        return RunState(
            directory=str(self.directory),
            state=state,
            pid=pid if not over else None,
            seconds=max(0.0, until - command.started) if command.started is not None and until is not None else None,
            seconds_left=_left(cells, running, self._rows_of_pending(cells)) if state == "running" else None,
            cells=cells,
            others=len(self._row_names() - {cell.id for cell in cells}),
            running=running,
            measuring=command.measuring if state == "running" else None,
            warnings=tuple(command.notes[-_WARNINGS:]),
            silent=self._silent(now) if state == "running" else None,
        )

    def _new_events(self) -> Iterator[dict[str, Any]]:
        """The events of whole lines that were added since the last time; a line that is no JSON object is skipped."""
        try:
            with (self.directory / EVENTS).open("rb") as file:
                if file.seek(0, 2) < self._offset:  # a fresh start has removed what was there
                    self._offset, self._command = 0, CommandState()
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return
        end = data.rfind(b"\n") + 1
        self._offset += end
        for line in data[:end].splitlines():
            event = _object(line)
            if event:
                yield event

    def _state(self, now: float, pid: int | None) -> State:
        command = self._command
        elsewhere = command.machine is not None and command.machine != this_machine()
        alive = None if elsewhere or pid is None else holds(pid, self.directory / ".lock")
        if alive is None and (pid is not None or os.name != "posix"):  # on Windows a file that is locked cannot be read
            silent = self._silent(now)
            alive = command.end is None and silent is not None and silent < FRESH_SECONDS
        if alive:
            # between taking the lock and its first line there is an earlier command's end
            return "starting" if command.end is not None or not command.cells else "running"
        if command.end is not None:
            return "finished" if command.end == "finished" else "interrupted"
        return "finished" if command.started is None and self._complete() else "stopped"

    def _complete(self) -> bool:
        """The value of ``complete`` at the head of ``run.json``; the rest may be hundreds of megabytes."""
        try:
            with (self.directory / "run.json").open("rb") as file:
                complete = re.search(rb'^\s*"complete":\s*(true|false)', file.read(_HEAD), re.MULTILINE)
        except OSError:
            return False
        return complete is not None and complete.group(1) == b"true"

    def _batch(self) -> dict[str, Any]:
        try:
            return _object((self.directory / NOW).read_bytes()) or {}
        except OSError:
            return {}

    def _silent(self, now: float) -> float | None:
        """Seconds since the last event or file change."""
        times = []
        for name in (EVENTS, NOW, ".lock"):
            try:
                times.append((self.directory / name).stat().st_mtime)
            except OSError:
                continue
        return max(0.0, now - max(times)) if times else None

    def _cells(self, state: State) -> tuple[CellState, ...]:
        """The cells of the plan as the latest command left them; where no command is recorded, those that have a row."""
        command = self._command
        if not command.cells:
            names = sorted(self._row_names())
            return tuple(_cell_of(name, self._row(name)) for name in names) if names else self._published()
        cells = []
        for cell in command.cells.values():
            if cell.status == "running" and state != "running":
                cells.append(CellState(cell.id, cell.model, "interrupted" if state != "finished" else "ok"))
            elif cell.kept and cell.miou is None:
                row = self._from_row(cell.id)
                cells.append(replace(row, id=cell.id, model=cell.model, status=cell.status, seconds=None, kept=True))
            else:
                cells.append(cell)
        return tuple(cells)

    def _row_names(self) -> set[str]:
        return {file.stem for file in (self.directory / "cells").glob("*.json") if not file.name.startswith(".")}

    def _rows_of_pending(self, cells: tuple[CellState, ...]) -> set[str]:
        """Pending cells that were done before: they will most likely be kept."""
        names = self._row_names()
        return {cell.id for cell in cells if cell.status == "pending" and cell.id in names and self._from_row(cell.id).status == "ok"}

    def _from_row(self, name: str) -> CellState:
        return _cell_of(name, self._row(name))

    def _published(self) -> tuple[CellState, ...]:
        """The cells of a ``run.json`` without the other files of a run, as published runs have it."""
        file = self.directory / "run.json"
        try:
            about = file.stat()
            if about.st_size > _MOST_BYTES:
                return ()
            stamp = (about.st_mtime_ns, about.st_size)
            if self._rows.get("", (None, {}))[0] != stamp:
                self._rows[""] = (stamp, _object(file.read_bytes()) or {})
        except OSError:
            return ()
        cells = self._rows[""][1].get("cells")
        rows = [row for row in cells if isinstance(row, dict) and isinstance(row.get("id"), str)] if isinstance(cells, list) else []
        return tuple(_cell_of(row["id"], row) for row in rows)

    def _row(self, name: str) -> dict[str, Any]:
        file = self.directory / "cells" / f"{name}.json"
        try:
            about = file.stat()
            stamp = (about.st_mtime_ns, about.st_size)
            if self._rows.get(name, (None, {}))[0] != stamp:
                row = _object(file.read_bytes()) or {}
                # without a row's megabytes of samples
                self._rows[name] = (stamp, {key: row.get(key) for key in ("model", "status", "quality", "training", "error")})
        except OSError:
            return {}
        return self._rows[name][1]


def _require_run(directory: Path) -> None:
    if not directory.exists():
        raise StoreError(f"there is no '{directory}' (yet). Give the directory of a run: what 'segbench run --out' writes to.")
    if not directory.is_dir():
        raise StoreError(f"'{directory}' is a file. Give the directory of a run.")
    if not any((directory / name).exists() for name in (".lock", "cells", "run.json", EVENTS)):
        from segbench.results.store import no_run  # it needs pydantic, which looking on does not

        raise no_run(directory, "there are no cells in it")


def _cell_of(name: str, row: Mapping[str, Any]) -> CellState:
    """A cell by its row."""
    quality, training, error = (_mapping(row.get(key)) for key in ("quality", "training", "error"))
    status = row.get("status")
    return CellState(
        id=name,
        model=str(row.get("model", "")),
        status=status if status in ("ok", "failed", "skipped", "interrupted") else "pending",
        miou=number(quality.get("miou")),
        training_score=number(quality.get("training_score")),
        epochs=_integer(training.get("epochs_run")),
        error=f"{error.get('stage')}: {error.get('message')}" if error else None,
        classes_averaged=_integer(quality.get("classes_averaged")),
        classes=len(quality.get("class_names") or ()) or None,
    )


def _running(command: CommandState, batch: Mapping[str, Any], now: float) -> Running | None:
    name = command.current
    if name is None:
        return None
    began, history = command.began.get(name), tuple(command.curves.get(name, {}).values())
    latest = dict(command.latest.get(name, {}))
    if batch.get("cell") == name and (number(batch.get("t")) or 0.0) >= (number(latest.get("t")) or 0.0):
        latest.update(batch)
    at, left = number(latest.get("t")), number(latest.get("eta_seconds"))
    training = command.stage in (None, "train")
    return Running(
        id=name,
        stage=command.stage,
        epoch=_integer(latest.get("epoch")),
        epochs=_integer(latest.get("epochs")),
        step=_integer(latest.get("step")),
        steps=_integer(latest.get("steps")),
        loss=number(latest.get("loss", latest.get("train_loss"))),
        learning_rate=number(latest.get("learning_rate")),
        images_per_second=number(latest.get("images_per_second")),
        seconds=max(0.0, now - began) if began is not None else None,
        seconds_left=(max(0.0, left - max(0.0, now - at)) if training else 0.0) if left is not None and at is not None else None,
        silent=max(0.0, now - at) if at is not None else None,
        history=tuple(EpochPoint(p.epoch, p.loss, p.val_miou, p.classes_averaged, p.classes) for p in history),
    )


def _left(cells: tuple[CellState, ...], running: Running | None, before: set[str]) -> float | None:
    """Seconds left for this cell and, at the pace of finished ones of their model (else of all), for those to come."""
    taken = [(cell.model, cell.seconds) for cell in cells if cell.seconds is not None and cell.status == "ok"]
    here = running.seconds_left if running is not None else 0.0
    if running is not None and running.seconds is not None and here is not None:
        taken.append((next((cell.model for cell in cells if cell.id == running.id), ""), running.seconds + here))
    waiting = [cell for cell in cells if cell.status == "pending" and cell.id not in before]
    if here is None or (waiting and not taken):
        return None
    total = here
    for cell in waiting:
        alike = [seconds for model, seconds in taken if model == cell.model] or [seconds for _, seconds in taken]
        total += sum(alike) / len(alike)
    return total


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _integer(value: Any) -> int | None:
    finite = number(value)
    return int(finite) if finite is not None else None


def writer_of(directory: Path) -> int | None:
    """The process that took the lock last, as it wrote down."""
    try:
        text = (directory / ".lock").read_text().strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 2**31 else None


def holds(pid: int, lock: Path) -> bool | None:
    """True where a process of this machine exists and has the lock file open; None where this system does not tell.

    A lock is not tried: for that moment a run that is just starting would find it taken.
    """
    if sys.platform == "linux":
        return _has_open(pid, lock)
    if os.name != "posix":  # there a signal 0 is a real one
        return None
    return _is_there(pid)


def _has_open(pid: int, lock: Path) -> bool:
    folder, wanted = Path("/proc") / str(pid) / "fd", os.path.realpath(lock)
    try:
        handles = os.listdir(folder)
    except PermissionError:  # another user's
        return _is_there(pid)
    except OSError:
        return False
    for handle in handles:
        try:
            if os.readlink(folder / handle) == wanted:
                return True
        except OSError:
            continue
    return False


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
