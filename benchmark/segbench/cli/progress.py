"""Progress on stderr: bars where it is a terminal, plain lines where it is not."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from segbench.cli.output import duration
from segbench.execution.events import Listener

Payload = Mapping[str, Any]


@contextlib.contextmanager
def progress_display() -> Iterator[Listener]:
    """A listener that shows a run's progress on stderr."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield PlainProgress()
        return
    with _bars(console) as bars:
        yield BarProgress(bars)


class PlainProgress:
    """One line per cell, epoch and stage."""

    def __init__(self) -> None:
        self.cells = 0
        self.done = 0
        self.started = time.monotonic()

    def on(self, event: str, cell: Payload | None, payload: Payload) -> None:
        """Print what deserves a line."""
        if event == "plan":
            self.cells = len(payload["cells"])
        line = self._line(event, cell, payload)
        if line:
            print(line, file=sys.stderr, flush=True)

    def _line(self, event: str, cell: Payload | None, payload: Payload) -> str:
        name = cell["id"] if cell else ""
        if event in ("cell", "kept"):
            self.done += 1
        if event == "cell":
            reason = f" ({payload['reason']})" if payload.get("reason") else ""
            return f"[{self.done}/{self.cells}] {name}{reason}"
        if event == "kept":
            return f"[{self.done}/{self.cells}] {name} kept from before ({payload['status']})"
        if event == "epoch":
            return f"  {epoch_text(payload)}"
        if event == "cell_end" and payload.get("error"):
            error = payload["error"]
            return f"  failed in {error['stage']}: {error['message']} {error.get('advice') or ''}".rstrip()
        if event == "cell_end":
            return f"  {result_text(payload)}"
        if event == "note":
            return f"  {payload['message']}"
        if event == "race":
            return race_text(cell, payload)
        return ""


class BarProgress:
    """A bar for the run and one for the cell; finished cells stay as lines."""

    def __init__(self, bars: Progress) -> None:
        self.bars = bars
        self.run = bars.add_task("run", total=None, detail="")
        self.cell = bars.add_task("", total=None, visible=False, detail="")
        self.epoch = ""

    def on(self, event: str, cell: Payload | None, payload: Payload) -> None:
        """Move the bars."""
        name = escape(cell["id"]) if cell else ""
        if event == "plan":
            self.bars.update(self.run, total=len(payload["cells"]), description="[bold]run")
        elif event in ("cell", "kept"):
            if payload.get("reason"):
                self._print(f"{cell['id'] if cell else ''}: {payload['reason']}")
            if event == "kept":
                self.bars.advance(self.run)
            self.epoch = ""
            self.bars.reset(self.cell, description=name, total=None, visible=event == "cell", detail="starting")
        elif event == "stage":
            self.bars.update(self.cell, detail=payload["stage"])
        elif event == "batch":
            self._on_batch(payload)
        elif event == "epoch":
            self.epoch = epoch_text(payload)
            total = payload.get("epochs")
            self.bars.update(self.cell, completed=payload["epoch"], total=total, detail=escape(self.epoch))
        elif event == "cell_end":
            self._on_end(cell, payload)
        elif event == "note":
            self._print(payload["message"])
        elif event == "race":
            self.bars.update(self.cell, description="", detail=escape(race_text(cell, payload)), visible=payload["state"] != "end")

    def _on_batch(self, payload: Payload) -> None:
        parts = [f"loss {payload['loss']:.4f}"] if payload.get("loss") is not None else []
        if payload.get("images_per_second"):
            parts.append(f"{payload['images_per_second']:.1f} img/s")
        if payload.get("eta_seconds") is not None:
            parts.append(f"{duration(payload['eta_seconds'])} left")
        done = payload.get("epoch", 1) - 1 + payload.get("step", 0) / max(payload.get("steps", 1), 1)
        detail = "  ".join([*parts, *([escape(self.epoch)] if self.epoch and not parts else [])])
        self.bars.update(self.cell, completed=done, total=payload.get("epochs"), detail=detail)

    def _on_end(self, cell: Payload | None, payload: Payload) -> None:
        name = cell["id"] if cell else ""
        error = payload.get("error")
        mark, text = ("x", f"failed in {error['stage']}: {error['message']}") if error else ("+", result_text(payload))
        self._print(f"{mark} {name}: {text}")
        self.bars.advance(self.run)
        self.bars.update(self.cell, visible=False)

    def _print(self, text: str) -> None:
        self.bars.console.print(Text(text), highlight=False)


def epoch_text(payload: Payload) -> str:
    """One epoch in a line."""
    parts = [f"epoch {payload['epoch']}/{payload.get('epochs', '?')}"]
    for key, label, form in (
        ("train_loss", "loss", "{:.4f}"),
        ("learning_rate", "lr", "{:.2e}"),
        ("val_miou", "val mIoU", "{:.4f}"),
        ("images_per_second", "img/s", "{:.1f}"),
    ):
        if payload.get(key) is not None:
            parts.append(f"{label} {form.format(payload[key])}")
    if payload.get("eta_seconds") is not None:
        parts.append(f"{duration(payload['eta_seconds'])} left")
    return "  ".join(parts)


def result_text(payload: Payload) -> str:
    """A finished cell in a line."""
    quality = payload.get("quality") or {}
    training = payload.get("training") or {}
    score = quality.get("miou")
    parts = [f"mIoU {score:.4f} on {quality['split']}"] if score is not None else []
    if quality.get("training_score") is not None:
        parts.append(f"training score {quality['training_score']:.4f}")
    if training.get("seconds") is not None:
        parts.append(f"trained {training['epochs_run']} epochs in {duration(training['seconds'])}")
    return ", ".join(parts) or "done"


def race_text(cell: Payload | None, payload: Payload) -> str:
    """What the race is at."""
    state = payload["state"]
    if state == "start":
        return f"measuring {payload['contenders']} deployed models"
    if state == "memory" and cell:
        return f"memory of {cell['model']}"
    if state == "modules" and cell:
        return f"where the cost of {cell['model']} sits"
    if state == "latency":
        start = f", start {payload['start']} of {payload['starts']}" if payload.get("starts") else ""
        return f"latency race at batch {payload['batch_size']}: {payload['contenders']} models in shuffled rounds{start}"
    return ""


def _bars(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}"),
        console=console,
        transient=True,
    )
