from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from segbench.cli.watching.files import RunFiles
from segbench.cli.watching.state import RunState
from segbench.errors import StoreError
from segbench.execution.events import (
    CellEnded,
    CellKept,
    CellStarted,
    Event,
    LatencyStarted,
    MemoryStarted,
    Note,
    PlanMade,
    RaceEnded,
    RaceStarted,
    event_of,
)
from segbench.execution.journal import EVENTS, NOW, Journal, this_machine
from segbench.results.records import CellResult, ErrorInfo, Quality, Training
from segbench.results.store import RunStore

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forges locks as Linux has them")


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Writes a run's directory: events, and a lock that this process holds, or that a dead one held."""
    locks: list[Any] = []

    def make(*events: Any, alive: bool = True, rows: Any = None, now: Any = None) -> Path:
        for folder in ("logs", "cells"):
            (tmp_path / "run" / folder).mkdir(parents=True, exist_ok=True)
        lock = (tmp_path / "run" / ".lock").open("w")
        lock.write(str(os.getpid()) if alive else "4194000")
        lock.flush()
        if alive and not locks:
            fcntl.flock(lock, fcntl.LOCK_EX)
            locks.append(lock)
        elif not alive:
            lock.close()
        else:
            locks.append(lock)
        lines = [event if isinstance(event, str) else json.dumps(event) + "\n" for event in events]
        if lines:
            (tmp_path / "run" / EVENTS).write_text("".join(lines))
        for name, row in (rows or {}).items():
            (tmp_path / "run" / "cells" / f"{name}.json").write_text(row if isinstance(row, str) else json.dumps(row))
        if now is not None:
            (tmp_path / "run" / NOW).write_text(now if isinstance(now, str) else json.dumps(now))
        return tmp_path / "run"

    yield make
    for lock in locks:
        lock.close()


START = {"t": 1000.0, "event": "start", "pid": 1, "machine": this_machine()}
PLAN = {"t": 1000.0, "event": "plan", "cells": [{"id": name, "model": "unet" if name < "c" else "fpn"} for name in "abcd"]}


def _cell(event: str, name: str, t: float, **more: Any) -> dict[str, Any]:
    return {"t": t, "event": event, "cell": name, **more}


def _read(directory: Path, now: float = 2000.0) -> RunState:
    return RunFiles(directory).read(now)


def test_cells_curves_and_time_left_come_from_the_events(forge: Callable[..., Path]) -> None:
    epochs = [_cell("epoch", "b", 1200 + e, epoch=e, epochs=10, train_loss=1 / e, val_miou=0.1 * e, eta_seconds=400.0) for e in (1, 2, 3)]
    directory = forge(
        *(START, PLAN, _cell("cell", "a", 1000.0), _cell("stage", "a", 1001.0, stage="train")),
        *(_cell("cell_end", "a", 1100.0, status="ok", miou=0.5, epochs_run=10), _cell("cell", "b", 1200.0), *epochs),
        now={"t": 1990.0, "cell": "b", "epoch": 4, "step": 5, "steps": 8, "loss": 0.2, "images_per_second": 7.5, "eta_seconds": 60.0},
    )
    state = _read(directory)
    assert (state.state, state.exit_code, state.pid) == ("running", 0, os.getpid())
    assert [cell.status for cell in state.cells] == ["ok", "running", "pending", "pending"]
    assert (state.cells[0].miou, state.cells[0].seconds) == (0.5, 100.0)
    running = state.running
    assert running is not None
    assert (running.id, running.epoch, running.epochs, running.loss, running.images_per_second) == ("b", 4, 10, 0.2, 7.5)
    assert [(point.epoch, point.loss, point.val_miou) for point in running.history] == [
        (1, 1.0, 0.1),
        (2, 0.5, 0.2),
        (3, 1 / 3, pytest.approx(0.3)),
    ]
    assert running.seconds_left == 50.0
    # two more cells of another model: at the mean of the 100 s that a took and the 800 s + 50 s of b
    assert state.seconds_left == pytest.approx(50 + 2 * (100 + 850) / 2)
    assert state.seconds == 1000.0


def test_cells_of_the_same_model_tell_how_long_one_takes(forge: Callable[..., Path]) -> None:
    done = [
        _cell(kind, name, t, status="ok")
        for name, t0, t1 in (("a", 0, 100), ("c", 100, 400))
        for kind, t in (("cell", t0), ("cell_end", t1))
    ]
    state = _read(forge({**START, "t": 0.0}, PLAN, *done), 400.0)
    assert state.seconds_left == 400.0


def test_a_dead_process_makes_a_run_that_stopped(forge: Callable[..., Path]) -> None:
    state = _read(forge(START, PLAN, _cell("cell", "a", 1000.0), alive=False))
    assert (state.state, state.exit_code, state.over, state.running) == ("stopped", 1, True, None)
    assert state.cells[0].status == "interrupted"


def test_another_process_of_that_number_does_not_hold_the_run(forge: Callable[..., Path]) -> None:
    directory = forge(START, PLAN, alive=False)
    (directory / ".lock").write_text(str(os.getppid()))
    assert _read(directory).state == "stopped"


def test_a_store_that_is_open_is_seen_as_a_run_that_starts_and_a_closed_one_as_stopped(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run")
    store.open()
    state = _read(tmp_path / "run")
    assert (state.state, state.pid) == ("starting", os.getpid())
    store.close()
    assert _read(tmp_path / "run").state == "stopped"


def test_a_run_on_another_machine_lives_as_long_as_it_gives_signs(forge: Callable[..., Path]) -> None:
    directory = forge({**START, "machine": "elsewhere"}, PLAN, alive=False)
    assert RunFiles(directory).read(time.time()).state == "running"
    assert RunFiles(directory).read(time.time() + 1000).state == "stopped"


def test_the_end_says_how_it_ended(forge: Callable[..., Path]) -> None:
    done = [_cell("cell_end", name, 1010.0, status="ok") for name in "abc"]
    failed = _cell("cell_end", "d", 1020.0, status="failed", error="train: boom")
    state = _read(forge(START, PLAN, *done, failed, {"t": 1030.0, "event": "end", "state": "finished"}, alive=False))
    assert (state.state, state.exit_code, state.seconds) == ("finished", 1, 30.0)
    assert state.warnings == ("d: failed in train: boom",)
    state = _read(forge(START, PLAN, *done, {"t": 1030.0, "event": "end", "state": "interrupted"}, alive=False))
    assert (state.state, state.exit_code) == ("interrupted", 1)


def test_a_second_command_starts_anew_but_curves_go_on(forge: Callable[..., Path]) -> None:
    first = [
        START,
        PLAN,
        _cell("cell", "a", 1.0),
        *(_cell("epoch", "a", 2.0, epoch=e, val_miou=0.1 * e) for e in (1, 2, 3)),
        {"event": "end"},
    ]
    directory = forge(
        *first, {**START, "t": 50.0}, PLAN, _cell("cell", "a", 51.0), _cell("epoch", "a", 52.0, epoch=3, val_miou=0.9), alive=True
    )
    state = _read(directory, 60.0)
    assert state.running is not None
    assert [(point.epoch, point.val_miou) for point in state.running.history] == [(1, 0.1), (2, 0.2), (3, 0.9)]
    assert state.seconds == 10.0
    assert _read(forge(*first), 60.0).state == "starting"


HOSTILE = [
    "half a li",
    '{"event": "epoch"',
    "\x00\xff\n",
    "[]\n",
    "null\n",
    '{"event": "epoch", "cell": "a"}\n',
    '{"event": "epoch", "cell": "a", "epoch": "one", "train_loss": {}}\n',
    '{"event": "epoch", "cell": "a", "epoch": NaN, "t": Infinity}\n',
    '{"event": "cell_end", "cell": "a", "miou": "high", "status": 7}\n',
    '{"event": "plan", "cells": [1, {"id": 2}, {}]}\n',
    '{"event": ["list"], "t": true}\n',
    '{"event": "cell", "cell": ["a"]}\n',
    "[" * 100_000 + "\n",
]


@pytest.mark.parametrize("line", HOSTILE)
def test_damaged_lines_are_passed_over(forge: Callable[..., Path], line: str) -> None:
    state = _read(forge(START, PLAN, line, _cell("cell", "b", 1.0) if line.endswith("\n") else "", now=line, rows={"a": line, "z": "{"}))
    assert state.state in ("running", "starting")
    json.dumps(state.to_dict(), allow_nan=False)


def test_a_half_written_line_is_read_when_it_is_whole(forge: Callable[..., Path]) -> None:
    directory = forge(START, PLAN, _cell("cell", "a", 1.0), '{"t": 2, "event": "epoch", "cell": "a", ')
    files = RunFiles(directory)
    assert files.read(3.0).running is not None
    with (directory / EVENTS).open("a") as file:
        file.write('"epoch": 1, "train_loss": 0.5}\n')
    running = files.read(3.0).running
    assert running is not None
    assert running.history[0].loss == 0.5


def test_a_fresh_start_is_noticed(forge: Callable[..., Path]) -> None:
    directory = forge(START, PLAN, *(_cell("note", "a", 1.0, message="x" * 100) for _ in range(9)))
    files = RunFiles(directory)
    assert len(files.read().cells) == 4
    forge(START, {"event": "plan", "cells": [{"id": "new", "model": "m"}]})
    assert [cell.id for cell in files.read().cells] == ["new"]


def test_runs_without_events_are_read_from_their_rows(forge: Callable[..., Path]) -> None:
    rows = {
        "a": {"model": "unet", "status": "ok", "quality": {"miou": 0.25}, "training": {"epochs_run": 3}},
        "b": {"status": "failed", "error": {"stage": "train", "message": "boom"}},
    }
    directory = forge(rows=rows, alive=False)
    (directory / "run.json").write_text('{\n "schema_version": 1,\n "command": "x",\n "complete": true,\n "cells": [' + "1," * 10)
    state = _read(directory)
    assert (state.state, state.exit_code) == ("finished", 1)
    assert [(cell.status, cell.miou, cell.epochs) for cell in state.cells] == [("ok", 0.25, 3), ("failed", None, None)]


def test_a_published_run_has_only_its_run_json(tmp_path: Path) -> None:
    document = {"schema_version": 1, "complete": True, "cells": [{"id": "a", "status": "ok", "quality": {"miou": 0.5}}, 3]}
    (tmp_path / "run.json").write_text(json.dumps(document, indent=1))
    state = _read(tmp_path)
    assert [(cell.id, cell.miou) for cell in state.cells] == [("a", 0.5)]
    assert state.state == "finished"


def test_what_is_no_run_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name, message in (("gone", r"there is no '.*gone' \(yet\)"), ("file", "is a file"), (".", "holds no run")):
        with pytest.raises(StoreError, match=message):
            RunFiles(tmp_path / name).read()


def test_the_lock_is_left_alone_and_no_checkpoint_is_opened(forge: Callable[..., Path]) -> None:
    directory = forge(START, PLAN)
    (directory / "checkpoints" / "a").mkdir(parents=True)
    for name in ("best.pt", "last.pt"):
        (directory / "checkpoints" / "a" / name).write_bytes(b"")
    code = (
        "import sys\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: opened.append((event, str(args[0]), args[1] if event == 'open' else '')) "
        "if event in ('open', 'fcntl.flock', 'fcntl.lockf') else None)\n"
        "from segbench.cli import main\n"
        "try:\n    main(['watch', sys.argv[1], '--once'])\nexcept SystemExit as e:\n    assert e.code == 0, e.code\n"
        "ours = [(e, p, m) for e, p, m in opened if p.startswith(sys.argv[1]) or e != 'open']\n"
        "assert ours and all(m in ('r', 'rb') for e, p, m in ours if e == 'open'), ours\n"
        "assert not [1 for e, p, m in ours if e != 'open' or p.endswith('.pt')], ours\n"
        "heavy = {'torch', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    said = subprocess.run([sys.executable, "-c", code, str(directory)], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "running" in said.stdout


def test_the_journal_tells_what_a_listener_hears(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    cell = {"id": "a", "model": "unet"}
    with contextlib.suppress(KeyboardInterrupt), Journal(tmp_path) as journal:
        journal.on(PlanMade((cell,)))
        journal.on(CellStarted(cell, ("train",), "continued"))
        journal.on(event_of("batch", {"epoch": 1, "loss": float("nan")}, cell))
        journal.on(event_of("epoch", {"epoch": 1, "train_loss": float("inf"), "val_miou": 0.5, "loss_parts": {"ce": 1.0}}, cell))
        assert json.loads((tmp_path / NOW).read_text())["loss"] is None
        raise KeyboardInterrupt
    events = [json.loads(line) for line in (tmp_path / EVENTS).read_text().splitlines()]
    assert [event["event"] for event in events] == ["start", "plan", "cell", "epoch", "end"]
    assert events[3]["train_loss"] is None
    assert events[3]["val_miou"] == 0.5
    assert "loss_parts" not in events[3]
    assert events[4]["state"] == "interrupted"
    assert not (tmp_path / NOW).exists()


def test_a_journal_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    with Journal(tmp_path / "gone") as journal:
        journal.on(PlanMade(()))
        journal.on(event_of("batch", {"epoch": 1}, {"id": "a"}))
    assert not (tmp_path / "gone").exists()


RECORD = {"id": "a", "model": "unet"}
SCORED = CellResult(
    id="a", model="unet", status="ok", quality=Quality(split="test", miou=0.5), training=Training(epochs_run=3, seconds=1.0)
)
FAILED = CellResult(id="a", model="unet", status="failed", error=ErrorInfo(stage="train", kind="error", message="boom", advice="Pray."))


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (CellKept(RECORD, "ok"), {"event": "kept", "cell": "a", "status": "ok"}),
        (Note(RECORD, "hello"), {"event": "note", "cell": "a", "message": "hello"}),
        (Note(None, "hello"), {"event": "note", "message": "hello"}),
        (event_of("stage", {"stage": "train"}, RECORD), {"event": "stage", "cell": "a", "stage": "train"}),
        (CellEnded(RECORD, SCORED), {"event": "cell_end", "cell": "a", "status": "ok", "miou": 0.5, "epochs_run": 3}),
        (CellEnded(RECORD, FAILED), {"event": "cell_end", "cell": "a", "status": "failed", "error": "train: boom"}),
        (RaceStarted(2), {"event": "race", "state": "start", "contenders": 2}),
        (MemoryStarted(RECORD, "eager"), {"event": "race", "cell": "a", "state": "memory"}),
        (
            LatencyStarted(1, 2, "64", 1, 4),
            {"event": "race", "state": "latency", "batch_size": 1, "contenders": 2, "input_size": "64", "start": 1, "starts": 4},
        ),
        (LatencyStarted(1, 2), {"event": "race", "state": "latency", "batch_size": 1, "contenders": 2}),
        (RaceEnded(), {"event": "race", "state": "end"}),
    ],
)
def test_each_event_is_one_line_of_the_log(tmp_path: Path, event: Event, line: dict[str, Any]) -> None:
    (tmp_path / "logs").mkdir()
    with Journal(tmp_path) as journal:
        journal.on(event)
    _, written, _ = (json.loads(text) for text in (tmp_path / EVENTS).read_text().splitlines())
    assert written.pop("t") > 0
    assert written == line


@pytest.mark.parametrize("event", [RaceStarted(2), MemoryStarted(RECORD, "eager"), LatencyStarted(1, 2, None, 1, 4)])
def test_what_is_watched_is_the_sentence_that_the_run_shows(tmp_path: Path, event: Any) -> None:
    for folder in ("logs", "cells"):
        (tmp_path / folder).mkdir()
    (tmp_path / ".lock").write_text(str(os.getpid()))
    with Journal(tmp_path) as journal, (tmp_path / ".lock").open():
        journal.on(PlanMade((RECORD,)))
        journal.on(event)
        assert RunFiles(tmp_path).read().measuring == event.sentence


def test_a_damaged_line_about_the_race_is_passed_over(forge: Callable[..., Path]) -> None:
    for line in ({"state": "latency"}, {"state": "latency", "batch_size": "many", "contenders": {}, "start": []}, {"state": 7}, {}):
        state = _read(forge(START, PLAN, {"t": 1.0, "event": "race", **line}))
        assert state.measuring
