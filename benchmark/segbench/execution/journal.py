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
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from segbench.execution.events import (
    BatchDone,
    CellEnded,
    CellKept,
    CellStarted,
    EpochDone,
    Event,
    Fields,
    LatencyStarted,
    MemoryStarted,
    ModulesStarted,
    Note,
    PlanMade,
    RaceEnded,
    RaceStarted,
    StageStarted,
    failure,
)
from segbench.util.files import replacing
from segbench.util.sequences import first_line

EVENTS = "logs/events.jsonl"
NOW = "logs/now.json"
_SECONDS_BETWEEN = 1.0
_WRITTEN: Mapping[type[Any], tuple[str, ...]] = {
    CellStarted: ("reason",),
    CellKept: ("status",),
    StageStarted: ("stage",),
    Note: ("message",),
    EpochDone: (
        *("epoch", "epochs", "train_loss", "val_loss", "val_miou", "train_miou"),
        *("learning_rate", "seconds", "images_per_second", "eta_seconds"),
    ),
    RaceStarted: ("state", "contenders"),
    MemoryStarted: ("state",),
    LatencyStarted: ("state", "batch_size", "contenders", "input_size", "start", "starts"),
    ModulesStarted: ("state",),
    RaceEnded: ("state",),
}


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
            self._batch({**named, **_batch(event)})
        elif isinstance(event, PlanMade):
            self._append(event.name, {"cells": [{"id": each["id"], "model": each["model"]} for each in event.cells]})
        elif isinstance(event, CellEnded):
            self._append(event.name, {**named, **_result(event)})
        elif type(event) in _WRITTEN:
            self._append(event.name, {**named, **_present({key: getattr(event, key) for key in _WRITTEN[type(event)]})})

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


def _batch(event: BatchDone) -> Fields:
    return {each.name: getattr(event, each.name) for each in dataclasses.fields(event) if each.name != "cell"}


def _result(event: CellEnded) -> Fields:
    row = event.row
    return _present(
        {
            "status": row.status,
            "miou": row.quality.miou if row.quality else None,
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
