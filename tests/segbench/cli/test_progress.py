"""Progress on stderr: lines and bars show the sentence that each event has."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from segbench.cli.progress import BarProgress, PlainProgress
from segbench.execution.events import (
    BatchDone,
    CellEnded,
    CellKept,
    CellStarted,
    EpochDone,
    Event,
    LatencyStarted,
    Note,
    PlanMade,
    RaceEnded,
    StageStarted,
)
from segbench.results.records import CellResult, ErrorInfo

A, B = {"id": "a", "model": "unet"}, {"id": "[b]", "model": "fpn"}
FAILED = CellResult(id="[b]", model="fpn", error=ErrorInfo(stage="train", kind="error", message="[bold]boom", advice="Mend it."))
DONE = CellResult(id="a", model="unet", status="ok")
RUN: tuple[Event, ...] = (
    PlanMade((A, B)),
    CellKept(A, "ok"),
    CellStarted(B, ("train",), "continued"),
    StageStarted(B, "train"),
    BatchDone(B, 1, 2, 1, 4, loss=0.5),
    EpochDone(B, 1, 2, train_loss=0.25),
    Note(B, "half the batch"),
    CellEnded(B, FAILED),
    LatencyStarted(1, 2),
    RaceEnded(),
)


def test_a_pipe_gets_a_line_per_event(capsys: pytest.CaptureFixture[str]) -> None:
    plain = PlainProgress()
    for event in RUN:
        plain.on(event)
    assert capsys.readouterr().err.splitlines() == [
        "[1/2] a kept from before (ok)",
        "[2/2] [b] (continued)",
        "  epoch 1/2  loss 0.2500",
        "  half the batch",
        "  failed in train: [bold]boom Mend it.",
        "latency race at batch 1: 2 models in shuffled rounds",
    ]


def test_bars_move_and_finished_cells_stay_as_lines() -> None:
    console = Console(file=io.StringIO(), width=160, force_terminal=False)
    bars = Progress(TextColumn("{task.description} {task.completed} {task.total} {task.fields[detail]}"), console=console)
    shown = BarProgress(bars)
    details: list[Any] = []
    for event in (*RUN, CellEnded(A, DONE)):
        shown.on(event)
        details.append(bars.tasks[1].fields["detail"])
    assert [bars.tasks[0].completed, bars.tasks[0].total] == [3, 2]
    assert details[3:6] == ["train", "loss 0.5000", "epoch 1/2  loss 0.2500"]
    assert details[8] == "latency race at batch 1: 2 models in shuffled rounds"
    assert not bars.tasks[1].visible
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "[b] (continued)",
        "half the batch",
        "x [b]: failed in train: [bold]boom Mend it.",
        "+ a: done",
    ]
