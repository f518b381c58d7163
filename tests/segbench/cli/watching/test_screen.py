from __future__ import annotations

import dataclasses
import io
from typing import Any

import pytest
from rich.console import Console

from segbench.cli.watching.screen import fixed_lines, screen
from segbench.cli.watching.state import CellState, EpochPoint, Running, RunState

HISTORY = tuple(EpochPoint(epoch, 2 / epoch, 0.05 * epoch if epoch % 2 == 0 else None) for epoch in range(1, 9))
NAMES = [
    f"{model}--ce--quick--s{seed}"
    for model in ("unet", "deeplab-original-aspp_channels-128-aspp_dropout-0.1-l-445ed9ac")
    for seed in (0, 1, 2)
]
CELLS = (
    CellState(NAMES[0], "unet", "ok", 0.5, None, 20, 300.0),
    CellState(NAMES[1], "unet", "failed", error="train: boom"),
    CellState(NAMES[2], "unet", "ok", 0.25, kept=True),
    CellState(NAMES[3], "deeplab", "running"),
    *(CellState(name, "deeplab") for name in NAMES[4:]),
)
RUN = RunState(
    "runs/camvid",
    *("running", 7, 3700.0, 7300.0, CELLS, 2),
    Running(NAMES[3], "train", 9, 20, 3, 45, 0.25, 1e-3, 21.5, 400.0, 730.0, 2.0, HISTORY),
    warnings=("unet: the loss is not a number",),
)


def _lines(state: RunState, width: int = 80, **how: Any) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(screen(state, width=width, **how))
    stream = console.file
    assert isinstance(stream, io.StringIO)
    return stream.getvalue().splitlines()


def test_a_running_benchmark_is_shown_whole() -> None:
    assert [line.rstrip() for line in _lines(RUN)] == [
        "runs/camvid  running",
        "━" * 60,
        "3 of 6 cells · 1 failed · 1 h 1 min so far · about 2 h 1 min left for the cells",
        "",
        "now       deeplab-original-aspp_channels-128-aspp_dropout-0.1-l-445ed9ac--s0",
        "train     epoch 9/20  step 3/45  21.5 images/s  lr 1.00e-03  12 min 10 s left",
        "loss      █▄▃▂▂▁▁▁  0.2500",
        "val mIoU  ▁▃▆█  0.4000  best 0.4000 at 8",
        "",
        "  cell                                                   mIoU epochs        time",
        "+ unet--s0                                             0.5000     20   5 min 0 s",
        "x unet--s1 (failed)",
        "+ unet--s2                                             0.2500               kept",
        "> deeplab-original-aspp_cha…opout-0.1-l-445ed9ac--s0",
        "  deeplab-original-aspp_cha…opout-0.1-l-445ed9ac--s1",
        "  deeplab-original-aspp_cha…opout-0.1-l-445ed9ac--s2",
        "and 2 cells of earlier commands",
        "",
        "last messages",
        "unet: the loss is not a number",
    ]


@pytest.mark.parametrize("width", [20, 40, 50, 80, 100, 200])
@pytest.mark.parametrize("rows", [None, 3])
def test_no_line_is_wider_than_the_terminal(width: int, rows: int | None) -> None:
    for state in (RUN, dataclasses.replace(RUN, state="stopped", running=None)):
        assert max(map(len, _lines(state, width, rows=rows))) <= width


def test_a_long_run_fits_the_height_with_what_matters_most() -> None:
    cells = tuple(CellState(f"m{i}--s", "m", "ok" if i < 90 else "running" if i == 90 else "pending") for i in range(200))
    failed = dataclasses.replace(cells[3], status="failed")
    state = dataclasses.replace(RUN, cells=(*cells[:3], failed, *cells[4:]), running=dataclasses.replace(RUN.running, id="m90--s"))  # type: ignore[type-var]
    lines = _lines(state, rows=8)
    assert len(lines) <= fixed_lines(state) + 8
    text = "\n".join(lines)
    assert "x m3 (failed)" in text
    assert "> m90" in text
    assert "more done" in text


def test_a_stopped_run_says_how_to_go_on() -> None:
    text = "\n".join(_lines(dataclasses.replace(RUN, state="stopped", running=None), 120))
    assert "No process holds it any more. Continue with" in text
    assert "segbench run --config runs/camvid/config.toml --out runs/camvid" in text
    assert "It was interrupted" in "\n".join(_lines(dataclasses.replace(RUN, state="interrupted", running=None)))


def test_hostile_names_and_messages_are_inert() -> None:
    evil = "[bold red]x[/bold red]\x1b[31m\x07\u202e\r\nend"
    cells = (CellState(evil, evil, "running"), CellState("b" + evil, "m", "failed"))
    running = dataclasses.replace(RUN.running, id=evil, stage=evil)  # type: ignore[type-var]
    state = dataclasses.replace(RUN, directory=evil, cells=cells, running=running, measuring=evil, warnings=(evil, "[/]"))
    for shown in (state, dataclasses.replace(state, running=None), dataclasses.replace(state, state="stopped", running=None)):
        text = "\n".join(_lines(shown, 200))
        assert "[bold red]x[/bold red]" in text
        assert not {"\x1b", "\x07", "\u202e", "\r"} & set(text)


def test_plain_terminals_get_signs_that_they_have() -> None:
    cells = tuple(dataclasses.replace(cell, id=cell.id[:20]) for cell in CELLS)
    state = dataclasses.replace(RUN, cells=cells, running=dataclasses.replace(RUN.running, id="unet"))  # type: ignore[type-var]
    "\n".join(_lines(state, 120, plain=True)).encode("ascii")


def test_a_silent_cell_and_the_race_are_mentioned() -> None:
    silent = dataclasses.replace(RUN, running=dataclasses.replace(RUN.running, silent=300.0))  # type: ignore[type-var]
    assert "no sign for 5 min 0 s" in "\n".join(_lines(silent))
    racing = dataclasses.replace(RUN, running=None, measuring="latency race at batch 1: 4 models")
    assert "latency race at batch 1: 4 models" in "\n".join(_lines(racing))
