"""What a run is at, on disk while it runs, for whoever looks on from another process: ``logs/events.jsonl`` and ``logs/now.json``.

A line per event (start, plan, cell, stage, epoch, cell_end, note, race, end), appended; ``now.json`` holds the latest batch and is
replaced once a second. Both are for looking only: nothing is resumed from them.
"""

from __future__ import annotations

import contextlib
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

from segbench.util.files import replacing
from segbench.util.sequences import first_line

Payload = Mapping[str, Any]

EVENTS = "logs/events.jsonl"
NOW = "logs/now.json"
_SECONDS_BETWEEN = 1.0
_KEPT: Mapping[str, tuple[str, ...]] = {
    "cell": ("reason",),
    "kept": ("status",),
    "stage": ("stage",),
    "note": ("message",),
    "race": ("state", "batch_size", "contenders", "input_size", "start", "starts"),
    "epoch": (
        *("epoch", "epochs", "train_loss", "val_loss", "val_miou", "train_miou"),
        *("learning_rate", "seconds", "images_per_second", "eta_seconds"),
    ),
}


class Journal:
    """A listener that writes what it hears below a run's directory, from ``with`` to the end of it.

    What cannot be written (a full disk) is left out: the run's own writes say so, and looking on must never cost a run.
    """

    def __init__(self, directory: Path) -> None:
        self._events, self._now = directory / EVENTS, directory / NOW
        self._last = 0.0

    def __enter__(self) -> Journal:
        self._append("start", {"pid": os.getpid(), "machine": this_machine()})
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        how = "finished" if kind is None else "interrupted" if issubclass(kind, KeyboardInterrupt) else "failed"
        self._append("end", {"state": how, **({"message": first_line(error)} if how == "failed" and error else {})})
        with contextlib.suppress(OSError):
            self._now.unlink(missing_ok=True)

    def on(self, event: str, cell: Payload | None, payload: Payload) -> None:
        """Write the event."""
        named = {"cell": cell["id"]} if cell else {}
        if event == "batch":
            self._batch({**named, **payload})
        elif event == "plan":
            self._append("plan", {"cells": [{"id": one["id"], "model": one["model"]} for one in payload["cells"]]})
        elif event == "cell_end":
            self._append(event, {**named, **_result(payload)})
        elif event in _KEPT:
            self._append(event, {**named, **{key: payload[key] for key in _KEPT[event] if payload.get(key) is not None}})

    def _batch(self, values: Payload) -> None:
        now = time.monotonic()
        if now - self._last < _SECONDS_BETWEEN:
            return
        self._last = now
        with contextlib.suppress(OSError), replacing(self._now) as unfinished:
            unfinished.write_text(_line({"t": time.time(), **values}))

    def _append(self, event: str, values: Payload) -> None:
        with contextlib.suppress(OSError), self._events.open("a", encoding="utf-8") as file:
            file.write(_line({"t": round(time.time(), 3), "event": event, **values}))


def this_machine() -> str:
    """A name for this machine, or for the container in it that numbers its own processes; nobody can read it back."""
    inside = ""
    with contextlib.suppress(OSError, AttributeError):
        inside = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{platform.node()} {inside}".encode()).hexdigest()[:12]


def _result(payload: Payload) -> dict[str, Any]:
    quality, training, error = (payload.get(key) or {} for key in ("quality", "training", "error"))
    found = {
        "status": payload.get("status"),
        "miou": quality.get("miou"),
        "training_score": quality.get("training_score"),
        "epochs_run": training.get("epochs_run"),
        "error": f"{error['stage']}: {error['message']}" if error else None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _line(values: Payload) -> str:
    # not a number is no JSON
    plain = {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()}
    return json.dumps(plain, default=str) + "\n"
