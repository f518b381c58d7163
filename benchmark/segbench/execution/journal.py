"""The event log of a run, on disk while it runs, for another process to watch: ``logs/events.jsonl`` and ``logs/now.json``.

A line per event (start, plan, cell, stage, epoch, cell_end, note, race, end), appended; ``now.json`` holds the latest batch and is
replaced once a second. Both are for looking only: nothing is resumed from them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import platform
import time
from pathlib import Path
from types import TracebackType

from segbench.execution.events import BatchDone, CellEnded, Event, Fields, PlanMade, RaceEvent, StageResult, failure
from segbench.util.files import replacing
from segbench.util.sequences import first_line

EVENTS = "logs/events.jsonl"
NOW = "logs/now.json"
_SECONDS_BETWEEN = 1.0
_NOT_WRITTEN = frozenset(("cell", "record", "stages", "backend"))


class Journal:
    """A listener that writes the event log below a run's directory, from ``with`` to the end of it.

    What cannot be written (a full disk) is left out: the run's own writes say so, and watching must never cost a run.
    """

    def __init__(self, directory: Path) -> None:
        self._events, self._now = directory / EVENTS, directory / NOW
        self._last = 0.0

    def __enter__(self) -> Journal:
        self._append("start", {"pid": os.getpid(), "machine": this_machine()})
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        state = "finished" if kind is None else "interrupted" if issubclass(kind, KeyboardInterrupt) else "failed"
        self._append("end", {"state": state, **({"message": first_line(error)} if state == "failed" and error else {})})
        with contextlib.suppress(OSError):
            self._now.unlink(missing_ok=True)

    def on(self, event: Event) -> None:
        """Write the event."""
        cell = getattr(event, "cell", None)
        named = {"cell": cell["id"]} if cell else {}
        if isinstance(event, BatchDone):
            self._batch({**named, **_fields(event)})
        elif isinstance(event, PlanMade):
            self._append(event.name, {"cells": [{"id": each["id"], "model": each["model"]} for each in event.cells]})
        elif isinstance(event, CellEnded):
            self._append(event.name, {**named, **_result(event)})
        elif not isinstance(event, StageResult):
            self._append(event.name, {**named, **_present(_fields(event))})

    def _batch(self, values: Fields) -> None:
        now = time.monotonic()
        if now - self._last < _SECONDS_BETWEEN or not self._now.parent.is_dir():
            return
        self._last = now
        with contextlib.suppress(OSError), replacing(self._now) as unfinished:
            unfinished.write_text(_line({"t": time.time(), **values}))

    def _append(self, event: str, values: Fields) -> None:
        with contextlib.suppress(OSError), self._events.open("a", encoding="utf-8") as file:
            file.write(_line({"t": round(time.time(), 3), "event": event, **values}))


def this_machine() -> str:
    """A name for this machine, or for the container in it that numbers its own processes: a hash, which cannot be read back."""
    inside = ""
    with contextlib.suppress(OSError, AttributeError):
        inside = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{platform.node()} {inside}".encode()).hexdigest()[:12]


def _fields(event: Event) -> Fields:
    state = {"state": event.state} if isinstance(event, RaceEvent) else {}
    names = [each.name for each in dataclasses.fields(event) if each.name not in _NOT_WRITTEN]
    return {**state, **{name: getattr(event, name) for name in names}}


def _result(event: CellEnded) -> Fields:
    row = event.row
    return _present(
        {
            "status": row.status,
            "miou": row.quality.miou if row.quality else None,
            "classes_averaged": row.quality.classes_averaged if row.quality else None,
            "classes": (len(row.quality.class_names) or None) if row.quality else None,
            "training_score": row.quality.training_score if row.quality else None,
            "epochs_run": row.training.epochs_run if row.training else None,
            "error": failure(row.error) if row.error else None,
        }
    )


def _present(values: Fields) -> Fields:
    return {key: value for key, value in values.items() if value is not None}


def _line(values: Fields) -> str:
    # not a number is no JSON
    plain = {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()}
    return json.dumps(plain, default=str) + "\n"
