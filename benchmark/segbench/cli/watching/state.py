"""The state of a run and of its cells, as data."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

CellStatus = Literal["pending", "running", "ok", "failed", "skipped", "interrupted"]
State = Literal["starting", "running", "finished", "interrupted", "stopped"]

BAD = ("failed", "interrupted")
DONE = ("ok", "failed", "skipped")


@dataclass(frozen=True)
class EpochPoint:
    """One epoch of a learning curve."""

    epoch: int
    loss: float | None = None
    val_miou: float | None = None
    classes_averaged: int | None = None
    classes: int | None = None


@dataclass(frozen=True)
class CellState:
    """One cell. ``score`` is ``miou``, or ``training_score`` where that is used instead. ``kept``: it was done before this command."""

    id: str
    model: str = ""
    status: CellStatus = "pending"
    miou: float | None = None
    training_score: float | None = None
    epochs: int | None = None
    seconds: float | None = None
    kept: bool = False
    error: str | None = None
    classes_averaged: int | None = None
    classes: int | None = None


@dataclass(frozen=True)
class Running:
    """The cell that is at work. ``silent`` is the number of seconds since its last event or file change."""

    id: str
    stage: str | None = None
    epoch: int | None = None
    epochs: int | None = None
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    learning_rate: float | None = None
    images_per_second: float | None = None
    seconds: float | None = None
    seconds_left: float | None = None
    silent: float | None = None
    history: tuple[EpochPoint, ...] = ()


@dataclass(frozen=True)
class RunState:
    """A run at one moment. ``others`` counts cells of earlier commands in the same directory; ``measuring`` says what comes after training.

    ``seconds_left`` is of the cells alone: for how long models are raced at the end is not known before.
    """

    directory: str
    state: State
    pid: int | None = None
    seconds: float | None = None
    seconds_left: float | None = None
    cells: tuple[CellState, ...] = ()
    others: int = 0
    running: Running | None = None
    measuring: str | None = None
    warnings: tuple[str, ...] = field(default=())
    silent: float | None = None

    def count(self, *status: str) -> int:
        """The number of cells with one of these states."""
        return sum(cell.status in status for cell in self.cells)

    @property
    def exit_code(self) -> int:
        """1 where a cell failed, as ``segbench run`` has it, and where the run ended before its time."""
        return 1 if self.count(*BAD) or self.state in ("interrupted", "stopped") else 0

    @property
    def over(self) -> bool:
        """True where nothing more will come."""
        return self.state in ("finished", "interrupted", "stopped")

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, for programs."""
        counts = {status: self.count(status) for status in ("pending", "running", "interrupted", *DONE)}
        return {**asdict(self), "counts": counts, "exit_code": self.exit_code}


def continue_command(directory: str) -> str:
    """The command that continues the run in a directory, with the configuration that is stored there.

    >>> continue_command("runs/quick")
    'segbench run --config runs/quick/config.toml --out runs/quick'
    """
    config = Path(directory) / "config.toml"
    return f"segbench run --config {shlex.quote(config.as_posix())} --out {shlex.quote(Path(directory).as_posix())}"
