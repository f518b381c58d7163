"""Progress on stderr: bars where it is a terminal, plain lines where it is not."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from segbench.execution.events import (
    BatchDone,
    CellEnded,
    CellKept,
    CellStarted,
    EpochDone,
    Event,
    Listener,
    Note,
    PlanMade,
    RaceEnded,
    RaceEvent,
    StageStarted,
)


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
    """A line per cell, epoch, message and step of a race."""

    def __init__(self) -> None:
        self.cells = 0
        self.done = 0

    def on(self, event: Event) -> None:
        """Print the event's line, if it has one."""
        if isinstance(event, PlanMade):
            self.cells = len(event.cells)
        line = self._line(event)
        if line:
            print(line, file=sys.stderr, flush=True)

    def _line(self, event: Event) -> str:
        if isinstance(event, (CellStarted, CellKept)):
            self.done += 1
            return f"[{self.done}/{self.cells}] {event.sentence}"
        if isinstance(event, (EpochDone, CellEnded, Note)):
            return f"  {event.sentence}"
        return event.sentence if isinstance(event, RaceEvent) else ""


class BarProgress:
    """A bar for the run and one for the cell; finished cells stay as lines."""

    def __init__(self, bars: Progress) -> None:
        self.bars = bars
        self.run = bars.add_task("run", total=None, detail="")
        self.cell = bars.add_task("", total=None, visible=False, detail="")
        self.epoch = ""

    def on(self, event: Event) -> None:
        """Move the bars."""
        if isinstance(event, PlanMade):
            self.bars.update(self.run, total=len(event.cells), description="[bold]run")
        elif isinstance(event, (CellStarted, CellKept)):
            self._on_cell(event)
        elif isinstance(event, StageStarted):
            self.bars.update(self.cell, detail=event.stage)
        elif isinstance(event, BatchDone):
            self._on_batch(event)
        elif isinstance(event, EpochDone):
            self.epoch = event.sentence
            self.bars.update(self.cell, completed=event.epoch, total=event.epochs, detail=escape(self.epoch))
        elif isinstance(event, CellEnded):
            self._print(f"{'x' if event.row.error else '+'} {event.cell['id']}: {event.sentence}")
            self.bars.advance(self.run)
            self.bars.update(self.cell, visible=False)
        elif isinstance(event, Note):
            self._print(event.sentence)
        elif isinstance(event, RaceEvent):
            self.bars.update(self.cell, description="", detail=escape(event.sentence), visible=not isinstance(event, RaceEnded))

    def _on_cell(self, event: CellStarted | CellKept) -> None:
        starts = isinstance(event, CellStarted)
        if isinstance(event, CellStarted) and event.reason:
            self._print(event.sentence)
        if not starts:
            self.bars.advance(self.run)
        self.epoch = ""
        self.bars.reset(self.cell, description=escape(event.cell["id"]), total=None, visible=starts, detail="starting")

    def _on_batch(self, event: BatchDone) -> None:
        done = event.epoch - 1 + (event.step or 0) / max(event.steps or 1, 1)
        self.bars.update(self.cell, completed=done, total=event.epochs, detail=event.sentence or escape(self.epoch))

    def _print(self, text: str) -> None:
        self.bars.console.print(Text(text), highlight=False)


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
